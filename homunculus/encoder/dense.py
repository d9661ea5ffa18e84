"""What each token says about a text: features in the space that images and texts share, without training.

A CLIP token's output speaks for the image rather than for its place (Li et al. 2023 call its maps opposite and noisy); the value path
of the last block keeps it local.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.coordinates import Sizes
from homunculus.encoder.family import Attention, LayerContext, Method, heads_of
from homunculus.encoder.vit import FoveatedViT

METHODS: tuple[Method, ...] = get_args(Method)
GEM_BLOCKS = 6


def dense_features(
    vit: FoveatedViT,
    pixels: Tensor,
    plan: SamplePlan | Sequence[SamplePlan],
    size: Sizes,
    method: Method | None = None,
    *,
    blocks: int = GEM_BLOCKS,
    area_px: Tensor | None = None,
) -> Tensor:
    """[N, D] or [B, N, D] unit vectors, one a token. Pixels, plan, size and area_px as for the encoder's call.

    method: by default what suits the family. Of a family with `cells`, each token has one for each of its cells, [N * cells ** 2, D],
    which lie where `in_cells` says; one whose features are no unit vectors gives them as they are.
    value, maskclip: the last block's value path in place of its attention (MaskCLIP: Zhou et al., ECCV 2022).
    gem: self-self attention of the last `blocks` blocks on a path beside the model's own (GEM: Bousselham et al., CVPR 2024).
    joint, map: the model's output as it is. All these are then taken to the texts' space: CLIP by its projection, SigLIP by the value
    path of its pooling head. tokens: the encoder's tokens themselves, for any family, to compare with an exemplar's.
    area_attention weighs the self-self attention, and its mean of norms, too.
    Raises ModelError for a family without texts, or a method that does not exist.
    """
    method = vit.family.dense if method is None else method
    if method not in METHODS:
        raise ModelError(f"method is {method!r}; expected one of {', '.join(METHODS)}")
    if method == "tokens":
        return F.normalize(vit(pixels, plan, size, area_px=area_px).tokens, dim=-1)
    family = vit.family
    last = len(family.layers) - 1
    if not family.texts:
        raise ModelError(f"{family.name} has no dense features but its tokens; use method='tokens'")
    x, context = vit.begin(pixels, plan, size, area_px=area_px)
    branch = x
    for index in range(last + 1):
        if method == "gem" and index >= last + 1 - blocks:
            branch = branch + self_self(family.attention(index), x, context)
        elif index == last and method in ("value", "maskclip"):
            branch = value_path(family.attention(last), x)
            break
        x = family.layer(index, x, context)
        if index == last - blocks:
            branch = x
    local = family.local(branch if method in ("gem", "value", "maskclip") else x)[:, family.special :]
    features = family.footprints(local.flatten(2)).reshape(len(local), -1, local.shape[-1])
    features = F.normalize(features, dim=-1) if family.unit_features else features
    return features if pixels.ndim == 5 else features[0]


def in_cells(plan: SamplePlan, cells: int) -> SamplePlan:
    """Each footprint cut in cells x cells, row by row: where the features of a family with `cells` lie."""
    if cells == 1:
        return plan
    rows = plan.footprints.repeat_interleave(cells**2, 0)
    step = (torch.arange(cells, device=rows.device, dtype=rows.dtype) + 0.5) / cells - 0.5
    along, across = torch.meshgrid(step * plan.patch_size, step * plan.patch_size, indexing="ij")
    shift = across.flatten().repeat(len(plan))[:, None] * rows[:, 2:4]
    rows[:, :2] += shift + along.flatten().repeat(len(plan))[:, None] * rows[:, 4:6]
    rows[:, 2:6] /= cells
    return SamplePlan(rows, plan.patch_size, origin=plan.origin)


def value_path(block: Attention, x: Tensor) -> Tensor:
    """A block in which every token attends to itself alone."""
    x = x + block.out(block.value(block.norm(x)))
    return x + block.mlp(block.norm_mlp(x))  # type: ignore[no-any-return]


def self_self(block: Attention, x: Tensor, context: LayerContext) -> Tensor:
    """[B, S, D] the mean over z in queries, keys and values of softmax(z z' t) applied to the values, through the block's output.

    z is normalised, replaced by one round of its own attention, and normalised again. t = mean norm of the block's input / sqrt(head).
    """
    x = block.norm(x)
    values = heads_of(block.value(x), block.heads)
    norms = x.norm(dim=-1)
    shares = torch.full_like(norms, 1 / norms.shape[-1]) if context.bias is None else context.bias[:, 0, 0].softmax(-1)
    temperature = (shares * norms).sum(-1)[:, None, None, None] * values.shape[-1] ** -0.5
    seen = torch.zeros_like(values)
    for part in (block.query, block.key, block.value):
        z = F.normalize(heads_of(part(x), block.heads), dim=-1)
        z = F.normalize(_attend(z, temperature, context.bias) @ z, dim=-1)
        seen = seen + _attend(z, temperature, context.bias) @ values
    return block.out((seen / 3).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


def _attend(z: Tensor, temperature: Tensor, bias: Tensor | None) -> Tensor:
    logits = z @ z.transpose(-1, -2) * temperature
    return (logits if bias is None else logits + bias).softmax(-1)


def similarity(features: Tensor, query: Tensor, generic: Tensor | None = None) -> Tensor:
    """[..., N] cosine of unit features [..., N, D] with a query [D], less that with a generic text [D] such as "a photo".

    The difference takes away what is in the features whatever the query.
    """
    query = query if generic is None else query - generic
    return features @ query.to(features)
