"""The torch backend: the readable twin of the texture unit, its oracle, its fallback and its path for gradients."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.adjoint import Gradients, Upstream, Wanted, image_gradient
from homunculus.bridge.errors import ImageError
from homunculus.bridge.law import Quality
from homunculus.bridge.patches import Filtering, Patches
from homunculus.bridge.pictures.planes import PlaneBatch
from homunculus.bridge.plan import PlanProgram, SamplePlan, rows_of
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import TexelBlock
from homunculus.bridge.twin.pages import PageTexels
from homunculus.bridge.twin.planes import TwinPlanes, plane_levels
from homunculus.bridge.twin.pyramid import TwinPyramid, box_levels
from homunculus.bridge.twin.sampler import Fetches, sample_texels
from homunculus.bridge.twin.statistics import statistics
from homunculus.bridge.unit import TextureUnit


class TwinUnit(TextureUnit):
    """Samples with torch operations on `device`, in `dtype` (float32, or float64 to serve as an oracle).

    Gradients flow to the image (in a float format; rgba8 rounds) and to the footprints.
    """

    backend = "torch"
    formats = ("nv12", "rgba8", "rgba16f", "rgba32f", "rgba64f")
    precision = torch.float64
    gradients = autograd = emulated = True

    def __init__(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, reason: str = "asked for"
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ImageError(f"dtype is {dtype}; the torch backend computes in torch.float32 or torch.float64")
        there = torch.empty(0, device=device, dtype=dtype).device
        self.dtype = dtype
        super().__init__(
            f"torch {torch.__version__} ({there}, {str(dtype).removeprefix('torch.')})",
            reason,
            configuration=(str(there), dtype, reason),
            home=(self.backend, there),
            device=there,
            software=True,
        )

    def _pyramid(self, batch: Tensor, extent: Extent, builder: Builder) -> Pyramid:
        with self.clock.part("upload"):
            there = batch.to(self.device)
        with self.clock.part("pyramid"):
            levels = box_levels(there, extent, self.dtype)
            return TwinPyramid(levels, (batch.shape[1], batch.shape[2]), extent.format)

    def _rewrite(self, pyramid: Pyramid, layer: int, batch: Tensor) -> None:
        assert isinstance(pyramid, TwinPyramid)
        height, width = pyramid.padded_size
        extent = Extent(height, width, 1, pyramid.max_level + 1, pyramid.format)
        new = box_levels(batch.to(self.device), extent, self.dtype)
        for level, texels in zip(pyramid.held().levels, new, strict=True):
            level[layer] = texels[0]

    def _planar(self, planes: PlaneBatch, extent: Extent, builder: Builder) -> Pyramid:
        with self.clock.part("upload"):
            there = PlaneBatch(planes.luma.to(self.device), planes.chroma.to(self.device), planes.coding)
        with self.clock.part("pyramid"):
            return TwinPlanes(*plane_levels(there, extent, self.dtype), planes.size, extent, planes.coding)

    def _rewrite_planes(self, pyramid: Pyramid, layer: int, planes: PlaneBatch) -> None:
        assert isinstance(pyramid, TwinPlanes)
        there = PlaneBatch(planes.luma.to(self.device), planes.chroma.to(self.device), planes.coding)
        extent = Extent(*pyramid.padded_size, 1, pyramid.max_level + 1, "nv12")
        held = pyramid.held()
        for old, new in zip((held.luma, held.chroma), plane_levels(there, extent, self.dtype), strict=True):
            for level, texels in zip(old.levels, new.levels, strict=True):
                level[layer] = texels[0]

    def blank(self, size: tuple[int, int], extent: Extent) -> Pyramid:
        height, width, layers, count, format = extent
        levels = [
            torch.zeros(layers, height >> level, width >> level, 4, dtype=self.dtype, device=self.device)
            for level in range(count)
        ]
        return TwinPyramid(levels, size, format, "tiles")

    def write(self, pyramid: Pyramid, blocks: Iterable[TexelBlock]) -> None:
        assert isinstance(pyramid, TwinPyramid)
        levels = pyramid.held().levels
        for level, layer, top, left, texels in blocks:
            height, width = texels.shape[:2]
            block = torch.from_numpy(texels).to(self.device, self.dtype) / 255
            levels[level][layer, top : top + height, left : left + width] = block

    def _sample(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Patches:
        self.stats.dispatches += 1
        with self.clock.part("sample"):
            found = self._rgba(_taps(pyramid, plan), plan.to(self.device, self.dtype), filtering.quality)
            rgba, resident = found[:, :4], found[:, 4:].mean((1, 2, 3)).float() if found.shape[1] > 4 else None
            alpha = rgba[:, 3:]
            mean, std = (
                torch.tensor(value, device=self.device, dtype=self.dtype)[:, None, None]
                for value in (filtering.mean, filtering.std)
            )
            pixels = (rgba[:, :3] - alpha * mean) / (alpha.clamp(min=law.MIN_ALPHA) * std)
            return Patches(pixels.to(filtering.dtype), alpha.mean((1, 2, 3)).float(), resident)

    def _backward(
        self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering, upstream: Upstream, wanted: Wanted
    ) -> Gradients:
        """By autograd, on a thread of its own: inside an op of torch this one's is off."""
        assert isinstance(pyramid, TwinPyramid | TwinPlanes)
        stream = torch.cuda.current_stream(self.device) if self.device.type == "cuda" else None
        with ThreadPoolExecutor(1) as alone:
            return alone.submit(self._differentiated, pyramid, plan, filtering, upstream, wanted, stream).result()

    def _differentiated(
        self,
        pyramid: TwinPyramid | TwinPlanes,
        plan: SamplePlan,
        filtering: Filtering,
        upstream: Upstream,
        wanted: Wanted,
        stream: torch.cuda.Stream | None,
    ) -> Gradients:
        with torch.cuda.stream(stream), torch.enable_grad():
            levels: list[Tensor] = []
            seen_of: Pyramid = pyramid
            if wanted.images:
                assert isinstance(pyramid, TwinPyramid)
                levels = [level.detach().requires_grad_() for level in pyramid.held().levels]
                seen_of = TwinPyramid(levels, pyramid.size, pyramid.format)
            rows = rows_of(plan).detach().requires_grad_(wanted.rows)
            own = SamplePlan(
                rows if rows.ndim == 2 else rows[:, 0, 0], plan.patch_size, None if rows.ndim == 2 else rows
            )
            seen = self._sample(seen_of, own, filtering)
            sources = [rows] * wanted.rows + levels
            found = torch.autograd.grad(
                [seen.pixels, seen.inside], sources, [part.to(self.device) for part in upstream], materialize_grads=True
            )
        colours = [found[k][..., :3].contiguous() for k in range(wanted.rows, len(found))]
        return Gradients(
            found[0] if wanted.rows else None, image_gradient(colours, pyramid.size) if wanted.images else None
        )

    @staticmethod
    def _rgba(taps: Fetches, plan: SamplePlan, quality: Quality) -> Tensor:
        size = plan.patch_size
        texels = None if plan.texels is None else law.bounded(plan.texels)
        plan = replace(
            plan, footprints=law.bounded(plan.footprints), texels=texels, origin=(0, 0)
        )  # which the taps add
        if plan.texels is None:
            rgba = sample_texels(taps, texel_centers(plan), plan.footprints, quality)
        else:
            rows = plan.texels.reshape(-1, 8)
            rgba = sample_texels(taps, rows[:, None, 0:2], rows, quality)
        return rgba.reshape(len(plan), size, size, -1).permute(0, 3, 1, 2)

    def _write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        return program.twin(fixations).to(self.device)

    def _statistics(self, pyramid: Pyramid, level: int, extent: Extent) -> Pyramid:
        assert isinstance(pyramid, TwinPyramid)
        return statistics(pyramid, level)


def _taps(pyramid: Pyramid, plan: SamplePlan) -> Fetches:
    if isinstance(pyramid, PagedPyramid):
        store = pyramid.store
        assert isinstance(store, TwinPyramid)
        return PageTexels(
            store.held(), pyramid.table, pyramid.size, (pyramid.finest_level, pyramid.max_level), plan.origin
        )
    assert isinstance(pyramid, TwinPyramid | TwinPlanes)
    return pyramid.held()


def texel_centers(plan: SamplePlan) -> Tensor:
    """[N, P * P, 2] centres of an affine plan's texels in level-0 pixels, row by row."""
    steps = (
        torch.arange(plan.patch_size, device=plan.footprints.device, dtype=plan.footprints.dtype)
        + 0.5
        - plan.patch_size / 2
    )
    rows = steps[None, :, None, None] * plan.down[:, None, None]
    columns = steps[None, None, :, None] * plan.right[:, None, None]
    return (plan.centers[:, None, None] + rows + columns).reshape(len(plan), -1, 2)
