"""The status line: what the numbers are, and how often they are taken. What a plan covers is measured beside the window."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from homunculus.bridge.patches import Stats
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import FIXATIONS
from homunculus.layouts.acuity import tokens_needed
from homunculus.layouts.metrics import Raster, affine
from homunculus.viewer import planning
from homunculus.viewer.latest import Latest
from homunculus.viewer.retina import Retina
from homunculus.viewer.state import ViewState

WORDS_MS = 100.0
MEASURE_MS = 500.0
SAMPLES = 256  # on the picture's longer side, for its coverage


# As long as the parts of the line grow in ordinary use.
LONG_STATUS = (
    "fixation 8888, 8888 px (+8)",
    "follows the mouse",
    "2048 tokens by adaptive_stratified, sharp",
    "coverage 100.0 %",
    "LOD 0.0 to 6.0",
    "e0 8888 px fitted",
    "over the host 888.8 KB in, 888.8 KB out",
    "plan 88.8 sample 88.8 draw 888.8 ms",
)


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


def eye_tokens(state: ViewState, px_per_degree: float) -> float:
    """How many tokens would show what an eye sees of the picture. px_per_degree: of the picture, as it is shown."""
    fixations = state.fixations[-FIXATIONS.most :]
    return tokens_needed(state.size, px_per_degree, fixations, state.patch_size)


class Status:
    """Takes part of a frame now and then: words ten times a second, coverage twice. now_ms: the clock."""

    def __init__(self, now_ms: Callable[[], float], stats: Stats) -> None:
        self._now_ms, self._stats = now_ms, stats
        self._measurer: Latest[Callable[[], Measured], Measured] = Latest(lambda made: made(), "homunculus-measurer")
        self.measured: Measured | None = None
        self._plan: SamplePlan | None = None
        self._measured_ms = self._worded_ms = -1e9
        self._words: list[str] = []
        self._host = (0, 0)
        self._resident = 1.0

    def ready(self, plan: SamplePlan | None) -> bool:
        """Whether a frame would show newer numbers."""
        return self._measurer.ready or (plan is not self._plan and self._now_ms() - self._measured_ms >= MEASURE_MS)

    def measure(self, state: ViewState, plan: SamplePlan | None) -> None:
        """Has a new plan measured, unless that is being done or was done just now: it takes processor time from drawing."""
        self._hear()
        due = self._now_ms() - self._measured_ms >= MEASURE_MS and not self._measurer.busy
        if due and plan is not None and plan is not self._plan:
            self._plan, self._measured_ms = plan, self._now_ms()
            on_host = planning.measurable(state, plan)
            self._measurer.ask(lambda: measure(on_host(), state.size))

    def _hear(self, wait_s: float = 0.0) -> None:
        heard = self._measurer.poll(wait_s)
        if heard is not None:
            if isinstance(heard[1], Exception):
                raise heard[1]
            self.measured = heard[1]

    def settle(self, state: ViewState, plan: SamplePlan | None, wait_s: float) -> None:
        """Waits until the plan is measured, for a picture whose words must be right."""
        self.measure(state, plan)
        self._hear(wait_s)
        self._worded_ms = -1e9

    def words(
        self,
        state: ViewState,
        retina: Retina,
        timings_ms: Mapping[str, float],
        gaze: Sequence[str],
        px_per_degree: float,
    ) -> list[str]:
        """The parts of the line. gaze: what moves it, and how. px_per_degree: of the picture, as it is shown."""
        tokens, durations = retina.tokens, retina.durations
        if self._now_ms() - self._worded_ms < WORDS_MS and tokens.resident == self._resident:
            return self._words
        self._worded_ms, self._resident = self._now_ms(), tokens.resident
        before, self._host = self._host, (self._stats.bytes_to_device, self._stats.bytes_to_host)
        inwards, outwards = (_bytes(now - then) for now, then in zip(self._host, before, strict=True))
        more = f" (+{len(state.fixations) - 1})" if len(state.fixations) > 1 else ""
        self._words = [
            f"fixation {state.gaze[0]:.0f}, {state.gaze[1]:.0f} px{more}",
            *gaze,
            f"{tokens.count if durations is None else len(durations.frames)} tokens by {state.allocator}, {state.quality}",
        ]
        if state.view == "acuity" and not state.side_by_side:
            self._words.append(f"an eye needs {eye_tokens(state, px_per_degree):,.0f} tokens")
        if durations is not None:
            self._words.append(durations.words)
        if tokens.resident < 1:
            self._words.append(f"{100 * tokens.resident:.0f} % of the tiles are here")
        if self.measured is not None:
            low, high = self.measured.lods
            self._words += [f"coverage {100 * self.measured.coverage:.1f} %", f"LOD {low:.1f} to {high:.1f}"]
        if planning.has_e0(state.allocator):
            fitted = "" if state.e0_px else " fitted"
            self._words.append(f"e0 {planning.fitted_e0_px(state):.0f} px{fitted}")
        self._words.append(f"over the host {inwards} in, {outwards} out")
        self._words.append(" ".join(f"{name} {time_ms:.1f}" for name, time_ms in timings_ms.items()) + " ms")
        return self._words

    def close(self) -> None:
        self._measurer.close()
        self._plan = None


def _bytes(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"
