"""Puts photographs to every row, one after the other; stopped anywhere and called again it goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch

from homunculus.bridge.files import check_writable
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.unit import TextureUnit
from homunculus.lab.photographs import masks
from homunculus.lab.photographs.pictures import SIDE_PX, Photograph, photographs, plain
from homunculus.lab.photographs.rows import ANY_QUESTION, BUDGET, PhotographRow, rows
from homunculus.lab.photographs.subject import Encoders
from homunculus.lab.photographs.tasks import Retrieval, matched

JOURNAL: Final = "journal.jsonl"
LAYERS: Final = 9  # of 12, for parts
Entries = list[dict[str, Any]]
Found = Sequence[Photograph]
Track = Callable[[Iterable[Any], str], Iterable[Any]]


def run(
    out: Path, folder: Path | None = None, *, backend: Backend | None = None, track: Track | None = None
) -> Entries:
    """The journal's entries, which are in `out`: a photograph each for parts, a row each for crops, a photograph each for masks.

    folder: further photographs. Torch is given one thread, so that answers are the same on every machine. Raises ModelError where the
    ViT is not installed, DataError for photographs that cannot be read or a folder that holds another run, WriteError for one that
    cannot be written, before the work.
    """
    track = track or (lambda items, _: items)
    found, settings = photographs(folder), list(rows())
    journal = Journal(out / JOURNAL, {"side_px": SIDE_PX, "photographs": {each.name: digest(each) for each in found}})
    check_writable(out)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with open_unit(backend) as unit:
            _parts(unit, journal, found, settings, track)
            _crops(unit, journal, found, settings, track)
            _masks(unit, journal, found[: masks.PHOTOGRAPHS], track)
    finally:
        torch.set_num_threads(threads)
    return list(journal.entries.values())


def _parts(unit: TextureUnit, journal: Journal, found: Found, settings: Sequence[PhotographRow], track: Track) -> None:
    todo = [each for each in found if f"parts/{each.name}" not in journal.entries]
    if not todo:
        return
    encoders = Encoders.load(layers=LAYERS)
    for photograph in track(todo, "parts"):
        questions = matched(unit, encoders, photograph, settings)
        journal.append({"id": f"parts/{photograph.name}", "questions": questions})


def _crops(unit: TextureUnit, journal: Journal, found: Found, settings: Sequence[PhotographRow], track: Track) -> None:
    todo = [row for row in settings if row.told in ANY_QUESTION and f"crops/{row.name}" not in journal.entries]
    if not todo:
        return
    with ExitStack() as closing:
        retrieval = Retrieval(unit, Encoders.load(), found, closing)
        of = [found[index].name for index, _, _ in retrieval.questions]
        for row in track(todo, "crops"):
            journal.append({"id": f"crops/{row.name}", "of": of, "right": retrieval.answered(row)})


def _masks(unit: TextureUnit, journal: Journal, found: Found, track: Track) -> None:
    todo = [each for each in found if f"masks/{each.name}" not in journal.entries]
    if not todo:
        return
    encoders = Encoders.load()
    for photograph in track(todo, "masks"):
        said = masks.compared(unit, encoders, plain(photograph), BUDGET)
        journal.append({"id": f"masks/{photograph.name}", "found": said})


def digest(photograph: Photograph) -> str:
    """What tells one photograph from another."""
    return hashlib.sha256(photograph.image.tobytes()).hexdigest()[:12]
