"""`look`, as a function that a model calls: it names a picture, and a box or words, and gets a picture of what the tokens there see."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch

from homunculus.bridge.errors import ClosedError, DataError, HomunculusError, ImageError, PlanError, QueryError
from homunculus.bridge.pictures.endings import admit_heic
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.pictures.files import PictureFile
from homunculus.bridge.pyramid import Closing, Pyramid
from homunculus.bridge.tiles.source import is_source
from homunculus.bridge.values import TOKENS, Limit, one_text, untraced, whole
from homunculus.loop.described import BUDGET, MOST, look_described
from homunculus.loop.drawn import Drawn, drawn_look, drawn_region
from homunculus.loop.folders import PictureFolders
from homunculus.loop.looker import Looker
from homunculus.loop.region import Region, region_plan
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.tiled import Looked, check_single, opened, reads_of, remarks_of, tiles_of
from homunculus.relevance.query import Query

REFUSALS = (PlanError, ImageError, QueryError, DataError)  # of what was asked; they say nothing of the unit


@dataclass(frozen=True, eq=False)
class Shown:
    """What a call gives. pictures: PNGs of what was seen, the first of all that was asked for. facts: the rest, in JSON types."""

    pictures: list[Drawn]
    facts: dict[str, Any]

    @property
    def text(self) -> str:
        """The facts, for a model to read."""
        return json.dumps(self.facts, ensure_ascii=False)


class LookTool(Closing):
    """Looks as a model asks. One unit is open, and the picture looked at last stays open with it; calls from several threads take turns.

    folders: where a model's calls may find pictures; `look` itself takes any. settings: as of `homunculus look`; its budget is what a call
    spends that names none. most: tokens that a call may ask for. max_pixels: of a picture file, by default Pillow's limit.
    Raises PlanError for a limit out of range, and what opening a unit and a model raises.

    >>> from homunculus.loop.tool import LookTool
    >>> with LookTool() as tool:
    ...     seen = tool.look("examples/data/photograph.jpg", region=[100, 50, 300, 150])
    >>> seen.facts["tokens"], seen.facts["pictures"]
    (91, [{'shows': 'region', 'box_px': [100, 50, 300, 150], 'scale': 1.0}])
    """

    def __init__(
        self,
        folders: PictureFolders | None = None,
        settings: RunSettings | None = None,
        *,
        most: int = MOST,
        max_pixels: int | None = None,
    ) -> None:
        self.settings = settings or RunSettings(budget=BUDGET)
        self.folders, self.max_pixels = folders, max_pixels
        self.most = whole("most", most, TOKENS, least=self.settings.budget)
        self._turn = threading.Lock()
        self._kept: tuple[object, Pyramid] | None = None
        self._open = ExitStack()
        self._looker: Looker | None = Looker(self.settings)

    @property
    def description(self) -> dict[str, Any]:
        """Of the function, as models are told of functions: name, description, parameters as a JSON schema."""
        return look_described(self.settings.budget, self.most)

    def call(self, arguments: Mapping[str, Any]) -> Shown:
        """What a model's arguments ask for, of a picture in the folders alone. Raises DataError for another one, PlanError for arguments
        that are none, and what `look` raises."""
        if self.folders is None:
            raise PlanError("the tool was made without folders; give it those that a model may look into")
        known = self.description["parameters"]["properties"]
        if unknown := sorted(set(arguments) - set(known)):
            raise PlanError(f"look takes no {', '.join(unknown)}; it takes {', '.join(known)}")
        given = {name: value for name, value in arguments.items() if value is not None}
        if "image" not in given:
            raise PlanError("image is missing; name a picture")
        name = given.pop("image")
        found = self.look(self.folders.find(name), **given)
        return Shown(found.pictures, {"image": name, **found.facts})

    @torch.no_grad()
    @untraced
    def look(
        self, image: Looked, region: Any = None, words: str | None = None, *, budget: int | None = None, page: int = 0
    ) -> Shown:
        """Looks at a picture, as for `hm.look`, within a box or for some words, or at all of it.

        region: [x1, y1, x2, y2] in pixels of the picture as it is read, upright and at its full size. It is shown evenly, at native
        resolution where the budget suffices and else as finely as it allows. words: what to look for, as the query of `homunculus look`;
        shown are the whole picture as the tokens see it, and what surrounds each fixation, finely. page: of a file of several, from 0.
        Raises PlanError for a box that is none of the picture's, naming its size, QueryError for empty words, and what opening a
        picture raises.
        """
        spent = self.settings.budget if budget is None else budget
        spent = whole("budget", spent, Limit(self.most, "which is all that one call may spend"))
        if region is not None and words is not None:
            raise PlanError("region and words are both given; look within a region, or for words")
        query = None if words is None else Query(one_text("words", words))
        with self._turn, ExitStack() as stack:
            if self._looker is None:
                raise ClosedError("the tool is closed; make another")
            try:
                pyramid = self._pyramid(image, page, stack)
                facts = {"width_px": pyramid.size[1], "height_px": pyramid.size[0], "budget": spent}
                return self._even(pyramid, region, facts) if query is None else self._found(pyramid, query, facts)
            except REFUSALS:
                raise
            except Exception:
                self._renew(self._looker)
                raise

    def _even(self, pyramid: Pyramid, asked: Any, facts: dict[str, Any]) -> Shown:
        region = Region.of([0, 0, pyramid.size[1], pyramid.size[0]] if asked is None else asked, pyramid.size)
        found = region_plan(region, facts["budget"], self.settings.patch_size or 16)
        quality = "exact" if found.texel_px == 1 else self.settings.quality
        before = reads_of(pyramid)
        patches = self._opened_looker.unit.sample(pyramid, found.plan, quality=quality)
        shown_as = drawn_region(patches.pixels, found, region)
        facts |= {"tokens": len(found.plan), "pictures": [shown_as.as_dict()]}
        if found.texel_px > 1:
            facts["finer"] = f"1 px shows {found.texel_px:.3g} px of the picture; a smaller region shows more"
        return Shown([shown_as], facts | _notes(remarks_of(tiles_of(pyramid, before, [patches]))))

    def _found(self, pyramid: Pyramid, query: Query, facts: dict[str, Any]) -> Shown:
        looker = self._opened_looker
        looker.spend(facts["budget"])
        seen = looker.look(pyramid, query)
        pictures = drawn_look(seen)
        facts |= {"tokens": seen.spent["in_all"], "spent": seen.spent, "pictures": [one.as_dict() for one in pictures]}
        facts["looked_at_px"] = [[round(x, 1), round(y, 1)] for x, y in seen.glimpses[-1].fixations.as_list()]
        facts["understood"] = seen.reading
        best = None if seen.words is None else seen.words.best
        if best is not None:
            facts["read"] = {
                "text": best.key.text,
                "answer": best.answer,
                "sure": best.sure,
                "box_px": [round(side) for side in best.key.box],
                "answer_box_px": [round(side) for side in best.box],
            }
        notes = [note for note in (*seen.notes, looker.lacks(query)) if note and note != seen.reading]
        return Shown(pictures, facts | _notes(notes))

    def _pyramid(self, image: Looked, page: int, stack: ExitStack) -> Pyramid:
        """That of the picture looked at last, where it is the same file still; of another it takes the place."""
        if isinstance(image, Pyramid):
            return check_single(image)
        if not isinstance(image, str | os.PathLike):
            return stack.enter_context(self._opened_looker.unit.pyramid(image if is_source(image) else picture(image)))
        admit_heic(os.fspath(image))
        file = image if isinstance(image, PictureFile) else PictureFile(image, page, self.max_pixels)
        key = (file, _stamp(file))
        if self._kept is None or self._kept[0] != key:
            self._forget()
            source = opened(file, self._open)
            pyramid = self._opened_looker.unit.pyramid(source if is_source(source) else picture(file))
            self._kept = key, self._open.enter_context(pyramid)
        return self._kept[1]

    @property
    def _opened_looker(self) -> Looker:
        assert self._looker is not None
        return self._looker

    def _forget(self) -> None:
        self._kept = None
        self._open.close()

    def _renew(self, looker: Looker) -> None:
        """Another unit in the place of one that works no more, for the next call."""
        if not looker.works():
            with suppress(HomunculusError):
                self._forget()
                looker.close()
            self._kept, self._open, self._looker = None, ExitStack(), Looker(self.settings)

    def close(self) -> None:
        with self._turn:
            self._forget()
            looker, self._looker = self._looker, None
            if looker is not None:
                looker.close()


def _stamp(file: PictureFile) -> tuple[int, int]:
    try:
        status = os.stat(file)
    except OSError:
        return 0, 0  # which reading it tells
    return status.st_mtime_ns, status.st_size


def _notes(notes: list[str]) -> dict[str, list[str]]:
    return {"notes": notes} if notes else {}
