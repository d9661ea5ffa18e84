"""Which tokens of a prompt a layer lets see which: those before and itself, but for windows, and for what sees ahead."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

Ahead = Literal["none", "image", "prompt"]


def sees(order: Tensor, visual: range, ahead: Ahead, window: int | None) -> Tensor | None:
    """bool [S, S] whether the token of a row sees that of a column; None where it sees just those before and itself.

    order: int [S] places in the prompt, which grow, with gaps where tokens were taken out. visual: the image's rows. window: how many
    places back a token sees, itself included. ahead: whose tokens see those behind them too: the image's see one another within the
    window, as in Gemma 3; the prompt's see all of it, whatever the window, as in PaliGemma.
    """
    if window is None and ahead == "none":
        return None
    back = order[:, None] - order
    if ahead == "prompt":
        return torch.ones_like(back, dtype=torch.bool)
    seen = back >= 0
    if ahead == "image":
        seen[visual.start : visual.stop, visual.start : visual.stop] = True
    return seen if window is None else seen & (back < window)


def added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """What eager attention adds to its logits: the least number where nothing is seen."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)
