"""Two plots of a finished benchmark: time against image size, and time against error."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from homunculus.lab.bench.rows import WHOLE, Measurement

HAS_MATPLOTLIB = find_spec("matplotlib") is not None
WITHOUT = "no plots: they need matplotlib; run: pip install matplotlib"
INK = {"ours": "#0072B2", "torch": "#D55E00", "library": "#009E73"}  # Okabe and Ito: told apart by every eye
MARKERS = "osD^vP*Xph<>d8"


def draw(rows: Sequence[Measurement], rooflines: dict[str, float]) -> dict[str, Any]:
    """Figures, by the name of their file: time_by_size.png and time_by_error.png of image to patches,
    for the batch and place that the first row has.

    rooflines: measured copy bandwidth in GB/s by place.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    first = rows[0]
    chosen = [row for row in rows if (row.batch, row.place) == (first.batch, first.place) and WHOLE in row.timings]
    if not chosen:
        return {}
    bandwidth = rooflines[first.place]
    names = list(dict.fromkeys(row.method for row in chosen))
    marks = {name: MARKERS[index % len(MARKERS)] for index, name in enumerate(names)}
    size_px = max(row.size_px for row in chosen if row.default)
    figures: dict[str, Any] = {}
    for name, fill in (("time_by_size", _by_size), ("time_by_error", _by_error)):
        figure = Figure(figsize=(9.6, 5.6), layout="constrained")
        axes = figure.subplots()
        fill(axes, chosen, marks, bandwidth, size_px)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_ylabel(f"{WHOLE}, one fixation [ms]")
        axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside right upper", frameon=False, fontsize=9)
        figures[f"{name}.png"] = figure
    return figures


def least_ms(pixels: int, bandwidth_gb_per_s: float) -> float:
    """The roofline: reading RGB bytes once and writing a pyramid of RGBA bytes once, 3 + 4 * 4/3 bytes a pixel, at copy speed."""
    return pixels * (3 + 16 / 3) / bandwidth_gb_per_s / 1e6


def _by_size(axes: Any, rows: Sequence[Measurement], marks: dict[str, str], bandwidth: float, size_px: int) -> None:
    for name, marker in marks.items():
        own = sorted((row for row in rows if row.method == name), key=lambda row: row.size_px)
        axes.plot(
            [row.size_px for row in own],
            [row.timings[WHOLE].median_ms for row in own],
            marker=marker,
            color=INK[own[0].family],
            linewidth=2.4 if own[0].default else 1.0,
            alpha=1.0 if own[0].default else 0.75,
            label=name,
        )
    sizes = sorted({row.size_px for row in rows})
    least = [least_ms(rows[0].batch * size**2, bandwidth) for size in sizes]
    axes.plot(sizes, least, color="black", linestyle="--", linewidth=1.2, label=f"roofline: copy at {bandwidth:g} GB/s")
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("side of the square image [px]")


def _by_error(axes: Any, rows: Sequence[Measurement], marks: dict[str, str], bandwidth: float, size_px: int) -> None:
    for row in rows:
        if row.size_px == size_px and row.rmse_255 is not None:
            axes.plot(
                row.rmse_255,
                row.timings[WHOLE].median_ms,
                marker=marks[row.method],
                color=INK[row.family],
                markersize=11 if row.default else 7,
                linestyle="none",
                label=row.method,
            )
    least = least_ms(rows[0].batch * size_px**2, bandwidth)
    axes.axhline(least, color="black", linestyle="--", linewidth=1.2, label=f"roofline: copy at {bandwidth:g} GB/s")
    axes.set_xlim(left=0)
    axes.set_xlabel(f"RMSE against the exact box [1/255], {size_px} x {size_px} px; left and low is better")
