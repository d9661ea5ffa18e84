"""Pictures that are looked at without being read whole: tiles, and pyramids that are open already."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

from homunculus.bridge.errors import ImageError
from homunculus.bridge.patches import Patches
from homunculus.bridge.pictures.entrance import Picture
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.slides.open import in_tiles
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.source import TileSource, is_source

if TYPE_CHECKING:
    from typing_extensions import TypeIs

# What can be looked at.
Looked: TypeAlias = "Picture | TileSource | Pyramid"
MOST_TOLD = 20  # damaged tiles that are named


def is_tiled(image: Any) -> TypeIs[TileSource | Pyramid]:
    """Whether a picture is looked at where it lies, and not read whole."""
    return isinstance(image, Pyramid) or is_source(image)


def opened(image: Looked, stack: ExitStack) -> Looked:
    """A path of a slide as its tiles, open as long as the stack; anything else as it is."""
    tiles = in_tiles(image) if isinstance(image, str | os.PathLike) else None
    return image if tiles is None else stack.enter_context(tiles)


def check_single(pyramid: Pyramid) -> Pyramid:
    """Raises ImageError for a batch."""
    if pyramid.layers != 1:
        raise ImageError(
            f"the pyramid holds {pyramid.layers} pictures; give one of a single picture, or the pictures themselves"
        )
    return pyramid


def name_of(image: TileSource | Pyramid) -> str | None:
    """What a source calls itself."""
    if isinstance(image, Pyramid):
        return image.tree.source.name if isinstance(image, PagedPyramid) else None
    return image.name


def reads_of(pyramid: Pyramid) -> int:
    """How many of a source's tiles have been read."""
    return pyramid.tree.reads if isinstance(pyramid, PagedPyramid) else 0


def tiles_of(pyramid: Pyramid, reads_before: int, patches: Sequence[Patches]) -> dict[str, Any]:
    """What look.json says of the tiles; empty for a pyramid that has none."""
    if not isinstance(pyramid, PagedPyramid):
        return {}
    source, damaged = pyramid.tree.source, pyramid.damaged
    shares = [float(one.resident.mean()) for one in patches if one.resident is not None]
    return {
        "source": source.name,
        "fingerprint": source.fingerprint,
        "levels": [[*level.size, *level.scale] for level in source.levels],
        "tail_level": pyramid.tail_level,
        "pages": pyramid.pages.count,
        "read": pyramid.tree.reads - reads_before,
        "resident": min(shares, default=1.0),
        "note": pyramid.note,
        "damaged": [{"tile": list(key), "reason": damaged[key]} for key in sorted(damaged)[:MOST_TOLD]],
        "damaged_in_all": len(damaged),
    }


def remarks_of(tiles: dict[str, Any]) -> list[str]:
    """What of it the caller might not expect."""
    if not tiles:
        return []
    told = [tiles["note"]] if tiles["note"] else []
    if tiles["damaged_in_all"]:
        first = tiles["damaged"][0]["reason"]
        told.append(f"{tiles['damaged_in_all']} tiles are damaged and were read from coarser levels: {first}")
    return told
