"""A top-K that gradients pass through: how likely each of n candidates is to be among K, and a hard choice that follows it."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)
HALVINGS = 16
NEWTON_STEPS = 2


def soft_top_k(scores: Tensor, k: int, temperature: Tensor | float = 1.0) -> Tensor:
    """Shares p [n] in 0..1 that sum to k: sigmoid((score - t) / temperature), the threshold t found by bisection.

    The point of the polytope {0 <= p <= 1, sum p = k} that maximises score . p + temperature x binary entropy (Amos, Koltun &
    Kolter 2019, "The limited multi-label projection layer"). As the temperature falls it becomes the top k. Gradients
    reach scores and temperature, the threshold's own included. All ones where k is n or more.
    """
    if k >= scores.numel():
        return torch.ones_like(scores)
    scaled = scores / temperature
    with torch.no_grad():
        # At either end every share is 1, or 0, to within float32.
        low, high = scaled.min() - 20, scaled.max() + 20
        for _ in range(HALVINGS):
            threshold = (low + high) / 2
            above = torch.sigmoid(scaled - threshold).sum() > k
            low, high = torch.where(above, threshold, low), torch.where(above, high, threshold)
        for _ in range(NEWTON_STEPS):
            shares = torch.sigmoid(scaled - threshold)
            slope = (shares * (1 - shares)).sum().clamp(min=1e-12)
            threshold = torch.maximum(low, torch.minimum(high, threshold + (shares.sum() - k) / slope))
    # One more step that is differentiated: by the implicit function theorem its gradient is that of the solution.
    shares = torch.sigmoid(scaled - threshold)
    return torch.sigmoid(scaled - (threshold + (shares.sum() - k) / slope))


def hard_top_k(scores: Tensor, k: int) -> Tensor:
    """Indices [k] of the k largest, ascending; of equal ones the first."""
    order = torch.argsort(scores, descending=True, stable=True)
    return order[:k].sort().values


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    """The value of `hard` with the gradient of `soft` (Bengio, Leonard & Courville 2013)."""
    return hard + soft - soft.detach()


def on_device(module: Module, device: torch.device) -> Module:
    """The module itself where its weights are on the device, else a copy there."""
    return module if next(module.parameters()).device == device else copy.deepcopy(module).to(device)
