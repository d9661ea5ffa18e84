"""The statistics of an image by one compute dispatch, reduced like any pyramid."""

from __future__ import annotations

from homunculus.bridge.checks import check_level
from homunculus.bridge.errors import ImageTooLargeError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.builders import reduce
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import INTERNAL_FORMATS, GLPyramid, TexturePool
from homunculus.bridge.statistics import LAYERS, SURROUND_LEVELS, TILE_HEIGHT, TILE_WIDTH, defines
from homunculus.bridge.unit import Stats


def statistics(context: Context, pool: TexturePool, stats: Stats, pyramid: GLPyramid, level: int) -> GLPyramid:
    """The statistics pyramid of the texels of one level. Runs on the context's thread."""
    texture = pyramid.texture
    check_level(level, pyramid.max_level)
    if LAYERS * pyramid.layers > context.limits.layers:
        raise ImageTooLargeError(
            f"the statistics of {pyramid.layers} images need {LAYERS * pyramid.layers} layers; "
            f"this device allows {context.limits.layers} layers a texture. Split the batch"
        )
    height, width = (-(-side >> level) for side in pyramid.size)
    max_level = pyramid.max_level - level
    result = GLPyramid(context, pool, (height, width), LAYERS * pyramid.layers, "rgba32f", "exact", max_level)
    try:
        program = context.program("statistics.comp", defines())
        program["level"] = level
        program["surround"] = min(level + SURROUND_LEVELS, pyramid.max_level)
        program["inside"] = (width, height)
        texture.use()
        context.gl.glBindImageTexture(0, result.texture.name, 0, 1, 0, gl.WRITE_ONLY, INTERNAL_FORMATS["rgba32f"])
        columns, rows = -(-result.padded_size[1] // TILE_WIDTH), -(-result.padded_size[0] // TILE_HEIGHT)
        program.run(columns, rows, pyramid.layers)
        context.moderngl.memory_barrier()
        stats.dispatches += 1 + reduce(context, result.texture, max_level)
        context.check(f"measuring the statistics of {pyramid!r}")
    except BaseException:
        result.close()
        raise
    return result
