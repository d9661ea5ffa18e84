"""The statistics of an image by one compute dispatch; levels above what it writes are made when somebody asks for one of them."""

from __future__ import annotations

from torch import Tensor

from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.builders import reduce
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import INTERNAL_FORMATS, GLPyramid, Texture
from homunculus.bridge.law import Quality
from homunculus.bridge.patches import Stats
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent
from homunculus.bridge.statistics import SURROUND_LEVELS, TILE_HEIGHT, TILE_WIDTH, defines


class StatisticsPyramid(GLPyramid):
    """Level 0 is there; the others once one of them is read or sampled: relevance reads level 0 alone, and they cost a fifth of it."""

    def __init__(
        self, context: Context, pool: Pool[Texture], size: tuple[int, int], extent: Extent, stats: Stats
    ) -> None:
        super().__init__(context, pool, size, extent)
        self._stats = stats
        self._reduced = False

    def reach(self, plan: SamplePlan, quality: Quality, *, slopes: bool = False) -> None:
        self._complete(0)

    def _complete(self, finest: int) -> None:
        if not self._reduced:
            self._stats.dispatches += reduce(self.context, self.held, self.max_level, range(self.layers))
            self.context.check(lambda: f"reducing {self!r}")
            self._reduced = True

    def _level(self, level: int) -> Tensor:
        return super()._level(level) if level else self.context.call(lambda: self.held.read(0))


def statistics(pool: Pool[Texture], stats: Stats, pyramid: GLPyramid, level: int, extent: Extent) -> GLPyramid:
    """The statistics pyramid of the texels of one level. Runs on the context's thread."""
    context, texture = pyramid.context, pyramid.texture_from(level)
    result = StatisticsPyramid(context, pool, pyramid.size_at(level), extent, stats)
    try:
        program = context.program("statistics.comp", defines())
        program["level"] = level
        program["surround"] = min(level + SURROUND_LEVELS, pyramid.max_level)
        program["inside"] = result.size[::-1]
        texture.use()
        context.gl.glBindImageTexture(0, result.held.name, 0, 1, 0, gl.WRITE_ONLY, INTERNAL_FORMATS[extent.format])
        columns, rows = -(-result.padded_size[1] // TILE_WIDTH), -(-result.padded_size[0] // TILE_HEIGHT)
        program.run(columns, rows, pyramid.layers)
        context.moderngl.memory_barrier()
        stats.dispatches += 1
        context.check(lambda: f"measuring the statistics of {pyramid!r}")
    except BaseException:
        result.close()
        raise
    return result
