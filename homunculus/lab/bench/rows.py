"""The rows of the benchmark: every method on the same batch of pictures, part by part and together."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.lab.bench import machine
from homunculus.lab.bench.methods import Family, Method
from homunculus.lab.bench.subject import Place, Setting, Subject
from homunculus.lab.bench.timing import Timing, laps_ms, summary

PARTS = ("upload", "pyramid", "sample", "hand-over", "map", "unmap")
NEW_FIXATION, WHOLE = "new fixation", "image to patches"
PATIENCE = 20  # times the limit: what would take longer is left out
SHARE_OF_MEMORY = 0.8  # of what is free; the rest is the system's


@dataclass(frozen=True)
class Effort:
    """repeats: calls timed a round, fewer where they would take longer than limit_ms; a call twice as long as that is timed once."""

    repeats: int = 15
    rounds: int = 3
    limit_ms: float = 600.0
    fixations: int = 10


@dataclass
class Measurement:
    """One method in one setting. What a method could not do is missing from `timings`, and `reason` tells why.

    timings: by part of a call (PARTS), and together: `new fixation` on what was built, `image to patches`, `10 fixations` on one image.
    rmse_255: of the patches against the exact mean of every texel's footprint, in units of 1/255.
    """

    size_px: int
    batch: int
    place: Place
    method: str
    family: Family
    default: bool
    timings: dict[str, Timing] = field(default_factory=dict)
    rmse_255: float | None = None
    reason: str = ""

    @classmethod
    def refused(cls, setting: Setting, method: Method, reason: str = "") -> Measurement:
        """A row without a measurement."""
        return cls(
            setting.size_px, setting.batch, setting.place, method.name, method.family, method.default, reason=reason
        )

    @property
    def setting(self) -> Setting:
        return Setting(self.size_px, self.batch, self.place)

    def median_ms(self, task: str) -> float | None:
        timing = self.timings.get(task)
        return None if timing is None else timing.median_ms


def several(fixations: int) -> str:
    """What the task of that many fixations on one image is called."""
    return f"{fixations} fixations"


def measure(
    setting: Setting, methods: Sequence[Method], image: Tensor, effort: Effort, tick: Callable[[], object]
) -> list[Measurement]:
    """Times the methods in turns, one in memory at a time. `tick` is called after each turn, refused ones included."""
    rows = [Measurement.refused(setting, method) for method in methods]
    crowded = too_large(setting.pixels, 3 * (1 if setting.place == "host" else 2), "cpu")
    for row, method in zip(rows, methods, strict=True):
        row.reason = method.refusal or crowded or too_large(setting.pixels, method.pixel_bytes, method.device)
    laps: list[dict[str, list[float]]] = [{} for _ in methods]
    subject = None if all(row.reason for row in rows) else Subject(setting, image, effort.fixations)
    for turn in range(effort.rounds):
        for row, method, own in zip(rows, methods, laps, strict=True):
            if subject is not None and not row.reason:
                try:
                    slow = {name for name, found in own.items() if min(found) > 2 * effort.limit_ms}
                    for name, found in _turn(subject, method, effort, slow):
                        own.setdefault(name, []).extend(found)
                    if turn == 0:
                        error_255 = subject.error(method)
                        row.rmse_255 = error_255 if math.isfinite(error_255) else None
                except Exception as error:  # of any library; the other rows, and what this one has, are kept
                    row.reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
            tick()
    for row, own in zip(rows, laps, strict=True):
        row.timings = {name: summary(found) for name, found in own.items()}
    return rows


def _turn(subject: Subject, method: Method, effort: Effort, slow: Container[str]) -> Iterator[tuple[str, list[float]]]:
    """slow: what is not to be timed again."""
    batch, plans = subject.given_to(method)

    def laps(work: Callable[[], object]) -> list[float]:
        return laps_ms(work, effort.repeats, limit_ms=effort.limit_ms)

    def build() -> None:
        method.close(method.build(batch))

    def whole(fixations: int) -> None:
        given = batch if method.unit is not None else subject.batch.to(method.device)
        built = method.build(given)
        for plan in plans[:fixations]:
            method.sample(built, plan)
        method.close(built)

    if method.unit is not None:
        yield from _parts(method, batch, plans[0], effort).items()
    else:
        if subject.batch.device != batch.device:
            yield "upload", laps(lambda: subject.batch.to(method.device))
        yield "pyramid", laps(build)
    sampling = _sampling(method, batch, plans[1], laps)
    if method.unit is None:
        yield "sample", sampling
    yield NEW_FIXATION, sampling
    for name, count in ((WHOLE, 1), (several(effort.fixations), effort.fixations)):
        if name not in slow and count * min(sampling) <= PATIENCE * effort.limit_ms:
            yield name, laps(partial(whole, count))


def _sampling(
    method: Method, batch: Tensor, plan: SamplePlan, laps: Callable[[Callable[[], object]], list[float]]
) -> list[float]:
    built = method.build(batch)
    try:
        return laps(lambda: method.sample(built, plan))
    finally:
        method.close(built)


def _parts(method: Method, batch: Tensor, plan: SamplePlan, effort: Effort) -> dict[str, list[float]]:
    """Of a unit's calls. The parts are timed inside one call each, not as calls of their own."""
    assert method.unit is not None
    found: dict[str, list[float]] = {}

    def once() -> None:
        with method.unit.timed() as parts_ms:  # type: ignore[union-attr]
            built = method.build(batch)
            method.sample(built, plan)
            method.close(built)
        for name, part_ms in parts_ms.items():
            found.setdefault(name, []).append(part_ms)

    timed = len(laps_ms(once, effort.repeats, limit_ms=effort.limit_ms))
    return {name: own[-timed:] for name, own in found.items()}


def too_large(pixels: int, pixel_bytes: float, device: str) -> str:
    """Why that many pixels may not be tried there, with the figures, or nothing."""
    needed, free = pixels * pixel_bytes, machine.free_bytes(device)
    if free is None or needed <= SHARE_OF_MEMORY * free:
        return ""
    return f"needs about {needed / 1e9:.1f} GB, of {free / 1e9:.1f} GB free a benchmark may take {SHARE_OF_MEMORY:.0%}"
