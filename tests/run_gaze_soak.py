"""A live gaze for a minute at each rate: `PYTHONPATH=. python tests/run_gaze_soak.py [SECONDS]`.

An outlet in another process sends at 120 and at 1000 Hz; here the newest sample is taken every 8 ms, as a viewer does. Printed is how many
samples that had been sent by then were newer than the one that was taken, how old that was, and how memory grew.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from outlet import Outlet

from homunculus.relevance.gaze.lsl import LslGaze

EVERY_S = 0.008


def resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * 4


class Written:
    """Numbers one after the other, in memory that is there from the start."""

    def __init__(self, most: int) -> None:
        self._all, self.count = np.full(most, np.nan), 0

    def add(self, number: float) -> None:
        self._all[self.count] = number
        self.count += 1

    @property
    def numbers(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return self._all[: self.count]


def soak(rate_hz: float, seconds: float) -> None:
    sent, now_s, taken = (Written(int(1.2 * rate * (seconds + 5))) for rate in (rate_hz, 1 / EVERY_S, 1 / EVERY_S))
    gaze = LslGaze("soak", lambda space, point: point)
    with Outlet("soak", rate_hz=rate_hz):
        while gaze.latest(0) is None:
            time.sleep(0.01)
        time.sleep(3)
        gaze.on_sample = lambda sample: sent.add(sample.time_s)
        before, half, cpu_s, start = resident_kb(), 0, time.process_time(), time.perf_counter()
        while (now := time.perf_counter()) - start < seconds:
            newest = gaze.latest(now)
            if newest is not None:
                now_s.add(now)
                taken.add(newest.time_s)
            half = half or (resident_kb() if now - start > seconds / 2 else 0)
            time.sleep(EVERY_S)
        grown, later = half - before, resident_kb() - half
        cpu_s = time.process_time() - cpu_s
        time.sleep(0.5)
    gaze.close()
    there, used = (np.searchsorted(sent.numbers, times.numbers, "right") for times in (now_s, taken))
    newer = (there - used)[used > 0]
    told = ", ".join(f"{number}: {(newer == number).sum()}" for number in range(3))
    ages_ms = 1000 * (now_s.numbers - taken.numbers)
    print(
        f"{rate_hz:4.0f} Hz, {seconds:.0f} s: {sent.count} samples, {taken.count} taken; newer ones sent by then {told}, "
        f"more: {(newer > 2).sum()}, most {newer.max()}; age ms p50 {np.median(ages_ms):.2f} p95 {np.percentile(ages_ms, 95):.2f} "
        f"max {ages_ms.max():.2f}; memory {grown:+d} KB, then {later:+d} KB; {100 * cpu_s / seconds:.1f} % of a core; "
        f"load {Path('/proc/loadavg').read_text('utf-8')[:14]}",
        flush=True,
    )


if __name__ == "__main__":
    for rate in (120, 1000):
        soak(rate, float(sys.argv[1]) if len(sys.argv) > 1 else 60)
