"""What `homunculus bench` makes of its rows: tables, how far ahead or behind in words, and two plots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from homunculus.lab import plots, tables
from homunculus.lab.bench.rows import NEW_FIXATION, PARTS, WHOLE, Measurement, several
from homunculus.lab.bench.subject import PATCH_SIZE, TOKENS, Setting

AIMS = {WHOLE: 5.0}  # times the fastest PyTorch row
SAME_ERROR = 1.01  # errors this close are the same
INK = {"ours": plots.BLUE, "torch": plots.VERMILION, "library": plots.GREEN}
MARKERS = "osD^vP*Xph<>d8"


def table(setting: Setting, rows: Sequence[Measurement], fixations: int) -> Table:
    """For the terminal."""
    headings, lines = _cells(rows, fixations)
    broken = [
        heading.replace(" to ", "\nto ").replace(" fix", "\nfix").replace(" /255", "\n/255") for heading in headings
    ]
    return tables.in_terminal(_title(setting), broken, lines, {row.method for row in rows if row.default})


def markdown(setting: Setting, rows: Sequence[Measurement], fixations: int) -> str:
    """The same as a section, with what could not be measured and what it comes to."""
    lines = [f"### {_title(setting)}", "", *tables.in_markdown(*_cells(rows, fixations)), ""]
    return "\n".join([*lines, *(f"- {remark}" for remark in remarks(rows))]) + "\n"


def remarks(rows: Sequence[Measurement]) -> list[str]:
    """What could not be measured and why, and what the rest comes to."""
    return [f"{row.method}: {row.reason}" for row in rows if row.reason] + [str(speedup) for speedup in speedups(rows)]


def _title(setting: Setting) -> str:
    return f"{setting}: {TOKENS} tokens of {PATCH_SIZE} x {PATCH_SIZE} texels, log-polar; ms"


def _cells(rows: Sequence[Measurement], fixations: int) -> tuple[list[str], list[list[str]]]:
    """Headings and lines. Medians in milliseconds; a part that no row has is left out; `times` is how many times faster than the
    fastest PyTorch row from image to patches, whatever either's error."""
    measured = [row for row in rows if row.timings]
    parts = [part for part in PARTS if any(part in row.timings for row in measured)]
    tasks = [*parts, NEW_FIXATION, WHOLE, several(fixations)]
    rivals = [row.timings[WHOLE].median_ms for row in measured if row.family == "torch" and WHOLE in row.timings]
    lines = []
    for row in measured:
        whole = row.median_ms(WHOLE)
        error = "" if row.rmse_255 is None else f"{row.rmse_255:.2f}"
        times = "" if not rivals or whole is None else f"{min(rivals) / whole:.1f}"
        lines.append([row.method, *(_ms(row.median_ms(task)) for task in tasks), error, times])
    return ["method", *tasks, "RMSE /255", "times"], lines


def _ms(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:.0f}"


@dataclass(frozen=True)
class Speedup:
    """One of this library's rows against PyTorch and OpenCV in one task. A ratio is their time over ours: above 1 is a win.

    against: the fastest PyTorch row whose error is the same as ours or larger, and its ratio. closer: a PyTorch row whose error is
    smaller and which is faster than that one, if there is one. opencv: the same against OpenCV, whatever its error.
    """

    task: str
    row: Measurement
    against: tuple[Measurement, float] | None
    closer: tuple[Measurement, float] | None
    opencv: tuple[Measurement, float] | None

    @property
    def aim_met(self) -> bool | None:
        """Whether the row reaches the aim; None where there is no aim or no rival."""
        if self.task not in AIMS or self.against is None:
            return None
        return self.against[1] >= AIMS[self.task]

    def __str__(self) -> str:
        words = f"{self.task}: {self.row.method}, {self.row.timings[self.task].median_ms:.2f} ms"
        if self.against is not None:
            words += f", is {self.against[1]:.1f} times as fast as {self.against[0].method}"
        if self.aim_met is not None:
            words += f" (aim {AIMS[self.task]:g}: {'met' if self.aim_met else 'missed'})"
        if self.closer is not None:
            words += f", {self.closer[1]:.1f} times as fast as {self.closer[0].method}, which errs less"
        if self.opencv is not None:
            words += f", {self.opencv[1]:.2f} times as fast as OpenCV"
        return words


def speedups(rows: Sequence[Measurement]) -> Iterator[Speedup]:
    """For rows of one setting: each backend's default, in each task it did."""
    for own in rows:
        if own.default and own.rmse_255 is not None:
            for task in (WHOLE, NEW_FIXATION):
                if task in own.timings:
                    yield _speedup(task, own, rows)


def _speedup(task: str, own: Measurement, rows: Sequence[Measurement]) -> Speedup:
    rivals = sorted(
        ((row, _ratio(task, own, row)) for row in rows if row.family == "torch" and task in row.timings),
        key=lambda rival: rival[1],
    )
    error = own.rmse_255 or 0.0
    against = next((rival for rival in rivals if (rival[0].rmse_255 or 0.0) * SAME_ERROR >= error), None)
    closer = next((rival for rival in rivals if (rival[0].rmse_255 or 0.0) * SAME_ERROR < error), None)
    if against is not None and closer is not None and closer[1] >= against[1]:
        closer = None
    opencv = next(
        ((row, _ratio(task, own, row)) for row in rows if row.method.startswith("OpenCV") and task in row.timings), None
    )
    return Speedup(task, own, against, closer, opencv)


def _ratio(task: str, own: Measurement, rival: Measurement) -> float:
    return rival.timings[task].median_ms / own.timings[task].median_ms


def figures(rows: Sequence[Measurement], rooflines: dict[str, float]) -> dict[str, Any]:
    """Figures, by the name of their file: time_by_size.png and time_by_error.png of image to patches,
    for the batch and place that the first row has.

    rooflines: measured copy bandwidth in GB/s by place.
    """
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    first = rows[0]
    chosen = [row for row in rows if (row.batch, row.place) == (first.batch, first.place) and WHOLE in row.timings]
    if not chosen:
        return {}
    found: dict[str, Any] = {}
    for name, fill in (("time_by_size", _by_size), ("time_by_error", _by_error)):
        figure, (axes,) = plots.figure((9.6, 5.6))
        fill(axes, chosen, rooflines[first.place])
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel(f"{WHOLE}, one fixation [ms]")
        plots.grid(axes)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
        found[f"{name}.png"] = figure
    return found


def least_ms(pixels: int, bandwidth_gb_per_s: float) -> float:
    """The roofline: reading RGB bytes once and writing a pyramid of RGBA bytes once, 3 + 4 * 4/3 bytes a pixel, at copy speed."""
    return pixels * (3 + 16 / 3) / bandwidth_gb_per_s / 1e6


def _by_size(axes: Any, rows: Sequence[Measurement], bandwidth: float) -> None:
    for name, marker in _markers(rows).items():
        own = sorted((row for row in rows if row.method == name), key=lambda row: row.size_px)
        times = [row.timings[WHOLE].median_ms for row in own]
        wide, alpha = (2.4, 1.0) if own[0].default else (1.0, 0.75)
        look = {"marker": marker, "color": INK[own[0].family], "linewidth": wide, "alpha": alpha}
        axes.plot([row.size_px for row in own], times, label=name, **look)
    sizes = sorted({row.size_px for row in rows})
    axes.plot(sizes, [least_ms(rows[0].batch * size**2, bandwidth) for size in sizes], **_roofline(bandwidth))
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("side of the square image [px]")


def _by_error(axes: Any, rows: Sequence[Measurement], bandwidth: float) -> None:
    size_px, markers = max(row.size_px for row in rows if row.default), _markers(rows)
    for row in rows:
        if row.size_px == size_px and row.rmse_255 is not None:
            look = {"marker": markers[row.method], "color": INK[row.family], "markersize": 11 if row.default else 7}
            axes.plot(row.rmse_255, row.timings[WHOLE].median_ms, linestyle="none", label=row.method, **look)
    axes.axhline(least_ms(rows[0].batch * size_px**2, bandwidth), **_roofline(bandwidth))
    axes.set_xlim(left=0)
    axes.set_xlabel(f"RMSE against the exact box [1/255], {size_px} x {size_px} px; left and low is better")


def _markers(rows: Sequence[Measurement]) -> dict[str, str]:
    names = dict.fromkeys(row.method for row in rows)
    return {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}


def _roofline(bandwidth: float) -> dict[str, Any]:
    label = f"roofline: copy at {bandwidth:g} GB/s"
    return {"color": "black", "linestyle": "--", "linewidth": 1.2, "label": label}
