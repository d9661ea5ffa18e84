"""The encode of a whole grid of patches, and what methods that choose among its tokens read of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import FoveatedViT

Counts = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class FullEncode:
    """One pass over rows x columns patches that partition the image, in raster order.

    tokens: [N, D]. plan: N footprints on their device. counts: per layer, tokens in its attention and in its MLP.
    attention: [N] what the class token attends to, mean over heads, in the layers `first`, `shallow` and `deep`, by their index; empty
        without a class token. keys: [N, head] of the layer `deep`, mean over heads, before rotation; None without a class token.
    special: [special, D] what stands before the patch tokens. late: [N, D] the output of the layer `deep`; None without a space of texts.
    """

    tokens: Tensor
    plan: SamplePlan
    rows: int
    columns: int
    counts: Counts
    attention: dict[int, Tensor]
    keys: Tensor | None
    special: Tensor | None = None
    late: Tensor | None = None

    @classmethod
    def of(
        cls,
        encoder: FoveatedViT,
        sample: Callable[[SamplePlan], Tensor],
        size: tuple[int, int],
        layer: int = 0,
        shape: tuple[int, int] | None = None,
    ) -> FullEncode:
        """shape: rows and columns, by default those of `native_shape`."""
        rows, columns = native_shape(size, encoder.patch_size) if shape is None else shape
        plan = regular(size, rows, columns, encoder.patch_size, layer)
        pixels = sample(plan)
        family = encoder.family
        deep = family.penultimate
        indices = sorted({0, shallow_layer(encoder), deep}) if family.special else []
        entering = f"layer.{deep - 1}" if deep else "embeddings"
        wanted = [f"attention.{index}" for index in indices]
        leaving = [f"layer.{deep}"] if family.texts else []
        seen = encoder(pixels, plan, size, hidden=[*wanted, entering, *leaving])
        keys = family.keys(deep, seen.hidden[entering])[0].mean(0)[family.special :] if family.special else None
        attention = {
            index: seen.hidden[name][0].mean(0)[family.special :] for index, name in zip(indices, wanted, strict=True)
        }
        state = seen.last_hidden_state
        counts = counted(encoder, state.shape[1])
        late = seen.hidden[leaving[0]][0, family.special :] if leaving else None
        plan, special = plan.to(seen.tokens.device), state[0, : family.special]
        return cls(seen.tokens, plan, rows, columns, counts, attention, keys, special, late)


def shallow_layer(encoder: FoveatedViT) -> int:
    """floor(5/24 of the depth): layer 5 of a ViT-L, as VScan has it."""
    return 5 * len(encoder.family.layers) // 24


def counted(encoder: FoveatedViT, tokens: int) -> Counts:
    """The counts of a pass in which every layer has the same tokens."""
    return ((tokens, tokens),) * len(encoder.family.layers)


def native_shape(size: tuple[int, int], patch_size: int) -> tuple[int, int]:
    """Rows and columns of patches that resolve every pixel: an image that is no multiple of them is magnified to one."""
    return -(-size[0] // patch_size), -(-size[1] // patch_size)


def shape_within(size: tuple[int, int], most: int) -> tuple[int, int]:
    """The most rows and columns of nearly square cells, at most `most` in all: the image scaled until one more would be too many.

    At scale s the image has ceil(height s) rows and ceil(width s) columns, at least one each (the rule of NaFlex: Tschannen et al.,
    SigLIP 2, 2025), which grows only where one of the two is whole. Whole numbers throughout.
    """
    height, width = size
    best = (1, 1)
    for steps, per_step in [(n, side) for side in (height, width) for n in range(1, most + 1)]:
        shape = -(-steps * height // per_step), -(-steps * width // per_step)
        if shape[0] * shape[1] <= most:
            best = max(best, shape, key=lambda each: (each[0] * each[1], each))
    return best


def regular(size: tuple[float, float], rows: int, columns: int, patch_size: int, layer: int = 0) -> SamplePlan:
    """rows x columns equal boxes that partition an image of (height, width), in raster order."""
    height, width = size
    y, x = torch.meshgrid(
        torch.arange(rows + 1, dtype=torch.float64, device="cpu") * (height / rows),
        torch.arange(columns + 1, dtype=torch.float64, device="cpu") * (width / columns),
        indexing="ij",
    )
    boxes = torch.stack([x[:-1, :-1], y[:-1, :-1], x[1:, 1:], y[1:, 1:]], -1).reshape(-1, 4)
    return SamplePlan.boxes(boxes, patch_size, layer=layer).to(dtype=torch.float32)
