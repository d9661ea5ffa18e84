"""The cheapest way to use a fixation: half the budget on the whole image, half on a crop around the fixation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from homunculus.allocators.fixation import fixations_of
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, checked, registry
from homunculus.lab.baselines.full import counted
from homunculus.lab.baselines.placed import encoded_plan
from homunculus.layouts.frame import clamp_centers
from homunculus.layouts.grid import cells


@registry.register("two_view_crop")
@dataclass(frozen=True)
class TwoViewCrop:
    """floor(K / 2) cells over the image, the rest over a square around the fixation, each as `layouts.grid` cuts them.

    side_px: of the square, by default the one at which a texel is a pixel; cut to the image, inside which it is moved.
    together: one pass over both as one set of tokens with true positions; else a pass each, in which positions are relative to the
        view's own frame, as models see a crop that is resized. The thumbnail's tokens come first. The fixation is the scene's first,
        else the maximum of relevance, else the middle.
    """

    side_px: float | None = None
    together: bool = True
    name: str = "two_view_crop"
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        thumbnail, crop, corner, sides = self._views(view.scene, budget, encoder.patch_size)
        if self.together:
            return encoded_plan(encoder, view, SamplePlan.concatenate([thumbnail, crop]))
        height, width = view.size
        extent = torch.tensor([width, height], dtype=torch.float64, device="cpu")
        frames = [(thumbnail, torch.zeros_like(corner), extent), (crop, corner, sides)]
        tokens, passes = [], []
        for plan, origin, frame in frames:
            seen = encoder(view.sample(plan), moved(plan, -origin), (float(frame[1]), float(frame[0])))
            tokens.append(seen.tokens)
            passes.append(counted(encoder, seen.last_hidden_state.shape[1]))
        plan = SamplePlan.concatenate([thumbnail, crop]).to(tokens[0].device)
        return Encoded(torch.cat(tokens), plan, plan.area_px, tuple(passes))

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """The tokens of both views, as an allocator gives them."""
        thumbnail, crop, _, _ = self._views(scene, budget, scene.patch_size)
        return SamplePlan.concatenate([thumbnail, crop])

    def _views(self, scene: Scene, budget: int, patch_size: int) -> tuple[SamplePlan, SamplePlan, Tensor, Tensor]:
        """Thumbnail and crop, and the crop's corner and sides in px."""
        if budget < 2:
            raise PlanError(
                f"{self.name} needs a token for each of its two views; the budget is {budget}, give at least 2"
            )
        height, width = scene.size
        extent = torch.tensor([width, height], dtype=torch.float64, device="cpu")
        side_px = self._side_px(patch_size, budget - budget // 2)
        sides = torch.full((2,), side_px, dtype=torch.float64, device="cpu").minimum(extent)
        point = torch.tensor([fixations_of(scene)[0]], dtype=torch.float64, device="cpu")
        corner = clamp_centers(point, sides[None], extent)[0] - sides / 2
        thumbnail = _cut(torch.zeros_like(corner), extent, budget // 2, patch_size, scene.layer)
        return thumbnail, _cut(corner, sides, budget - budget // 2, patch_size, scene.layer), corner, sides

    def _side_px(self, patch_size: int, count: int) -> float:
        if self.side_px is None:
            return math.sqrt(count) * patch_size
        if not 0 < self.side_px < math.inf:
            raise PlanError(f"side_px is {self.side_px}; it must be above 0 and finite, or None for one pixel a texel")
        return self.side_px


registry.register("two_view_crop_apart")(TwoViewCrop(together=False, name="two_view_crop_apart"))


def moved(plan: SamplePlan, by: Tensor) -> SamplePlan:
    """The plan with its centres moved by [2] pixels: as it lies in another frame."""
    rows = plan.footprints.clone()
    rows[:, :2] += by.to(rows)
    return SamplePlan(rows, plan.patch_size)


def _cut(corner: Tensor, sides: Tensor, count: int, patch_size: int, layer: int) -> SamplePlan:
    """So many cells of a rectangle."""
    centers, each = cells(float(sides[0]), float(sides[1]), count)
    boxes = torch.cat([corner + centers - each / 2, corner + centers + each / 2], -1)
    return SamplePlan.boxes(boxes, patch_size, layer=layer).to(dtype=torch.float32)
