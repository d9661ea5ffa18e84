"""The journal as numbers: shares read with bootstrap intervals over pages, a row each, and the claims, answered yes or no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, get_args

import numpy as np

from homunculus.lab.bootstrap import Estimate
from homunculus.lab.experiment.results import Claim
from homunculus.lab.pages.document import LARGE
from homunculus.lab.pages.rows import AT_BOTH, AT_BOTH_SPARSELY, BUDGET, SPARSE, TWO_GLIMPSES, TWO_LOOKS, Group
from homunculus.lab.pages.worth import Worth, worth

Lines = Sequence[dict[str, Any]]
NEAR = 0.03  # page heights from key or value within which a fixation counts as on it
BINS = 0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 2.0  # page heights
WORDS, INK = "words, {} budgets in all", "ink alone, {} budgets"
WITHIN, WITHIN_LARGE = WORDS.format(3), WORDS.format(16)
CROP = "two-view crop, twice as wide, at the value"


@dataclass(frozen=True)
class WayResult:
    """A row's results on some pages. part: which. value, pair, error: of the answer, by the judge; first_near: whether the row's own
    first fixation is on key or value; said: whether the answer that the library itself gives is right. None where there is none."""

    part: str
    name: str
    group: str
    pages: int
    tokens: float
    value: Estimate
    pair: Estimate
    error: Estimate
    first_near: Estimate | None
    said: Estimate | None


def parts(lines: Lines) -> dict[str, list[dict[str, Any]]]:
    """Lines of A4 and of large pages, then by kind, then A4 by height."""
    sound = [line for line in lines if "reason" not in line]
    small = [line for line in sound if line["kind"] not in LARGE]
    found = {"A4": small, "large": [line for line in sound if line["kind"] in LARGE]}
    for kind in dict.fromkeys(line["kind"] for line in sound):
        found[kind] = [line for line in sound if line["kind"] == kind]
    for height in sorted({line["height_px"] for line in small}):
        found[f"{height} px"] = [line for line in small if line["height_px"] == height]
    return found


def entries(lines: Lines) -> list[WayResult]:
    """Every row on every part of at least two pages, by group and tokens."""
    found = []
    found_parts = parts(lines)
    for part, some in found_parts.items():
        for name in dict.fromkeys(line["row"] for line in some):
            of_row = [line for line in some if line["row"] == name]
            if len(of_row) > 1:
                found.append(_entry(part, of_row))
    order = list(found_parts), get_args(Group)
    return sorted(found, key=lambda row: (order[0].index(row.part), order[1].index(row.group), row.tokens, row.name))


def _entry(part: str, lines: Lines) -> WayResult:
    lines = sorted(lines, key=lambda line: line["page"])

    def share(read: Callable[[dict[str, Any]], float], key: str) -> Estimate | None:
        return Estimate.of([float(read(line)) for line in lines]) if all(key in line for line in lines) else None

    value, pair, error = (
        Estimate.of([float(line[key]) for line in lines]) for key in ("value_right", "pair_right", "value_error")
    )
    own = lines[0]["group"] in ("channel", "words")
    return WayResult(
        part,
        lines[0]["row"],
        lines[0]["group"],
        len(lines),
        sum(line["tokens"] for line in lines) / len(lines),
        value,
        pair,
        error,
        share(lambda line: line["first_off"] <= NEAR, "first_off") if own else None,
        share(lambda line: line["said_right"], "said_right"),
    )


def compared(lines: Lines, first: str, second: str) -> tuple[Estimate, int] | None:
    """How many more keys and values the first row reads, paired by page, and of how many pages; None where fewer than two have both."""
    by_row = [
        {line["page"]: float(line["pair_right"]) for line in lines if line["row"] == name} for name in (first, second)
    ]
    both = sorted(set(by_row[0]) & set(by_row[1]))
    if len(both) < 2:
        return None
    return Estimate.of([by_row[0][page] - by_row[1][page] for page in both]), len(both)


def verdicts(lines: Lines, found: Sequence[WayResult]) -> list[Claim]:
    """Those whose rows were run."""
    rows = {(entry.part, entry.name): entry for entry in found}
    alone = (
        ("words at a total of 3 budgets read at least 85 % of keys and values", WITHIN, 0.85, "pair"),
        ("with fixations given at key and value, one budget reads at least 95 % of both", AT_BOTH, 0.95, "pair"),
        (f"the first fixation by words is within {NEAR} page heights on at least 90 % of pages", WITHIN, 0.9, "first_near"),
    )  # fmt: skip
    told = []
    for claim, name, bound, what in alone:
        share = getattr(rows.get(("A4", name)), what, None)
        if share is not None:
            told.append(Claim(claim, share.mean >= bound, share, "it is"))
    of_parts = parts(lines)
    against = [
        (
            part,
            f"{where}at a total of {count} budgets words read more than {rival}",
            WORDS.format(count),
            row.format(count),
        )
        for part, where, counts in (("A4", "", (2, 3, 4)), ("large", "on large pages ", (8, 16, 32)))
        for rival, row in (("uniform", "uniform {}"), ("as many tokens on ink alone", INK))
        for count in counts
    ]
    against.append(("A4", "with fixations given, key and value are read more than with the best crop", AT_BOTH, CROP))
    for budget, once in ((BUDGET, AT_BOTH), (SPARSE, AT_BOTH_SPARSELY)):
        for way in (TWO_GLIMPSES, TWO_LOOKS):
            first = way.format(budget)
            against.append(
                ("A4", f"*{first}* read more keys and values than one look at both of {budget} tokens", first, once)
            )
    for part, claim, first, second in against:
        more = compared(of_parts[part], first, second)
        if more is not None:
            told.append(Claim(claim, more[0].low > 0, more[0], f"the difference on {more[1]} pages is"))
    return told


def by_distance(lines: Lines) -> dict[str, list[dict[str, Any]]]:
    """Row -> bins of the distance from the nearest fixation, of A4 pages: n and the character error rate with its interval over pages."""
    found: dict[str, list[dict[str, Any]]] = {}
    some = [line for line in parts(lines)["A4"] if line["others"]]
    for name in dict.fromkeys(line["row"] for line in some):
        of_row = [line for line in some if line["row"] == name]
        read = [(0.0, line["value_error"], line["page"]) for line in of_row]
        read += [(distance, error, line["page"]) for line in of_row for distance, error in line["others"]]
        read.sort(key=lambda each: each[2])
        for low, high in pairwise(BINS):
            inside = [each for each in read if low <= each[0] < high]
            if len({page for _, _, page in inside}) > 1:
                error = Estimate.of([each[1] for each in inside], [each[2] for each in inside])
                found.setdefault(name, []).append(
                    {
                        "low": low,
                        "high": high,
                        "middle": sum(each[0] for each in inside) / len(inside),
                        "n": len(inside),
                    }
                    | vars(error)
                )
    return found


def worths(lines: Lines) -> tuple[dict[str, Worth], Estimate | None]:
    """What looking is worth on A4 and on large pages, and how much more it is on large ones; None where one of them is missing."""
    of_parts = parts(lines)
    rows = {"A4": ("A4", WITHIN), "A4, ink alone": ("A4", INK.format(3))}
    rows |= {"large": ("large", WITHIN_LARGE), "large, ink alone": ("large", INK.format(16))}
    found = {where: worth(of_parts[part], name) for where, (part, name) in rows.items()}
    told = {part: both[0] for part, both in found.items() if both is not None}
    small, large = found["A4"], found["large"]
    if small is None or large is None:
        return told, None
    low, high = np.quantile(large[1] - small[1], [0.025, 0.975])
    return told, Estimate(large[0].ratio.mean - small[0].ratio.mean, float(low), float(high))
