"""What looking is worth: how many tokens a uniform resize needs to read as much as words do, search included, over theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from homunculus.lab.bootstrap import Estimate
from homunculus.lab.pages.rows import BUDGET

RESAMPLES = 2000


@dataclass(frozen=True)
class Worth:
    """words: the row whose keys and values are to be read by a uniform resize as well. read: their share. budgets: that the row takes.

    ratio: of the uniform tokens needed to its own, with its interval over pages. at_least: whether the largest resize tried reads less
    than the row, so that the ratio is no more than a bound from below.
    """

    words: str
    pages: int
    read: float
    budgets: float
    ratio: Estimate
    at_least: bool


def worth(lines: Sequence[dict[str, Any]], words: str) -> tuple[Worth, NDArray[np.float64]] | None:
    """Of a row of words on one part of the pages, and the ratio's draws; None where fewer than two pages have it and all resizes."""
    by_page: dict[str, dict[str, dict[str, Any]]] = {}
    for line in lines:
        if line["group"] == "uniform" or line["row"] == words:
            by_page.setdefault(line["page"], {})[line["row"]] = line
    names = {name for rows in by_page.values() for name in rows}
    whole = [rows for _, rows in sorted(by_page.items()) if set(rows) == names]
    if words not in names or len(names) < 3 or len(whole) < 2:
        return None
    uniform = sorted(names - {words}, key=lambda name: whole[0][name]["tokens"])
    tokens = np.array([whole[0][name]["tokens"] for name in uniform], np.float64)
    right = np.array([[rows[name]["pair_right"] for name in (*uniform, words)] for rows in whole], np.float64)
    spent = np.array([rows[words]["tokens"] for rows in whole], np.float64)
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(whole), size=(RESAMPLES, len(whole)))
    draws = np.array([_ratio(tokens, right[some].mean(0), spent[some].mean()) for some in drawn])
    low, high = np.quantile(draws, [0.025, 0.975])
    means = right.mean(0)
    ratio = Estimate(_ratio(tokens, means, spent.mean()), float(low), float(high))
    at_least = bool(means[:-1].max() < means[-1])
    return Worth(words, len(whole), float(means[-1]), float(spent.mean()) / BUDGET, ratio, at_least), draws


def _ratio(tokens: NDArray[np.float64], read: NDArray[np.float64], spent: float) -> float:
    return needed(tokens, read[:-1], float(read[-1])) / float(spent)


def needed(tokens: NDArray[np.float64], read: NDArray[np.float64], share: float) -> float:
    """Tokens at which a share is read first, between two that were tried on a log scale; the most that was tried, where none does."""
    enough = np.flatnonzero(read >= share)
    if not len(enough):
        return float(tokens[-1])
    at = int(enough[0])
    if not at:
        return float(tokens[0])
    along = (share - read[at - 1]) / (read[at] - read[at - 1])
    return float(tokens[at - 1] * (tokens[at] / tokens[at - 1]) ** along)
