"""Rows of tokens for models that write a text behind each, as Pixtral's do (Agrawal et al., 2024), where there are no rows.

Foveated tokens are put into as many bands as a regular grid of as many tokens has rows, R = round(sqrt(N height / width)), by their
centres, and within a band from left to right. On a native grid bands are rows. The texts are no visual tokens and not of the budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor

from homunculus.language.connector import Texts

BREAK, END = "[IMG_BREAK]", "[IMG_END]"


def bands(centers: Tensor, size: tuple[int, int]) -> tuple[Tensor, list[int]]:
    """The order [N] of centres (x, y) [N, 2] px in an image of `size` (height, width), and how many stand in each band."""
    height, width = size
    rows = max(1, round(math.sqrt(len(centers) * height / width)))
    band = (centers[:, 1] * rows / height).floor().long().clamp(0, rows - 1)
    across = centers[:, 0].sort(stable=True).indices
    order = across[band[across].sort(stable=True).indices]
    return order, [count for count in band.bincount().tolist() if count]


def ends(lengths: Sequence[int]) -> Texts:
    """What is written behind rows of tokens, by the number of the token that follows."""
    after = [sum(lengths[: row + 1]) for row in range(len(lengths))]
    return (*((end, BREAK) for end in after[:-1]), (after[-1], END))
