"""A pyramid of which only what is looked at is on the device."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor

from homunculus.bridge.checks import gone
from homunculus.bridge.errors import ImageError, ImageTooLargeError
from homunculus.bridge.law import Quality
from homunculus.bridge.plan import SamplePlan, itself, rows_of
from homunculus.bridge.pyramid import Extent, Pyramid, as_opaque
from homunculus.bridge.room import room
from homunculus.bridge.tiles.boxes import cut
from homunculus.bridge.tiles.needs import TILE_PX, tiles_read, widest_texels
from homunculus.bridge.tiles.pages import PAGE_BYTES, PAGE_PX, Pages, TexelBlock
from homunculus.bridge.tiles.reads import TapBoxes, taps
from homunculus.bridge.tiles.source import Key, TileSource
from homunculus.bridge.tiles.table import Table, table
from homunculus.bridge.tiles.tree import TAIL_PX, TileTree
from homunculus.bridge.values import whole

BUDGET_BYTES = 128 << 20
LEAST_A_LEVEL = 9  # tiles that one fixation's tokens read of a level: a square of 480 texels
UPLOAD_BYTES = 4 << 20  # at most so much in a call that does not wait
NARROW_TEXELS = TILE_PX - 8  # what is no wider lies on 2 x 2 tiles
CALM = 0.85  # share of the pages that a plan may need before its finest level is read again

Write = Callable[[Pyramid, Iterable[TexelBlock]], None]
Fetched = Callable[[SamplePlan], SamplePlan]


class PagedPyramid(Pyramid):
    """The pyramid of a `TileSource`: pages on the device, the tree on the host. Made by `TextureUnit.pyramid`.

    store: the backend's own pyramid of two levels, whose layers are the pages. tail: gives the levels of at most 2048 px as a pyramid
    of that backend, for those who read whole levels; made when it is first asked for.
    note: what a plan did not get, empty if nothing. damaged: tiles (level, row, column) that could not be read, and why.
    """

    def __init__(self, tree: TileTree, store: Pyramid, write: Write, tail: Callable[[], Pyramid]) -> None:
        extent = Extent(*tree.size, 1, tree.max_level + 1, store.format)
        super().__init__(store.home, tree.size, extent, "tiles")
        self.tree, self.store = tree, store
        self.pages = Pages(store.layers, lambda blocks: write(store, blocks))
        self.table = table([], self.pages.slot)
        self.note = ""
        self._make_tail = tail
        self._tail: Pyramid | None = None
        self._lock = threading.RLock()
        self.finest_level = 0  # nothing finer is read by the plan at hand
        self._state: tuple[tuple[Key, ...], int] = ((), -1)
        self._rows: Tensor | None = None  # of the last plan, and how they were read
        self._how: tuple[object, ...] = ()
        self._kept: list[Key] = []
        self._narrow = False
        self._closed = False

    @property
    def damaged(self) -> dict[Key, str]:
        return self.tree.damaged

    @property
    def tail_level(self) -> int:
        """The finest level that is kept as a whole."""
        return self.tree.tail_level

    @property
    def tail(self) -> Pyramid:
        """The levels from `tail_level` on as an ordinary pyramid: its level 0 is this one's `tail_level`."""
        self._check()
        with self._lock:
            if self._tail is None:
                self._tail = self._make_tail()
            return self._tail

    @contextmanager
    def resident(
        self, plan: SamplePlan, quality: Quality, wait: bool = True, fetched: Fetched = itself
    ) -> Iterator[None]:
        """Inside the block the tiles of the plan are on their pages, but for damaged ones, and none of them is given up.

        wait=False: what is decoded already, up to 4 MiB of it; the rest is decoded meanwhile. fetched: gives a plan whose rows lie on a
        device with rows on the host; called for one that is not the last one again.
        """
        self._check()
        with self._lock:
            tiles = self._tiles(plan, quality, fetched)
            missing = [key for key in tiles if key not in self.pages]
            if missing and wait:
                self._admit(missing, tiles)
            elif missing:
                self.tree.want(missing)
                at_hand = [key for key in missing if key in self.tree.cache or key[0] >= self.tail_level]
                self._admit(at_hand[: UPLOAD_BYTES // PAGE_BYTES], tiles)
            self.pages.touch(reversed(tiles))
            self.table = self._table(tiles)
            yield

    def variant(self, plan: SamplePlan) -> dict[str, int]:
        """How pages.glsl looks up the tiles of the plan that is resident."""
        stand_ins = not self.table.whole
        return {"NARROW": int(self._narrow and not plan.warped and not stand_ins), "STAND_INS": int(stand_ins)}

    def uniforms(self, plan: SamplePlan) -> dict[str, float | tuple[float, float]]:
        """What sample.comp is told of the plan that is resident, by its names; the table apart."""
        return {
            "scale": (1.0, 1.0),
            "max_level": self.max_level,
            "table_spread": self.table.spread,
            "table_shift": self.table.shift,
            "finest_level": self.finest_level,
            "origin": plan.origin,
            "last_texel": (self.size[1] - 1, self.size[0] - 1),
        }

    def want(self, plan: SamplePlan, quality: Quality = "high") -> None:
        """Begins to decode what a plan will need, coarse tiles first, then those nearest to its smallest token. The newest wish counts."""
        self._check()
        with self._lock:
            tiles = self._tiles(plan, quality)
        nearest = plan.centers[int(plan.area_px.argmin())].tolist()

        def distance(key: Key) -> tuple[int, float]:
            x, y = ((index + 0.5) * (TILE_PX << key[0]) for index in (key[2], key[1]))
            return -key[0], (x - nearest[0]) ** 2 + (y - nearest[1]) ** 2

        self.tree.want(sorted((key for key in tiles if key not in self.pages), key=distance))

    def overview(self, longest_px: int = TAIL_PX) -> Tensor:
        level = max(self._overview_level(longest_px), self.tail_level)
        texels = self.tree.tail[level - self.tail_level]
        picture, partly = torch.from_numpy(texels[..., :3].copy()), torch.from_numpy(texels[..., 3] < 255)
        picture[partly] = as_opaque(torch.from_numpy(texels)[partly].float() / 255)
        return picture

    def close(self) -> None:
        """Lets pages and tail go; the source is its owner's."""
        with self._lock:
            self._closed = True
            self.tree.close()
            self.store.close()
            if self._tail is not None:
                self._tail.close()

    def _tiles(self, plan: SamplePlan, quality: Quality, fetched: Fetched = itself) -> list[Key]:
        """The tiles of the plan that can be resident at once; those of the last one, where it is that one, and as it was."""
        rows = rows_of(plan)
        version = -1 if rows.is_inference() else rows._version
        how = version, plan.patch_size, plan.origin, quality
        if self._rows is not rows or self._how != how or version < 0:
            found = taps(fetched(plan))
            self._kept = self._fitting(found, quality)
            self._narrow = not plan.warped and widest_texels(found, self.max_level, quality) < NARROW_TEXELS
            self._rows, self._how = rows, how
        return self._kept

    def _table(self, tiles: list[Key]) -> Table:
        """The table of these tiles: the last one, where it is of the same tiles and none has come or gone since."""
        state = (tuple(tiles), self.pages.arrived)
        if self._state != state:
            self._state = state
            return table(tiles, self.pages.slot)
        return self.table

    def _check(self) -> None:
        if self._closed:
            raise gone(self)

    def _admit(self, missing: list[Key], tiles: list[Key]) -> None:
        """Reads tiles and makes them resident; for what is damaged the tile above it, as far as there is one."""
        held = {*tiles}
        while missing:
            found = dict(self.tree.tiles(missing))
            whole = {key: texels for key, texels in found.items() if texels is not None}
            self.pages.admit(whole, held)
            above = {(level + 1, row // 2, column // 2) for level, row, column in found.keys() - whole.keys()}
            missing = sorted(key for key in above if key[0] <= self.max_level and key not in self.pages)
            missing = missing[: max(self.pages.count - len(held), 0)]

    def _fitting(self, found: TapBoxes, quality: Quality) -> list[Key]:
        """The tiles that these taps read, coarse first. Where they need more than there are pages the finest level is left out, and
        read again only once 85 % do: or it would come and go with every step of an eye."""
        finest = self.finest_level
        tiles = self._read_by(found, quality, finest)
        while len(tiles) > self.pages.count and finest < self.max_level:
            finest += 1
            tiles = self._read_by(found, quality, finest)
        while 0 < finest <= self.finest_level:
            finer = self._read_by(found, quality, finest - 1)
            if len(finer) > CALM * self.pages.count:
                break
            finest, tiles = finest - 1, finer
        self.finest_level = finest
        self.note = (
            ""
            if finest == 0
            else (
                f"the plan needs more than the {self.pages.count} pages of its budget; nothing finer than level {finest} is read"
            )
        )
        return tiles

    def _read_by(self, found: TapBoxes, quality: Quality, finest: int) -> list[Key]:
        read = tiles_read(found, self.size, self.max_level, quality, finest)
        tiles = [(level, row, column) for level, row, column in read.tolist()]
        top = (self.max_level, 0, 0)  # what is read where nothing finer is there
        return tiles if tiles[:1] == [top] else [top, *tiles]

    def tail_index(self, level: int) -> int:
        """Which of the tail's levels a level is. Raises ImageError for a finer one."""
        if level < self.tail_level:
            raise ImageError(
                f"level {level} of {self.tree.source.name} is never read as a whole; levels from {self.tail_level} on are. Sample what "
                "is looked at, or call overview()"
            )
        return level - self.tail_level

    def _level(self, level: int) -> Tensor:
        return self.tail.level(self.tail_index(level))


class Writes(Protocol):
    """What of a `TextureUnit` holds pages."""

    @property
    def most_layers(self) -> int | None: ...

    def blank(self, size: tuple[int, int], extent: Extent) -> Pyramid: ...
    def write(self, pyramid: Pyramid, blocks: Iterable[TexelBlock]) -> None: ...


def paged(unit: Writes, source: TileSource, budget_bytes: int) -> PagedPyramid:
    """The pyramid of a source on a unit, with as many pages as the budget buys. Raises ImageError for too small a budget."""
    tree = TileTree(source)
    count = page_count(tree, whole("budget_bytes", budget_bytes, refusal=ImageError), unit.most_layers)
    with room(
        ImageTooLargeError, lambda: f"{count} pages of {PAGE_BYTES} bytes find no memory; give a smaller budget_bytes"
    ):
        store = unit.blank((PAGE_PX, PAGE_PX), Extent(PAGE_PX, PAGE_PX, count, 2, "rgba8"))

    def tail() -> Pyramid:
        levels = len(tree.tail)
        size = tree.size_at(tree.tail_level)
        height, width = (-(-side >> levels - 1) << levels - 1 for side in size)
        pyramid = unit.blank(size, Extent(height, width, 1, levels, "rgba8"))
        whole_levels = (cut(texels, height >> level, width >> level) for level, texels in enumerate(tree.tail))
        unit.write(pyramid, (TexelBlock(level, 0, 0, 0, texels) for level, texels in enumerate(whole_levels)))
        return pyramid

    return PagedPyramid(tree, store, unit.write, tail)


def page_count(tree: TileTree, budget_bytes: int, most_layers: int | None) -> int:
    """How many pages a budget buys, and no more than there are tiles. Raises ImageError for fewer than one fixation reads."""
    total = sum(math.prod(tree.grid_at(level)) for level in range(tree.max_level + 1))
    count = min(budget_bytes // PAGE_BYTES, total)
    least = min(total, LEAST_A_LEVEL * (tree.tail_level + 1) + tree.max_level)
    if count < least:
        raise ImageError(
            f"budget_bytes is {budget_bytes}; the tokens of one fixation read {least} tiles of {tree.source.name}, of {PAGE_BYTES} bytes "
            f"each: give at least {least * PAGE_BYTES}"
        )
    return count if most_layers is None else min(count, most_layers)
