"""One browser's view: its session, what its page says, and the next frame for it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image

from homunculus.bridge.errors import DataError
from homunculus.viewer import keys
from homunculus.viewer.controls import controls, put
from homunculus.viewer.hand import Hand
from homunculus.viewer.redraw import Redraw
from homunculus.viewer.serving.messages import REMEDY, Inbox, Message
from homunculus.viewer.session import Session

QUALITY = 85
VALUES_S = 0.2
MOST_PX = 1920 * 1200  # of a canvas: what is drawn on software has to be sent and decoded, too


@dataclass(frozen=True, eq=False)
class ServedFrame:
    """jpeg: the canvas; None where nothing on it differs. values: of the controls by name, None where one is not there. title: what is
    looked at."""

    jpeg: bytes | None
    values: dict[str, Any]
    title: str


class Screen:
    """`inbox` may be filled on any thread; the rest is used on one of its own, and goes to the unit's for what touches the session.

    fixed: whether the canvas keeps the session's size whatever the page asks for.
    """

    def __init__(self, session: Session, *, fixed: bool) -> None:
        self.session, self._fixed = session, fixed
        session.help = keys.rows()
        if session.following.player.playing:
            session.following.play()  # from when somebody sees it
        self.inbox = Inbox()
        self._hand, self._redraw = Hand(), Redraw()
        self._controls = controls()
        self._again, self._sized, self._closed = True, fixed, False
        self._values: dict[str, Any] = {}
        self._read = replace(session.state, fixations=()), 0.0

    @property
    def closing(self) -> bool:
        """Whether whoever looks has left."""
        return self.session.closing

    def described(self) -> dict[str, Any]:
        """What a page needs before the first frame, in JSON types."""
        rows = [
            {
                "name": one.name,
                "title": one.title,
                "kind": one.kind,
                "section": one.section,
                "bounds": one.bounds,
                "by_ratio": one.by_ratio,
                "options": list(one.options),
                "enter": one.enter,
            }
            for one in self._controls
        ]
        return {"controls": rows, "keys": keys.rows(), "fixed": self._fixed, "most_px": MOST_PX}

    def draw_again(self) -> None:
        """The next frame is drawn whether or not it differs: a page that has come back has none."""
        self._again = True

    def frame(self) -> ServedFrame | None:
        """The present moment, or None where nothing differs from the last. Raises DataError for a message that cannot be meant."""
        pixels, told = self.session.unit.context.thread.call(self._drawn)
        if pixels is None:
            return ServedFrame(None, self._values, self.session.source.name) if told else None
        start = perf_counter()
        jpeg = encoded(pixels)
        self.session.timings_ms["encode"] = 1000 * (perf_counter() - start)
        return ServedFrame(jpeg, self._values, self.session.source.name)

    def _drawn(self) -> tuple[np.ndarray[Any, Any] | None, bool]:
        """The canvas, where it differs, and whether there are newer values."""
        session = self.session
        if self._closed:
            return None, False
        for one in self.inbox.take():
            self._do(one)
        if session.closing or not self._sized:
            return None, False
        if not (self._again or self._redraw.differs(session)):
            return None, self._told()
        session.frame()
        start = perf_counter()
        pixels = session.canvas.read().numpy()
        session.timings_ms["read"] = 1000 * (perf_counter() - start)
        self._redraw.keep(session)
        self._again = False
        return pixels, self._told()

    def _told(self) -> bool:
        """Reads the controls anew. Where the gaze alone has moved, now and then: the law's constant that fits it takes 4 ms to find."""
        state, (before, read_s) = self.session.state, self._read
        settings = replace(state, fixations=())
        if state == before or (settings == replace(before, fixations=()) and perf_counter() - read_s < VALUES_S):
            return False
        self._values = {one.name: one.read(self.session) if one.when(state) else None for one in self._controls}
        self._read = state, perf_counter()
        return True

    def _do(self, said: Message) -> None:
        session, hand, kind = self.session, self._hand, said["kind"]
        if "x" in said and kind != "move":
            hand.place = said["x"], said["y"]
        event = None
        if kind == "move":
            event = hand.move((said["x"], said["y"]))
        elif kind == "press":
            event = hand.press(said["button"], shift=said["shift"])
        elif kind == "release":
            hand.release(said["button"])
        elif kind == "wheel":
            event = hand.turn(said["turns"])
        elif kind == "key":
            event = hand.key(said["name"])
        elif kind == "type":
            event = hand.type(said["letter"], typing=session.state.typing)
        elif kind == "size":
            self._resize((said["height"], said["width"]), said["scale"])
        else:
            self._put(said["name"], said["value"])
        if event is not None:
            keys.dispatch(session, event)

    def _put(self, name: Any, value: Any) -> None:
        control = next((one for one in self._controls if one.name == name), None)
        if control is None:
            raise DataError(f"there is no control {str(name)[:40]!r}; {REMEDY}")
        put(self.session, control, value)

    def _resize(self, size: tuple[int, int], scale: float) -> None:
        """The scale is kept where the size must be smaller than asked for, or is fixed: the page stretches the picture."""
        if self._fixed:
            return
        shrunk = min(1.0, (MOST_PX / (size[0] * size[1])) ** 0.5)
        height, width = (max(1, int(side * shrunk)) for side in size)
        self.session.scale = scale * shrunk
        self.session.attempt(lambda: self.session.canvas.resize((height, width)))
        self._sized = self._again = True

    def close(self) -> None:
        """Saves what the session would lose, and frees everything. Idempotent."""
        self.session.unit.context.thread.call(self._close)

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self.session.close()


def encoded(pixels: np.ndarray[Any, Any]) -> bytes:
    """JPEG of uint8 [h, w, 3], every pixel with its colour, since outlines are one pixel wide.

    1280 x 720 px of `footprints`: 7 CPU ms, 165 kB, 40 dB; with a colour for each four pixels 5 ms, 120 kB, 30 dB. WebP of the same
    quality: 19 ms by its fastest method and 65 by its usual one, for 64 and 49 kB at 30 dB, since it halves colours always.
    """
    with io.BytesIO() as held:
        Image.fromarray(pixels).save(held, "JPEG", quality=QUALITY, subsampling=0)
        return held.getvalue()
