"""Three plots: accuracy of every row, accuracy against budget, accuracy against cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from homunculus.lab.experiment.page import PARTS
from homunculus.lab.experiment.rows import BUDGET, BUDGETS, PRIMARY
from homunculus.lab.experiment.table import RowResult

INK = {"target": "#0072B2", "secondary": "#E69F00", "periphery": "#999999"}  # Okabe and Ito
CURVES = {
    PRIMARY: "#0072B2",
    f"{PRIMARY}, oracle fixation": "#56B4E9",
    "two-view crop": "#D55E00",
    "log-polar, filtered": "#009E73",
    "CLS top-K": "#CC79A7",
    "uniform K": "#999999",
    "resize-grid": "#000000",
}


def draw(entries: Sequence[RowResult], costs: dict[str, Any], size_px: int) -> dict[str, Any]:
    """Figures, by the name of their file: rows.png, budgets.png and cost.png."""
    from matplotlib.figure import Figure

    some = [entry for entry in entries if entry.size_px == size_px]
    main = [entry for entry in some if entry.group in ("reference", "rival", "ours")]
    figures: dict[str, Any] = {}
    drawn: tuple[tuple[str, tuple[float, float], Callable[[Any], None]], ...] = (
        ("rows", (9.6, 0.27 * len(main) + 1.2), lambda axes: _rows(axes, main)),
        ("budgets", (8.4, 5.0), lambda axes: _budgets(axes, some)),
        ("cost", (8.4, 5.4), lambda axes: _cost(axes, main, costs)),
    )
    for name, size, fill in drawn:
        figure: Any = Figure(figsize=size, dpi=140, layout="constrained")
        axes = figure.subplots()
        fill(axes)
        axes.spines[["top", "right"]].set_visible(False)
        figures[f"{name}.png"] = figure
    return figures


def _rows(axes: Any, entries: Sequence[RowResult]) -> None:
    ordered = sorted(entries, key=lambda entry: entry.right["target"].mean)
    for place, entry in enumerate(ordered):
        for part, shift in zip(PARTS, (0.22, 0.0, -0.22), strict=True):
            share = entry.right[part]
            axes.plot([100 * share.low, 100 * share.high], [place + shift] * 2, color=INK[part], lw=1.6)
            axes.plot(100 * share.mean, place + shift, "o", ms=4, color=INK[part], label=part if not place else None)
    axes.set_yticks(range(len(ordered)), [entry.name for entry in ordered], fontsize=8)
    for label, entry in zip(axes.get_yticklabels(), ordered, strict=True):
        label.set_fontweight("bold" if entry.name == PRIMARY else "normal")
    axes.set_xlabel(f"values read [%], with 95 % intervals over pages; {BUDGET} tokens except the full grid")
    axes.set_xlim(-1, 101)
    axes.grid(True, axis="x", color="#dddddd", lw=0.6)
    axes.legend(loc="lower right", frameon=False, fontsize=9)


def _budgets(axes: Any, entries: Sequence[RowResult]) -> None:
    by_name = {entry.name: entry for entry in entries}
    for name, color in CURVES.items():
        points = []
        for budget in BUDGETS:
            entry = by_name.get(name if budget == BUDGET else f"{name} @ {budget}")
            if entry is not None:
                points.append((entry.tokens, entry.right["target"]))
        if not points:
            continue
        tokens = [tokens for tokens, _ in points]
        axes.plot(tokens, [100 * share.mean for _, share in points], "o-", ms=4, color=color, label=name)
        low, high = ([100 * getattr(share, end) for _, share in points] for end in ("low", "high"))
        axes.fill_between(tokens, low, high, color=color, alpha=0.12, lw=0)
    if full := by_name.get("full grid"):
        axes.axhline(100 * full.right["target"].mean, color="#555555", lw=1, ls="--")
        axes.annotate(
            f"full grid, {full.tokens:.0f} tokens",
            (BUDGETS[0], 100 * full.right["target"].mean),
            fontsize=8,
            va="bottom",
        )
    axes.set_xlabel("tokens")
    axes.set_ylabel("values read at the target [%]")
    axes.set_ylim(-2, 103)
    axes.grid(True, color="#dddddd", lw=0.6)
    axes.legend(frameon=False, fontsize=8, loc="center right")


def _cost(axes: Any, entries: Sequence[RowResult], costs: dict[str, Any]) -> None:
    inks = {"rival": "#D55E00", "ours": "#0072B2", "reference": "#555555"}
    points = [
        (entry.name, costs[entry.name]["ms"], 100 * entry.right["target"].mean, inks[entry.group])
        for entry in entries
        if entry.name in costs
    ]
    for _, ms, value, ink in points:
        axes.plot(ms, value, "o", color=ink, ms=5)
    for label, group in (("this library", "ours"), ("rivals", "rival"), ("references", "reference")):
        axes.plot([], [], "o", color=inks[group], ms=5, label=label)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    axes.set_xscale("log")
    axes.set_ylim(-4, 104)
    axes.set_xlabel("milliseconds a question, scoring pass and sampling included")
    axes.set_ylabel("values read at the target [%]")
    axes.grid(True, color="#dddddd", lw=0.6)
    _name(axes, sorted(points, key=lambda point: point[2]))


def _name(axes: Any, points: Sequence[tuple[str, float, float, str]]) -> None:
    """Writes names beside points, each at the nearest place that is still free."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    frame = axes.get_window_extent()
    places = [axes.transData.transform(point[1:3]) for point in points]
    taken = [Bbox.from_bounds(x - 6, y - 6, 12, 12) for x, y in places]
    for (name, ms, value, ink), (x, y) in zip(points, places, strict=True):
        note = axes.annotate(
            name, (ms, value), (0, 0), textcoords="offset pixels", fontsize=6.5, color=ink, va="center"
        )
        box = note.get_window_extent()
        near = [(side, 10 + abs(lift) / 4, lift) for lift in range(-200, 201, 2) for side in (1, -1)]
        for side, reach, lift in sorted(near, key=lambda place: (abs(place[2]), -place[0])):
            left = x + reach if side > 0 else x - reach - box.width
            spot = Bbox.from_bounds(left, y + lift - box.height / 2, box.width, box.height)
            inside = spot.x0 >= frame.x0 and spot.x1 <= frame.x1 and spot.y0 >= frame.y0 and spot.y1 <= frame.y1
            if inside and not any(spot.overlaps(other) for other in taken):
                note.set_position((left - x, lift))
                taken.append(spot)
                if abs(lift) > 14:
                    end = side * reach, lift
                    line = {"arrowstyle": "-", "color": ink, "lw": 0.4, "shrinkA": 0, "shrinkB": 2}
                    axes.annotate("", (ms, value), end, textcoords="offset pixels", arrowprops=line)
                break
