"""What every backend offers: an image becomes a pyramid, a plan becomes patches. Checked here, once, for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from homunculus.bridge import checks, ending, op
from homunculus.bridge.adjoint import Gradients, Upstream, Wanted
from homunculus.bridge.clips.clip import Clip, black_pictures
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.contract import BackendContract
from homunculus.bridge.errors import GradientError, ImageError, ImageTooLargeError, PlanError
from homunculus.bridge.images import Format, as_batch
from homunculus.bridge.law import Quality
from homunculus.bridge.patches import Filtering, Patches
from homunculus.bridge.pictures.entrance import Picture, Pictures
from homunculus.bridge.pictures.planes import plane_batch
from homunculus.bridge.plan import PlanProgram, SamplePlan, rows_of
from homunculus.bridge.planar import colours_of
from homunculus.bridge.pyramid import Builder, Pyramid
from homunculus.bridge.room import patches_told, pyramid_told, room
from homunculus.bridge.statistics import LAYERS
from homunculus.bridge.tensors import tensor_of
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.paged import BUDGET_BYTES, PagedPyramid, paged
from homunculus.bridge.tiles.source import TileSource, is_source
from homunculus.bridge.traced import TracedPyramid
from homunculus.bridge.values import shown, size_of, traced, untraced
from homunculus.bridge.written import WrittenPlan


class TextureUnit(BackendContract):
    """One open device that builds pyramids and samples plans. Made by `open_unit`; close it, or use it in a `with` block.

    A backend is a subclass and a row in `bridge.backends`. It states what it can in the attributes below, calls `__init__`, and
    writes `_pyramid`, `_sample`, `_write_plan`, `_statistics` and `_close`: they get only what the public verbs have checked.

    >>> with hm.open_unit("torch") as unit:
    ...     pyramid = unit.pyramid(hm.read_image("examples/data/photograph.jpg"))
    ...     plan = hm.layouts.quadtree(pyramid.size, fixation=(220, 110), budget=273)
    ...     unit.sample(pyramid, plan, quality="high")
    Patches(273 of 16 x 16 px, float32, on cpu)
    """

    def pyramid(
        self,
        images: Pictures | TileSource,
        *,
        format: Format | None = None,
        builder: Builder | None = None,
        max_level: int = 6,
        budget_bytes: int = BUDGET_BYTES,
    ) -> Pyramid:
        """Builds the pyramid of one picture, or of several of one size: paths, PIL images or arrays, or a list of them. Of what
        `open_tiles` gives, and of one picture of bytes in memory beyond the device's limit, only what is looked at is read: `PagedPyramid`.

        images: an array is numpy or torch, [H, W, 3] or [B, H, W, 3], uint8, uint16 (scaled to 8 bits), bool, or floats in 0..1; or
            grey [H, W], grey and alpha or RGBA (composited over white), or [C, H, W] where it cannot be meant otherwise. Or `Planes`.
        format: how levels are stored; by default `nv12` for Planes, `rgba8` for uint8 and the float format of the images' own width
            otherwise. A float format that is asked for holds any finite value, not only light in 0..1. Floats on a GPU are not looked at.
        builder: `exact`, `driver`, `simd`, `sparse`, or `auto` (the driver's filter where its fingerprint is an exact box); by default
            the fastest that keeps its row of the tolerance table on this device. `sparse`, the default on software OpenGL, makes the
            coarse levels at once and reads the fine ones from the array when a plan needs them: until the pyramid is closed, or
            all of it has been looked at, the array must not change. `sample` raises ImageError where it has, never a mixture.
        max_level: coarsest level; each side is padded with zeros to a multiple of 2**max_level.
        budget_bytes: of a `PagedPyramid`, what its pages may take on the device. It has all levels, and decides by itself how it is built.
        Images that require a gradient get one, where the format does not round: `rgba8` raises GradientError. Raises ImageError,
        ImageTooLargeError or GLError; nothing is kept then.
        """
        if isinstance(images, Tensor) and traced(images):
            return TracedPyramid(self.key, self.home, as_batch(images, format)[0], format, builder, max_level)
        with ending.call():
            self._check_open()
            if is_source(images):
                if format not in (None, "rgba8"):
                    raise ImageError(
                        f"format is {format!r}; tiles are bytes. Leave it out, or read a part into an array"
                    )
                return paged(self, images, budget_bytes)
            planes = plane_batch(images)
            if planes is not None:
                return self._of_planes(planes, format, builder, max_level)
            batch, stored = as_batch(images, format)
            stored = self._offered(stored, format is not None, builder)
            wanted = batch.requires_grad and torch.is_grad_enabled()
            if wanted:
                self._check_gradient()
                checks.check_unrounded(stored)
            if self._too_large(batch, max_level):
                return paged(self, ArraySource(batch[0].numpy(), "the picture"), budget_bytes)
            extent = self._extent((batch.shape[1], batch.shape[2]), len(batch), max_level, stored)
            with room(ImageTooLargeError, lambda: pyramid_told(tuple(batch.shape))):
                pyramid = self._pyramid(
                    batch if self.autograd else batch.detach(), extent, self._built_by(builder, stored)
                )
            pyramid.images, pyramid.unit = batch if wanted else None, self.key
            return pyramid

    def clip(
        self,
        size: tuple[int, int],
        frames: int = 16,
        *,
        format: Format | None = None,
        builder: Builder | None = None,
        max_level: int = 6,
    ) -> Clip:
        """A pyramid for frames of a size (height, width) that come one after the other: of the last `frames` of them, a power of 2, and of
        their means over 2, 4, 8 ... frames, twice the memory of the frames alone. format, by default `rgba8`, and for Planes `nv12`,
        builder, max_level: as for `pyramid`. Raises PlanError for a number of frames that is no power of 2, and what `pyramid` raises.
        """
        timeline, stored = Timeline(frames), format or "rgba8"
        height, width = size_of("size", size, refusal=ImageError)
        self._extent((height, width), timeline.layers, max_level, stored)
        black = black_pictures(timeline.layers, (height, width), stored)
        return Clip(self.pyramid(black, format=stored, builder=builder, max_level=max_level), timeline)

    @untraced
    def overwrite(self, pyramid: Pyramid, layer: int, image: Picture) -> None:
        """`Pyramid.write`, of one that this unit made."""
        with ending.call():
            self._check_open()
            pyramid = self._own(pyramid)
            planes = plane_batch(image)
            if planes is not None:
                return self._overwrite_planes(pyramid, checks.check_replacement(pyramid, layer, planes.luma), planes)
            batch, _ = as_batch(image, pyramid.format)
            layer = checks.check_replacement(pyramid, layer, batch)
            with room(ImageTooLargeError, lambda: pyramid_told(tuple(batch.shape))):
                self._rewrite(pyramid, layer, batch.detach())

    def sample(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        *,
        quality: Quality = "high",
        dtype: torch.dtype = torch.float32,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        wait: bool = True,
    ) -> Patches:
        """Filters every footprint of the plan. A texel partly outside the image is the mean of the part inside; one wholly outside is 0
        after normalisation. wait: whether tiles that a `PagedPyramid` lacks are read first, or coarser ones stand in for them, as
        `Patches.resident` then says. Gradients reach the plan's rows and the images of the pyramid, where they require one. Raises
        PlanError for a layer the pyramid lacks, or a footprint that quality `exact` cannot honour."""
        if traced():  # what is asked is checked where the op runs
            return op.sample(self.key, pyramid, plan, Filtering(quality, dtype, tuple(mean), tuple(std)), wait)  # type: ignore[arg-type]
        with ending.call():
            pyramid = self._own(pyramid)
            filtering = self.checked(pyramid, plan, quality, dtype, mean, std)
            if self._by_op(pyramid, plan):
                return op.sample(self.key, pyramid, plan, filtering, wait)
            with self.resident(pyramid, plan, quality, wait) as plan, room(PlanError, lambda: patches_told(plan)):
                return self._sample(pyramid, plan, filtering)

    @untraced
    @contextmanager
    def sampled(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        *,
        quality: Quality = "high",
        dtype: torch.dtype = torch.float32,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Iterator[Patches]:
        """`sample` for the length of a `with` block: on `gl-cuda` the patches are the shader's own output buffer, not a copy of it.

        After the block the tensors cannot be used, whatever the backend: with a CUDA build of torch every use of them or of their
        views raises RuntimeError, with another build they are empty. Inside it they may be written to; use them on the stream that
        was current at the start, or is at the end. Raises what `sample` raises, and PlanError for more tokens than one buffer holds.
        """
        if isinstance(pyramid, TracedPyramid):
            pyramid = pyramid.built()
        filtering = self.checked(pyramid, plan, quality, dtype, mean, std)
        if self._beyond_autograd(pyramid, plan):
            raise GradientError(
                f"lent patches of backend {self.backend!r} lie in the memory that the shader wrote, through which no gradient passes. "
                "Use sample(), or torch.no_grad() where none is wanted"
            )
        with self.resident(pyramid, plan, quality) as plan, self._sampled(pyramid, plan, filtering) as patches:
            yield patches

    @untraced
    def write_plan(self, program: PlanProgram, fixations: Sequence[Sequence[float]] | Tensor) -> SamplePlan:
        """Runs a plan program for fixations [K, 2] (x, y) in level-0 pixels, on the device where it has a shader for it."""
        with ending.call():
            self._check_open()
            points = tensor_of(fixations, self.precision).reshape(-1, 2)
            checks.check_fixations(points)
            if points.requires_grad and torch.is_grad_enabled():
                raise GradientError(
                    f"the fixations of shape {list(points.shape)} require a gradient, and a layout, which counts and sorts, passes none. "
                    "Give them detached, and move the rows that it gives, which take gradients: SamplePlan(plan.footprints + shift)"
                )
            return self._write_plan(program, points)

    def sample_backward(
        self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering, upstream: Upstream, wanted: Wanted
    ) -> Gradients:
        """What `backward()` asks of the unit that sampled: the gradient of what `sample` gave becomes one of the plan's rows and the
        pyramid's images. Raises GradientError where it has none to give."""
        with ending.call(), room(PlanError, lambda: patches_told(plan)):
            self._check_open()
            self._own(pyramid)
            self._check_gradient(pyramid)
            return self._backward(pyramid, plan.counted_from((0, 0)), filtering, upstream, wanted)

    @untraced
    def statistics(self, pyramid: Pyramid, level: int = 1) -> Pyramid:
        """Local statistics of an image, measured on the texels of one of its levels: a pyramid of four layers an image, whose
        level 0 is as large as that level and whose coarsest is as coarse as the image's.

        `bridge.statistics` names the channels: opponent colours and their squares, oriented energy, ON and OFF contrast.
        Its levels are premultiplied like any pyramid's, in 32-bit floats, so `sample` reads a channel of any square with
        one fetch, and `bridge.statistics.planes` turns a level into planes. Raises ImageError for a level that is missing.
        """
        with ending.call():
            self._check_open()
            pyramid = self._own(pyramid)
            checks.check_level(level, pyramid.max_level)
            if pyramid.wants_gradient and not self.autograd:
                raise checks.no_gradient("the statistics of an image that requires a gradient pass none")
            if isinstance(pyramid, PagedPyramid):
                level = pyramid.tail_index(level)
                pyramid = pyramid.tail
            size = pyramid.size_at(level)
            if pyramid.coding is not None:
                colours = colours_of(pyramid, level)
                with self.pyramid(colours, format="rgba8", max_level=pyramid.max_level - level) as rgba:
                    return self.statistics(rgba, 0)
            extent = self._extent(size, pyramid.layers, pyramid.max_level - level, "rgba32f", LAYERS)
            with room(ImageTooLargeError, lambda: pyramid_told((extent.layers, *size))):
                return self._statistics(pyramid, level, extent)

    def timed(self) -> AbstractContextManager[dict[str, float]]:
        """`with unit.timed() as parts_ms:` fills the dictionary with the milliseconds of the calls made inside, by part: `upload`,
        `pyramid`, `sample`, `hand-over`, and `map`, `unmap` where the backend has them. Every part then waits for the device, so
        their sum may exceed what the calls take otherwise. Not for two threads at once.
        """
        return self.clock.listen()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._close()

    def checked(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        quality: Quality = "high",
        dtype: torch.dtype = torch.float32,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Filtering:
        """Raises what `sample` raises before it looks at the device."""
        self._check_open()
        self._own(pyramid)
        checks.check_quality(quality)
        checks.check_dtype(dtype, self.precision)
        means, stds = checks.check_normalisation(mean, std)
        if not isinstance(plan, WrittenPlan):  # whose rows lie on a device
            checks.check_layers(plan, pyramid.layers)
            if quality == "exact":
                checks.check_exact(plan, pyramid.max_level)
        return Filtering(quality, dtype, means, stds)

    def _by_op(self, pyramid: Pyramid, plan: SamplePlan) -> bool:
        """Whether a sample goes through the op of torch: for a gradient that this backend does not give by itself, or a transform of
        torch.func."""
        return isinstance(pyramid, TracedPyramid) or traced(_rows(plan)) or self._beyond_autograd(pyramid, plan)

    def _beyond_autograd(self, pyramid: Pyramid, plan: SamplePlan) -> bool:
        """Whether a gradient is asked for that this backend does not give by itself. Raises GradientError where it gives none."""
        rows = _rows(plan)
        wanted = pyramid.wants_gradient or (rows is not None and rows.requires_grad and torch.is_grad_enabled())
        if wanted:
            self._check_gradient(pyramid)
        return wanted and not self.autograd


def _rows(plan: SamplePlan) -> Tensor | None:
    """What a gradient of the plan would be of. None for a plan that was written on a device: nobody has asked for its rows."""
    if isinstance(plan, WrittenPlan):
        return None
    return rows_of(plan)


def check_unit(unit: object) -> None:
    if not isinstance(unit, TextureUnit):
        raise PlanError(f"unit is {shown(unit)}; give an open one, as open_unit() gives it, or None")
