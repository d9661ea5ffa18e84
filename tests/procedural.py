"""A picture of any size that nobody holds: every pixel, and the mean of every block of pixels, is a formula."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from homunculus.bridge.tiles.source import Texels, TileLevel

TILE_PX = 256


class Waves:
    """A `TileSource` with all its levels: cosines along x, along y and along both, a period for each colour. reads: what was asked for."""

    name = "waves"

    def __init__(self, size: tuple[int, int], periods_px: tuple[float, float, float] = (97.0, 1801.0, 31013.0)) -> None:
        self.size, self.periods_px = size, periods_px
        self.fingerprint = f"waves {size} {periods_px}"
        count = (max(size) - 1).bit_length() + 1
        self.levels = [
            TileLevel((-(-size[0] >> level), -(-size[1] >> level)), (TILE_PX, TILE_PX), (2.0**level, 2.0**level))
            for level in range(count)
        ]
        self.reads: list[tuple[int, int, int]] = []

    def read(self, level: int, row: int, column: int) -> Texels | None:
        self.reads.append((level, row, column))
        height, width = self.levels[level].size
        rows = np.arange(row * TILE_PX, min((row + 1) * TILE_PX, height))
        columns = np.arange(column * TILE_PX, min((column + 1) * TILE_PX, width))
        return self.means(level, rows[:, None], columns[None, :])

    def means(self, level: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Texels:
        """Bytes [..., 3] of texels of a level: means over the part of their block that lies in the picture."""
        x, y = (
            [_mean(at * 2.0**level, np.minimum((at + 1) * 2.0**level, side), period) for period in self.periods_px]
            for at, side in ((columns, self.size[1]), (rows, self.size[0]))
        )
        waves = [0.5 + 0.25 * (along + across) for along, across in zip(x, y, strict=True)]
        return np.rint(np.stack(np.broadcast_arrays(*waves), -1) * 255).astype(np.uint8)

    def close(self) -> None:
        """Nothing is held."""


def _mean(start: NDArray[np.float64], end: NDArray[np.float64], period: float) -> NDArray[np.float64]:
    """Of a cosine from start to end."""
    turn = 2 * np.pi / period
    return (np.sin(turn * end) - np.sin(turn * start)) / (turn * (end - start))
