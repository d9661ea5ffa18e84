"""What the status line says of a plan: how much of the picture it covers, and how finely. Measured beside the window."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.metrics import Raster, affine

SAMPLES = 256  # on the picture's longer side


@dataclass(frozen=True)
class Measured:
    """coverage: share of the picture inside a footprint. lods: the finest and the coarsest level of detail."""

    coverage: float
    lods: tuple[float, float]


def measure(plan: SamplePlan, size: tuple[int, int]) -> Measured:
    """Of a plan on the host. The patches of a chart partition the picture."""
    lods = plan.lod
    coverage = 1.0 if plan.texels is not None else float((affine(plan, Raster(size, SAMPLES))[0] > 0).mean())
    return Measured(coverage, (float(lods.min()), float(lods.max())))


class Measurer:
    """Measures plans on a thread of its own, one at a time."""

    def __init__(self) -> None:
        self._wanted: tuple[Callable[[], SamplePlan], tuple[int, int]] | None = None
        self._made: Measured | None = None
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="homunculus-measurer", daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        return self._wanted is not None

    @property
    def ready(self) -> bool:
        return self._made is not None

    def ask(self, plan: Callable[[], SamplePlan], size: tuple[int, int]) -> None:
        """plan: called on that thread."""
        with self._change:
            self._wanted = (plan, size)
            self._change.notify_all()

    def poll(self, wait_s: float = 0.0) -> Measured | None:
        """What was measured since the last call."""
        with self._change:
            if wait_s:
                self._change.wait_for(lambda: self._made is not None or self._wanted is None, wait_s)
            made, self._made = self._made, None
            return made

    def close(self) -> None:
        with self._change:
            self._closed = True
            self._change.notify_all()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        while True:
            with self._change:
                self._change.wait_for(lambda: self._wanted is not None or self._closed)
                if self._closed or self._wanted is None:
                    return
                plan, size = self._wanted
            made = measure(plan(), size)
            with self._change:
                self._made, self._wanted = made, None
                self._change.notify_all()
