"""What a comparison found: as numbers, as JSON, as a table for a terminal, as one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from homunculus.lab import plots
from homunculus.lab.bootstrap import Estimate
from homunculus.lab.gaze.dwell import SpanDwell
from homunculus.lab.tables import in_terminal

# Heading, and how a value is written, in the order of the table.
METRICS = {
    "information_gain_bits": ("IG, bit", "+.2f"),
    "nss": ("NSS", "+.2f"),
    "auc_judd": ("AUC-Judd", ".3f"),
    "shuffled_auc": ("sAUC", ".3f"),
    "first_distance": ("first / diagonal", ".3f"),
    "first_distance_deg": ("first, deg", ".1f"),
    "in_box": ("first in box", ".1%"),
    "answer_bits": ("answer, bit", "+.2f"),
}


@dataclass(frozen=True, eq=False)
class GazeComparison:
    """rows: an estimate by predictor and metric; missing where the predictor says nothing of it, or the data do not allow it.

    values: what was averaged, by predictor and metric, in order of the stimuli. settings: what the figures depend on.
    remarks: what was left out of the data. dwell: how long people dwelt on the words of the answer, and on those that seem to be, where
    the words of the pages are known.
    """

    dataset: str
    rows: Mapping[str, Mapping[str, Estimate]]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    settings: Mapping[str, Any]
    remarks: Sequence[str]
    dwell: Sequence[SpanDwell] = ()

    def as_dict(self) -> dict[str, Any]:
        """JSON types only, without the values."""
        rows = {name: {metric: self._told(name, metric) for metric in row} for name, row in self.rows.items()}
        return {
            "dataset": self.dataset,
            "rows": rows,
            "settings": dict(self.settings),
            "remarks": list(self.remarks),
            **({"dwell": {one.part: asdict(one) for one in self.dwell}} if self.dwell else {}),
        }

    def _told(self, name: str, metric: str) -> dict[str, float | None]:
        """What is not finite, a gain of minus infinity, becomes None."""
        found = asdict(self.rows[name][metric]).items()
        told = {end: value if math.isfinite(value) else None for end, value in found}
        return {**told, "stimuli": len(self.values[name][metric])}

    def metrics(self) -> list[str]:
        """Those that any row has."""
        return [metric for metric in METRICS if any(metric in row for row in self.rows.values())]

    def table(self) -> Table:
        """A row a predictor, means with their intervals; metrics that no row has are left out."""
        counts, metrics = (self.settings["stimuli"], self.settings["stimuli_in_all"]), self.metrics()
        return in_terminal(
            f"{self.dataset}: {counts[0]} of {counts[1]} stimuli; 95 % intervals over pictures",
            ("predictor", *(METRICS[metric][0] for metric in metrics)),
            ([name, *(_written(metric, row.get(metric)) for metric in metrics)] for name, row in self.rows.items()),
            padding=(0, 1, 0, 0),
        )

    def figure(self) -> Any:
        """A panel a metric, a dot with its interval a predictor. Raises ImportError without matplotlib."""
        metrics, names = self.metrics(), list(self.rows)
        figure, panels = plots.figure((2.0 + 1.7 * len(metrics), 1.2 + 0.36 * len(names)), len(metrics))
        for axes, metric in zip(panels, metrics, strict=True):
            for height, name in enumerate(names):
                if metric in self.rows[name]:
                    plots.estimate(axes, self.rows[name][metric], height, plots.BLUE, 5)
            axes.set_xlabel(METRICS[metric][0])
            plots.grid(axes, "x")
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
        figure.suptitle(f"{self.dataset}, {self.settings['stimuli']} stimuli", fontsize=10)
        return figure


def _written(metric: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if math.isnan(estimate.low):  # a single picture
        return format(estimate.mean, METRICS[metric][1])
    mean, low, high = (format(value, METRICS[metric][1]) for value in (estimate.mean, estimate.low, estimate.high))
    return f"{mean}\n{low} to {high}"
