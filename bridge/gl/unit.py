"""The texture unit of an OpenGL device."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from homunculus.bridge.checks import (
    check_dtype,
    check_exact,
    check_fixations,
    check_layers,
    check_no_gradient,
    check_open,
    check_quality,
)
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import ImageError, ImageTooLargeError, PlanError
from homunculus.bridge.gl import builders
from homunculus.bridge.gl.context import Context, open_context
from homunculus.bridge.gl.ingest import Ingest
from homunculus.bridge.gl.pyramid import GLPyramid, TexturePool
from homunculus.bridge.gl.sampler import ResidentPlan, Sampler
from homunculus.bridge.gl.simd import HAS_OPENCV
from homunculus.bridge.gl.statistics import statistics
from homunculus.bridge.images import as_batch
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.room import patches_told, pyramid_told, room
from homunculus.bridge.tensors import tensor_of
from homunculus.bridge.unit import Builder, Format, Patches, Pictures, PlanProgram, Pyramid, Stats, TextureUnit
from homunculus.bridge.values import choice
from homunculus.interop import revoke

# How far the driver's mipmaps may be from the exact box and be trusted by builder `auto`: greatest error, greatest mean error.
DRIVER_TOLERANCE: dict[Format, tuple[float, float]] = {
    "rgba8": (1.01 / 255, 0.02 / 255),
    "rgba16f": (5e-4, 1e-5),
    "rgba32f": (1e-4, 1e-5),
}


class GLUnit(TextureUnit):
    """Pyramids as GL textures, plans filtered by a compute shader, patches read back once and counted.

    May be shared by threads; pickles by configuration, so that a spawned worker opens its own.
    """

    backend = "gl"

    def __init__(
        self, device_index: int | None = None, reason: str = "asked for", *, context: Context | None = None
    ) -> None:
        """context: one that is open already, such as a window's; by default the one on that EGL device."""
        self._device_index = device_index
        self.context: Context = open_context(device_index) if context is None else context
        self.renderer = self.context.renderer
        self.reason = reason
        self._pool = TexturePool(self.context)
        self.sampler = Sampler(self.context)
        self._ingest = Ingest(self.context, self.sampler.stats)
        self._closed = False
        self._finalizer = weakref.finalize(self, _forget, self.context, self._pool, self.sampler, self._ingest)
        self._finalizer.atexit = False
        self._driver_is_exact: dict[Format, bool] = {}

    def __reduce__(self) -> tuple[type[GLUnit], tuple[int | None, str]]:
        return type(self), (self._device_index, self.reason)

    @property
    def stats(self) -> Stats:  # type: ignore[override]
        return self.sampler.stats

    @property
    def clock(self) -> Clock:  # type: ignore[override]
        return self.context.clock

    @property
    def software(self) -> bool:
        """Whether the renderer runs on the CPU."""
        return self.context.software

    def default_builder(self, format: Format) -> Builder:
        """`simd` on software GL where OpenCV is installed and bytes are stored, else `exact`."""
        on_host = self.context.software and not self.context.memory.shared
        return "simd" if on_host and HAS_OPENCV and format == "rgba8" else "exact"

    def pyramid(
        self, images: Pictures, *, format: Format | None = None, builder: Builder | None = None, max_level: int = 6
    ) -> Pyramid:
        check_open(self, self._closed)
        check_no_gradient(self.backend, "the image", images)
        batch, stored = as_batch(images, format)
        if format is None and stored == "rgba64f":
            stored = "rgba32f"
        if builder is not None:
            choice("builder", builder, [*builders.BUILDERS, "auto"], refusal=ImageError)
        if builder == "auto":
            builder = "driver" if self.driver_is_exact(stored) else None
        builder = builder or self.default_builder(stored)
        with room(ImageTooLargeError, lambda: pyramid_told(tuple(batch.shape))):
            return self.context.call(self._build, batch, stored, builder, max_level)

    def _build(self, batch: Tensor, format: Format, builder: Builder, max_level: int) -> GLPyramid:
        size = (batch.shape[1], batch.shape[2])
        pyramid = GLPyramid(self.context, self._pool, size, batch.shape[0], format, builder, max_level)
        try:
            if self.context.memory.shared and builder != "simd":
                self._ingest.build(pyramid.texture, batch, max_level, builder)
            else:
                batch = builders.as_upload(batch, format)
                builders.BUILDERS[builder](self.context, pyramid.texture, batch, max_level)
                self.stats.bytes_to_device += batch.numel() * batch.element_size()
            self.context.check(f"building {pyramid!r}")
        except BaseException:
            pyramid.close()
            raise
        return pyramid

    def driver_is_exact(self, format: Format = "rgba8") -> bool:
        """Whether glGenerateMipmap is an exact box on this device: compared once with `exact` on strips of noise, both ways.

        They are as long as the device allows and no power of two, where a blit's float32 coordinates are at their worst.
        """
        if format not in self._driver_is_exact:
            blocks = (self.context.limits.texture_px // 64 - 1) // 2 * 2 + 1
            sides = (64 * blocks - 24, 40)
            self._driver_is_exact[format] = all(self._driver_agrees(format, size) for size in (sides, sides[::-1]))
        return self._driver_is_exact[format]

    def _driver_agrees(self, format: Format, size: tuple[int, int]) -> bool:
        noise = torch.randint(
            0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0), device="cpu"
        )
        greatest, mean = DRIVER_TOLERANCE[format]
        with (
            self.pyramid(noise, format=format, builder="driver") as driver,
            self.pyramid(noise, format=format, builder="exact") as exact,
        ):
            errors = [driver.level(level) - exact.level(level) for level in range(1, 7)]
        return all(float(error.abs().max()) <= greatest and abs(float(error.mean())) <= mean for error in errors)

    def sample(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        *,
        quality: Quality = "high",
        dtype: torch.dtype = torch.float32,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Patches:
        resident = self.check_sample(pyramid, plan, quality)
        check_dtype(mean, std, dtype)
        with room(PlanError, lambda: patches_told(plan)):
            return self.context.call(self.sampler.sample, resident, plan, quality, dtype, tuple(mean), tuple(std))

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
        resident = self.check_sample(pyramid, plan, quality)
        check_dtype(mean, std, dtype)
        lending = self.sampler.lend(resident, plan, quality, dtype, tuple(mean), tuple(std))
        entered_on = self.context.memory.stream()
        patches = self.context.call(lending.__enter__)
        try:
            yield patches
        finally:
            if self.context.thread.stopped:  # closed inside the block, with everything in it
                revoke([patches.pixels, patches.inside])
            else:  # OpenGL waits for the stream that unmaps, and with it for the one that the block began on
                self.context.memory.follow(entered_on)
                self.context.call(lending.__exit__, None, None, None)

    def check_sample(self, pyramid: Pyramid, plan: SamplePlan, quality: Quality) -> GLPyramid:
        """The pyramid, where this unit can sample the plan from it at that quality. Raises what `sample` raises."""
        check_open(self, self._closed)
        pyramid = self._own(pyramid)
        check_quality(quality)
        if not isinstance(plan, ResidentPlan):
            check_layers(plan, pyramid.layers)
            check_no_gradient(self.backend, "the plan", plan.footprints if plan.texels is None else plan.texels)
        if quality == "exact":
            check_exact(plan, pyramid.max_level)
        return pyramid

    def _own(self, pyramid: Pyramid) -> GLPyramid:
        if not isinstance(pyramid, GLPyramid) or not pyramid.belongs_to(self.context):
            raise ImageError(f"{pyramid!r} belongs to another backend; build it with this unit's pyramid()")
        return pyramid

    def write_plan(self, program: PlanProgram, fixations: Sequence[Sequence[float]] | Tensor) -> SamplePlan:
        check_open(self, self._closed)
        points = tensor_of(fixations, torch.float32).reshape(-1, 2)
        check_fixations(points)
        check_no_gradient(self.backend, "the fixations", points)
        return self.context.call(self.sampler.write_plan, program, points)

    def statistics(self, pyramid: Pyramid, level: int = 1) -> Pyramid:
        check_open(self, self._closed)
        return self.context.call(statistics, self.context, self._pool, self.stats, self._own(pyramid), level)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            if (
                not self.context.thread.stopped
            ):  # at the interpreter's end the context goes first, with all that is in it
                self.context.thread.call(self._release)

    def _release(self) -> None:
        self._finalizer.detach()
        self.context.thread.run_deferred()  # pyramids and plans that were forgotten
        self._pool.close(lent=True)
        self.sampler.release()
        self._ingest.release()
        self.context.thread.run_deferred()


def _forget(context: Context, pool: TexturePool, sampler: Sampler, ingest: Ingest) -> None:
    """What a unit that nobody closed leaves behind, but for the pyramids that are still held: they go when they are dropped."""

    def release() -> None:
        pool.close(lent=False)
        sampler.release()
        ingest.release()

    context.thread.defer(release)
