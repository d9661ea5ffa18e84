"""What came of questions that were put to a model in one way or several: scores, tokens and time, side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median
from typing import Any

from homunculus.bridge.files.journal import Journal
from homunculus.lab.bootstrap import Estimate
from homunculus.lab.datasets.asking import WayOfAsking, legibilities
from homunculus.lab.datasets.judge import Judgement, judge, pictures_of
from homunculus.lab.datasets.record import Dataset
from homunculus.lab.tables import in_markdown

SPENT: dict[str, Callable[[list[float]], float]] = {"tokens": fmean, "mean_tokens": fmean, "seconds": median}


@dataclass(frozen=True)
class WayOutcome:
    """What came of one way. task: how it was asked. entries: of the journal, in the questions' order. verdict: None where the split
    withholds its answers. less: score less that of the first way, of the same questions, drawing pictures; None for the first, without a
    verdict, and of fewer than two pictures.
    """

    way: WayOfAsking
    task: Mapping[str, Any]
    entries: Sequence[Mapping[str, Any]]
    verdict: Judgement | None
    less: Estimate | None = None

    @property
    def answers(self) -> dict[int, str]:
        return {entry["id"]: entry["answer"] for entry in self.entries}

    @property
    def errors(self) -> dict[int, dict[str, str]]:
        """Of questions that could not be asked: kind and message."""
        return {entry["id"]: entry["error"] for entry in self.entries if "error" in entry}

    @property
    def spent(self) -> dict[str, float | None]:
        """Of the questions that were answered: mean tokens that enter the language model, the same over its layers, and median seconds;
        None where no entry tells, as those of an older journal.
        """
        known = {name: [entry[name] for entry in self.entries if name in entry] for name in SPENT}
        return {name: float(SPENT[name](values)) if values else None for name, values in known.items()}

    def as_dict(self) -> dict[str, Any]:
        """For JSON, the scores last."""
        told = {**self.task, "way": self.way.name, "seen": legibilities(self.entries), "spent": self.spent}
        told["errors"] = {str(number): error for number, error in self.errors.items()}
        if self.less is not None:
            told["less_first"] = asdict(self.less)
        return told | (self.verdict.as_dict() if self.verdict is not None else {})


def outcomes(dataset: Dataset, journals: Mapping[WayOfAsking, Journal], seed: int = 0) -> list[WayOutcome]:
    """Of every way, the first before those that are compared with it. Raises DataError for a question that was not asked."""
    found: list[WayOutcome] = []
    for way, journal in journals.items():
        entries = [journal.entries[question.id] for question in dataset.questions]
        bare = WayOutcome(way, journal.task, entries, None)
        if not dataset.answered:
            found.append(bare)
            continue
        verdict = judge(dataset, bare.answers, failed=bare.errors, seed=seed)
        less = _less(verdict, found[0].verdict if found else None, pictures_of(dataset))
        found.append(WayOutcome(way, journal.task, entries, verdict, less))
    return found


def _less(verdict: Judgement, first: Judgement | None, pictures: list[str]) -> Estimate | None:
    if first is None or len(set(pictures)) < 2:
        return None
    apart = [score - first.scores[number] for number, score in verdict.scores.items()]
    return Estimate.of(apart, pictures, level=verdict.level, resamples=verdict.resamples, seed=verdict.seed)


def title(dataset: Dataset) -> str:
    return f"{dataset.source.name} {dataset.split}: the eye against all tokens"


def headings(found: Sequence[WayOutcome]) -> list[str]:
    return ["", "tokens", "mean", f"{_judged(found[0]).metric} %", f"less {found[0].way.told}", "s", "errors"]


def lines(found: Sequence[WayOutcome]) -> list[list[str]]:
    """A row of the table for every way, all of them judged."""
    return [_line(one) for one in found]


def page(dataset: Dataset, found: Sequence[WayOutcome], measured: Mapping[str, Any]) -> str:
    """The table in Markdown, what its columns mean, how the model was asked, and what that was measured on."""
    verdict, pictures = _judged(found[0]), len(set(pictures_of(dataset)))
    told = {name: value for name, value in {**found[0].task, **measured}.items() if value is not None}
    rows = [f"# {title(dataset)}", "", *in_markdown(headings(found), lines(found))]
    notes = [
        f"{len(dataset.questions)} questions on {pictures} pictures. In brackets {verdict.level:.0%} intervals, drawing "
        f"pictures with all their questions ({verdict.resamples} draws, seed {verdict.seed}); the difference is of the same questions. "
        "A question that could not be asked counts 0.",
        "tokens: of a picture, as they enter the language model; mean: over its layers, between which the methods named drop some. s: "
        "seconds from the file to the answer, median of the questions, on the machine below or that of an earlier call.",
        ", ".join(f"{name} {value}" for name, value in told.items()) + ".",
    ]
    return "\n".join([*rows, *(line for note in notes for line in ("", note)), ""])


def _judged(one: WayOutcome) -> Judgement:
    assert one.verdict is not None, "what is withheld is in no table"
    return one.verdict


def _line(one: WayOutcome) -> list[str]:
    spent, verdict = one.spent, _judged(one)
    return [
        one.way.told,
        _number(spent["tokens"], ".1f"),
        _number(spent["mean_tokens"], ".1f"),
        _percent(verdict.mean, verdict.over_pictures),
        "–" if one.less is None else _percent(one.less.mean, (one.less.low, one.less.high), "+"),
        _number(spent["seconds"], ".3g"),
        str(len(one.errors)),
    ]


def _percent(mean: float, bounds: tuple[float, float] | None, sign: str = "") -> str:
    ends = "" if bounds is None else f" ({100 * bounds[0]:.1f}, {100 * bounds[1]:.1f})"
    return f"{100 * mean:{sign}.1f}{ends}"


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:{form}}"
