"""The statistics of an image by one launch, reduced like any pyramid."""

from __future__ import annotations

from homunculus.bridge.cuda.builders import reduce
from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.cuda.pyramid import CudaPyramid, Levels
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent
from homunculus.bridge.statistics import SURROUND_LEVELS, TILE_HEIGHT, TILE_WIDTH, defines


def statistics(
    kernels: Kernels, pool: Pool[Levels], pyramid: CudaPyramid, level: int, extent: Extent
) -> tuple[CudaPyramid, int]:
    """The statistics pyramid of the texels of one level, and the number of launches."""
    target = pool.take(extent)
    result = CudaPyramid(kernels, pyramid.size_at(level), target, pool)
    try:
        values = {
            "pyramid": pyramid.levels.sampler(),
            "statistics": target.image(),
            "level": level,
            "surround": min(level + SURROUND_LEVELS, pyramid.max_level),
            "inside": result.size[::-1],
        }
        height, width = result.padded_size
        grid = (-(-width // TILE_WIDTH), -(-height // TILE_HEIGHT), pyramid.layers)
        kernels.run("statistics.comp", defines(), values, grid)
        return result, 1 + reduce(kernels, target, 0)
    except BaseException:
        result.close()
        raise
