"""A comparison as one picture."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from homunculus.lab.gaze.table import METRICS, GazeComparison

HAS_MATPLOTLIB = find_spec("matplotlib") is not None
WITHOUT = "no plot: it needs matplotlib; run: pip install matplotlib"
INK = "#0072B2"


def draw(found: GazeComparison) -> Any:
    """A figure: a panel a metric, a dot with its interval a predictor. Raises ImportError without matplotlib."""
    from matplotlib.figure import Figure

    metrics = [metric for metric in METRICS if any(metric in row for row in found.rows.values())]
    names = list(found.rows)
    figure = Figure(figsize=(2.0 + 1.7 * len(metrics), 1.2 + 0.36 * len(names)), layout="constrained")
    panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for axes, metric in zip(panels, metrics, strict=True):
        for height, name in enumerate(names):
            estimate = found.rows[name].get(metric)
            if estimate is not None:
                axes.plot([estimate.low, estimate.high], [height, height], color=INK, linewidth=1.6)
                axes.plot(estimate.mean, height, "o", color=INK, markersize=5)
        axes.set_xlabel(METRICS[metric][0])
        axes.grid(True, axis="x", color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_yticks(range(len(names)), names)
    panels[0].invert_yaxis()
    figure.suptitle(f"{found.dataset}, {found.settings['stimuli']} stimuli", fontsize=10)
    return figure
