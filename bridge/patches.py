"""What was seen, how it was asked for, and what that cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.law import Quality
from homunculus.bridge.notebook import Pictured, tiled
from homunculus.interop.buffer import Transfers


@dataclass(frozen=True)
class Patches(Pictured):
    """What was seen.

    pixels: [N, 3, P, P] in 0..1, or normalised if mean and std were given.
    inside: float32 [N], how much of each footprint lies inside the image, as filtered: the mean of its texels' alpha. 1 where every tap
        is inside, 0 where none is; across the border it follows the share of the area to 0.1 (0.2 for a patch of one texel).
    resident: float32 [N], the share of each patch's taps that read the level they ask for, where a pyramid is paged; the others read the
        finest coarser level at hand. None where all levels are there.

    >>> image = torch.full((64, 64, 3), 255, dtype=torch.uint8)
    >>> with hm.open_unit("torch") as unit:
    ...     seen = unit.sample(unit.pyramid(image), hm.SamplePlan.squares(torch.tensor([[0.0, 32.0]]), torch.tensor([16.0])))
    >>> seen.pixels.shape, float(seen.pixels.mean()), float(seen.inside[0])  # half of the footprint lies outside
    (torch.Size([1, 3, 16, 16]), 0.5, 0.5)
    """

    pixels: Tensor
    inside: Tensor
    resident: Tensor | None = None

    @classmethod
    def concatenate(cls, parts: Sequence[Patches]) -> Patches:
        """One from several of the same patch size and type, in order."""
        if len(parts) == 1:
            return parts[0]
        shares = [part.resident for part in parts if part.resident is not None]
        resident = torch.cat(shares) if len(shares) == len(parts) else None
        return cls(torch.cat([part.pixels for part in parts]), torch.cat([part.inside for part in parts]), resident)

    @property
    def tensors(self) -> list[Tensor]:
        """All that is there of it."""
        return [self.pixels, self.inside, *([] if self.resident is None else [self.resident])]

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        side, kind = self.pixels.shape[-1], str(self.pixels.dtype).removeprefix("torch.")
        return f"Patches({len(self)} of {side} x {side} px, {kind}, on {self.pixels.device})"

    def _picture(self) -> Image.Image:
        return tiled(self.pixels)


class Filtering(NamedTuple):
    """How a plan is sampled, as `TextureUnit.sample` takes it."""

    quality: Quality = "high"
    dtype: torch.dtype = torch.float32
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass
class Stats(Transfers):
    """Counts since the unit was opened: bytes over the host, and compute dispatches."""

    dispatches: int = 0
