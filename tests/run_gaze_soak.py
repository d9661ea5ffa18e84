"""A live gaze for a minute at each rate: `PYTHONPATH=. python tests/run_gaze_soak.py [SECONDS]`.

An outlet in another process sends at 120 and at 1000 Hz; here the newest sample is taken every 8 ms, as a viewer does. Printed is how many
samples that had been sent by then were newer than the one that was taken, how old that was, and how memory grew.
"""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from pathlib import Path

import numpy as np
from outlet import Outlet

from homunculus.relevance.gaze.lsl import LslGaze
from homunculus.relevance.gaze.sample import GazeSample

EVERY_S = 0.008


def resident_kb() -> int:
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * 4


def soak(rate_hz: float, seconds: float) -> None:
    sent: list[float] = []
    taken: list[tuple[float, float]] = []

    def hear(sample: GazeSample) -> None:
        sent.append(sample.time_s)

    gaze = LslGaze("soak", lambda space, point: point)
    with Outlet("soak", rate_hz=rate_hz):
        while gaze.latest(0) is None:
            time.sleep(0.01)
        time.sleep(3)
        gaze.on_sample = hear
        before, half, cpu_s, start = resident_kb(), 0, time.process_time(), time.perf_counter()
        while (now := time.perf_counter()) - start < seconds:
            newest = gaze.latest(now)
            if newest is not None:
                taken.append((now, newest.time_s))
            half = half or (resident_kb() if now - start > seconds / 2 else 0)
            time.sleep(EVERY_S)
        grown, later = half - before, resident_kb() - half
        cpu_s = time.process_time() - cpu_s
        time.sleep(0.1)
    gaze.close()
    lags = [bisect_right(sent, now) - bisect_right(sent, time_s) for now, time_s in taken if time_s >= sent[0]]
    ages_ms = [1000 * (now - time_s) for now, time_s in taken]
    print(
        f"{rate_hz:4.0f} Hz, {seconds:.0f} s: {len(sent)} samples, {len(taken)} taken; newer ones sent by then: "
        f"{', '.join(f'{number}: {lags.count(number)}' for number in sorted(set(lags)))}; age ms p50 {np.median(ages_ms):.2f} "
        f"p95 {np.percentile(ages_ms, 95):.2f} max {max(ages_ms):.2f}; memory +{grown} KB, then +{later} KB, of which stamps "
        f"{len(sent) * 40 // 1024}; {100 * cpu_s / seconds:.1f} % of a core; load {Path('/proc/loadavg').read_text('utf-8')[:14]}",
        flush=True,
    )


if __name__ == "__main__":
    for rate in (120, 1000):
        soak(rate, float(sys.argv[1]) if len(sys.argv) > 1 else 60)
