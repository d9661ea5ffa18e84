"""What a statistics pyramid holds: local moments, opponent colours, oriented energy and centre-surround contrast of an image.

A statistics pyramid is a pyramid whose level 0 was measured on the texels of one level of an image's pyramid, four layers
for each image; its levels above are means, so that a square of any size is read with one fetch. A variance is the mean of
squares less the square of the mean: one needs floats of 32 bits and values about 0, or a quarter of them come out negative.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor

from homunculus.bridge.oriented import RADIUS_PX, derivative_kernels, steering_matrix

TINY: Final = 1e-30
LAYERS: Final = 4  # layers for each image, three channels and alpha in each
TILE_WIDTH, TILE_HEIGHT = 32, 32  # of one work group; rows of a whole warp
ROWS: Final = 4  # texels below one another that one thread measures
SURROUND_LEVELS: Final = 3  # the surround of a texel is the level this much coarser
# Channels in the order of layers. Opponent colours: intensity is the mean of R, G and B, less 1/2; R - G; B - (R + G) / 2.
CHANNELS: Final = (
    "intensity",
    "red_green",
    "blue_yellow",
    "intensity_square",
    "red_green_square",
    "blue_yellow_square",
    "energy_0",
    "energy_45",
    "energy_90",
    "energy_135",
    "on",
    "off",
)


def opponent(rgb: Tensor) -> Tensor:
    """[..., 3] in 0..1 to intensity - 1/2, red - green, and blue - yellow."""
    red, green, blue = rgb.unbind(-1)
    return torch.stack([(red + green + blue) / 3 - 0.5, red - green, blue - (red + green) / 2], -1)


def unpremultiplied(texels: Tensor) -> Tensor:
    """[..., 4] to the colour [..., 3] of the part that lies inside the image; 0 where none does."""
    return texels[..., :3] / texels[..., 3:].clamp(min=TINY)


def planes(level: Tensor) -> Tensor:
    """[B, 12, h, w], the means of `CHANNELS` inside the image, of one level [4 B, h, w, 4] of a statistics pyramid."""
    values = unpremultiplied(level).permute(0, 3, 1, 2)
    return values.reshape(-1, 3 * LAYERS, *values.shape[2:])


def deviations(planes: Tensor) -> Tensor:
    """[B, 3, h, w]: standard deviations of intensity, red - green and blue - yellow in the squares that `planes` are the means of.

    Each is sqrt(mean of squares - square of the mean); a difference that float32 rounds below 0 counts as 0.
    """
    means, squares = planes[:, 0:3], planes[:, 3:6]
    return (squares - means.square()).clamp(min=0).sqrt()


@cache
def defines() -> dict[str, int | float | str]:
    """What `statistics.comp` is compiled with: the filters as `bridge.oriented` makes them."""
    taps = ", ".join(_constructor("vec4", tap) for tap in derivative_kernels()[:, RADIUS_PX:].T)
    return {
        "TILE_WIDTH": TILE_WIDTH,
        "GROUP_HEIGHT": TILE_HEIGHT // ROWS,
        "ROWS": ROWS,
        "RADIUS": RADIUS_PX,
        "TAPS": f"{{{taps}}}",
        "STEERING": _constructor("mat4", steering_matrix().T),
    }


def _constructor(type: str, values: Tensor) -> str:
    """In GLSL; a matrix is given by its columns, one a row of `values`."""
    values = values.where(values.abs() > TINY, 0)  # what float32 cannot hold may be an error to a compiler
    return f"{type}({', '.join(f'{value:.9e}' for value in values.flatten().tolist())})"
