"""Writes what was found: results.json, the plots, and a page in plain words, every number of it from that JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from homunculus.bridge.files import replaced_together
from homunculus.lab import plots
from homunculus.lab.bootstrap import Estimate
from homunculus.lab.experiment.results import Claim
from homunculus.lab.pages.document import A4_KINDS, LARGE
from homunculus.lab.pages.results import BINS, Lines, WayResult, by_distance, entries, verdicts, worths
from homunculus.lab.pages.rows import BUDGET, PRIMARY
from homunculus.lab.pages.run import JOURNAL
from homunculus.lab.pages.worth import Worth
from homunculus.lab.tables import in_markdown

INK = {
    "page": plots.DARK, "uniform": plots.GRAY, "inked": plots.ORANGE, "oracle": plots.SKY, "memory": plots.GREEN,
    "channel": plots.PURPLE, "words": plots.BLUE,
}  # fmt: skip
LABELS = {
    "page": "the page itself",
    "uniform": "uniform resize",
    "inked": "what is inked, equally fine, not looked at",
    "oracle": "fixations given",
    "memory": "fixations given, looked at in turn and remembered",
    "channel": "a channel's own fixation",
    "words": "words read on a coarse pass, its tokens counted",
}
HEADINGS = (
    "",
    "pages",
    "tokens in all",
    "value [%]",
    "key and value [%]",
    "CER of the value",
    "first fixation on it [%]",
    "the library's own answer [%]",
)
COUNTER = (
    "The counter-claim has to be named: *Zooming without Zooming* (ZwZ, ICML 2026) trains a model to answer from one glance at the whole "
    "picture what its teacher needed crops for, and holds that looking is unnecessary. Nothing here contradicts it for pictures whose "
    "letters survive the resize; what was measured is how many tokens that takes. ZoomEye (EMNLP 2025) searches by confidence and "
    "backs off, without training; VisionThink (2025) and DeepEyes (2025) train the model to ask for another look. They crop and resize; "
    "none counts a look's tokens against a budget."
)


def write(out: Path, lines: Lines) -> list[Path]:
    """results.json, README.md, and rates.png and distance.png where matplotlib is. The same however often the run was stopped.

    Raises WriteError; the files of an earlier run are then still there.
    """
    lines = sorted(lines, key=lambda line: line["id"])
    found = entries(lines)
    claims, far = verdicts(lines, found), by_distance(lines)
    told, more = worths(lines)
    results = {
        "pages": {kind: len({line["page"] for line in lines if line["kind"] == kind}) for kind in (*A4_KINDS, *LARGE)},
        "rows": [asdict(entry) for entry in found],
        "verdicts": [{"claim": one.claim, "yes": one.yes, "of": one.of, **vars(one.share)} for one in claims],
        "worth": {part: asdict(one) for part, one in told.items()},
        "worth_more_on_large": None if more is None else vars(more),
        "by_distance": far,
        "reasons": {line["row"]: line["reason"] for line in lines if "reason" in line},
    }
    drawn = figures(found, far) if plots.HAS_MATPLOTLIB else {}
    names = ["results.json", "README.md", *drawn]
    with replaced_together(out, names[0]) as staging:
        staging.json(names[0], {**results, "files": names}, indent=1)
        staging.text(names[1], page(found, claims, results, (told, more), bool(drawn)))
        for name, figure in drawn.items():
            staging.figure(name, figure)
    return [out / name for name in names]


def page(
    found: Sequence[WayResult],
    claims: Sequence[Claim],
    results: dict[str, Any],
    worth: tuple[dict[str, Worth], Estimate | None],
    pictures: bool,
) -> str:
    """The page, in Markdown."""
    counts = results["pages"]
    kinds = ", ".join(f"{count} {kind}s" for kind, count in counts.items() if count)
    parts = [
        "# Does looking help a real reader?",
        "",
        f"PP-OCRv6, which others made and trained, reads generated pages of real fonts from tokens alone: {kinds}. One question a page, "
        f"the value behind a key. A budget is {BUDGET} tokens of 16 px. *Value*: the recogniser on the value's true box of the "
        "reconstruction; *key and value*: detector and recogniser on the stripe that holds both, the key matched fuzzily, what stands "
        "right of it compared exactly. A uniform row is the whole page averaged to as many pixels, in one piece; its stripe is placed by "
        "truth, as that of every row, which favours it. *Words* rows read a coarse pass first, fixate what they found, and count both. "
        "*Two glimpses* and *two looks* are at the key, then at the value, and both are read off what is kept of the two together. "
        "*Ink alone* rows stop after such a pass, on which they spend all of the total. What is inked is known from statistics of the "
        "whole picture, which the texture units measure and which are no tokens. *By example* is asked with the key drawn as a picture. "
        "Percentages and error rates with 95 % bootstrap intervals over pages. "
        "Made by `homunculus experiment pages`; every number comes from [results.json](results.json), "
        f"that from [{JOURNAL}]({JOURNAL}).",
        "",
        "## What was found",
        "",
        *[f"- **{'Yes' if one.yes else 'No'}**: {one.claim}; {one.of} {one.share.percent()} %." for one in claims],
        *_worth(*worth),
        "",
        "What *ink alone* reads more than a uniform resize is no looking: it is what sparing blank paper gives. What words read more than "
        "that, at the same total, is what looking gives.",
        "",
        COUNTER,
    ]
    if pictures:
        parts += ["", "![keys and values read against tokens](rates.png)"]
    for part, title in (("A4", "A4 pages"), ("large", "Large pages, with letters as high as on A4")):
        parts += _table(found, part, f"## {title}")
        if part == "A4" and pictures:
            parts += [
                "",
                "How well other values are read, by their distance from the nearest fixation (from the answer, for rows without):",
            ]
            parts += ["", "![character error rate against distance](distance.png)"]
    parts += ["", "## Kinds and sizes apart: key and value [%]", "", *_apart(found)]
    reasons = results["reasons"]
    parts += ["", *[f"{name} was left out: {reason}." for name, reason in reasons.items()]] if reasons else []
    return "\n".join(parts) + "\n"


def _worth(told: dict[str, Worth], more: Estimate | None) -> list[str]:
    """What a uniform resize needs to read as much as words, and whether looking pays more on large pages."""
    said = []
    for where, one in told.items():
        part = where.split(",")[0]
        ratio = f"{one.ratio.mean:.2f} ({one.ratio.low:.2f}–{one.ratio.high:.2f})"
        bound = "at least " if one.at_least else ""
        said.append(
            f"- On {one.pages} {part} pages a uniform resize needs {bound}{ratio} times the tokens to read what *{one.words}* reads, "
            f"{100 * one.read:.0f} % of keys and values for {one.budgets:.1f} budgets."
        )
    if more is not None:
        said.append(
            f"- **{'Yes' if more.low > 0 else 'No'}**: looking pays more on large pages; the two ratios differ by {more.mean:.2f} "
            f"({more.low:.2f}–{more.high:.2f})."
        )
    return said


def _table(found: Sequence[WayResult], part: str, title: str) -> list[str]:
    some = [entry for entry in found if entry.part == part]
    if not some:
        return []
    return ["", title, "", *in_markdown(HEADINGS, map(_cells, some))]


def _cells(entry: WayResult) -> list[str]:
    return [
        f"**{entry.name}**" if entry.group == "words" else entry.name,
        str(entry.pages),
        f"{entry.tokens:.0f} ({entry.tokens / BUDGET:.1f} budgets)",
        entry.value.percent(),
        entry.pair.percent(),
        f"{entry.error.mean:.2f} ({entry.error.low:.2f}–{entry.error.high:.2f})",
        *("" if share is None else share.percent() for share in (entry.first_near, entry.said)),
    ]


def _apart(found: Sequence[WayResult]) -> list[str]:
    columns = [part for part in dict.fromkeys(entry.part for entry in found) if part not in ("A4", "large")]
    names = list(dict.fromkeys(entry.name for entry in found))
    by_place = {(entry.part, entry.name): entry for entry in found}
    lines = []
    for name in names:
        cells = [by_place.get((part, name)) for part in columns]
        lines.append([name, *("" if cell is None else cell.pair.percent() for cell in cells)])
    heads = [f"{part} (n = {max(entry.pages for entry in found if entry.part == part)})" for part in columns]
    return in_markdown(("", *heads), lines)


def figures(found: Sequence[WayResult], far: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Figures, by the name of their file: rates.png and distance.png."""
    drawn: dict[str, Any] = {}
    panels = [part for part in ("A4", "large") if any(entry.part == part for entry in found)]
    drawn["rates.png"], axes = plots.figure((5.6 * max(len(panels), 1), 5.4), columns=max(len(panels), 1), dpi=140)
    for part, each in zip(panels, axes, strict=False):
        _rates(each, [entry for entry in found if entry.part == part], part)
    drawn["distance.png"], (one,) = plots.figure((8.4, 5.0), dpi=140)
    _distances(one, far)
    return drawn


def _rates(axes: Any, some: Sequence[WayResult], part: str) -> None:
    for group, ink in INK.items():
        points = sorted((entry for entry in some if entry.group == group), key=lambda entry: entry.tokens)
        if not points:
            continue
        tokens = [entry.tokens for entry in points]
        line = "o-" if group in ("uniform", "inked", "words") else "o"
        axes.plot(tokens, [100 * entry.pair.mean for entry in points], line, ms=5, color=ink, label=LABELS[group])
        for entry in points:
            _bar(axes, entry.tokens, entry.pair, ink)
    axes.set_xscale("log")
    axes.set_xlabel(f"tokens in all; {part} pages")
    axes.set_ylabel("keys and values read [%]")
    axes.set_ylim(-3, 103)
    plots.grid(axes)
    axes.legend(frameon=False, fontsize=7, loc="lower right" if part == "A4" else "center left")


def _bar(axes: Any, x: float, share: Estimate, ink: str) -> None:
    axes.plot([x, x], [100 * share.low, 100 * share.high], color=ink, lw=1.2)


def _distances(axes: Any, far: dict[str, list[dict[str, Any]]]) -> None:
    inks = iter(
        (plots.BLUE, plots.SKY, plots.GREEN, plots.DARK, plots.ORANGE, plots.VERMILION, plots.GRAY, plots.PURPLE)
    )
    for (name, bins), ink in zip(
        sorted(far.items(), key=lambda each: not each[0].startswith(PRIMARY)), inks, strict=False
    ):
        place = [max(each["middle"], BINS[1] / 2) for each in bins]
        wide = 2.2 if name.startswith(PRIMARY) else 1.2
        axes.plot(place, [each["mean"] for each in bins], "o-", ms=3.5, lw=wide, color=ink, label=name)
        axes.fill_between(
            place, [each["low"] for each in bins], [each["high"] for each in bins], color=ink, alpha=0.1, lw=0
        )
    axes.set_xscale("log")
    axes.set_xlabel("distance from the nearest fixation [page heights]")
    axes.set_ylabel("character error rate")
    axes.set_ylim(-0.03, 1.03)
    plots.grid(axes)
    axes.legend(frameon=False, fontsize=7.5, loc="center left")
