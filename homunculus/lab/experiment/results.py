"""The journal as numbers: accuracies with bootstrap intervals over pages, a row each, and the design's claims, answered yes or no."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.lab.bootstrap import Estimate
from homunculus.lab.experiment.page import PARTS
from homunculus.lab.experiment.rows import BUDGET, LAST, ONE_LOOK, PRIMARY, REMEMBERED, Condition
from homunculus.lab.needle.needle import READABLE

Lines = Sequence[dict[str, Any]]
GRIDS = "resize-grid", "full grid"
FULL_AT_LEAST, GRID_AT_MOST, ORACLE_AT_LEAST, MORE_IN_PERIPHERY = 0.95, 0.30, 0.90, 0.05
# Of one row at the target: the claim, the row, the share it must reach, or stay below where that is negative.
ALONE = (
    (f"the full grid reads at least {FULL_AT_LEAST:.0%}", "full grid", FULL_AT_LEAST),
    (
        f"resize-grid at {BUDGET} tokens reads at most {GRID_AT_MOST:.0%}: the task separates",
        "resize-grid",
        -GRID_AT_MOST,
    ),
    (
        f"with an oracle's fixation {PRIMARY} reads at least {ORACLE_AT_LEAST:.0%} at the target",
        f"{PRIMARY}, oracle fixation",
        ORACLE_AT_LEAST,
    ),
)
AGAIN, MORE = f"{PRIMARY}, looking again", 4 * BUDGET
# Of two: the claim, which reads more than which, where, and by more than how much beyond doubt; None for no less.
PAIRED = (
    (f"150 foveated tokens read more than {BUDGET} in a uniform grid", f"{PRIMARY} @ 150", "resize-grid", "target", 0.0),
    (f"150 foveated tokens read more than {BUDGET} of every n-th native patch", f"{PRIMARY} @ 150", "uniform K", "target", 0.0),
    ("in the periphery more than 5 % over CLS top-K", PRIMARY, "CLS top-K", "periphery", MORE_IN_PERIPHERY),
    ("in the periphery more than 5 % over top-K by relevance", PRIMARY, "grid_top_k", "periphery", MORE_IN_PERIPHERY),
    ("filtered log-polar reads more than unfiltered", "log-polar, filtered", "log-polar, unfiltered", "target", 0.0),
    ("the eye reads more than CLS top-K", PRIMARY, "CLS top-K", "target", 0.0),
    ("the eye reads more than a two-view crop at the same fixation", PRIMARY, "two-view crop", "target", 0.0),
    ("nearby, without looking again, more than a two-view crop", PRIMARY, "two-view crop", "secondary", 0.0),
    ("in the periphery no less than a uniform grid", PRIMARY, "resize-grid", "periphery", None),
    ("looking again for it, more in the periphery than in one look", AGAIN, PRIMARY, "periphery", 0.0),
    (f"three looks read more in the periphery than {MORE} tokens in a uniform grid", AGAIN, f"resize-grid @ {MORE}", "periphery", 0.0),
    (f"{REMEMBERED}, read more of what was asked first than the last glimpse alone", REMEMBERED, LAST, "target", 0.0),
    (f"{REMEMBERED}, read more of what was asked first than {ONE_LOOK}", REMEMBERED, ONE_LOOK, "target", 0.0),
    (f"{REMEMBERED}, read more of what was asked last than {ONE_LOOK}", REMEMBERED, ONE_LOOK, "periphery", 0.0),
    ("looking again, more in the periphery than a two-view crop that looks again", AGAIN, "two-view crop, looking again", "periphery", 0.0),
)  # fmt: skip


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
    right: dict[str, Estimate]
    looked: Estimate
    misread: float
    elsewhere: float


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
        {part: Estimate.of(right[:, column], groups) for column, part in enumerate(PARTS)},
        Estimate.of(target_shown.astype(float), groups),
        float((wrong & target_shown).mean()),
        float((wrong & ~target_shown).mean()),
    )


def outcomes(lines: Lines) -> tuple[NDArray[np.float64], list[int]]:
    """[n, parts] of 0 and 1, and the page of each; in the order of pages and questions."""
    ordered = sorted(lines, key=lambda line: line["page"])
    right = [question["right"] for line in ordered for question in line["questions"]]
    groups = [line["page"] for line in ordered for _ in line["questions"]]
    return np.array(right, np.float64), groups


def compared(lines: Lines, first: str, second: str, size_px: int, part: str = "target") -> Estimate | None:
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
    return Estimate.of((a - b)[:, column], groups)


@dataclass(frozen=True)
class Claim:
    """claim: in words. yes: whether it held. share: what it was decided by, and what that is."""

    claim: str
    yes: bool
    share: Estimate
    of: str


def verdicts(lines: Lines, entries: Sequence[RowResult], size_px: int) -> list[Claim]:
    """Those whose rows were run."""
    by_name = {entry.name: entry for entry in entries if entry.size_px == size_px}
    found = []
    for claim, name, bound in ALONE:
        if name in by_name:
            share = by_name[name].right["target"]
            found.append(Claim(claim, share.mean >= bound if bound > 0 else share.mean <= -bound, share, "it reads"))
    for claim, first, second, part, margin in PAIRED:
        more = compared(lines, first, second, size_px, part)
        if more is not None:
            yes = more.high >= 0 if margin is None else more.low > margin
            found.append(Claim(claim, yes, more, f"the difference at the {part} is"))
    return found


def uniform_need(lines: Lines, entries: Sequence[RowResult], size_px: int) -> tuple[RowResult | None, RowResult | None]:
    """Of the grids over the whole page: the largest that reads beyond doubt less at the target than the primary allocator by its own
    fixation, and the smallest of those above it."""
    grids = [
        entry for entry in entries if entry.size_px == size_px and (entry.group == "uniform" or entry.name in GRIDS)
    ]
    least, enough = None, None
    for entry in sorted(grids, key=lambda entry: entry.tokens):
        more = compared(lines, PRIMARY, entry.name, size_px)
        if more is not None and more.low > 0:
            least, enough = entry, None
        elif more is not None and enough is None:
            enough = entry
    return least, enough


def better(
    lines: Lines, entries: Sequence[RowResult], size_px: int, part: str = "target"
) -> list[tuple[RowResult, Estimate]]:
    """The rivals that read more than the primary allocator, beyond the interval, at the same budget and by their own fixations."""
    found = []
    for entry in entries:
        if entry.size_px != size_px or entry.name == PRIMARY or entry.group not in ("rival", "ours", "ablation"):
            continue
        share = compared(lines, entry.name, PRIMARY, size_px, part)
        if share is not None and share.low > 0:
            found.append((entry, share))
    return sorted(found, key=lambda pair: -pair[1].mean)
