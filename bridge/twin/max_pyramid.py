"""The max-reduction pyramid of a map, with torch operations: the readable twin of `shaders/reduce_max.comp`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import PlanError


def max_pyramid(map: Tensor) -> list[Tensor]:
    """Levels 0 to 1 x 1 of a map [h, w], each texel the maximum of the 2 x 2 below it; see `TextureUnit.max_pyramid`."""
    check_map(map)
    sizes = level_sizes(map.shape[0], map.shape[1])
    levels = [padded(map, sizes[0])]
    for height, width in sizes[1:]:
        rows = levels[-1].reshape(height, -1, levels[-1].shape[1]).amax(1)
        levels.append(rows.reshape(height, width, -1).amax(2))
    return levels


def padded(map: Tensor, size: tuple[int, int]) -> Tensor:
    return F.pad(map, (0, size[1] - map.shape[1], 0, size[0] - map.shape[0]))


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of every level: each side the next power of two, then halves, at least 1."""
    size = 1 << (height - 1).bit_length(), 1 << (width - 1).bit_length()
    sizes = [size]
    while size != (1, 1):
        size = max(1, size[0] // 2), max(1, size[1] // 2)
        sizes.append(size)
    return sizes


def check_map(map: Tensor) -> None:
    if map.ndim != 2 or map.numel() < 1 or not map.is_floating_point():
        raise PlanError(f"the map is {map.dtype} {tuple(map.shape)}; a max pyramid needs floats [h, w]")
    if map.device.type == "cpu":  # looking at a GPU's values would cost a visit to the host
        low, high = (float(value) for value in torch.aminmax(map.detach()))
        if not (low >= 0 and high < float("inf")):
            raise PlanError(
                f"the map runs from {low:g} to {high:g}; it is padded with zeros, so it must be finite and not negative "
                "(subtract its minimum, or take torch.nn.functional.softplus of it)"
            )
