"""Maps of several channels as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from homunculus.bridge.errors import PlanError
from homunculus.bridge.notebook import LONGER_PX, Pictured
from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.target import Channel, SearchTarget, Silent, default_weights

LEAST_SD: Final = 1e-3  # of a map; what varies less is not blown up to a deviation of 1
Weights = Mapping[str, float | Tensor] | nn.ParameterDict


@dataclass(frozen=True, eq=False)
class Relevance(Pictured):
    """Where to look, for a batch of B pictures.

    maps: by channel, float [B, rows, columns] in the channel's own unit, stretched over the picture; zeros where it is silent.
    inactive: by channel, why it is silent.
    total: [B, rows, columns], softplus of the weighted sum of z-scores: positive, and as a `Scene` wants it, picture by picture.
    """

    maps: dict[str, Tensor]
    inactive: dict[str, str]
    total: Tensor

    def __repr__(self) -> str:
        active = [name for name in self.maps if name not in self.inactive]
        return f"Relevance({list(self.total.shape)}, by {', '.join(active) or 'nothing'}; silent: {', '.join(self.inactive) or 'none'})"

    def _picture(self) -> Image.Image:
        """Of the first of the batch, the greatest white."""
        map_ = self.total[0].detach().float().cpu()
        level = (map_ - map_.min()) / (map_.max() - map_.min()).clamp(min=1e-9)
        picture = Image.fromarray((level * 255).round().byte().numpy())
        scale = LONGER_PX / max(picture.size)
        return picture.resize((max(1, round(picture.width * scale)), max(1, round(picture.height * scale))))


def z_scores(maps: Tensor, least_sd: float = LEAST_SD) -> Tensor:
    """[..., h, w]: each map less its mean, over its standard deviation or least_sd, if that is more. 0 for a constant map."""
    centered = maps - maps.mean((-2, -1), keepdim=True)
    return centered / centered.square().mean((-2, -1), keepdim=True).clamp(min=least_sd**2).sqrt()


def combine(
    statistics: ImageStatistics, target: SearchTarget, channels: Mapping[str, Channel], weights: Weights | None = None
) -> Relevance:
    """Asks every channel, and adds what they say: R = softplus(sum over channels of w z), z the channel's z-scores.

    weights: by channel, numbers or tensors that broadcast to [B, 1, 1], learned ones among them; where none is given,
    the channel's own, 8 for `participatory` and 1 for the others.
    Raises PlanError for a weight of an unknown channel, or a map of another shape than [B, rows, columns].
    """
    weights = {} if weights is None else weights
    given = set(weights.keys())
    unknown = sorted(given - set(channels))
    if unknown:
        raise PlanError(f"weights name {', '.join(unknown)}; the channels are {', '.join(channels)}")
    shape = (statistics.batch, *statistics.grid)
    like = next(iter(statistics.sources.values()))
    maps: dict[str, Tensor] = {}
    inactive: dict[str, str] = {}
    total = torch.zeros(shape, device=like.device, dtype=like.dtype)
    for name, channel in channels.items():
        weight = weights[name] if name in given else default_weights.get(name, 1.0)
        off = name not in given and not weight
        said = Silent("it is off by default; give it a weight") if off else channel(statistics, target)
        if isinstance(said, Silent):
            inactive[name] = said.reason
            maps[name] = torch.zeros_like(total)
            continue
        if tuple(said.shape) != shape:
            raise PlanError(
                f"channel {name!r} gave a map of shape {tuple(said.shape)}; expected [B, rows, columns] {shape}"
            )
        maps[name] = said
        total = total + weight * z_scores(said)
    return Relevance(maps, inactive, F.softplus(total))
