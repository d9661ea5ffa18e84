"""Puts pages to rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder.reader import Reader
from homunculus.lab.asking import Lines
from homunculus.lab.experiment.page import PageUnderTest, answered
from homunculus.lab.experiment.work import QUESTIONS, Work
from homunculus.lab.needle.needle import make_page


@dataclass(frozen=True, eq=False)
class RowAnswers:
    """A reader beside a texture unit of its own, for `lab.asking`."""

    reader: Reader
    backend: Backend | None

    @contextmanager
    def __call__(self) -> Iterator[Callable[[Work], Lines]]:
        with open_unit(self.backend) as unit:
            yield lambda work: lines_of(unit, self.reader, work)


def lines_of(unit: TextureUnit, reader: Reader, work: Work) -> Lines:
    """The journal's lines for one piece of work."""
    found = []
    with PageUnderTest(unit, reader, make_page(work.size_px, work.seed), QUESTIONS) as seen:
        for row in work.rows:
            try:
                line = answered(seen, row)
            except HomunculusError as error:
                line = {"page": work.seed, "row": row.name, "reason": str(error)}
            found.append({"id": work.id(row), "size_px": work.size_px, **line})
    return found
