"""Runs every row on every page; what is in the journal already is not done again."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.files import check_writable
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.files.reading import content_of
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.versions import version_of
from homunculus.encoder.ocr import MODELS, TextReader
from homunculus.lab.asking import Lines, Sized, Track, asking
from homunculus.lab.pages.desk import Desk, Showing, distance_px, middle
from homunculus.lab.pages.document import LARGE, Document, make_document
from homunculus.lab.pages.fonts import Typeface
from homunculus.lab.pages.judge import PairJudge, error_rate, plain
from homunculus.lab.pages.rows import Way, ways
from homunculus.lab.pages.work import PAGES, PageWork, left, works

JOURNAL = "journal.jsonl"
OTHERS = 4  # values elsewhere on the page that are read too


def run(
    out: Path,
    faces: Sequence[Typeface],
    *,
    pages: int = PAGES,
    first_seed: int = 0,
    jobs: int = 0,
    backend: Backend | None = None,
    track: Track | None = None,
) -> list[dict[str, Any]]:
    """The journal's lines. faces: of the pages. jobs: processes that share them; 0 for this one alone.

    Raises DataError for a folder that holds another experiment, WriteError for one that cannot be written, BackendUnavailableError
    without the reader, all before the work.
    """
    track = track or (lambda items, _: items)
    PairJudge.hired()
    task = {
        "reader": f"{MODELS['Rec']} of rapidocr {version_of('rapidocr')}",
        "fonts": digest(faces),
        "from": first_seed,
    }
    journal = Journal(out / JOURNAL, task)
    check_writable(out)
    todo = [
        some
        for dear in (False, True)
        for work in works(pages, first_seed)
        if (some := left(work, [way.name for way in ways(work.kind, faces[-1]) if way.dear == dear], journal.entries))
    ]
    with asking(PageJudges(tuple(faces), backend), jobs) as ask:
        for lines in track(Sized(ask(todo), len(todo)), "pages"):
            for line in lines:
                journal.append(line)
    return list(journal.entries.values())


def digest(faces: Sequence[Typeface]) -> str:
    """What tells one set of fonts from another."""
    found = hashlib.sha256()
    for face in faces:
        for path in (face.regular, face.bold):
            found.update(content_of(Path(path)))
    return found.hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class PageJudges:
    """A judge beside a texture unit, for `lab.asking`."""

    faces: tuple[Typeface, ...]
    backend: Backend | None

    @contextmanager
    def __call__(self) -> Iterator[Callable[[PageWork], Lines]]:
        judge, reader = PairJudge.hired(), TextReader()
        with open_unit(self.backend) as unit:
            yield lambda work: lines_of(unit, judge, reader, self.faces, work)


def lines_of(
    unit: TextureUnit, judge: PairJudge, reader: TextReader, faces: Sequence[Typeface], work: PageWork
) -> Lines:
    """The journal's lines for one page."""
    document, found = make_document(work.kind, work.height_px, work.seed, faces), []
    with Desk(unit, document, reader) as desk:
        for way in ways(work.kind, faces[-1]):
            if way.name not in work.rows:
                continue
            start = perf_counter()
            line = {"id": f"{work.id}/{way.name}", "page": work.id, "kind": work.kind, "height_px": work.height_px}
            line |= {"row": way.name, "group": way.group}
            try:
                line |= judged(judge, document, way, way.see(desk))
            except HomunculusError as error:
                line["reason"] = str(error)
            found.append({**line, "seconds": round(perf_counter() - start, 2)})
    return found


def judged(judge: PairJudge, document: Document, way: Way, sight: Showing) -> dict[str, Any]:
    """How well the answer, and a few other values, are read from what a row shows."""
    asked, size, em_px = document.asked, document.size, document.em_px
    others = elsewhere(document) if way.far and document.kind not in LARGE else []
    texts = judge.values(sight.show, [asked, *others], size, em_px)
    behind = judge.pair(sight.show, asked, size, em_px)
    points = sight.fixations or [middle(asked.value_box)]
    found: dict[str, Any] = {
        "tokens": sight.tokens,
        "value": texts[0],
        "value_right": plain(texts[0]) == plain(asked.value),
        "value_error": round(error_rate(texts[0], asked.value), 4),
        "pair": behind,
        "pair_right": behind is not None and plain(behind) == plain(asked.value),
        "fixations": [[round(x, 1), round(y, 1)] for x, y in sight.fixations],
        "others": [
            [
                round(min(math.dist(middle(pair.value_box), point) for point in points) / size[0], 4),
                round(error_rate(text, pair.value), 4),
            ]
            for pair, text in zip(others, texts[1:], strict=True)
        ],
    }
    if sight.fixations:
        near = min(distance_px(sight.fixations[0], box) for box in (asked.key_box, asked.value_box))
        found["first_off"] = round(near / size[0], 4)
    if sight.said is not None:
        found |= {"said": sight.said, "said_right": plain(sight.said) == plain(asked.value)}
    return found


def elsewhere(document: Document) -> list[Any]:
    """Some other pairs, from near the answer to far from it."""
    others = [pair for pair in document.pairs if pair is not document.asked]
    others.sort(key=lambda pair: math.dist(middle(pair.value_box), middle(document.asked.value_box)))
    shares = np.linspace(0, 1, OTHERS) ** 2
    return [others[place] for place in sorted({round(float(share) * (len(others) - 1)) for share in shares})]
