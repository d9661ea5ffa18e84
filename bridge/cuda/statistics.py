"""The statistics of an image by one kernel, reduced like any pyramid."""

from __future__ import annotations

from functools import cache

from torch import Tensor

from homunculus.bridge.checks import check_level
from homunculus.bridge.cuda.builders import reduce
from homunculus.bridge.cuda.kernels import Kernels, float_, handle, ints
from homunculus.bridge.cuda.pyramid import BITS, CudaPyramid, LevelsPool, key_of
from homunculus.bridge.oriented import RADIUS_PX, derivative_kernels, steering_matrix
from homunculus.bridge.statistics import LAYERS, SURROUND_LEVELS, TINY

TILE_WIDTH, TILE_HEIGHT = 32, 8


def statistics(kernels: Kernels, pool: LevelsPool, pyramid: CudaPyramid, level: int) -> tuple[CudaPyramid, int]:
    """The statistics pyramid of the texels of one level, and the number of launches."""
    check_level(level, pyramid.max_level)
    source = pyramid.levels
    size = tuple(-(-side >> level) for side in pyramid.size)
    coarse = min(level + SURROUND_LEVELS, pyramid.max_level)
    key = key_of((size[0], size[1]), LAYERS * pyramid.layers, pyramid.max_level - level, "rgba32f")
    target = pool.take(key)
    result = CudaPyramid(kernels, (size[0], size[1]), "exact", target, pool)
    try:
        kernel = kernels.get("statistics", "statistics", {**defines(), "STORED": BITS[pyramid.format]})
        height, width = result.padded_size
        arguments = (
            handle(source.texture),
            handle(source.surfaces[level]),
            handle(target.surfaces[0]),
            ints(size[1], size[0]),
            ints(width, height),
            ints(pyramid.padded_size[1] >> coarse, pyramid.padded_size[0] >> coarse),
            float_(coarse),
        )
        grid = (-(-width // TILE_WIDTH), -(-height // TILE_HEIGHT), pyramid.layers)
        kernels.launch(kernel, grid, (TILE_WIDTH, TILE_HEIGHT), arguments)
        return result, 1 + reduce(kernels, target, 0)
    except BaseException:
        result.close()
        raise


@cache
def defines() -> dict[str, int | float | str]:
    """What statistics.cu is compiled with: the filters as `bridge.oriented` makes them."""
    return {
        "TILE_WIDTH": TILE_WIDTH,
        "TILE_HEIGHT": TILE_HEIGHT,
        "RADIUS": RADIUS_PX,
        "TAPS": _table(derivative_kernels()[:, RADIUS_PX:].T),
        "STEERING": _table(steering_matrix()),
    }


def _table(rows: Tensor) -> str:
    rows = rows.where(rows.abs() > TINY, 0)  # what float32 cannot hold is an error to the compiler
    inner = ", ".join("{" + ", ".join(f"{value:.9e}f" for value in row) + "}" for row in rows.tolist())
    return "{" + inner + "}"
