"""What an encode costs, in one currency for all methods."""

from __future__ import annotations

from collections.abc import Sequence

from homunculus.encoder import FoveatedViT
from homunculus.lab.baselines.contract import Encoded


def multiply_adds(encoder: FoveatedViT, encoded: Encoded) -> int:
    """Multiply-adds of the transformer layers of all passes, and of the choice of tokens: the papers' FLOPs; twice that in operations.

    A layer of width d costs 4 n d^2 + 2 n^2 d + m W: n tokens in its attention, m in its MLP, W the weights of the MLP (8 d^2 for the
    usual one). Patch projection, norms and softmax are left out.
    """
    return sum(pass_cost(encoder, counts) for counts in encoded.passes) + encoded.scoring


def pass_cost(encoder: FoveatedViT, counts: Sequence[tuple[int, int]]) -> int:
    """Of one pass; counts as in `Encoded.passes`."""
    d = int(encoder.family.config.hidden_size)
    return sum(4 * n * d**2 + 2 * n**2 * d + m * mlp_weights(encoder, index) for index, (n, m) in enumerate(counts))


def mlp_weights(encoder: FoveatedViT, index: int) -> int:
    """Weights of a layer's MLP: all its matrices but the four of attention."""
    d = int(encoder.family.config.hidden_size)
    matrices = (p.numel() for p in encoder.family.layers[index].parameters() if p.ndim == 2)
    return int(sum(matrices)) - 4 * d**2
