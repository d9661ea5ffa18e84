"""How much longer people, or a density, dwell on the words that answer a question than on the other words of the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from homunculus.lab.bootstrap import Estimate
from homunculus.lab.gaze.records import Array, Scanpath, WordDwell

ANSWER, DISTRACTOR = "answer", "distractor"


@dataclass(frozen=True)
class SpanDwell:
    """part: of the page. trials: readings of which such a ratio can be had; above: those whose ratio is above 1; unseen: those in which
    no word of the part was looked at, ratio 0. median: of the ratios. mean: the geometric mean, with its 95 % interval over trials;
    by_page: the same with the interval over pages, whose readers share them; None where a ratio is 0, or there are too few. readers: the
    geometric mean of each person's.
    """

    part: str
    trials: int
    above: int
    unseen: int
    median: float
    mean: Estimate | None
    by_page: Estimate | None
    readers: dict[str, float | None]

    def told(self) -> str:
        """A line for a reader."""
        mean = (
            "" if self.mean is None else f" (geometric mean; {self.mean.low:.2f} to {self.mean.high:.2f} over trials)"
        )
        middle = self.median if self.mean is None else self.mean.mean
        kind = "" if self.mean is not None else " (median)"
        return (
            f"people dwelt {middle:.2f} times as long on a word of the {self.part} as on one elsewhere{mean}{kind}: "
            f"{self.above} of {self.trials} readings above 1"
        )


def span_ratio(per_word: Array, part: Array, others: Array) -> float:
    """The mean over the words of a part, bool [n], over that of others; NaN without either, or where the others have nothing."""
    if not part.any() or not others.any() or not per_word[others].any():
        return float("nan")
    return float(per_word[part].mean() / per_word[others].mean())


def chosen(words: Sequence[WordDwell], part: str) -> tuple[Array, Array]:
    """bool [n] each: the words of a part, and those it is held against, all that are neither of it nor of the answer."""
    parts = np.array([word.part for word in words])
    return parts == part, (parts != part) & (parts != ANSWER)


def masses(density: Tensor, words: Sequence[WordDwell], size: tuple[int, int]) -> Array:
    """float64 [n]: what of a density [h, w] over a picture of (height, width) px lies in each word's box, cells cut at its edges."""
    down, across = _shares(words, size, (density.shape[0], density.shape[1]))
    return np.asarray((down @ density.double().cpu().numpy() * across).sum(1))


def evenly(words: Sequence[WordDwell], size: tuple[int, int], shape: tuple[int, int], floor: float) -> Tensor:
    """The log-density [h, w] of looking at every word alike: of each its box, evenly, but for the floor, which is spread over all."""
    down, across = _shares(words, size, shape)
    on_words = (down / np.maximum(down.sum(1), 1e-9)[:, None]).T @ (across / np.maximum(across.sum(1), 1e-9)[:, None])
    return torch.from_numpy(np.log((1 - floor) * on_words / on_words.sum() + floor / on_words.size))


def _shares(words: Sequence[WordDwell], size: tuple[int, int], shape: tuple[int, int]) -> tuple[Array, Array]:
    """float64 [n, rows] and [n, columns]: how much of each row, and of each column, of a raster lies in each word's box."""
    boxes = np.array([word.box for word in words], np.float64)
    found = []
    for axis, count, length in ((1, shape[0], size[0]), (0, shape[1], size[1])):
        low, high = boxes[:, axis, None] * count / length, boxes[:, axis + 2, None] * count / length
        cells = np.arange(count)
        found.append(np.clip(np.minimum(high, cells + 1) - np.maximum(low, cells), 0, 1))
    return found[0], found[1]


def dwelt(
    scanpaths: Sequence[Scanpath], part: str = ANSWER, *, seed: int = 0, resamples: int = 10_000
) -> SpanDwell | None:
    """How long people dwelt on the words of a part against those elsewhere, milliseconds a word, reading by reading; None where no
    scanpath has such words."""
    found = []
    for path in scanpaths:
        ratio = (
            span_ratio(np.array([word.dwell_ms for word in path.words]), *chosen(path.words, part))
            if path.words
            else np.nan
        )
        if np.isfinite(ratio):
            found.append((path, ratio))
    if not found:
        return None
    ratios = np.array([ratio for _, ratio in found])
    people = {path.subject: ratios[[other.subject == path.subject for other, _ in found]] for path, _ in found}
    options = {"seed": seed, "resamples": resamples}
    return SpanDwell(
        part,
        len(found),
        int((ratios > 1).sum()),
        int((ratios == 0).sum()),
        float(np.median(ratios)),
        _geometric(ratios, None, options),
        _geometric(ratios, [path.image for path, _ in found], options),
        {name: float(np.exp(np.log(own).mean())) if own.all() else None for name, own in people.items()},
    )


def _geometric(ratios: Array, groups: Sequence[object] | None, options: dict[str, int]) -> Estimate | None:
    if not ratios.all() or len(set(range(len(ratios)) if groups is None else groups)) < 2:
        return None
    found = Estimate.of(np.log(ratios), groups, **options)
    return Estimate(*np.exp([found.mean, found.low, found.high]).tolist())
