"""Writes what was found: results.json, the plots, and a page in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from homunculus.bridge.files import replaced_together
from homunculus.lab.bench.plots import HAS_MATPLOTLIB
from homunculus.lab.experiment import plots
from homunculus.lab.experiment.page import PARTS
from homunculus.lab.experiment.rows import BUDGET, PRIMARY, rows
from homunculus.lab.experiment.table import Lines, RowResult, entries
from homunculus.lab.experiment.verdicts import Claim, better, verdicts

GROUPS = {
    "reference": "References",
    "rival": "Rivals",
    "ours": "This library's allocators, by the reader's own fixation",
    "ablation": f"Ablation of {PRIMARY}",
    "curve": "Budgets",
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
        "rows": [entry.as_dict() for entry in found],
        "verdicts": [{"claim": one.claim, "yes": one.yes, "of": one.of, **vars(one.share)} for one in claims],
        "reasons": {line["row"]: line["reason"] for line in lines if "reason" in line},
    }
    drawn = plots.draw(found, costs["rows"], size_px) if HAS_MATPLOTLIB else {}
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
    first = main[0]
    machine = costs["machine"]
    parts = [
        "# Does looking help?",
        "",
        f"Values of {size_px} px pages read by one encoder from {BUDGET} tokens, spent in {len(main)} ways; {first.questions} questions on "
        f"{first.pages} pages of fonts and figures it was not trained on. Percentages with 95 % bootstrap intervals over pages. Made by "
        "`homunculus experiment needle`; the task and the encoder are described in [needle.md](../needle.md). Every number comes from "
        "[results.json](results.json), that from [journal.jsonl](journal.jsonl), times and memory from [costs.json](costs.json): "
        f"{machine['processor']}, {machine['cores']} cores, {machine['renderer']}, torch {machine['versions']['torch']}.",
        "",
        "## What was found",
        "",
        *[f"- **{'Yes' if one.yes else 'No'}**: {one.claim}; {one.of} {one.share} %." for one in claims],
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
            f"- By its own fixation {PRIMARY} reads {own.right['target']} % at the target. Of all questions it looked in the wrong place "
            f"and failed in {100 * own.elsewhere:.1f} %, and looked there and misread in {100 * own.misread:.1f} %."
        )
    for part in PARTS:
        ahead = better(lines, found, size_px, part)
        names = "; ".join(f"{entry.name} by {share}" for entry, share in ahead)
        said.append(f"- At the {part} it loses beyond doubt to: {names or 'none'}.")
    return said


def _table(some: Sequence[RowResult], costs: dict[str, Any]) -> list[str]:
    rows_ = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    for entry in some:
        cost = costs.get(entry.name, {})
        covered = cost.get("coverage")
        cells = [
            f"**{entry.name}**" if entry.name == PRIMARY else entry.name,
            *(str(entry.right[part]) for part in PARTS),
            f"{100 * entry.looked.mean:.1f}",
            f"{entry.tokens:.0f}",
            f"{cost['ms']:.0f}" if cost else "",
            f"{entry.multiply_adds / 1e6:.0f}",
            f"{cost['peak_mib']:.0f}" if cost else "",
            "" if covered is None else f"{100 * covered:.0f}",
            f"{100 * entry.right['target'].mean / entry.tokens:.3f}",
        ]
        rows_.append("| " + " | ".join(cells) + " |")
    return rows_
