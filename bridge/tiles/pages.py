"""Tiles on a device: a fixed number of pages, the least recently used given up first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from homunculus.bridge.tiles.boxes import box_means, cut
from homunculus.bridge.tiles.needs import TILE_PX
from homunculus.bridge.tiles.source import Key, Texels

RIM = 2  # texels of the neighbours on each side, as many as the page's own half level needs; as in shaders/pages.glsl
PAGE_PX = TILE_PX + 2 * RIM
PAGE_BYTES = 4 * (PAGE_PX**2 + (PAGE_PX // 2) ** 2)


class TexelBlock(NamedTuple):
    """Texels [h, w, 4] to be written into a layer of a level, from (top, left) on."""

    level: int
    layer: int
    top: int
    left: int
    texels: Texels


class Edges(NamedTuple):
    """The outermost texels of a tile, from which its neighbours' rims are made."""

    top: Texels  # [2, 256, 4]
    bottom: Texels
    left: Texels  # [256, 2, 4]
    right: Texels

    def towards(self, down: int, right: int) -> Texels:
        """What a neighbour on whose (down, right) side this tile lies has of it in its rim."""
        if down:
            band = self.top if down > 0 else self.bottom
            return band if right == 0 else band[:, :RIM] if right > 0 else band[:, -RIM:]
        return self.left if right > 0 else self.right


BESIDE = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


class Pages:
    """Which tile lies on which page.

    A page is a tile with a rim of 2 texels, and its own half level: one look-up and one trilinear fetch are a tap. Rims hold what the
    neighbours have where these are resident, and nothing elsewhere: whoever reads over a seam needs both tiles, and has both.

    put: writes blocks into the texture array that holds the pages.
    """

    def __init__(self, count: int, put: Callable[[Iterable[TexelBlock]], None]) -> None:
        self.count = count
        self.arrived = 0  # tiles so far
        self._put = put
        self._slots: OrderedDict[Key, int] = OrderedDict()  # least recently used first
        self._edges: dict[Key, Edges] = {}
        self._free = list(range(count - 1, -1, -1))

    def __contains__(self, key: Key) -> bool:
        return key in self._slots

    def __len__(self) -> int:
        return len(self._slots)

    def slot(self, key: Key) -> int | None:
        """The page on which a tile lies; None where it is not resident."""
        return self._slots.get(key)

    def touch(self, keys: Iterable[Key]) -> None:
        """The last of them is given up last."""
        for key in keys:
            if key in self._slots:
                self._slots.move_to_end(key)

    def admit(self, tiles: Mapping[Key, Texels], held: Collection[Key]) -> None:
        """Makes tiles [h, w, 4] resident, in the place of those least recently used. held: tiles that stay.

        There is room for as many as `count` less those of `held` that are resident already.
        """
        if not tiles:
            return
        for key, texels in tiles.items():
            self._slots[key] = self._vacant(held)
            self._edges[key] = _edges(texels)
        blocks: list[TexelBlock] = []
        for key, texels in tiles.items():
            page = self._page(key, texels)
            blocks += [
                TexelBlock(0, self._slots[key], 0, 0, page),
                TexelBlock(1, self._slots[key], 0, 0, box_means(page, 1)),
            ]
            blocks += self._rims_beside(key, tiles)
        self._put(blocks)
        self.arrived += len(tiles)

    def _vacant(self, held: Collection[Key]) -> int:
        if self._free:
            return self._free.pop()
        given_up = next(key for key in self._slots if key not in held)
        del self._edges[given_up]
        return self._slots.pop(given_up)

    def _page(self, key: Key, texels: Texels) -> Texels:
        page = np.zeros((PAGE_PX, PAGE_PX, 4), np.uint8)
        page[RIM : RIM + texels.shape[0], RIM : RIM + texels.shape[1]] = texels
        for down, right in BESIDE:
            edges = self._edges.get(_neighbour(key, down, right))
            if edges is not None:
                rows, columns = _span(down), _span(right)
                page[rows, columns] = edges.towards(down, right)
        return page

    def _rims_beside(self, key: Key, arriving: Mapping[Key, Texels]) -> Iterable[TexelBlock]:
        """What the neighbours that are resident already have of this tile in their rims."""
        for down, right in BESIDE:
            neighbour = _neighbour(key, down, right)
            if neighbour not in self._slots or neighbour in arriving:
                continue
            rim = np.ascontiguousarray(self._edges[key].towards(-down, -right))
            top, left = _span(-down).start, _span(-right).start
            yield TexelBlock(0, self._slots[neighbour], top, left, rim)
            yield TexelBlock(1, self._slots[neighbour], top // 2, left // 2, box_means(rim, 1))


def _neighbour(key: Key, down: int, right: int) -> Key:
    return key[0], key[1] + down, key[2] + right


def _span(side: int) -> slice:
    """The rows or columns of a page that a neighbour on that side fills."""
    return slice(*{-1: (0, RIM), 0: (RIM, RIM + TILE_PX), 1: (RIM + TILE_PX, PAGE_PX)}[side])


def _edges(texels: Texels) -> Edges:
    texels = cut(texels, TILE_PX, TILE_PX)
    bands = (texels[:RIM], texels[-RIM:], texels[:, :RIM], texels[:, -RIM:])
    return Edges(*(band.copy() for band in bands))
