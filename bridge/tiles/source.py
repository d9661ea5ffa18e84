"""Where tiles come from: a file, an array, a procedure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Texels: TypeAlias = NDArray[np.uint8]
Key: TypeAlias = tuple[int, int, int]  # level, row, column of a tile

MOST_PX = 1 << 20  # along a side: what a page's key and a plan's whole-number origin hold with room to spare


class TileLevel(NamedTuple):
    """One level of a source, as it lies in the file.

    size, tile: (height, width) in pixels of this level; tiles at the right and lower edge are as large as is left of the level.
    scale: (x, y), pixels of level 0 along one pixel of this level; (1, 1) for level 0.
    """

    size: tuple[int, int]
    tile: tuple[int, int]
    scale: tuple[float, float] = (1.0, 1.0)


class TileSource(Protocol):
    """A picture as tiles. `read` is pure and may be called from any thread; a source in a file pickles by its path.

    name: what messages call it.
    levels: finest first; the first is the picture itself.
    fingerprint: changes where the picture does.
    """

    @property
    def name(self) -> str: ...
    @property
    def levels(self) -> Sequence[TileLevel]: ...
    @property
    def fingerprint(self) -> str: ...

    def read(self, level: int, row: int, column: int) -> Texels | None:
        """One tile, uint8 [h, w, 3], cut to its level; None where the source holds nothing there (transparent).

        Raises TileError for a tile that is damaged, ImageReadError for a file that is another one than when it was opened, and
        ClosedError after `close`.
        """

    def close(self) -> None:
        """Lets the file go. Idempotent."""


def is_source(picture: Any) -> TypeIs[TileSource]:
    """Whether something offers what a `TileSource` does."""
    return all(hasattr(picture, name) for name in ("levels", "fingerprint", "read", "close"))


def scale_of(size: tuple[int, int], whole: tuple[int, int]) -> tuple[float, float]:
    """(x, y), the scale of a level of that (height, width) as the sizes say; whole: of level 0."""
    return whole[1] / size[1], whole[0] / size[0]


def grid(level: TileLevel) -> tuple[int, int]:
    """(rows, columns) of a level's tiles."""
    return -(-level.size[0] // level.tile[0]), -(-level.size[1] // level.tile[1])
