"""A table: how well each of several predictors tells where people looked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from homunculus.bridge.errors import DataError
from homunculus.bridge.threads import one_thread
from homunculus.lab.bootstrap import Estimate
from homunculus.lab.gaze import metrics
from homunculus.lab.gaze.density import FLOOR, CentreBias, uniform
from homunculus.lab.gaze.dwell import ANSWER, DISTRACTOR, chosen, dwelt, evenly, masses, span_ratio
from homunculus.lab.gaze.predictors import Point, Prediction, Predictor
from homunculus.lab.gaze.records import Array, GazeData, Stimulus, scaled
from homunculus.lab.gaze.table import METRICS, GazeComparison
from homunculus.layouts.metrics import Raster

LONGEST = 512  # cells on the longer side of the raster that densities are judged on
# What is always among the rows: a prediction that does not beat them has learned nothing of the picture.
GAUSSIAN, BIAS, UNIFORM = "centred Gaussian", "centre bias", "uniform"
# And where the words of a page are known: how long people dwelt on them, and looking at each alike, which finds the text and no more.
PEOPLE, WORDS = "people", "every word alike"
Track = Callable[[Sequence[Stimulus]], Iterable[Stimulus]]
Scores = dict[str, dict[str, list[tuple[Path, float]]]]  # by predictor and metric: picture and value of each stimulus


def compare(
    data: GazeData,
    predictors: Mapping[str, Predictor],
    *,
    limit: int | None = None,
    floor: float = FLOOR,
    longest: int = LONGEST,
    seed: int = 0,
    resamples: int = 10_000,
    track: Track | None = None,
) -> GazeComparison:
    """Asks every predictor about every stimulus, and averages what each metric says of it over stimuli.

    Added to the predictors are a centred Gaussian and the centre bias, both fitted to all other pictures, and the uniform
    density. Information gain is over the centre bias. limit: so many stimuli at most, at even steps; what is fitted, and the
    negatives of shuffled AUC, still come from all. floor: what a plan's density spreads evenly. longest: cells on the longer side of
    the raster. seed: of jitter and bootstrap. track: wraps what is long.
    Distances and hits are those of the predicted first fixation; in degrees where the display is known, in the box where
    there is one. Of pages whose words are known, every density is also asked how much more a word of the answer has of it than one
    elsewhere, and people how much longer they dwelt there. Raises DataError for a limit below 1, a predictor of a reserved name, or
    fewer than two pictures.
    """
    if taken := sorted({GAUSSIAN, BIAS, UNIFORM, PEOPLE, WORDS} & set(predictors)):
        raise DataError(f"a predictor is named {taken[0]!r}, as a row that is always there; give it another name")
    stimuli = data.stimuli
    asked, relative = _some(stimuli, limit), _by_picture(stimuli)
    bias = CentreBias.fit(relative)
    scores: Scores = {}
    for stimulus in (track or iter)(asked):
        others = np.concatenate([points for image, points in relative.items() if image != stimulus.image])
        image = stimulus.picture()
        found = {name: predict(image, stimulus.query) for name, predict in predictors.items()}
        _note(scores, PEOPLE, stimulus, _dwelt(stimulus))
        with one_thread():
            for name, prediction in (found | _always(stimulus, bias, longest, floor)).items():
                density = prediction.log_density(stimulus.size, floor, longest)
                judged = _judged(density, stimulus, others, bias, seed)
                _note(scores, name, stimulus, judged | _first(prediction.first, stimulus, data.px_per_degree))
    settings = {
        "stimuli": len(asked),
        "stimuli_in_all": len(stimuli),
        "pictures_in_all": len(relative),
        "fixations_in_all": sum(map(len, relative.values())),
        "floor": floor,
        "centre_bias_bandwidth": bias.bandwidth,
        "centre_bias_floor": bias.floor,
        "longest": longest,
        "px_per_degree": data.px_per_degree,
        "seed": seed,
        "resamples": resamples,
    }
    return _averaged(data, asked, scores, settings)


def _note(scores: Scores, name: str, stimulus: Stimulus, judged: Mapping[str, float]) -> None:
    for metric, value in judged.items():
        scores.setdefault(name, {}).setdefault(metric, []).append((stimulus.image, value))


def _averaged(data: GazeData, asked: Sequence[Stimulus], scores: Scores, settings: Mapping[str, Any]) -> GazeComparison:
    resamples, seed = settings["resamples"], settings["seed"]
    rows = {
        name: {metric: _estimate(row[metric], resamples, seed) for metric in METRICS if metric in row}
        for name, row in scores.items()
    }
    values = {
        name: {metric: [value for _, value in told] for metric, told in row.items()} for name, row in scores.items()
    }
    people = [path for stimulus in asked for path in stimulus.scanpaths]
    dwell = [dwelt(people, part, seed=seed, resamples=resamples) for part in (ANSWER, DISTRACTOR)]
    told = [one for one in dwell if one is not None]
    return GazeComparison(data.name, rows, values, settings, data.remarks, told)


def _some(stimuli: Sequence[Stimulus], limit: int | None) -> list[Stimulus]:
    """So many at most, at even steps. Raises DataError for a limit below 1."""
    if limit is not None and limit < 1:
        raise DataError(f"limit is {limit}; it must be at least 1, or None for all stimuli")
    count = len(stimuli) if limit is None else min(limit, len(stimuli))
    return [stimuli[turn * len(stimuli) // count] for turn in range(count)]


def _estimate(scores: Sequence[tuple[Path, float]], resamples: int, seed: int) -> Estimate:
    """Without an interval from a single picture, which does not tell how sure it is."""
    pictures, values = zip(*scores, strict=True)
    if len(set(pictures)) < 2:
        return Estimate(float(np.mean(values)), np.nan, np.nan)
    return Estimate.of(values, pictures, resamples=resamples, seed=seed)


def _by_picture(stimuli: Sequence[Stimulus]) -> dict[Path, Array]:
    """Fixations [n, 2] as fractions, of all queries on a picture together."""
    found: dict[Path, list[Array]] = {}
    for stimulus in stimuli:
        found.setdefault(stimulus.image, []).append(stimulus.relative)
    return {image: np.concatenate(parts) for image, parts in found.items()}


def _always(stimulus: Stimulus, bias: CentreBias, longest: int, floor: float) -> dict[str, Prediction]:
    shape = Raster(stimulus.size, longest).shape
    height, width = stimulus.size
    middle = (width / 2, height / 2)
    usual = bias.log_density(shape, stimulus.image)
    row, column = divmod(int(usual.argmax()), shape[1])
    peak = ((column + 0.5) * width / shape[1], (row + 0.5) * height / shape[0])
    found = {
        GAUSSIAN: Prediction(density=bias.gaussian(shape, stimulus.image), first=middle),
        BIAS: Prediction(density=usual, first=peak),
        UNIFORM: Prediction(density=uniform(shape)),
    }
    if stimulus.words:
        found[WORDS] = Prediction(density=evenly(stimulus.words, stimulus.size, shape, floor))
    return found


def _judged(density: Tensor, stimulus: Stimulus, others: Array, bias: CentreBias, seed: int) -> dict[str, float]:
    """The metrics of a density. NSS and AUC read the density itself, not its logarithm."""
    height, width = density.shape
    points = scaled(stimulus.relative, (height, width))
    map_ = density.exp()
    baseline = bias.log_density((height, width), stimulus.image)
    return {
        "information_gain_bits": metrics.information_gain(density, baseline, points),
        "nss": metrics.nss(map_, points),
        "auc_judd": metrics.auc_judd(map_, points, seed),
        "shuffled_auc": metrics.shuffled_auc(map_, points, scaled(others, (height, width))),
        **_on_answer(stimulus, [masses(map_, stimulus.words, stimulus.size)] if stimulus.words else []),
    }


def _dwelt(stimulus: Stimulus) -> dict[str, float]:
    return _on_answer(stimulus, [np.array([word.dwell_ms for word in path.words]) for path in stimulus.scanpaths])


def _on_answer(stimulus: Stimulus, per_word: Sequence[Array]) -> dict[str, float]:
    """log2 of what a word of the answer has over what one elsewhere has, averaged; nothing where it cannot be had."""
    parts = chosen(stimulus.words, ANSWER)
    found = [span_ratio(words, *parts) for words in per_word if len(words)]
    return {"answer_bits": float(np.log2(found).mean())} if found and min(found) > 0 else {}


def _first(first: Point | None, stimulus: Stimulus, px_per_degree: float | None) -> dict[str, float]:
    if first is None:
        return {}
    found = {"first_distance": metrics.first_distance(first, stimulus.first_points, stimulus.size)}
    if px_per_degree is not None:
        found["first_distance_deg"] = metrics.first_distance_deg(
            first, stimulus.first_points, stimulus.size, px_per_degree
        )
    if stimulus.box is not None:
        found["in_box"] = float(metrics.in_box(first, stimulus.box))
    return found
