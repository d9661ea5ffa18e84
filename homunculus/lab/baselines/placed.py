"""Methods that decide before the encoder where to look: one pass over a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from homunculus import allocators
from homunculus.allocators.scene import Allocator, Scene
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding, FoveatedViT
from homunculus.lab.baselines.contract import Encoded, Need, View, checked, registry
from homunculus.lab.baselines.full import counted


def encoded_plan(encoder: FoveatedViT, view: View, plan: SamplePlan, note: str = "") -> Encoded:
    """One pass over a plan, all of whose tokens are kept."""
    return one_pass(encoder, encoder(view.sample(plan), plan, view.size), plan, note)


def one_pass(encoder: FoveatedViT, seen: Encoding, plan: SamplePlan, note: str = "") -> Encoded:
    """What an encoder made of a plan, all of whose tokens are kept."""
    plan = plan.to(seen.tokens.device)
    passes = (counted(encoder, seen.last_hidden_state.shape[1]),)
    special = seen.last_hidden_state[0, : encoder.family.special]
    return Encoded(seen.tokens, plan, plan.area_px, passes, note=note or plan.note, special=special)


def point_sampled(plan: SamplePlan) -> SamplePlan:
    """The plan with a footprint of one pixel at the centre of every texel; its rows stay what they are.

    The same patches, each texel read from the image itself, bilinearly at level 0: what aliases in the periphery.
    """
    steps = torch.arange(plan.patch_size, dtype=plan.footprints.dtype, device=plan.footprints.device)
    steps = steps + (0.5 - plan.patch_size / 2)
    across: Tensor = steps[None, None, :, None] * plan.right[:, None, None]
    along: Tensor = steps[None, :, None, None] * plan.down[:, None, None]
    texels = plan.footprints[:, None, None].expand(-1, plan.patch_size, plan.patch_size, -1).clone()
    texels[..., :2] += across + along
    texels[..., 2:6] = texels.new_tensor([1.0, 0.0, 0.0, 1.0])
    return replace(plan, texels=texels)


@dataclass(frozen=True)
class PointSampled:
    """An allocator's plan, each texel of it read at its centre alone."""

    allocator: Allocator

    @property
    def name(self) -> str:
        return f"{self.allocator.name}, point-sampled"

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        return point_sampled(self.allocator.allocate(scene, budget))


@dataclass(frozen=True)
class Allocated:
    """An allocator of this library, told what the view's scene tells."""

    name: str
    allocator: Allocator
    needs: ClassVar[tuple[Need, ...]] = ()

    def encode(self, encoder: FoveatedViT, view: View, budget: int) -> Encoded:
        budget = checked(self, encoder, view, budget)
        if view.scene.patch_size != encoder.patch_size:
            raise PlanError(
                f"the scene has patches of {view.scene.patch_size} texels and the encoder takes {encoder.patch_size}; "
                f"make it Scene(..., patch_size={encoder.patch_size})"
            )
        return encoded_plan(encoder, view, self.allocator.allocate(view.scene, budget))


def allocated(name: str) -> Allocated:
    """The allocator of this name as a baseline. Raises PlanError for an unknown one."""
    return Allocated(name, allocators.get(name))


for name in ("rings", "clipmap", "log_polar"):
    registry.register(name)(allocated(name))
registry.register("log_polar_unfiltered")(Allocated("log_polar_unfiltered", PointSampled(allocators.get("log_polar"))))
