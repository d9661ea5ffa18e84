"""How far ahead, or behind: what `homunculus bench` says in words under each table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from homunculus.lab.bench.rows import NEW_FIXATION, WHOLE, Measurement

AIMS = {WHOLE: 5.0}  # times the fastest PyTorch row
SAME_ERROR = 1.01  # errors this close are the same


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
