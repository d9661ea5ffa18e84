"""Propositional relevance: how much a place would tell, as self-information under the picture's own statistics."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from homunculus.bridge.tensors import product
from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.target import NOTHING, SearchTarget, channel

RADIUS: Final = 2  # squares of the grid around each that its features are taken over
GREY_LEVEL: Final = 1 / 255
LEAST_SD: Final = GREY_LEVEL / math.sqrt(12)  # of rounding to bytes: what varies less says nothing


def dimensions(statistics: ImageStatistics, radius: int = RADIUS) -> list[tuple[Tensor, Tensor]]:
    """The features of every place, dimension by dimension: [B, C, rows, columns], and [C], what of each is rounding.

    Intensity: mean and variance. Colour: mean and variance of red - green and of blue - yellow. Form: the oriented energies of
    every source, 4 each. First and second moments all, so that a place which is half one thing and half another has the mean
    of their features, up to the variance between the two.
    """
    stacks = [statistics.window(source, radius) for source in statistics.sources]
    mean, square = stacks[0][:, 0:3], stacks[0][:, 3:6]
    variance = (square - mean.square()).clamp(min=0)
    energy = torch.cat([stack[:, 6:10] for stack in stacks], 1)
    moments = [torch.cat([mean[:, part], variance[:, part]], 1) for part in (slice(0, 1), slice(1, 3))]
    return [(part, _rounding(part, first)) for part, first in ((moments[0], 1), (moments[1], 2), (energy, 0))]


def self_information(features: Tensor, weight: Tensor | None = None, least_sd: Tensor | float = LEAST_SD) -> Tensor:
    """[B, h, w], in bits above the likeliest value, of features [B, C, h, w] under their own Gaussian.

    I(x) = (f - mu)' Sigma^-1 (f - mu) / (2 ln 2): -log2 p(f), less its least. mu and Sigma are the mean and covariance over the
    picture, squares weighted by `weight` [h, w]; Sigma has least_sd^2, a number or one for each feature [C], added to its
    diagonal. Saliency as self-information: Bruce & Tsotsos (2005); as Mahalanobis distance of features: Rosenholtz (1999).
    """
    flat = features.flatten(2)
    share = torch.ones_like(flat[0, 0]) if weight is None else weight.flatten().to(flat.dtype)
    share = share / share.sum()
    centered = flat - (flat * share).sum(2, keepdim=True)
    covariance = product(centered * share, centered.mT)
    noise = torch.eye(flat.shape[1], device=flat.device, dtype=flat.dtype) * least_sd**2
    factor, _ = torch.linalg.cholesky_ex(covariance + noise, check_errors=False)
    white = torch.linalg.solve_triangular(factor, centered, upper=False)
    bits: Tensor = white.square().sum(1) / (2 * math.log(2))
    return bits.reshape(features.shape[0], *features.shape[2:])


@channel("propositional")
def propositional(statistics: ImageStatistics, target: SearchTarget = NOTHING) -> Tensor:
    """[B, rows, columns], bits: the sum over intensity, colour and form, each under its own Gaussian.

    Dimensions are held to be independent, as in feature integration (Treisman & Gelade 1980): what is odd in one of them pops
    out, and what is odd only as a conjunction does not. So Sigma is one matrix of three blocks.
    """
    weight = statistics.inside(statistics.level)
    bits = torch.stack([self_information(features, weight, least) for features, least in dimensions(statistics)])
    return statistics.cover(bits.sum(0))


def _rounding(features: Tensor, means: int) -> Tensor:
    """[C]: `LEAST_SD` for the first `means` features, and what it makes of a square for the others."""
    found = features.new_full((features.shape[1],), LEAST_SD * GREY_LEVEL)
    found[:means] = LEAST_SD
    return found
