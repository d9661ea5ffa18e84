"""What a session looks at, as the unit has it: a pyramid, into which the frames of a video are written, and a clip of the last of them."""

from __future__ import annotations

from torch import Tensor

from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.viewer.playlist import Shown, pyramid_of

FRAMES = 16  # of a clip, and the longest duration


class OnView:
    """shown: the picture, or one in tiles; picture: it or its overview, uint8 [h, w, 3]. number: another for every picture and frame.

    clip: None unless it is asked for, and of what is in tiles. Used on the unit's thread.
    """

    def __init__(self, unit: TextureUnit, shown: Shown) -> None:
        self.unit, self.shown, self.number = unit, shown, 0
        self.pyramid, self.picture = pyramid_of(unit, shown)
        self.clip: Clip | None = None
        self._refused = False  # a clip of this size
        self._coarse: tuple[int, Tensor] | None = None

    def show(self, shown: Shown) -> None:
        """Another picture. Raises, and keeps the old one, where it cannot be shown."""
        pyramid, picture = pyramid_of(self.unit, shown)
        self.close()
        self.pyramid, self.picture, self.shown = pyramid, picture, shown
        self.number += 1
        self._refused = False

    def see(self, frame: Array) -> None:
        """The next frame, uint8 [H, W, 3], in the place of the one before it."""
        if frame.shape[:2] != self.pyramid.size or isinstance(self.pyramid, PagedPyramid):
            self.show(frame)
            return
        self.pyramid.write(0, frame)
        self.picture = self.shown = frame
        self.number += 1
        if self.clip is not None:
            self.clip.push(frame)

    def remember(self, wanted: bool) -> None:
        """Keeps a clip, which begins with the present frame, or none. Raises, once for a picture, where there is no room for it."""
        if not wanted:
            self._forget()
            self._refused = False
        elif self.clip is None and not self._refused and not isinstance(self.pyramid, PagedPyramid):
            try:
                self.clip = self.unit.clip(self.pyramid.size, FRAMES)
                self.clip.push(self.picture)
            except HomunculusError:
                self._refused = True
                self._forget()
                raise

    @property
    def coarse(self) -> Tensor | None:
        """Of the clip's frames, as an allocator takes them."""
        if self.clip is None:
            return None
        if self._coarse is None or self._coarse[0] != self.number:
            self._coarse = self.number, self.clip.coarse
        return self._coarse[1]

    def _forget(self) -> None:
        if self.clip is not None:
            self.clip.close()
        self.clip, self._coarse = None, None

    def close(self) -> None:
        self._forget()
        self.pyramid.close()
