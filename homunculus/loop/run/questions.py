"""Who is asked what: questions for every picture, and for some."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.reading import shown
from homunculus.loop.run.lists import ListLine, located, read_questions
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.walk import MOST_NAMED, Passed


@dataclass(frozen=True)
class Questions:
    """everyone: lines that are asked of every row. some: those of one picture. path: of the file that holds them, if any."""

    everyone: tuple[ListLine, ...] = ()
    some: tuple[ListLine, ...] = ()
    path: str = ""

    @classmethod
    def of(cls, query: str | None, query_file: Path | str | None) -> Questions:
        """Raises DataError for a query that says nothing, and for a file that holds none."""
        if query is not None and not (isinstance(query, str) and query.strip()):
            raise DataError(f"query is {shown(query)}; give what to look for, or leave it out")
        first = () if query is None else (ListLine("query", None, None, query, None, None),)
        if query_file is None:
            return cls(first)
        path = os.path.abspath(os.path.expanduser(query_file))
        lines = list(read_questions(Path(path)))
        if not lines:
            raise DataError(f'{path} holds no query; write a line for each, as in {{"query": "the total"}}')
        everyone = tuple(line for line in lines if line.image is None)
        return cls(first + everyone, tuple(line for line in lines if line.image is not None), path)


def asked(rows: Sequence[RunRow], questions: Questions, roots: Sequence[str], passed: Passed) -> list[RunRow]:
    """The rows, once for each question; those with one of their own keep it. roots: folders that pictures' names may be relative to.

    Where there are questions for some and none for all, pictures without one are passed over. Raises DataError for questions about
    pictures that are not among the rows.
    """
    if not questions.everyone and not questions.some:
        return list(rows)
    own = _by_picture(rows, questions, roots)
    found: list[RunRow] = []
    for row in rows:
        if row.query is not None:
            found.append(row)
            continue
        lines = (*questions.everyone, *own.get((row.source, None), ()), *own.get((row.source, row.page), ()))
        found += [replace(row, query=line.query, id=line.id or row.id, at=line.at or row.at) for line in lines]
        if not lines:
            told = f"without a question in {os.path.basename(questions.path)}"
            passed.add(os.path.basename(row.source), f"picture {told}", f"pictures {told}")
    return found


def _by_picture(
    rows: Iterable[RunRow], questions: Questions, roots: Sequence[str]
) -> dict[tuple[str, int | None], list[ListLine]]:
    """Lines by the source and the page of what they ask about."""
    if not questions.some:
        return {}
    known: set[tuple[str, int | None]] = {(row.source, row.page) for row in rows}
    known |= {(source, None) for source, _ in known}
    own: dict[tuple[str, int | None], list[ListLine]] = defaultdict(list)
    folders = [*dict.fromkeys(roots), os.path.dirname(questions.path)]
    strange: list[ListLine] = []
    for line in questions.some:
        paths = (located(str(line.image), folder, line.where) for folder in folders)
        place = next((place for path in paths if (place := (path, line.page)) in known), None)
        if place is None:
            strange.append(line)
        else:
            own[place].append(line)
    if strange:
        names = [f"{shown(line.image)} ({line.where})" for line in strange[:MOST_NAMED]]
        more = f" and {len(strange) - len(names)} more" if len(strange) > len(names) else ""
        raise DataError(
            f"{', '.join(names)}{more}: not among the pictures that are looked at; write paths relative to {folders[0]}, or name these "
            "pictures too"
        )
    return own
