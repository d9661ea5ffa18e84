"""The torch backend: the readable twin of the texture unit, its oracle, its fallback and its path for gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.checks import check_exact, check_layers, check_normalisation, check_open, check_quality
from homunculus.bridge.clock import Clock
from homunculus.bridge.ending import finishes
from homunculus.bridge.errors import ImageError, ImageTooLargeError, PlanError
from homunculus.bridge.images import as_batch, padded_size
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.room import patches_told, pyramid_told, room
from homunculus.bridge.tensors import tensor_of
from homunculus.bridge.twin.pyramid import Texels, TwinPyramid, box_levels
from homunculus.bridge.twin.sampler import sample_texels
from homunculus.bridge.twin.statistics import statistics
from homunculus.bridge.unit import Builder, Format, Patches, Pictures, PlanProgram, Pyramid, Stats, TextureUnit


class TwinUnit(TextureUnit):
    """Samples with torch operations on `device`, in `dtype` (float32, or float64 to serve as an oracle).

    Gradients flow to the image (in a float format; rgba8 rounds) and to the footprints.
    """

    backend = "torch"

    def __init__(
        self, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, reason: str = "asked for"
    ) -> None:
        if dtype not in (torch.float32, torch.float64):
            raise ImageError(f"dtype is {dtype}; the torch backend computes in torch.float32 or torch.float64")
        self.device = torch.device(device)
        self.dtype = dtype
        self.renderer = f"torch {torch.__version__} ({self.device}, {str(dtype).removeprefix('torch.')})"
        self.reason = reason
        self.stats = Stats()
        self.clock = Clock(self._wait)
        self._closed = False

    @finishes
    def pyramid(
        self, images: Pictures, *, format: Format | None = None, builder: Builder | None = None, max_level: int = 6
    ) -> Pyramid:
        check_open(self, self._closed)
        if builder not in (None, "exact", "auto"):
            raise ImageError(f"builder is {builder!r}; the torch backend has only 'exact'")
        batch, format = as_batch(images, format)
        size = (batch.shape[1], batch.shape[2])
        with self.clock.part("upload"):
            batch = batch.to(self.device)
        with self.clock.part("pyramid"), room(ImageTooLargeError, lambda: pyramid_told(tuple(batch.shape))):
            levels = box_levels(batch, format, padded_size(size, max_level), max_level, self.dtype)
            return TwinPyramid(levels, size, format)

    @finishes
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
        if not isinstance(pyramid, TwinPyramid):
            raise ImageError(f"{pyramid!r} belongs to another backend; build it with this unit's pyramid()")
        texels = pyramid.held()
        check_quality(quality)
        check_normalisation(mean, std, dtype)
        check_layers(plan, pyramid.layers)
        plan = plan.to(self.device, self.dtype)
        if quality == "exact":
            check_exact(plan, pyramid.max_level)
        self.stats.dispatches += 1
        with self.clock.part("sample"), room(PlanError, lambda: patches_told(plan)):
            rgba = self._rgba(texels, plan, quality)
            alpha = rgba[:, 3:]
            mean_, std_ = (
                torch.tensor(value, device=self.device, dtype=self.dtype)[:, None, None] for value in (mean, std)
            )
            pixels = (rgba[:, :3] - alpha * mean_) / (alpha.clamp(min=law.MIN_ALPHA) * std_)
            return Patches(pixels.to(dtype), alpha.mean((1, 2, 3)).float())

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @staticmethod
    def _rgba(pyramid: Texels, plan: SamplePlan, quality: Quality) -> Tensor:
        size = plan.patch_size
        texels = None if plan.texels is None else law.bounded(plan.texels)
        plan = replace(plan, footprints=law.bounded(plan.footprints), texels=texels)
        if plan.texels is None:
            rgba = sample_texels(pyramid, texel_centers(plan), plan.footprints, quality)
        else:
            rows = plan.texels.reshape(-1, 8)
            rgba = sample_texels(pyramid, rows[:, None, 0:2], rows, quality)
        return rgba.reshape(len(plan), size, size, 4).permute(0, 3, 1, 2)

    @finishes
    def write_plan(self, program: PlanProgram, fixations: Sequence[Sequence[float]] | Tensor) -> SamplePlan:
        check_open(self, self._closed)
        return program.twin(tensor_of(fixations, torch.float64).reshape(-1, 2)).to(self.device)

    @finishes
    def statistics(self, pyramid: Pyramid, level: int = 1) -> Pyramid:
        check_open(self, self._closed)
        if not isinstance(pyramid, TwinPyramid):
            raise ImageError(f"{pyramid!r} belongs to another backend; build it with this unit's pyramid()")
        return statistics(pyramid, level)

    def close(self) -> None:
        self._closed = True


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
