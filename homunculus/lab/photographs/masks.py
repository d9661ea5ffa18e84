"""What a pretrained ViT makes of "coarse tokens attend globally, fine ones locally" without training for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.allocators.scene import Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder import FoveatedViT
from homunculus.encoder.family import LayerContext
from homunculus.lab.baselines.placed import allocated
from homunculus.lab.photographs.pictures import Array
from homunculus.lab.photographs.subject import Encoders, PictureUnderTest

COARSEST: Final = 1 / 16  # of the tokens, which see all and are seen by all; 16 at least
PHOTOGRAPHS: Final = 4
# What is masked: how many of the greater side a token reaches, and from which layer on.
MASKS: Final = {
    "reach 3, all layers": (3.0, 0),
    "reach 3, last 6": (3.0, 6),
    "reach 6, all layers": (6.0, 0),
    "reach 6, last 6": (6.0, 6),
}


def visible(plan: SamplePlan, reach: float, special: int) -> Tensor:
    """bool [special + N, special + N]: a token and another no farther than `reach` times the greater of their sides see each other;
    special tokens and the coarsest see all and are seen by all."""
    side = plan.side_px
    apart = (plan.centers[:, None] - plan.centers[None]).abs().amax(-1)
    near = apart <= reach * torch.maximum(side[:, None], side[None])
    coarse = torch.zeros_like(side, dtype=torch.bool)
    coarse[side.argsort(descending=True, stable=True)[: max(16, round(COARSEST * len(plan)))]] = True
    seen = near | coarse[:, None] | coarse[None]
    return F.pad(seen, (special, 0, special, 0), value=True)


def masked(vit: FoveatedViT, x: Tensor, context: LayerContext, mask: Tensor | None, first: int = 0) -> Tensor:
    """[special + N, D] behind the last norm, where layers from `first` on attend only to what the mask lets them see."""
    bias = None if mask is None else torch.zeros_like(mask, dtype=x.dtype).masked_fill(~mask, -torch.inf)[None, None]
    for index in range(len(vit.family.layers)):
        told = context if bias is None or index < first else replace(context, bias=bias)
        x = vit.family.layer(index, x, told)
    return vit.family.finish(x, context)[0][0]


@torch.no_grad()
def compared(unit: TextureUnit, encoders: Encoders, image: Array, budget: int) -> dict[str, list[float]]:
    """By mask: the share of pairs that see each other, and the cosines with the model's own output, mean token removed: of patch tokens
    on average, and of the class token."""
    vit = encoders.plain
    with PictureUnderTest(unit, encoders, image) as seen:
        middle = seen.size[1] / 2, seen.size[0] / 2
        plan = allocated("foveated_pyramid").allocator.allocate(
            Scene(seen.size, [middle], patch_size=vit.patch_size), budget
        )
        x, context = vit.begin(seen.sample(plan), plan, seen.size)
    own, special = masked(vit, x, context, None), vit.family.special
    found = {}
    for name, (reach, first) in MASKS.items():
        mask = visible(plan, reach, special)
        cosines = alike(masked(vit, x, context, mask, first), own, special)
        found[name] = [round(float(mask.float().mean()), 4), *cosines]
    return found


def alike(one: Tensor, other: Tensor, special: int) -> Sequence[float]:
    """Mean cosine of the patch tokens less the mean of the other's, and that of the class token."""
    mean = other[special:].mean(0)
    patches = F.cosine_similarity(one[special:] - mean, other[special:] - mean, dim=-1).mean()
    return round(float(patches), 4), round(float(F.cosine_similarity(one[0], other[0], dim=-1)), 4)
