"""The texture unit of a CUDA device, without OpenGL."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor

from homunculus.bridge.adjoint import Gradients, Upstream, Wanted, check_reached
from homunculus.bridge.cuda import builders, pages
from homunculus.bridge.cuda.backward import backward
from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.planes import CudaPlanes
from homunculus.bridge.cuda.programs import write_plan
from homunculus.bridge.cuda.pyramid import MAX_LAYERS, MAX_SIDE_PX, CudaPyramid, Levels
from homunculus.bridge.cuda.sampler import MOST, input_of, sample, variant
from homunculus.bridge.cuda.statistics import statistics
from homunculus.bridge.errors import BackendUnavailableError, CudaError
from homunculus.bridge.patches import Filtering, Patches
from homunculus.bridge.pictures.planes import PlaneBatch
from homunculus.bridge.plan import PlanProgram, SamplePlan, rows_of
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import TexelBlock
from homunculus.bridge.unit import TextureUnit
from homunculus.interop.cuda import Cuda, open_cuda


class CudaUnit(TextureUnit):
    """Pyramids as mipmapped arrays, plans filtered through texture objects, patches written into torch tensors on the device.

    All work is issued on torch's current stream and nothing waits for it. `sample` can be captured in a CUDA graph when it ran
    once before with the same quality and type, with a plan that lives on the device; so can `pyramid` with a device image, when
    a pyramid of the same size was closed before: it then takes over those arrays. Keep what was captured alive.

    device: the CUDA device, by default torch's current one.
    """

    backend = "cuda"
    gradients = True
    formats = ("nv12", "rgba8", "rgba16f", "rgba32f")
    most_px, most_layers = MAX_SIDE_PX, MAX_LAYERS

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
            self.kernels.shader("sample.comp", variant(Filtering(), warped=False))
        except CudaError as error:
            raise BackendUnavailableError(error.text, error.remedy) from None
        super().__init__(
            self.cuda.name,
            reason,
            configuration=(self.cuda.ordinal, reason),
            home=self.kernels,
            device=self.cuda.device,
        )
        self._pool = Pool(partial(Levels, self.cuda))
        self._tables = pages.Tables(self._on_device, pinned=self.cuda.device.type == "cuda")
        # A unit that nobody closed: the pyramids that are still held keep their arrays until they are dropped.
        self._finalizer = weakref.finalize(self, self._pool.close, lent=False)
        self._finalizer.atexit = False

    def _pyramid(self, batch: Tensor, extent: Extent, builder: Builder) -> Pyramid:
        with self.cuda.active():
            levels = self._pool.take(extent)
            pyramid = CudaPyramid(self.kernels, (batch.shape[1], batch.shape[2]), levels, self._pool, builder)
            try:
                self._fill(levels, 0, batch)
            except BaseException:
                pyramid.close()
                raise
        return pyramid

    def _rewrite(self, pyramid: Pyramid, layer: int, batch: Tensor) -> None:
        assert isinstance(pyramid, CudaPyramid)
        with self.cuda.active():
            pyramid.levels.reuse()
            self._fill(pyramid.levels, layer, batch)

    def _fill(self, levels: Levels, first: int, batch: Tensor) -> None:
        """The layers from `first` on, from images [B, H, W, 3]."""
        with self.clock.part("upload"):
            there = self._on_device(batch)
        with self.clock.part("pyramid"):
            self.stats.dispatches += builders.ingest(self.kernels, levels, there, first)

    def _planar(self, planes: PlaneBatch, extent: Extent, builder: Builder) -> Pyramid:
        with self.cuda.active():
            pyramid = CudaPlanes(self.kernels, planes.size, self._pool, extent, planes.coding)
            try:
                self._fill_planes(pyramid, 0, planes)
            except BaseException:
                pyramid.close()
                raise
        return pyramid

    def _rewrite_planes(self, pyramid: Pyramid, layer: int, planes: PlaneBatch) -> None:
        assert isinstance(pyramid, CudaPlanes)
        with self.cuda.active():
            for levels in pyramid.both():
                levels.reuse()
            self._fill_planes(pyramid, layer, planes)

    def _fill_planes(self, pyramid: CudaPlanes, first: int, planes: PlaneBatch) -> None:
        for levels, plane in zip(pyramid.both(), planes[:2], strict=True):
            self._fill(levels, first, plane)

    def blank(self, size: tuple[int, int], extent: Extent) -> Pyramid:
        with self.cuda.active():
            return CudaPyramid(self.kernels, size, self._pool.take(extent), self._pool, "tiles")

    def write(self, pyramid: Pyramid, blocks: Iterable[TexelBlock]) -> None:
        assert isinstance(pyramid, CudaPyramid)
        with self.cuda.active(), self.clock.part("upload"):
            pyramid.levels.reuse()
            self.stats.dispatches += pages.write(self.kernels, pyramid.levels, blocks, self._on_device)

    def _sample(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Patches:
        assert isinstance(pyramid, CudaPyramid | PagedPyramid)
        rows = rows_of(plan)
        with self.cuda.active(), self.clock.part("sample"):
            there = self._on_device(rows.detach(), torch.float32)
            source = self._tables.input_of(pyramid, plan) if isinstance(pyramid, PagedPyramid) else input_of(pyramid)
            patches, launches = sample(self.kernels, source, there, plan.patch_size, filtering, self.empty)
        self.stats.dispatches += launches
        return patches

    def _backward(
        self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering, upstream: Upstream, wanted: Wanted
    ) -> Gradients:
        check_reached(self.backend, pyramid, wanted, 4 * MOST)
        assert isinstance(pyramid, CudaPyramid)
        rows = rows_of(plan)
        with self.cuda.active(), self.clock.part("backward"):
            there = self._on_device(rows.detach(), torch.float32)
            sent = Upstream(*(self._on_device(part.detach()) for part in upstream))
            gradients, launches = backward(self.kernels, pyramid, there, filtering, sent, wanted)
        self.stats.dispatches += launches
        return gradients

    def empty(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """Where patches are written. Every element is."""
        return torch.empty(shape, dtype=dtype, device=self.cuda.device)

    def _on_device(self, tensor: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """From pinned memory by one asynchronous copy; what comes from the host is counted."""
        if tensor.device.type == "cpu" != self.cuda.device.type:
            self.stats.bytes_to_device += tensor.numel() * tensor.element_size()
        return tensor.to(self.cuda.device, dtype, non_blocking=True)

    @contextmanager
    def shared(self, pyramid: Pyramid) -> Iterator[Pyramid]:
        """The texture of a pyramid that OpenGL owns, a window's for instance, as a pyramid of this unit: nothing is copied.

        Inside the block it is CUDA's and OpenGL may not use it; after the block the shared pyramid is closed. Raises ImageError for
        a pyramid that is not OpenGL's, and CudaError where its context runs on another device or the driver refuses.
        """
        from homunculus.bridge.cuda.shared import shared

        self._check_open()
        with shared(self.kernels, pyramid) as ours:
            yield ours

    def _write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        with self.cuda.active():
            plan = write_plan(self.kernels, program, self._on_device(fixations).contiguous())
        self.stats.dispatches += 1
        return plan

    def _statistics(self, pyramid: Pyramid, level: int, extent: Extent) -> Pyramid:
        assert isinstance(pyramid, CudaPyramid)
        with self.cuda.active():
            result, launches = statistics(self.kernels, self._pool, pyramid, level, extent)
        self.stats.dispatches += launches
        return result

    def _close(self) -> None:
        self._finalizer.detach()
        self._pool.close(lent=True)
