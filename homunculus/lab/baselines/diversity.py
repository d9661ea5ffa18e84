"""Tokens that differ: what methods share that choose a set rather than the best of it. No matrix of N x N is held."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.lab.baselines.merging import BLOCK, nearest, nearest_cost

LEAST = 1e-10  # of a token's own weight: what counts as nothing new
ROUND, OF = 8, 576  # tokens that VisPruner drops at once, of LLaVA-1.5's


def spread(features: Tensor, count: int) -> Tensor:
    """[count] indices of features [N, D], in the order of choice: the greatest least distance between any two (DivPrune: Alvar et al.,
    CVPR 2025, from the paper's formula).

    Distance is 1 - cosine. First the one whose nearest other is farthest, then each time the one whose nearest chosen is farthest; of
    equals the first.
    """
    unit = F.normalize(features.float(), dim=-1)
    number = torch.arange(len(unit), device=unit.device, dtype=torch.int64)
    nearest_other = []
    for rows in torch.split(number, BLOCK):
        cosine = unit[rows] @ unit.T
        nearest_other.append(cosine.index_put((rows - rows[0], rows), cosine.new_tensor(float("-inf"))).amax(-1))
    chosen = [torch.cat(nearest_other).argmin()]
    likest = unit @ unit[chosen[0]]
    while len(chosen) < count:
        likest[chosen[-1]] = float("inf")
        chosen.append(likest.argmin())
        likest = torch.maximum(likest, unit @ unit[chosen[-1]])
    return torch.stack(chosen)


def spread_cost(tokens: int, count: int, width: int) -> int:
    """Multiply-adds of `spread`."""
    return tokens * (tokens + count) * width


def relevance(points: Tensor, texts: Tensor, *, turned: bool = True) -> Tensor:
    """[N] from 0 to 1, in float64: how relevant tokens [N, E] are to texts [T, E], as CDPruner has it: the mean cosine, between its least
    and its greatest. turned: its sign, since CLIP's patches are unlike what they show.
    """
    cosine = F.normalize(points.double(), dim=-1) @ F.normalize(texts.to(points).double(), dim=-1).T
    found = -cosine.mean(-1) if turned else cosine.mean(-1)
    low, high = found.aminmax()
    return (found - low + 1e-6) / (high - low).clamp(min=1e-6)


def conditional(features: Tensor, relevant: Tensor, count: int) -> Tensor:
    """[count] indices of features [N, D], in the order of choice: a determinantal point process's likeliest set, found greedily (CDPruner:
    Zhang et al., NeurIPS 2025; Chen et al., NeurIPS 2018).

    Its kernel is r_i cos_ij r_j with relevance r [N]. Each time the token that adds most to the logarithm of the determinant; where the
    features span no more, the most relevant. In float64.
    """
    weighted = F.normalize(features.double(), dim=-1) * relevant.double()[:, None]
    gain = weighted.square().sum(-1)
    least, factors, chosen = LEAST * gain, weighted.new_empty(count, len(weighted)), []
    for step in range(count):
        best = gain.argmax()
        row = weighted @ weighted[best] - factors[:step, best] @ factors[:step]
        factors[step] = row * gain[best].rsqrt()
        gain[best] = least[best] = float("-inf")
        gain = torch.maximum(gain - factors[step].square(), least)
        chosen.append(best)
    return torch.stack(chosen)


def conditional_cost(tokens: int, count: int, width: int) -> int:
    """Multiply-adds of `conditional`."""
    return count * tokens * (width + count // 2)


def thinned(features: Tensor, left: Tensor, count: int) -> Tensor:
    """[count] of the tokens `left`, indices of features [N, D]: those without a like among the others (VisPruner: Zhang et al., ICCV
    2025).

    In each round the tokens of even place in `left` that are likest, by cosine, to one of odd place go, 8 of 576 of them or what is too
    many; those that stay are put in order of falling likeness, then the odd ones. The published rounds drop 8 whatever the grid. In
    float64, since rounds build on one another.
    """
    at_once = max(ROUND, ROUND * len(features) // OF)
    while len(left) > count:
        even, odd = left[::2], left[1::2]
        if not len(odd):
            return left[:count]
        order = nearest(features[even].double(), features[odd].double())[0].sort(descending=True, stable=True).indices
        left = torch.cat([even[order[min(at_once, len(left) - count) :]], odd])
    return left


def thinned_cost(tokens: int, left: int, count: int, width: int) -> int:
    """Multiply-adds of `thinned`."""
    total, at_once = 0, max(ROUND, ROUND * tokens // OF)
    while left > max(count, 1):
        total += nearest_cost(left - left // 2, left // 2, width)
        left -= min(at_once, left - count, left - left // 2)
    return total
