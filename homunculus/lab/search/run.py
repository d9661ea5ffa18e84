"""Every way on every page, line by line in a journal."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from torch import nn

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import check_writable
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.open import Backend, open_unit
from homunculus.encoder.ocr import TextReader
from homunculus.lab.pages.document import A4_KINDS, SIZES_PX, Document, make_document
from homunculus.lab.pages.fonts import Typeface
from homunculus.lab.search.looks import Paper
from homunculus.lab.search.ways import WAYS, KeySearch, Point, SearchWay

JOURNAL = "journal.jsonl"
RANKS = 40  # places that are looked through for the key
NEAR = 0.03  # page heights
Track = Callable[[Iterable[Any], str], Iterable[Any]]


def run(
    out: Path,
    faces: Sequence[Typeface],
    *,
    pages: int = 40,
    read_pages: int | None = None,
    first: int = 10_000,
    features: nn.Module | None = None,
    backend: Backend | None = None,
    track: Track | None = None,
) -> list[dict[str, Any]]:
    """The journal's entries, a way of a page each; what is there already is not done again.

    read_pages: on how many of them whole looks are read, which takes ten times as long as all else. first: seed of the first
    page. features: of the ways by learned shape, which are left out without. Raises DataError for too few pages and for a folder
    that holds another run, before the work.
    """
    if pages < 2 or not 0 <= (read_pages or 0) <= pages:
        raise DataError(
            f"pages and read_pages are {pages} and {read_pages}; give at least 2, and no more of the second"
        )
    journal = Journal(out / JOURNAL, {"first": first, "faces": [face.name for face in faces]})
    check_writable(out)
    ways = [way for way in WAYS if features is not None or not way.learned]
    whole = pages if read_pages is None else read_pages
    todo = [(number, [way for way in ways if "read" not in way.name.split(",")[0]]) for number in range(pages)]
    todo += [(number, [way for way in ways if "read" in way.name.split(",")[0]]) for number in range(whole)]
    weights = _digest(features)

    def id_of(number: int, way: SearchWay) -> str:
        return f"{number} {way.name} {weights}" if way.learned else f"{number} {way.name}"

    left = [(number, [way for way in some if id_of(number, way) not in journal.entries]) for number, some in todo]
    left = [(number, some) for number, some in left if some]
    reader = TextReader() if left else None
    with open_unit(backend) as unit:
        for number, some in (track or (lambda items, _: items))(left, "pages"):
            document = page(first + number, faces)
            with unit.pyramid(document.image) as pyramid:
                search = KeySearch(Paper(unit, pyramid, document.image), document.asked.key, reader, features)
                for way in some:
                    journal.append({"id": id_of(number, way), **judged(way, search, document)})
    return list(journal.entries.values())


def page(number: int, faces: Sequence[Typeface]) -> Document:
    """The kinds in turn, and of each the sizes in turn."""
    kind = A4_KINDS[number % len(A4_KINDS)]
    return make_document(kind, SIZES_PX[number // len(A4_KINDS) % len(SIZES_PX)], number, faces)


def judged(way: SearchWay, search: KeySearch, document: Document) -> dict[str, Any]:
    """Of every total: the rank of the first place near the key, that of the first inside its box, None beyond RANKS; and seconds."""
    totals = {}
    for total in way.totals:
        start = process_time()
        points = way.found(search, total)[:RANKS]
        seconds = process_time() - start
        near = _rank([distance(point, document) <= NEAR for point in points])
        inside = _rank([_inside(point, document) for point in points])
        totals[str(total)] = {"near": near, "inside": inside, "s": round(seconds, 3)}
    told = {"kind": document.kind, "face": document.face, "height_px": document.size[0], "size_pt": document.size_pt}
    return {"way": way.name, "page": document.seed, **told, "totals": totals}


def distance(point: Point, document: Document) -> float:
    """Page heights from the centre of the key's box."""
    left, top, right, bottom = document.asked.key_box
    return float(np.hypot(point[0] - (left + right) / 2, point[1] - (top + bottom) / 2)) / document.size[0]


def _inside(point: Point, document: Document) -> bool:
    left, top, right, bottom = document.asked.key_box
    spare = 0.25 * document.em_px
    return left - spare <= point[0] <= right + spare and top - spare <= point[1] <= bottom + spare


def _rank(hits: Sequence[bool]) -> int | None:
    return hits.index(True) if True in hits else None


def _digest(features: nn.Module | None) -> str:
    """What tells one set of weights from another."""
    found = hashlib.sha256()
    for _, weights in sorted([] if features is None else features.state_dict().items()):
        found.update(weights.numpy().tobytes())
    return found.hexdigest()[:16]
