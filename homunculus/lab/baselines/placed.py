"""Methods that decide before the encoder where to look: one pass over a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from homunculus import allocators, layouts
from homunculus.allocators.fixation import fixations_of
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, checked
from homunculus.lab.baselines.full import counted


def encoded_plan(encoder: FoveatedViT, view: View, plan: SamplePlan, note: str = "") -> Encoded:
    """One pass over a plan, all of whose tokens are kept."""
    seen = encoder(view.sample(plan), plan, view.size)
    plan = plan.to(seen.tokens.device)
    passes = (counted(encoder, seen.last_hidden_state.shape[1]),)
    return Encoded(seen.tokens, plan, plan.area_px, passes, note=note or plan.note)


@dataclass(frozen=True)
class LaidOut:
    """A layout of this library around the fixation: the scene's first, else the maximum of relevance, else the middle."""

    name: str
    layout: str
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        return encoded_plan(encoder, view, self.plan(encoder, view, checked(self, encoder, view, budget)))

    def plan(self, encoder: FoveatedViT, view: View, budget: int) -> SamplePlan:
        fixation = fixations_of(view.scene)[0]
        return layouts.get(self.layout)(view.size, fixation, budget, encoder.patch_size, layer=view.scene.layer)


@dataclass(frozen=True)
class PointSampled(LaidOut):
    """The same footprints, each texel read at its centre from the image itself, unfiltered: what aliases in the periphery.

    Every texel has a footprint of its own, one pixel wide, which all qualities read alike: bilinearly, from level 0.
    """

    def plan(self, encoder: FoveatedViT, view: View, budget: int) -> SamplePlan:
        return point_sampled(super().plan(encoder, view, budget))


def point_sampled(plan: SamplePlan) -> SamplePlan:
    """The plan with a footprint of one pixel at the centre of every texel; its rows stay what they are."""
    steps = torch.arange(plan.patch_size, dtype=plan.footprints.dtype, device=plan.footprints.device)
    steps = steps + (0.5 - plan.patch_size / 2)
    across: Tensor = steps[None, None, :, None] * plan.right[:, None, None]
    along: Tensor = steps[None, :, None, None] * plan.down[:, None, None]
    texels = plan.footprints[:, None, None].expand(-1, plan.patch_size, plan.patch_size, -1).clone()
    texels[..., :2] += across + along
    texels[..., 2:6] = texels.new_tensor([1.0, 0.0, 0.0, 1.0])
    return replace(plan, texels=texels)


@dataclass(frozen=True)
class Allocated:
    """An allocator of this library, told what the view's scene tells."""

    allocator: str
    needs: ClassVar[tuple[Need, ...]] = ()

    @property
    def name(self) -> str:
        return self.allocator

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        if view.scene.patch_size != encoder.patch_size:
            raise PlanError(
                f"the scene has patches of {view.scene.patch_size} texels and the encoder takes {encoder.patch_size}; "
                f"make it Scene(..., patch_size={encoder.patch_size})"
            )
        return encoded_plan(encoder, view, allocators.get(self.allocator).allocate(view.scene, budget))


def allocated(name: str) -> Allocated:
    """The allocator of this name as a baseline. Raises PlanError for an unknown one."""
    allocators.get(name)
    return Allocated(name)
