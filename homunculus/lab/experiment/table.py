"""The journal as numbers: accuracies with bootstrap intervals over pages, a row each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.lab.bootstrap import difference, interval
from homunculus.lab.experiment.page import PARTS
from homunculus.lab.experiment.rows import Condition
from homunculus.lab.needle.needle import READABLE

Lines = Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Share:
    """A mean in 0..1 and its 95 % interval over pages."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f}–{100 * self.high:.1f})"


@dataclass(frozen=True)
class RowResult:
    """A row's results on pages of one size. right: by part. looked: questions whose target was shown at a scale at which it can be read;
    misread: wrong answers among these; elsewhere: wrong answers among the others, both as shares of all questions.
    """

    name: str
    group: str
    size_px: int
    pages: int
    questions: int
    tokens: float
    multiply_adds: float
    right: dict[str, Share]
    looked: Share
    misread: float
    elsewhere: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def entries(lines: Lines, rows: Iterable[Condition]) -> list[RowResult]:
    """In the order of the rows, the main size first."""
    sizes = list(dict.fromkeys(line["size_px"] for line in lines))
    found = []
    for size in sizes:
        for row in rows:
            some = [
                line for line in lines if (line["row"], line["size_px"]) == (row.name, size) and "reason" not in line
            ]
            if some:
                found.append(_entry(row, size, some))
    return found


def _entry(row: Condition, size_px: int, lines: Lines) -> RowResult:
    right, groups = outcomes(lines)
    target_shown = np.array([question["shown"][0] >= READABLE for line in lines for question in line["questions"]])
    wrong = right[:, 0] == 0
    return RowResult(
        row.name,
        row.group,
        size_px,
        len(lines),
        len(right),
        float(np.mean([line["tokens"] for line in lines])),
        float(np.mean([line["multiply_adds"] for line in lines])),
        {part: share(right[:, column], groups) for column, part in enumerate(PARTS)},
        share(target_shown.astype(float), groups),
        float((wrong & target_shown).mean()),
        float((wrong & ~target_shown).mean()),
    )


def outcomes(lines: Lines) -> tuple[NDArray[np.float64], list[int]]:
    """[n, parts] of 0 and 1, and the page of each; in the order of pages and questions."""
    ordered = sorted(lines, key=lambda line: line["page"])
    right = [question["right"] for line in ordered for question in line["questions"]]
    groups = [line["page"] for line in ordered for _ in line["questions"]]
    return np.array(right, np.float64), groups


def share(values: NDArray[np.float64], groups: Sequence[int]) -> Share:
    low, high = interval(values, groups)
    return Share(float(values.mean()), float(low), float(high))


def compared(lines: Lines, first: str, second: str, size_px: int, part: str = "target") -> Share | None:
    """How much more the first row reads, paired by question; None where one is missing."""
    both = [
        [line for line in lines if (line["row"], line["size_px"]) == (name, size_px) and "reason" not in line]
        for name in (first, second)
    ]
    if not all(both):
        return None
    (a, groups), (b, others) = (outcomes(some) for some in both)
    if groups != others:
        return None
    column = PARTS.index(part)
    low, high = difference(a[:, column], b[:, column], groups)
    return Share(float((a - b)[:, column].mean()), float(low), float(high))
