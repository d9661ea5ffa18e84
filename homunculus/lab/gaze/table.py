"""What a comparison found: as numbers, as JSON, as a table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich import box
from rich.table import Table

# Heading, and how a value is written, in the order of the table.
METRICS = {
    "information_gain_bits": ("IG, bit", "+.2f"),
    "nss": ("NSS", "+.2f"),
    "auc_judd": ("AUC-Judd", ".3f"),
    "shuffled_auc": ("sAUC", ".3f"),
    "first_distance": ("first / diagonal", ".3f"),
    "first_distance_deg": ("first, deg", ".1f"),
    "in_box": ("first in box", ".1%"),
}


@dataclass(frozen=True)
class Estimate:
    """mean over stimuli, its 95 % bootstrap interval over pictures, and over how many stimuli it was taken."""

    mean: float
    low: float
    high: float
    stimuli: int

    def as_dict(self) -> dict[str, float | None]:
        """What is not finite, a gain of minus infinity, becomes None."""
        return {name: value if math.isfinite(value) else None for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class GazeComparison:
    """rows: an estimate by predictor and metric; missing where the predictor says nothing of it, or the data do not allow it.

    values: what was averaged, by predictor and metric, in order of the stimuli. settings: what the figures depend on.
    remarks: what was left out of the data.
    """

    dataset: str
    rows: Mapping[str, Mapping[str, Estimate]]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    settings: Mapping[str, Any]
    remarks: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """JSON types only, without the values."""
        return {
            "dataset": self.dataset,
            "rows": {
                name: {metric: estimate.as_dict() for metric, estimate in row.items()}
                for name, row in self.rows.items()
            },
            "settings": dict(self.settings),
            "remarks": list(self.remarks),
        }

    def table(self) -> Table:
        """A row a predictor, means with their intervals; metrics that no row has are left out."""
        counts = self.settings["stimuli"], self.settings["stimuli_in_all"]
        table = Table(
            title=f"{self.dataset}: {counts[0]} of {counts[1]} stimuli; 95 % intervals over pictures",
            box=box.SIMPLE_HEAD,
            title_justify="left",
            padding=(0, 1, 0, 0),
        )
        table.add_column("predictor", no_wrap=True)
        metrics = [metric for metric in METRICS if any(metric in row for row in self.rows.values())]
        for metric in metrics:
            table.add_column(METRICS[metric][0], justify="right")
        for name, row in self.rows.items():
            table.add_row(name, *(_written(metric, row.get(metric)) for metric in metrics))
        return table


def _written(metric: str, estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    if math.isnan(estimate.low):  # a single picture
        return format(estimate.mean, METRICS[metric][1])
    mean, low, high = (format(value, METRICS[metric][1]) for value in (estimate.mean, estimate.low, estimate.high))
    return f"{mean}\n{low} to {high}"
