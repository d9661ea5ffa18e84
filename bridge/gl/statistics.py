"""The statistics of an image by one compute dispatch, reduced like any pyramid."""

from __future__ import annotations

from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.builders import reduce
from homunculus.bridge.gl.pyramid import INTERNAL_FORMATS, GLPyramid, Texture
from homunculus.bridge.patches import Stats
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent
from homunculus.bridge.statistics import SURROUND_LEVELS, TILE_HEIGHT, TILE_WIDTH, defines


def statistics(pool: Pool[Texture], stats: Stats, pyramid: GLPyramid, level: int, extent: Extent) -> GLPyramid:
    """The statistics pyramid of the texels of one level. Runs on the context's thread."""
    context, texture = pyramid.context, pyramid.texture_from(level)
    result = GLPyramid(context, pool, pyramid.size_at(level), extent)
    try:
        program = context.program("statistics.comp", defines())
        program["level"] = level
        program["surround"] = min(level + SURROUND_LEVELS, pyramid.max_level)
        program["inside"] = result.size[::-1]
        texture.use()
        context.gl.glBindImageTexture(0, result.texture.name, 0, 1, 0, gl.WRITE_ONLY, INTERNAL_FORMATS[extent.format])
        columns, rows = -(-result.padded_size[1] // TILE_WIDTH), -(-result.padded_size[0] // TILE_HEIGHT)
        program.run(columns, rows, pyramid.layers)
        context.moderngl.memory_barrier()
        stats.dispatches += 1 + reduce(context, result.texture, result.max_level)
        context.check(lambda: f"measuring the statistics of {pyramid!r}")
    except BaseException:
        result.close()
        raise
    return result
