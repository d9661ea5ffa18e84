"""The dyadic tree over a source: level l's texel is the mean of 2^l x 2^l pixels, whatever levels and tiles the file has."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

import numpy as np

from homunculus.bridge.errors import TileError
from homunculus.bridge.tiles.boxes import MOST_STEPS, box_means, cut, paste
from homunculus.bridge.tiles.cache import Cache
from homunculus.bridge.tiles.decoding import Decoding
from homunculus.bridge.tiles.needs import TILE_PX
from homunculus.bridge.tiles.source import Key, Texels, TileLevel, TileSource

TAIL_PX = 2048  # levels whose longer side is no longer are kept as a whole
CACHE_BYTES = 64 << 20


class TileTree:
    """Tiles of 256 px of every level: the file's own where it has that level on the grid, else exact means of the next finer one.

    Tiles are premultiplied RGBA, alpha the share of a texel's block that lies inside the picture. Safe from any thread.
    """

    def __init__(self, source: TileSource, cache_bytes: int = CACHE_BYTES) -> None:
        self.source = source
        self.size = source.levels[0].size
        self.max_level = max((max(self.size) - 1).bit_length(), 0)
        self.tail_level = max((-(-max(self.size) // TAIL_PX) - 1).bit_length(), 0)
        self.files = _dyadic(source.levels)
        self.cache = Cache(cache_bytes)
        self.reads = 0  # tiles of the file so far
        self.damaged: dict[Key, str] = {}  # what could not be read, and why
        self._lock = threading.Lock()
        self._decoding = Decoding()

    def size_at(self, level: int) -> tuple[int, int]:
        return -(-self.size[0] >> level), -(-self.size[1] >> level)

    def grid_at(self, level: int) -> tuple[int, int]:
        """(rows, columns) of a level's tiles."""
        height, width = self.size_at(level)
        return -(-height // TILE_PX), -(-width // TILE_PX)

    def tile(self, key: Key) -> Texels:
        """uint8 [h, w, 4], as large as its part of the level. Raises TileError where the file is damaged."""
        return self.cache.once(key, lambda: self._tile(key))

    def tiles(self, keys: Sequence[Key]) -> Iterator[tuple[Key, Texels | None]]:
        """Several, decoded side by side; None for those that are damaged, which `damaged` then names."""
        self.tail  # noqa: B018  (here, for a thread that waits for the others ends none of them)
        to_decode = [key for key in keys if key[0] < self.tail_level and key not in self.cache]
        if len(to_decode) < 2:
            to_decode = []
        decoded = dict(zip(to_decode, self._decoding.all(self._kept, to_decode), strict=True)) if to_decode else {}
        for key in keys:  # what is at hand waits for no thread
            yield key, decoded[key] if key in decoded else self._kept(key)

    def want(self, keys: Iterable[Key]) -> None:
        """Decodes these, in that order, while the caller goes on; what was wanted before and has not begun is forgotten."""
        self.tail  # noqa: B018
        self._decoding.want(self._kept, [key for key in keys if key not in self.cache])

    def settle(self) -> None:
        """Waits until all that is wanted has been read."""
        self._decoding.wait()

    @property
    def busy(self) -> bool:
        """Whether tiles that are wanted are still being decoded."""
        return self._decoding.busy

    @cached_property
    def tail(self) -> list[Texels]:
        """The levels from `tail_level` on, [h, w, 4] each; where the file is damaged they have holes."""
        level = self.tail_level
        rows, columns = self.grid_at(level)
        whole = np.zeros((*self.size_at(level), 4), np.uint8)
        keys = [(level, row, column) for row in range(rows) for column in range(columns)]
        made = self._decoding.all(lambda key: self._made(key, holes=True), keys)
        for (_, row, column), texels in zip(keys, made, strict=True):
            paste(whole, texels, row * TILE_PX, column * TILE_PX)
        levels = [whole]
        while max(levels[-1].shape[:2]) > 1:
            height, width = levels[-1].shape[:2]
            levels.append(box_means(cut(levels[-1], height + height % 2, width + width % 2), 1))
        return levels

    def close(self) -> None:
        """Ends what is being decoded. The source stays open: it is its owner's."""
        self._decoding.close()
        self.cache.clear()

    def _kept(self, key: Key) -> Texels | None:
        try:
            return self.tile(key)
        except TileError as error:
            self.damaged[key] = str(error)
            return None

    def _tile(self, key: Key) -> Texels:
        level, row, column = key
        if level < self.tail_level:
            return self._made(key)
        top, left = row * TILE_PX, column * TILE_PX
        return np.ascontiguousarray(self.tail[level - self.tail_level][top : top + TILE_PX, left : left + TILE_PX])

    def _made(self, key: Key, holes: bool = False) -> Texels:
        """From the file's own level, or its means where the file has none. holes: whether what is damaged is left out."""
        level, row, column = key
        height, width = self.size_at(level)
        height, width = min(TILE_PX, height - row * TILE_PX), min(TILE_PX, width - column * TILE_PX)
        below = max(one for one in self.files if one <= level)
        steps = level - below
        if steps > MOST_STEPS:
            return box_means(self._square(level - MOST_STEPS, row, column, (height, width), holes), MOST_STEPS)
        corner = row * TILE_PX << steps, column * TILE_PX << steps
        return box_means(self._region(below, corner, (height << steps, width << steps), holes), steps)

    def _square(self, level: int, row: int, column: int, size: tuple[int, int], holes: bool) -> Texels:
        """What a tile of (height, width) three levels up is the mean of: 8 x 8 tiles of this level."""
        square = np.zeros((size[0] << MOST_STEPS, size[1] << MOST_STEPS, 4), np.uint8)
        rows, columns = self.grid_at(level)
        for down in range(min(1 << MOST_STEPS, rows - (row << MOST_STEPS))):
            for right in range(min(1 << MOST_STEPS, columns - (column << MOST_STEPS))):
                texels = self._made((level, (row << MOST_STEPS) + down, (column << MOST_STEPS) + right), holes)
                paste(square, texels, down * TILE_PX, right * TILE_PX)
        return square

    def _region(self, level: int, corner: tuple[int, int], size: tuple[int, int], holes: bool) -> Texels:
        """[height, width, 4] from (top, left) of a level that the file has, with nothing beyond the picture."""
        held, (top, left) = self.source.levels[self.files[level]], corner
        tall, wide = held.tile
        if (top % tall, left % wide) == (0, 0) and size == held.tile:
            texels = self._file_tile(level, top // tall, left // wide, holes)
        else:
            texels = np.zeros((*size, 4), np.uint8)
            for row in range(top // tall, -(-min(top + size[0], held.size[0]) // tall)):
                for column in range(left // wide, -(-min(left + size[1], held.size[1]) // wide)):
                    paste(texels, self._file_tile(level, row, column, holes), row * tall - top, column * wide - left)
        return self._ended(level, texels, top, left)

    def _ended(self, level: int, texels: Texels, top: int, left: int) -> Texels:
        """With the last row and column weighted by how much of them lies in the picture.

        Where the file has left them out, they repeat the texels beside them.
        """
        for axis, start in enumerate((top, left)):
            last = self.size_at(level)[axis] - 1 - start
            share = (self.size[axis] - 1 & (1 << level) - 1) + 1
            missing = self.source.levels[self.files[level]].size[axis] == self.size_at(level)[axis] - 1
            if not 0 <= last < texels.shape[axis] or (not missing and share == 1 << level):
                continue
            texels = texels.copy()
            lines = texels.swapaxes(0, axis)
            if missing and last:
                lines[last] = lines[last - 1]
            lines[last] = np.rint(lines[last] * (share / (1 << level)))
        return texels

    def _file_tile(self, level: int, row: int, column: int, holes: bool) -> Texels:
        """One of the file's own tiles as [h, w, 4], full size, opaque; transparent where there is nothing."""
        index = self.files[level]
        held = self.source.levels[index]

        def decoded() -> Texels:
            full = np.zeros((*held.tile, 4), np.uint8)
            pixels = self.source.read(index, row, column)
            with self._lock:
                self.reads += 1
            if pixels is not None:
                full[: pixels.shape[0], : pixels.shape[1], :3] = pixels
                full[: pixels.shape[0], : pixels.shape[1], 3] = 255
            return full

        try:
            return self.cache.once((~index, row, column), decoded)
        except TileError as error:
            self.damaged[level, row, column] = str(error)
            if not holes:
                raise
            return np.zeros((*held.tile, 4), np.uint8)


def _dyadic(levels: Sequence[TileLevel]) -> dict[int, int]:
    """By level of the tree, which of the file's levels it is: those whose last texel is off by half of one at most."""
    found: dict[int, int] = {}
    for index, level in enumerate(levels):
        step = max(round(np.log2(level.scale[0])), 0)
        exact = [-(-side >> step) for side in levels[0].size]
        off = [abs(scale / 2**step - 1) * side for scale, side in zip(level.scale, reversed(level.size), strict=True)]
        short = [side - own for side, own in zip(exact, level.size, strict=True)]
        if max(off) <= 0.5 and set(short) <= {0, 1} and step not in found:
            found[step] = index
    return found
