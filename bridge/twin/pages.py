"""Taps of a picture in pages, in plain torch: what `pages.glsl` does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.tiles.needs import LEVEL_SLACK, TILE_PX
from homunculus.bridge.tiles.pages import RIM
from homunculus.bridge.tiles.table import COARSER_SHIFT, Table
from homunculus.bridge.twin.texels import Texels


class PageTexels:
    """Reads pages through a table. The fifth channel is 1 where a tap reads the level that it asks for."""

    layers = 1
    channels = 5

    def __init__(
        self, pages: Texels, table: Table, size: tuple[int, int], levels: tuple[int, int], origin: tuple[int, int]
    ) -> None:
        """size: (height, width) of the picture. levels: the finest that is read, and the coarsest. origin: (x, y) of what points are
        counted from."""
        self._finest, self.max_level = levels
        self._pages = pages
        device = pages.texels.device
        held = table.entries[table.entries[:, 1] >= 0].astype(np.int64)
        held = held[np.argsort(held[:, 0])]
        self._keys, self._values = (torch.from_numpy(held[:, axis].copy()).to(device) for axis in (0, 1))
        self._last = torch.tensor([size[1] - 1, size[0] - 1], dtype=torch.int64, device=device)
        self._origin = torch.tensor(origin, dtype=torch.int64, device=device)

    def fetch(self, layer: Tensor, points: Tensor, lod: Tensor) -> Tensor:
        """[N, M, 5]: points [N, M, 2] in level-0 pixels from the origin, one level of detail [N] for each M."""
        lod = lod.clamp(0, self.max_level)
        asked = (lod.detach() + LEVEL_SLACK).floor().long()
        level = asked.clamp(min=self._finest)
        shift = level[:, None] + (TILE_PX - 1).bit_length()
        base = self._origin >> shift
        last = (self._last >> shift) - base
        place = ((self._origin - (base << shift))[:, None] + points) / (1 << level)[:, None, None]
        steps = (place.detach() / TILE_PX).floor().clamp(min=-base[:, None], max=last[:, None])
        tile = base[:, None] + steps.long()
        page, coarser, found = self._entries(level[:, None] << 24 | tile[..., 1] << 12 | tile[..., 0])
        within = (tile & ((1 << coarser) - 1)[..., None]) * TILE_PX
        place = (within + place - steps * TILE_PX) / (1 << coarser)[..., None]
        place = place.clamp(-1, TILE_PX + 1) + RIM
        finer = (lod[:, None] - level[:, None] - coarser).clamp(min=0)
        texels = self._pages.fetch(page.reshape(-1), place.reshape(-1, 1, 2), finer.reshape(-1))
        texels = texels.reshape(*points.shape[:2], 4) * found[..., None]
        as_asked = (coarser == 0) & (level == asked)[:, None]
        return torch.cat([texels, as_asked[..., None].to(texels.dtype)], -1)

    def _entries(self, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Page, levels that it is above, and whether there is one, of tiles [N, M]."""
        index = torch.searchsorted(self._keys, keys).clamp(max=len(self._keys) - 1)
        found = self._keys[index] == keys
        entry = self._values[index] * found
        return entry & (1 << COARSER_SHIFT) - 1, entry >> COARSER_SHIFT, found
