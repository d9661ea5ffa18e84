"""A page under the eye: what each row is given of it, and what each shows."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.allocators.scene import Allocator, Scene
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Closing
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder.ocr import Line, ReadsText
from homunculus.lab.pages.document import Document
from homunculus.lab.pages.judge import Pixels, Show
from homunculus.lab.pages.sheet import Box
from homunculus.report.reconstruction import reconstructed_picture

PATCH = 16
Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Showing:
    """What a row saw. tokens: all that it cost, looking for the place included. said: the answer that the row itself gives, if any."""

    show: Show
    tokens: int
    fixations: Sequence[Point] = ()
    said: str | None = None


class Remembering:
    """A reader that reads each picture once: rows that begin with the same look share it."""

    def __init__(self, reader: ReadsText) -> None:
        self._reader, self._known = reader, dict[bytes, Sequence[Line]]()

    def read(self, image: Pixels, /) -> Sequence[Line]:
        key = hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()
        if key not in self._known:
            self._known[key] = self._reader.read(image)
        return self._known[key]


class Desk(Closing):
    """A page in a texture unit. reader: with which the library itself reads."""

    def __init__(self, unit: TextureUnit, document: Document, reader: ReadsText) -> None:
        self.unit, self.document, self.size, self.reader = unit, document, document.size, Remembering(reader)
        self.image = torch.from_numpy(document.image)
        self.pyramid = unit.pyramid(document.image)

    def close(self) -> None:
        self.pyramid.close()

    @cached_property
    def at_value(self) -> Point:
        return middle(self.document.asked.value_box)

    @cached_property
    def at_key(self) -> Point:
        return middle(self.document.asked.key_box)

    def page(self) -> Showing:
        """The page itself, and the native patches it takes."""
        image, (height, width) = self.document.image, self.size
        return Showing(lambda box: image[box[1] : box[3], box[0] : box[2]], -(-height // PATCH) * -(-width // PATCH))

    def resized(self, tokens: int) -> Showing:
        """The page averaged over areas to as many pixels as so many tokens have, in one piece, and enlarged smoothly to be read."""
        height, width = self.size
        scale = min(1.0, (tokens * PATCH**2 / (height * width)) ** 0.5)
        small = Image.fromarray(self.document.image).resize(
            (max(1, int(width * scale)), max(1, int(height * scale))), Image.Resampling.BOX
        )
        across, down = small.width / width, small.height / height

        def show(box: Box) -> Pixels:
            left, top, right, bottom = box
            part = (left * across, top * down, right * across, bottom * down)
            return np.array(small.resize((right - left, bottom - top), Image.Resampling.BICUBIC, part))

        return Showing(show, tokens)

    def spent(
        self, allocator: Allocator, budget: int, fixations: Sequence[Point], relevance: Tensor | None = None
    ) -> Showing:
        """A budget spent by an allocator around fixations that are given."""
        scene = Scene(self.size, fixations, relevance, PATCH, image=self.image)
        plan = allocator.allocate(scene, budget)
        pixels = self.unit.sample(self.pyramid, plan, quality="high").pixels
        return self.seen(pixels, plan, len(plan), fixations)

    def seen(self, pixels: Tensor, plan: SamplePlan, tokens: int, fixations: Sequence[Point], **more: Any) -> Showing:
        """What patches [N, 3, P, P] show, put back where they were taken from."""
        return Showing(lambda box: reconstructed_picture(pixels, plan, self.size, box), tokens, list(fixations), **more)


def middle(box: Box) -> Point:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def distance_px(point: Point, box: Box) -> float:
    """From a point to the nearest of a box; 0 in it."""
    x, y = point
    return math.hypot(max(box[0] - x, 0, x - box[2]), max(box[1] - y, 0, y - box[3]))
