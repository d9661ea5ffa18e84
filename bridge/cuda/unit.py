"""The texture unit of a CUDA device, without OpenGL."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

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
from homunculus.bridge.cuda import builders
from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.programs import write_plan
from homunculus.bridge.cuda.pyramid import CudaPyramid, LevelsPool, key_of
from homunculus.bridge.cuda.sampler import sample, variant
from homunculus.bridge.cuda.shared import mapped
from homunculus.bridge.cuda.statistics import statistics
from homunculus.bridge.errors import BackendUnavailableError, CudaError, ImageError
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.images import as_batch
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tensors import tensor_of
from homunculus.bridge.unit import Builder, Format, Patches, Pictures, PlanProgram, Pyramid, Stats, TextureUnit
from homunculus.interop import Cuda, CudaMemory, open_cuda


class CudaUnit(TextureUnit):
    """Pyramids as mipmapped arrays, plans filtered through texture objects, patches written into torch tensors on the device.

    All work is issued on torch's current stream and nothing waits for it. `sample` can be captured in a CUDA graph when it ran
    once before with the same quality and type, with a plan that lives on the device; so can `pyramid` with a device image, when
    a pyramid of the same size was closed before: it then takes over those arrays. Keep what was captured alive.

    device: the CUDA device, by default torch's current one.
    """

    backend = "cuda"

    def __init__(
        self,
        device: torch.device | str | int | None = None,
        reason: str = "asked for",
        *,
        cuda: Cuda | None = None,
    ) -> None:
        try:
            self.cuda = open_cuda(device) if cuda is None else cuda
            self.kernels = Kernels(self.cuda)
            self.kernels.shader("sample.comp", variant("high", torch.float32, warped=False))
        except CudaError as error:
            raise BackendUnavailableError(error.text, error.remedy) from None
        self.renderer = self.cuda.name
        self.reason = reason
        self.stats = Stats()
        self._pool = LevelsPool(self.cuda)
        self._closed = False
        # A unit that nobody closed: the pyramids that are still held keep their arrays until they are dropped.
        self._finalizer = weakref.finalize(self, self._pool.close, lent=False)
        self._finalizer.atexit = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.cuda.ordinal, self.reason)

    def pyramid(
        self, images: Pictures, *, format: Format | None = None, builder: Builder | None = None, max_level: int = 6
    ) -> Pyramid:
        check_open(self, self._closed)
        if builder not in (None, "exact", "auto"):
            raise ImageError(f"builder is {builder!r}; the cuda backend has only 'exact'")
        check_no_gradient(self.backend, "the image", images)
        batch, stored = as_batch(images, format)
        if format is None and stored == "rgba64f":
            stored = "rgba32f"
        size = (batch.shape[1], batch.shape[2])
        key = key_of(size, batch.shape[0], max_level, stored)
        with self.cuda.active():
            levels = self._pool.take(key)
            pyramid = CudaPyramid(self.kernels, size, "exact", levels, self._pool)
            try:
                self.stats.dispatches += builders.ingest(self.kernels, levels, self._on_device(batch.detach()))
            except BaseException:
                pyramid.close()
                raise
        return pyramid

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
        check_open(self, self._closed)
        own = self._own(pyramid)
        check_quality(quality)
        check_dtype(mean, std, dtype)
        check_layers(plan, own.layers)
        check_no_gradient(self.backend, "the plan", plan.footprints if plan.texels is None else plan.texels)
        if quality == "exact":
            check_exact(plan, own.max_level)
        rows = plan.footprints if plan.texels is None else plan.texels
        with self.cuda.active():
            patches, launches = sample(
                self.kernels,
                own,
                self._on_device(rows.detach(), torch.float32),
                plan.patch_size,
                quality,
                dtype,
                mean,
                std,
                self.empty,
            )
        self.stats.dispatches += launches
        return patches

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Where patches are written. Every element is."""
        return torch.empty(shape, dtype=dtype, device=self.cuda.device)

    def _on_device(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """From pinned memory by one asynchronous copy; what comes from the host is counted."""
        if tensor.device.type == "cpu" != self.cuda.device.type:
            self.stats.bytes_to_device += tensor.numel() * tensor.element_size()
        return tensor.to(self.cuda.device, dtype, non_blocking=True)

    def _own(self, pyramid: Pyramid) -> CudaPyramid:
        if not isinstance(pyramid, CudaPyramid) or not pyramid.belongs_to(self.kernels):
            raise ImageError(f"{pyramid!r} belongs to another backend; build it with this unit's pyramid()")
        return pyramid

    @contextmanager
    def shared(self, pyramid: Pyramid) -> Iterator[Pyramid]:
        """The texture of a pyramid that OpenGL owns, a window's for instance, as a pyramid of this unit: nothing is copied.

        Inside the block it is CUDA's and OpenGL may not use it; after the block the shared pyramid is closed. Raises ImageError for
        a pyramid that is not OpenGL's, and CudaError where its context runs on another device or the driver refuses.
        """
        check_open(self, self._closed)
        if not isinstance(pyramid, GLPyramid):
            raise ImageError(
                f"{pyramid!r} is no texture of OpenGL's; only those of the backends gl and gl-cuda can be shared"
            )
        thread = pyramid.context.thread
        carried = CudaMemory(self.cuda).carried
        mapping = mapped(self.kernels, pyramid)
        shared = thread.call(carried(mapping.__enter__))
        try:
            yield shared
        finally:
            thread.call(carried(mapping.__exit__), None, None, None)

    def write_plan(self, program: PlanProgram, fixations: Sequence[Sequence[float]] | Tensor) -> SamplePlan:
        check_open(self, self._closed)
        points = tensor_of(fixations, torch.float32).reshape(-1, 2)
        check_fixations(points)
        check_no_gradient(self.backend, "the fixations", points)
        with self.cuda.active():
            plan = write_plan(self.kernels, program, self._on_device(points).contiguous())
        self.stats.dispatches += 1
        return plan

    def statistics(self, pyramid: Pyramid, level: int = 1) -> Pyramid:
        check_open(self, self._closed)
        with self.cuda.active():
            result, launches = statistics(self.kernels, self._pool, self._own(pyramid), level)
        self.stats.dispatches += launches
        return result

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._finalizer.detach()
            self._pool.close(lent=True)
