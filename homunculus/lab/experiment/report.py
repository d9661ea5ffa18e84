"""Writes what was found: results.json, the plots, and a page in plain words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from homunculus.bridge.files import replaced_together
from homunculus.lab import plots
from homunculus.lab.experiment.page import PARTS
from homunculus.lab.experiment.results import GRIDS, Claim, Lines, RowResult, better, entries, uniform_need, verdicts
from homunculus.lab.experiment.rows import BUDGET, BUDGETS, PRIMARY, rows
from homunculus.lab.tables import in_markdown

GROUPS = {
    "reference": "References",
    "uniform": "A uniform grid with more tokens",
    "again": "Looking again: a look for each of the three questions, the tokens of all three counted",
    "memory": "Memory: a glimpse for each of the three questions, and one set of tokens from which all three are read",
    "rival": "Rivals",
    "ours": "This library's allocators, by the reader's own fixation",
    "ablation": f"Ablation of {PRIMARY}",
    "curve": "Budgets",
}
ITS_READER = (
    "That is what this reader needs: it learned to read at native resolution, and from plans and grids of at most 273 tokens. "
    "One that others made needs far fewer, on pages of its own: [pages](../pages/README.md)."
)
MORE = "uniform", "again"  # groups that are given more than the budget
INK = {"target": plots.BLUE, "secondary": plots.ORANGE, "periphery": plots.GRAY}
CURVES = {
    PRIMARY: plots.BLUE,
    f"{PRIMARY}, oracle fixation": plots.SKY,
    "two-view crop": plots.VERMILION,
    "log-polar, filtered": plots.GREEN,
    "CLS top-K": plots.PURPLE,
    "uniform K": plots.GRAY,
    "resize-grid": "#000000",
}
HEADINGS = (
    "",
    "target [%]",
    "secondary [%]",
    "periphery [%]",
    "target shown [%]",
    "tokens",
    "ms",
    "MMAC",
    "peak MiB",
    "covered [%]",
    "target % a token",
)


def write(out: Path, lines: Lines, costs: dict[str, Any]) -> list[Path]:
    """results.json, README.md, and rows.png, budgets.png and cost.png where matplotlib is. Everything but the costs is the same
    however often the run was stopped. Raises WriteError; the files of an earlier run are then still there.
    """
    size_px = lines[0]["size_px"]
    found = entries(lines, rows())
    claims = verdicts(lines, found, size_px)
    results = {
        "rows": [asdict(entry) for entry in found],
        "verdicts": [{"claim": one.claim, "yes": one.yes, "of": one.of, **vars(one.share)} for one in claims],
        "reasons": {line["row"]: line["reason"] for line in lines if "reason" in line},
    }
    drawn = figures(found, costs["rows"], size_px) if plots.HAS_MATPLOTLIB else {}
    names = ["results.json", "README.md", *drawn]
    with replaced_together(out, names[0]) as staging:
        staging.json(names[0], {**results, "files": names}, indent=1)
        staging.text(names[1], page(lines, found, claims, costs, size_px, bool(drawn)))
        for name, figure in drawn.items():
            staging.figure(name, figure)
    return [out / name for name in names]


def page(
    lines: Lines,
    found: Sequence[RowResult],
    claims: Sequence[Claim],
    costs: dict[str, Any],
    size_px: int,
    pictures: bool,
) -> str:
    """The page, in Markdown."""
    main = [entry for entry in found if entry.size_px == size_px]
    by_name = {entry.name: entry for entry in main}
    first, ways = main[0], sum(entry.group not in MORE for entry in main)
    machine = costs["machine"]
    parts = [
        "# Does looking help?",
        "",
        f"Values of {size_px} px pages read by one encoder from {BUDGET} tokens, spent in {ways} ways, and from more of them in a uniform "
        f"grid, or in a look for each question; {first.questions} questions on {first.pages} pages of fonts and figures it was not "
        "trained on. Percentages with 95 % bootstrap intervals over pages. Made by "
        "`homunculus experiment needle`; the task and the encoder are described in [needle.md](../needle.md). Every number comes from "
        "[results.json](results.json), that from [journal.jsonl](journal.jsonl), times and memory from [costs.json](costs.json): "
        f"{machine['processor']}, {machine['cores']} cores, {machine['renderer']}, torch {machine['versions']['torch']}.",
        "",
        "## What was found",
        "",
        *[f"- **{'Yes' if one.yes else 'No'}**: {one.claim}; {one.of} {one.share.percent()} %." for one in claims],
        *_losses(lines, found, by_name, size_px),
    ]
    if pictures:
        parts += [
            "",
            "![values read by every row](rows.png)",
            "",
            "![against the budget](budgets.png)",
            "",
            "![against time](cost.png)",
        ]
    for group, title in GROUPS.items():
        some = [entry for entry in main if entry.group == group]
        if some:
            parts += ["", f"## {title}", "", *_table(some, costs["rows"])]
    others = [entry for entry in found if entry.size_px != size_px]
    for size in dict.fromkeys(entry.size_px for entry in others):
        parts += ["", f"## Pages of {size} px", "", *_table([entry for entry in others if entry.size_px == size], {})]
    reasons = {line["row"]: line["reason"] for line in lines if "reason" in line}
    parts += ["", *[f"{name} was left out: {reason}." for name, reason in reasons.items()]] if reasons else []
    return "\n".join(parts) + "\n"


def _losses(lines: Lines, found: Sequence[RowResult], by_name: dict[str, RowResult], size_px: int) -> list[str]:
    """Where the primary allocator errs, and who does better."""
    said = []
    if own := by_name.get(PRIMARY):
        said.append(
            f"- By its own fixation {PRIMARY} reads {own.right['target'].percent()} % at the target. Of all questions it looked in "
            f"the wrong place and failed in {100 * own.elsewhere:.1f} %, and looked there and misread in {100 * own.misread:.1f} %."
        )
    least, enough = uniform_need(lines, found, size_px)
    if least is not None:
        said.append(
            f"- A uniform grid of {_grid(least)} reads less at the target than {PRIMARY} by its own fixation, beyond doubt."
        )
    if enough is not None:
        said.append(f"- One of {_grid(enough)} is the smallest tried of which that cannot be said. {ITS_READER}")
    for part in PARTS:
        ahead = better(lines, found, size_px, part)
        names = "; ".join(f"{entry.name} by {share.percent()}" for entry, share in ahead)
        said.append(f"- At the {part} it loses beyond doubt to: {names or 'none'}.")
    return said


def _grid(entry: RowResult) -> str:
    times, share = entry.tokens / BUDGET, entry.right["target"].percent()
    return f"{entry.tokens:.0f} tokens, {times:.0f} times as many ({share} %),"


def _table(some: Sequence[RowResult], costs: dict[str, Any]) -> list[str]:
    return in_markdown(HEADINGS, (_cells(entry, costs.get(entry.name, {})) for entry in some), "---")


def _cells(entry: RowResult, cost: dict[str, Any]) -> list[str]:
    covered = cost.get("coverage")
    return [
        f"**{entry.name}**" if entry.name == PRIMARY else entry.name,
        *(entry.right[part].percent() for part in PARTS),
        f"{100 * entry.looked.mean:.1f}",
        f"{entry.tokens:.0f}",
        f"{cost['ms']:.0f}" if cost else "",
        f"{entry.multiply_adds / 1e6:.0f}",
        f"{cost['peak_mib']:.0f}" if cost else "",
        "" if covered is None else f"{100 * covered:.0f}",
        f"{100 * entry.right['target'].mean / entry.tokens:.3f}",
    ]


def figures(entries: Sequence[RowResult], costs: dict[str, Any], size_px: int) -> dict[str, Any]:
    """Figures, by the name of their file: rows.png, budgets.png and cost.png."""
    some = [entry for entry in entries if entry.size_px == size_px]
    main = [entry for entry in some if entry.group in ("reference", "rival", "ours")]
    shown = [entry for entry in some if entry in main or entry.group in MORE]
    found: dict[str, Any] = {}
    drawn: tuple[tuple[str, tuple[float, float], Callable[[Any], None]], ...] = (
        ("rows", (9.6, 0.27 * len(shown) + 1.2), lambda axes: _rows(axes, shown)),
        ("budgets", (8.4, 5.0), lambda axes: _budgets(axes, some)),
        ("cost", (8.4, 5.4), lambda axes: _cost(axes, main, costs)),
    )
    for name, size, fill in drawn:
        found[f"{name}.png"], (axes,) = plots.figure(size, dpi=140)
        fill(axes)
    return found


def _rows(axes: Any, entries: Sequence[RowResult]) -> None:
    ordered = sorted(entries, key=lambda entry: entry.right["target"].mean)
    for place, entry in enumerate(ordered):
        for part, shift in zip(PARTS, (0.22, 0.0, -0.22), strict=True):
            label = part if not place else None
            plots.estimate(axes, entry.right[part], place + shift, INK[part], scale=100, label=label)
    axes.set_yticks(range(len(ordered)), [entry.name for entry in ordered], fontsize=8)
    for label, entry in zip(axes.get_yticklabels(), ordered, strict=True):
        label.set_fontweight("bold" if entry.name == PRIMARY else "normal")
    axes.set_xlabel(f"values read [%], with 95 % intervals over pages; {BUDGET} tokens, looking again thrice that")
    axes.set_xlim(-1, 101)
    plots.grid(axes, "x")
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def _budgets(axes: Any, entries: Sequence[RowResult]) -> None:
    by_name = {entry.name: entry for entry in entries}
    for name, color in CURVES.items():
        of_budgets = [by_name.get(name if budget == BUDGET else f"{name} @ {budget}") for budget in BUDGETS]
        if name in GRIDS:
            of_budgets += [entry for entry in entries if entry.group == "uniform" or entry.name == "full grid"]
        measured = sorted((entry for entry in of_budgets if entry is not None), key=lambda entry: entry.tokens)
        points = [(entry.tokens, entry.right["target"]) for entry in measured]
        if points:
            tokens = [tokens for tokens, _ in points]
            axes.plot(tokens, [100 * share.mean for _, share in points], "o-", ms=4, color=color, label=name)
            low, high = ([100 * getattr(share, end) for _, share in points] for end in ("low", "high"))
            axes.fill_between(tokens, low, high, color=color, alpha=0.12, lw=0)
    if full := by_name.get("full grid"):
        height = 100 * full.right["target"].mean
        axes.annotate("full grid", (full.tokens, height), (0, 5), textcoords="offset points", fontsize=8, ha="center")
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_xlabel("tokens")
    axes.set_ylabel("values read at the target [%]")
    axes.set_ylim(-2, 103)
    plots.grid(axes)
    axes.legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.6, 0.45))


def _cost(axes: Any, entries: Sequence[RowResult], costs: dict[str, Any]) -> None:
    inks = {"ours": plots.BLUE, "rival": plots.VERMILION, "reference": plots.DARK}
    points = [
        (entry.name, costs[entry.name]["ms"], 100 * entry.right["target"].mean, inks[entry.group])
        for entry in entries
        if entry.name in costs
    ]
    for _, ms, value, ink in points:
        axes.plot(ms, value, "o", color=ink, ms=5)
    for label, ink in zip(("this library", "rivals", "references"), inks.values(), strict=True):
        axes.plot([], [], "o", color=ink, ms=5, label=label)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    axes.set_xscale("log")
    axes.set_ylim(-4, 104)
    axes.set_xlabel("milliseconds a question, scoring pass and sampling included")
    axes.set_ylabel("values read at the target [%]")
    plots.grid(axes)
    plots.name_points(axes, sorted(points, key=lambda point: point[2]))
