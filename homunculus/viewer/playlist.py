"""What is looked at: pictures, folders of them, or the frames of a video or camera."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np

from homunculus.bridge.clips.video import CAMERA, read_video
from homunculus.bridge.errors import HomunculusError, ImageReadError
from homunculus.bridge.pictures.arrays import as_bytes
from homunculus.bridge.pictures.endings import HEIC, PICTURES, VIDEOS
from homunculus.bridge.pictures.entrance import Picture, picture
from homunculus.bridge.pictures.files import PictureFile, expanded, formats
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.slides.open import SLIDES, in_tiles, is_slide
from homunculus.bridge.tiles.source import TileSource
from homunculus.bridge.unit import TextureUnit
from homunculus.viewer.frames import Frames

Shown: TypeAlias = "Array | TileSource"  # a picture, uint8 [H, W, 3], or one in tiles


def size_of(shown: Shown) -> tuple[int, int]:
    """(height, width) in pixels."""
    return (shown.shape[0], shown.shape[1]) if isinstance(shown, np.ndarray) else shown.levels[0].size


def pyramid_of(unit: TextureUnit, shown: Shown) -> tuple[Pyramid, Array]:
    """The pyramid, and the picture or its overview, uint8 [h, w, 3]."""
    pyramid = unit.pyramid(shown)
    return pyramid, shown if isinstance(shown, np.ndarray) else pyramid.overview().numpy()


def listed(items: Sequence[Picture]) -> list[Picture]:
    """Files, PIL images and arrays in the order given; of a folder its pictures and videos by name, read as the folder was asked to be.

    Raises ImageReadError where there is none.
    """
    known = PICTURES | VIDEOS | (HEIC if "HEIF" in formats() else frozenset())
    found: list[Picture] = []
    for item in items:
        if not isinstance(item, str | os.PathLike):
            found.append(item)
        elif (folder := expanded(item)).is_dir() and not is_slide(item):
            inside = sorted(p for p in folder.iterdir() if p.suffix.lower() in known or p.name.lower().endswith(SLIDES))
            if not inside:
                raise ImageReadError(f"{folder} holds no picture; known endings: {', '.join(sorted(known))}")
            found += [replace(item, path=str(p)) if isinstance(item, PictureFile) else str(p) for p in inside]
        else:
            found.append(item if isinstance(item, PictureFile) else str(folder))
    if not found:
        raise ImageReadError("nothing to look at; give a picture, a folder, a video, or camera:0")
    return found


def moves(item: Picture) -> bool:
    """Whether it has frames rather than being one picture."""
    if not isinstance(item, str | os.PathLike):
        return False
    return bool(CAMERA.fullmatch(os.fspath(item))) or Path(item).suffix.lower() in VIDEOS


class Playlist:
    """A list of things to look at, and which of them is looked at now."""

    def __init__(self, items: Sequence[Picture]) -> None:
        self.items = listed(items)
        self.index = 0
        self._frames: Frames | None = None
        self._tiles: TileSource | None = None

    @property
    def name(self) -> str:
        return Path(self.told).name

    @property
    def told(self) -> str:
        """The path, or what it is where it has none."""
        item = self.items[self.index]
        return os.fspath(item) if isinstance(item, str | os.PathLike) else f"picture {self.index + 1}"

    def open(self) -> Shown:
        """The picture, or first frame, uint8 [H, W, 3]; or a slide, which stays open until `close`, or until another is opened.

        Raises ImageReadError and its kin.
        """
        item = self.items[self.index]
        tiles = in_tiles(item) if isinstance(item, str | os.PathLike) and not moves(item) else None
        self.close()
        if tiles is not None:
            self._tiles = tiles
            return tiles
        if not moves(item):
            return np.asarray(as_bytes(picture(item).detach()).cpu().numpy())
        self._frames = Frames(self.told)
        return self._frames.first()

    def step(self, by: int) -> Shown | None:
        """The next or the previous one; None where there is only one. Raises, and stays, where it cannot be read."""
        if len(self.items) < 2:
            return None
        before = self.index
        self.index = (self.index + by) % len(self.items)
        try:
            return self.open()
        except HomunculusError:
            self.index = before
            raise

    def frame(self) -> Array | None:
        """The newest frame of a video or camera, uint8 [H, W, 3], once."""
        return self._frames.next() if self._frames is not None else None

    @property
    def moves(self) -> bool:
        """Whether it is a video or camera."""
        return moves(self.items[self.index])

    def unpaced(self) -> Iterator[Array]:
        """The frames of a video file after its first, as fast as they are asked for; none comes by itself from now on."""
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        return _after_first(self.told) if self.moves and not CAMERA.fullmatch(self.told) else iter(())

    @property
    def ready(self) -> bool:
        return self._frames is not None and self._frames.ready

    def close(self) -> None:
        if self._frames is not None:
            self._frames.close()
            self._frames = None
        if self._tiles is not None:
            self._tiles.close()
            self._tiles = None


def _after_first(path: str) -> Iterator[Array]:
    with closing(read_video(path)) as frames:
        yield from (frame.image for frame in islice(frames, 1, None))
