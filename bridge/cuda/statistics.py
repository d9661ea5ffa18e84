"""The statistics of an image by one launch, reduced like any pyramid."""

from __future__ import annotations

from homunculus.bridge.checks import check_level
from homunculus.bridge.cuda.builders import reduce
from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid, LevelsPool, key_of
from homunculus.bridge.statistics import LAYERS, SURROUND_LEVELS, TILE_HEIGHT, TILE_WIDTH, defines


def statistics(kernels: Kernels, pool: LevelsPool, pyramid: CudaPyramid, level: int) -> tuple[CudaPyramid, int]:
    """The statistics pyramid of the texels of one level, and the number of launches."""
    check_level(level, pyramid.max_level)
    size = tuple(-(-side >> level) for side in pyramid.size)
    key = key_of((size[0], size[1]), LAYERS * pyramid.layers, pyramid.max_level - level, "rgba32f")
    target = pool.take(key)
    result = CudaPyramid(kernels, (size[0], size[1]), "exact", target, pool)
    try:
        values = {
            "pyramid": pyramid.levels.sampler(),
            "statistics": target.image(),
            "level": level,
            "surround": min(level + SURROUND_LEVELS, pyramid.max_level),
            "inside": (size[1], size[0]),
        }
        height, width = result.padded_size
        grid = (-(-width // TILE_WIDTH), -(-height // TILE_HEIGHT), pyramid.layers)
        kernels.run("statistics.comp", defines(), values, grid)
        return result, 1 + reduce(kernels, target, 0)
    except BaseException:
        result.close()
        raise
