"""What a backend states and writes: the contract behind the verbs of `bridge.unit`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from homunculus.bridge import checks, ending
from homunculus.bridge.adjoint import Gradients, Upstream, Wanted
from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.clock import Clock, wait_for
from homunculus.bridge.errors import ImageError, ImageTooLargeError, PlanError
from homunculus.bridge.images import Format, padded_size
from homunculus.bridge.law import Quality
from homunculus.bridge.live import unit_key
from homunculus.bridge.patches import Filtering, Patches, Stats
from homunculus.bridge.pictures.planes import PlaneBatch
from homunculus.bridge.plan import PlanProgram, SamplePlan, rows_of
from homunculus.bridge.pyramid import Builder, Closing, Extent, Pyramid
from homunculus.bridge.room import patches_told, pyramid_told, room
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import TexelBlock
from homunculus.bridge.traced import TracedPyramid
from homunculus.bridge.values import choice, shown, traced
from homunculus.interop.lending import revoke

if TYPE_CHECKING:
    from homunculus.bridge.findings import Report

HOST = torch.device("cpu")


class BackendContract(Closing):
    """The half of a `TextureUnit` that each backend fills in: what it can, and how pyramids and patches are made there."""

    backend: ClassVar[str]
    formats: ClassVar[tuple[Format, ...]] = ("rgba8", "rgba16f", "rgba32f")  # the widest last
    builders: ClassVar[tuple[Builder, ...]] = ("exact",)
    precision: ClassVar[torch.dtype] = torch.float32  # the widest type that it computes in
    gradients: ClassVar[bool] = False  # whether they reach the image and the plan, by `_backward` or by itself
    autograd: ClassVar[bool] = False  # whether `_sample` is made of what autograd differentiates by itself
    emulated: ClassVar[bool] = False  # whether plain code stands in the place of texture units
    most_px: int | None = None  # along a side, padding included
    most_layers: int | None = None  # of a pyramid

    def __init__(
        self,
        renderer: str,
        reason: str,
        *,
        configuration: tuple[Any, ...],
        home: object = None,
        device: torch.device = HOST,
        software: bool = False,
        clock: Clock | None = None,
    ) -> None:
        """configuration: what opens another like it, where it was pickled. home: where its pyramids lie; those of an equal home can
        be sampled, by default its own alone. device: where patches come. software: whether it filters with whole floats, not with
        the 8 bits of a GPU's texture unit."""
        self.renderer = renderer
        self.reason = reason  # why this backend was chosen
        self.device = device
        self.software = software
        self.home = object() if home is None else home
        self.key = unit_key(self, self.backend)
        self.stats = Stats()
        self.clock = Clock(partial(wait_for, device)) if clock is None else clock
        self._configuration = configuration
        self._closed = False

    # what a backend writes

    def blank(self, size: tuple[int, int], extent: Extent) -> Pyramid:
        """A pyramid of a picture of that size whose levels nobody has written. Only a backend that has it, and `write`, holds tiles."""
        raise ImageError(
            f"backend {self.backend!r} holds whole pictures only, no tiles. {INSTEAD[0].upper()}{INSTEAD[1:]}"
        )

    def write(self, pyramid: Pyramid, blocks: Iterable[TexelBlock]) -> None:
        """Writes blocks of bytes into a pyramid that `blank` gave."""
        raise NotImplementedError

    @abstractmethod
    def _pyramid(self, batch: Tensor, extent: Extent, builder: Builder) -> Pyramid:
        """The pyramid of images [B, H, W, 3], contiguous, uint8 or floating, on any device. Keeps nothing where it raises."""

    def _rewrite(self, pyramid: Pyramid, layer: int, batch: Tensor) -> None:
        """One layer of a pyramid that `_pyramid` made, and all its levels, from one image [1, H, W, 3] of its size. Only a backend that
        has it shows clips."""
        raise ImageError(f"backend {self.backend!r} builds pyramids and writes none again. Build another, or {INSTEAD}")

    def _planar(self, planes: PlaneBatch, extent: Extent, builder: Builder) -> Pyramid:
        """The pyramid of luma and chroma, on any device. Only a backend whose `formats` hold nv12 has it. Keeps nothing where it raises."""
        raise NotImplementedError

    def _rewrite_planes(self, pyramid: Pyramid, layer: int, planes: PlaneBatch) -> None:
        """What `_rewrite` does, of a pyramid that `_planar` made."""
        raise NotImplementedError

    @abstractmethod
    def _sample(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Patches:
        """The patches, by the law of sampling. Layers out of range, in rows that nobody looked at, are clamped."""

    def _backward(
        self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering, upstream: Upstream, wanted: Wanted
    ) -> Gradients:
        """What `_sample`'s gradient becomes. Only a backend whose `gradients` are true has it. The plan's origin is (0, 0)."""
        raise NotImplementedError

    @abstractmethod
    def _write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        """The plan for fixations [K, 2], in the unit's precision, on any device."""

    @abstractmethod
    def _statistics(self, pyramid: Pyramid, level: int, extent: Extent) -> Pyramid:
        """The statistics of the texels of one level."""

    def _close(self) -> None:
        """Frees what the unit holds. Called once."""

    def _built_by(self, asked: Builder | None, format: Format) -> Builder:
        """The builder for one of `builders`, `auto`, or nothing asked for."""
        return "exact" if asked in (None, "auto") else asked

    @contextmanager
    def _sampled(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Iterator[Patches]:
        """Patches that end with the block; a backend that can lends its own memory."""
        with ending.call(), room(PlanError, lambda: patches_told(plan)):
            patches = self._sample(pyramid, plan, filtering)
        try:
            yield patches
        finally:
            revoke(patches.tensors)

    # what `homunculus doctor` asks of it

    @classmethod
    def candidates(cls, report: Report) -> Iterator[dict[str, Any]]:
        """Tells what stands between this machine and the backend, and gives the options of each unit that is worth opening."""
        yield {}

    def findings(self, report: Report) -> bool:
        """Tells more of the open unit. Returns whether it is right as far as that went."""
        return True

    # what the verbs share

    def _offered(self, stored: Format, asked: bool, builder: Builder | None) -> Format:
        """The format in which levels are stored, the widest where it is not offered and nobody has asked for it. Raises ImageError for
        one that is asked for, or a builder that is not there."""
        if stored not in self.formats:
            if asked:
                raise ImageError(
                    f"format is {stored!r}; backend {self.backend!r} offers {', '.join(self.formats)}. "
                    f"Pass one of them, or {INSTEAD}"
                )
            stored = self.formats[-1]
        if builder is not None:
            choice("builder", builder, [*self.builders, "auto"], refusal=ImageError)
        return stored

    def _of_planes(self, planes: PlaneBatch, format: Format | None, builder: Builder | None, max_level: int) -> Pyramid:
        if format not in (None, "nv12") or "nv12" not in self.formats:
            offered = "nv12 alone" if "nv12" in self.formats else f"none of {', '.join(self.formats)}"
            raise ImageError(
                f"the picture is Planes, for which backend {self.backend!r} has format {offered}, and format is {format!r}. "
                + ("Leave it out, or build it" if "nv12" in self.formats else "Build it")
                + " of planes.rgb()"
            )
        self._offered("nv12", True, builder)
        extent = self._extent(planes.size, len(planes.luma), max_level, "nv12")
        even = extent._replace(height=extent.height + extent.height % 2, width=extent.width + extent.width % 2)
        with room(ImageTooLargeError, lambda: pyramid_told((even.layers, *planes.size))):
            pyramid = self._planar(planes, even, self._built_by(builder, "nv12"))
        pyramid.unit = self.key
        return pyramid

    def _overwrite_planes(self, pyramid: Pyramid, layer: int, planes: PlaneBatch) -> None:
        if (len(planes.luma), planes.size, planes.coding) != (1, pyramid.size, pyramid.coding):
            raise ImageError(
                f"the picture is {len(planes.luma)} Planes of {planes.size} in {planes.coding}, and {pyramid!r} holds {pyramid.coding}; "
                "give one of its size and kind, or build another"
            )
        with room(ImageTooLargeError, lambda: pyramid_told((1, *planes.size))):
            self._rewrite_planes(pyramid, layer, planes)

    def _too_large(self, batch: Tensor, max_level: int) -> bool:
        """Whether a picture in host memory is more than one texture holds, and can be held in pages."""
        alone = len(batch) == 1 and batch.dtype == torch.uint8 and batch.device.type == "cpu"
        padded = padded_size((batch.shape[1], batch.shape[2]), max_level)
        return alone and self.most_px is not None and max(padded) > self.most_px

    def resident(
        self, pyramid: Pyramid, plan: SamplePlan, quality: Quality, wait: bool = True
    ) -> AbstractContextManager[SamplePlan]:
        """The plan as the pyramid's samplers read it, with what it needs on the device."""
        if isinstance(pyramid, PagedPyramid):
            return self._paged_in(pyramid, plan, quality, wait)
        return nullcontext(plan.counted_from((0, 0)))

    @contextmanager
    def _paged_in(self, pyramid: PagedPyramid, plan: SamplePlan, quality: Quality, wait: bool) -> Iterator[SamplePlan]:
        with pyramid.resident(plan, quality, wait, self._on_host):
            yield plan

    def _on_host(self, plan: SamplePlan) -> SamplePlan:
        """The plan where its rows can be looked at: one counted visit for those that lie on a device."""
        rows = rows_of(plan)
        if rows.device.type == "cpu":
            return plan
        self.stats.bytes_to_host += rows.numel() * rows.element_size()
        rows = rows.detach().cpu()
        if plan.texels is None:
            return SamplePlan(rows, plan.patch_size, origin=plan.origin)
        return SamplePlan(rows[:, 0, 0], plan.patch_size, rows, origin=plan.origin)

    def _check_open(self) -> None:
        checks.check_open(self, self._closed)

    def _check_gradient(self, pyramid: Pyramid | None = None) -> None:
        """Raises GradientError where this backend gives none, or none of such a pyramid."""
        if not self.gradients:
            raise checks.no_gradient(f"a gradient is required, and none passes through backend {self.backend!r}")
        if pyramid is not None and pyramid.coding is not None and not self.autograd:
            raise checks.no_gradient(
                f"a gradient is required, and backend {self.backend!r} passes none through luma and chroma: build {pyramid!r} of "
                "planes.rgb()"
            )
        if isinstance(pyramid, PagedPyramid) and not self.autograd:
            raise checks.no_gradient(
                f"a gradient is required, and backend {self.backend!r} passes none through the pages of {pyramid!r}"
            )

    def _own(self, pyramid: Pyramid) -> Pyramid:
        """The pyramid, built where it has come out of a traced call. Raises ImageError for one that this unit cannot sample."""
        if not isinstance(pyramid, Pyramid) or pyramid.home != self.home:
            raise ImageError(f"{shown(pyramid)} belongs to another backend; build it with this unit's pyramid()")
        return pyramid if isinstance(pyramid, TracedPyramid) and traced(pyramid.images) else pyramid.built()

    def _extent(
        self, size: tuple[int, int], images: int, max_level: int, format: Format, layers_each: int = 1
    ) -> Extent:
        height, width = padded_size(size, max_level, limit_px=self.most_px)
        layers = layers_each * images
        if self.most_layers is not None and layers > self.most_layers:
            raise ImageTooLargeError(
                f"{images} images need {layers} layers; this device allows {self.most_layers} layers a texture. Split the batch"
            )
        return Extent(height, width, layers, max_level + 1, format)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._configuration

    def __repr__(self) -> str:
        return f"TextureUnit({self.backend} on {self.renderer})"
