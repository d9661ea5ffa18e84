"""The viewer without its window: events change the state, a frame draws it, nothing waits."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from bridge.errors import HomunculusError
from bridge.gl.draw.canvas import Canvas, Chart
from bridge.gl.draw.tokens import Tokens
from bridge.gl.unit import GLUnit
from bridge.plan import SamplePlan
from bridge.unit import Pyramid
from homunculus.viewer import planning
from homunculus.viewer import state as states
from homunculus.viewer.guide import Guidance, Guide, GuideRunner
from homunculus.viewer.measuring import Measured, Measurer
from homunculus.viewer.painter import COLORS, Moment, Painter
from homunculus.viewer.scanpath import Recorder, Scanpath, write_scanpath
from homunculus.viewer.source import Array, Source
from homunculus.viewer.state import Point, ViewState

NOTE_MS = 4000.0
STATUS_MS = 100.0


class Session:
    """Everything one viewer holds. All methods run on the unit's thread.

    unit: whose context draws, and samples. source: opened here. guide: answers the space bar. out: where S and P write.
    """

    def __init__(
        self,
        unit: GLUnit,
        source: Source,
        size: tuple[int, int],
        *,
        guide: Guide | None = None,
        channels: Sequence[tuple[str, Tensor]] = (),
        scanpath: Scanpath | None = None,
        out: Path = Path("."),
        chrome: bool = True,
        scale: float = 1.0,
        strict: bool = False,
        now_ms: Callable[[], float] | None = None,
    ) -> None:
        """strict: errors are raised rather than shown."""
        self.unit, self.source, self.out, self.chrome, self.scale = unit, source, out, chrome, scale
        self.strict, self.now_ms = strict, now_ms or wall_ms
        self.channels = list(channels)
        self.scanpath = scanpath
        self.help: Sequence[tuple[str, str]] = ()
        self.closing = False
        self.saved: list[Path] = []
        self.timings_ms: dict[str, float] = {}
        self.note, self._note_until_ms = "", 0.0
        self.recorder: Recorder | None = None
        self.playing_since_ms: float | None = None
        self.guide = GuideRunner(guide) if guide is not None else None
        self.picture: Array = source.open()
        if scanpath is not None:
            scanpath.check(self.picture.shape[:2])
        self.pictures_seen = 0
        self.pyramid: Pyramid = unit.pyramid(self.picture)
        self.state = self.first = states.start(self.picture.shape[:2])
        self.canvas = Canvas(unit, size, COLORS)
        self.painter = Painter(self.canvas)
        self.tokens, self.cortex = Tokens(unit), Tokens(unit)
        self.plan: SamplePlan | None = None
        self.chart: Chart | None = None
        self.planner = planning.Planner()
        self.measurer = Measurer()
        self.measured: Measured | None = None
        self._measured_plan: SamplePlan | None = None
        self._asked: object = None
        self._sampled_key: object = None
        self._readable = planning.as_tensor(self.picture)
        self._writers: list[threading.Thread] = []
        self._status: tuple[float, list[str]] = (-1e9, [])
        self._host = (0, 0)
        self._chrome_px = 0

    # What changes the state

    def change(self, state: ViewState) -> None:
        self.state = state

    def say(self, note: str) -> None:
        """Shows a line of text for a while."""
        self.note, self._note_until_ms = note, self.now_ms() + NOTE_MS

    def attempt(self, action: Callable[[], object]) -> None:
        """Does it, or says why it cannot be done."""
        try:
            action()
        except (HomunculusError, OSError) as error:
            if self.strict:
                raise
            self.say(str(error))

    def follow(self, point: Point) -> None:
        """The gaze goes to a point of the picture, unless it is fixed or a scanpath plays."""
        if not self.state.held and self.playing_since_ms is None:
            self.change(states.look_at(self.state, point))

    def reset(self) -> None:
        self.playing_since_ms = None
        self.change(states.reset(self.state, self.first))

    @property
    def chrome_px(self) -> int:
        """The height of the status lines drawn last."""
        return self._chrome_px

    def change_e0(self, steps: int) -> None:
        if self.state.allocator not in planning.WITH_E0:
            self.say(f"{self.state.allocator} has no e0; {', '.join(planning.WITH_E0)} have (A changes the allocator)")
            return
        self.change(states.change_e0(self.state, steps, planning.fitted_e0_px(self.state)))

    def open_paths(self, paths: Sequence[str | Path]) -> None:
        """Looks at other files from now on. Raises, and keeps the old ones, where the first cannot be read."""
        source = Source(paths)
        picture = source.open()
        self.source.close()
        self.source = source
        self._show(picture, f"{source.name}, {picture.shape[1]} x {picture.shape[0]} px")

    def step(self, by: int) -> None:
        picture = self.source.step(by)
        if picture is not None:
            self._show(picture, f"{self.source.index + 1} of {len(self.source.paths)}: {self.source.name}")

    def _show(self, picture: Array, note: str = "", *, same: bool = False) -> None:
        pyramid = self.unit.pyramid(picture)
        self.pyramid.close()
        self.pyramid, self.picture = pyramid, picture
        self.pictures_seen += 1
        self.state = states.resized(self.state, picture.shape[:2])
        self.first = states.resized(self.first, picture.shape[:2])
        if not same:
            self._readable = planning.as_tensor(picture)
            self.channels, self.scanpath, self.playing_since_ms = [], None, None
            self.painter.forget_maps()
        if note:
            self.say(note)

    def show_channels(self, channels: Sequence[tuple[str, Tensor]]) -> None:
        self.channels = list(channels)
        self.painter.forget_maps()

    @property
    def relevance(self) -> Tensor | None:
        """What the allocators spend by: the sum, or the only map."""
        return self.channels[0][1] if self.channels else None

    # Scanpaths

    def play(self) -> None:
        """Plays the scanpath, or stops it; without one records, until it is asked again."""
        if self.recorder is not None:
            self.stop_recording()
        elif self.playing_since_ms is not None:
            self.playing_since_ms = None
            self.say("stopped")
        elif self.scanpath is not None:
            self.playing_since_ms = self.now_ms()
        else:
            self.record()

    def record(self) -> None:
        """Records the gaze as a new scanpath; asked again, saves it."""
        if self.recorder is not None:
            self.stop_recording()
            return
        self.playing_since_ms = None
        self.recorder = Recorder(self.now_ms(), float(self.state.patch_size))
        self.say("recording where you look; P stops and saves")

    def stop_recording(self) -> None:
        recorder, self.recorder = self.recorder, None
        scanpath = recorder.scanpath() if recorder is not None else None
        if scanpath is not None:
            path = self._free_path("scanpath", ".csv")
            write_scanpath(path, scanpath)
            self.scanpath = scanpath
            self.saved.append(path)
            self.say(f"saved {path}: {len(scanpath.fixations)} fixations; P plays them")

    def ask_guide(self) -> None:
        """Lets the model look, beside the window."""
        if self.guide is None:
            self.say("no model and no map say where to look; start with --relevance map.npy")
        elif self.guide.busy:
            self.say("still looking")
        else:
            self.guide.ask(self.picture, self.state.query)
            self.say(f"looking for {self.state.query!r}" if self.state.query else "looking, without a query")

    def _hear_guide(self) -> None:
        answer = self.guide.poll() if self.guide is not None else None
        if isinstance(answer, Guidance):
            self.show_channels(answer.channels)
            if answer.fixations_px:
                scanpath = Scanpath.of(answer.fixations_px)
                scanpath.check(self.state.size)
                self.scanpath = scanpath
                self.playing_since_ms = self.now_ms()
            self.say(f"{len(answer.fixations_px)} fixations; 4 shows why")
        elif answer is not None:
            self.say(f"the model could not look: {answer}")

    def _play_on(self) -> list[Point]:
        """Moves the gaze along the scanpath; the places seen so far."""
        if self.scanpath is None or self.playing_since_ms is None:
            return []
        time_ms = self.now_ms() - self.playing_since_ms
        at = self.scanpath.at(time_ms)
        self.state = replace(self.state, fixations=(states.inside(self.state, (at.x_px, at.y_px)),), held=True)
        if time_ms > self.scanpath.duration_ms:
            self.playing_since_ms = None
        return [(f.x_px, f.y_px) for f in self.scanpath.until(time_ms)]

    # A frame

    def frame(self, *, wait_s: float = 0.0) -> Moment:
        """Draws the present moment on the canvas. wait_s: how long to wait for a plan that the host makes; a window does not."""
        self.attempt(self._next_picture)
        self.attempt(self._hear_guide)
        path = self._play_on()
        if self.recorder is not None:
            self.recorder.see(self.state.gaze, self.now_ms())
        clock = _Clock(self.unit)
        self.attempt(lambda: self._make_plan(wait_s))
        clock.lap("plan")
        self.attempt(lambda: self._sample(self.plan) if self.plan is not None else None)
        cortex = self._sample_cortex()
        clock.lap("sample")
        moment = self._moment(cortex, path)
        self._chrome_px = self.painter.status_px(moment)
        self.painter.draw(moment)
        clock.lap("draw")
        self.timings_ms = {**self.timings_ms, **clock.laps_ms}
        return moment

    def _next_picture(self) -> None:
        frame = self.source.frame()
        if frame is not None:
            self._show(frame, same=True)

    def _make_plan(self, wait_s: float) -> None:
        key = planning.Request(self.state, self._readable, self.relevance).key
        made = self.planner.poll()
        if key != self._asked:
            self._asked = key
            plan = planning.device_plan(self.unit, self.state)
            if plan is not None:
                self._take(plan)
                return
            self.planner.ask(planning.Request(self.state, self._readable, self.relevance))
            made = self.planner.poll(wait_s) if wait_s else made
        if (
            made is not None
            and made[0].state.allocator == self.state.allocator
            and made[0].state.size == self.state.size
        ):
            if isinstance(made[1], Exception):
                if self.strict:
                    raise made[1]
                self.say(f"{self.state.allocator}: {made[1]}")
            else:
                self._take(made[1])

    def _take(self, plan: SamplePlan) -> None:
        self.plan = plan
        self._sampled_key = None
        warped = self.state.allocator == "cortical"
        self.chart = planning.chart_of(self.state) if warped else None
        self._measured_plan = None

    def _sample(self, plan: SamplePlan) -> None:
        key = (id(plan), self.pictures_seen, self.state.quality, self._minified)
        if key != self._sampled_key:
            columns = self.chart.wedges if self.chart is not None else 0
            self.tokens.sample(self.pyramid, plan, quality=self.state.quality, columns=columns, minified=self._minified)
            self._sampled_key = key

    @property
    def _minified(self) -> bool:
        """Whether patches may be shown smaller than they are."""
        return any(area.step_px > 1 for _, area in self.painter.panels(self.state, 0))

    def _sample_cortex(self) -> tuple[Tokens, Chart] | None:
        if self.state.view != "cortex" and not self.state.side_by_side:
            return None
        if self.chart is not None and self.tokens.count:
            return self.tokens, self.chart
        chart = planning.chart_of(self.state)
        plan = planning.cortical_plan(self.unit, self.state, chart)
        self.cortex.sample(self.pyramid, plan, quality=self.state.quality, columns=chart.wedges)
        return self.cortex, chart

    def _moment(self, cortex: tuple[Tokens, Chart] | None, path: Sequence[Point]) -> Moment:
        self._measure()
        state = self.state
        typing = f"/{state.query}_" if state.typing else ""
        note = typing or (self.note if self.now_ms() < self._note_until_ms else "")
        if self.guide is not None and self.guide.busy:
            note = typing or f"{self.note or 'looking'} ..."
        return Moment(
            state=state,
            pyramid=self.pyramid,
            tokens=self.tokens if self.tokens.count else None,
            chart=self.chart,
            cortex=cortex,
            channels=self.channels,
            path=path,
            lods=self.measured.lods if self.measured is not None else (0.0, 3.0),
            status=self.status() if self.chrome else (),
            help=self.help,
            chrome=self.chrome,
            scale=self.scale,
            e0_px=planning.fitted_e0_px(state) if state.grid else 0.0,
            note=note,
            picture=self.pictures_seen,
        )

    def _measure(self) -> None:
        """Has the plan measured, unless that was done or the one before is not done yet."""
        self.measured = self.measurer.poll() or self.measured
        if self.plan is not None and self._measured_plan is not self.plan and not self.measurer.busy and self.chrome:
            self._measured_plan = self.plan
            self.measurer.ask(planning.measurable(self.state, self.plan), self.state.size)

    def settle(self, wait_s: float = 10.0) -> None:
        """Waits until the plan is measured, for a picture whose words must be right."""
        self._measure()
        self.measured = self.measurer.poll(wait_s) or self.measured
        self._status = (-1e9, [])

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What the next frame depends on: a window draws when it changes."""
        now_ms = self.now_ms()
        noted = (self.note, now_ms < self._note_until_ms)
        running = now_ms if self.playing_since_ms is not None or self.recorder is not None else None
        pending = (
            self.planner.ready,
            self.measurer.ready,
            self.source.ready,
            self.guide is not None and self.guide.ready,
        )
        return self.state, self.pictures_seen, self.canvas.size, len(self.channels), noted, running, pending

    def status(self) -> list[str]:
        """The parts of the status line, ten times a second."""
        now_ms = self.now_ms()
        if now_ms - self._status[0] < STATUS_MS:
            return self._status[1]
        state, stats = self.state, self.unit.stats
        bytes_in, bytes_out = stats.bytes_to_device - self._host[0], stats.bytes_to_host - self._host[1]
        self._host = (stats.bytes_to_device, stats.bytes_to_host)
        more = f" (+{len(state.fixations) - 1})" if len(state.fixations) > 1 else ""
        mode = "playing" if self.playing_since_ms is not None else "fixed" if state.held else "follows the mouse"
        parts = [
            f"fixation {state.gaze[0]:.0f}, {state.gaze[1]:.0f} px{more} {mode}",
            f"{self.tokens.count} tokens by {state.allocator}, {state.quality}",
        ]
        if self.measured is not None:
            low, high = self.measured.lods
            parts += [f"coverage {100 * self.measured.coverage:.1f} %", f"LOD {low:.1f} to {high:.1f}"]
        if state.allocator in planning.WITH_E0:
            parts.append(f"e0 {planning.fitted_e0_px(state):.0f} px" + ("" if state.e0_px else " fitted"))
        parts.append(f"over the host {_bytes(bytes_in)} in, {_bytes(bytes_out)} out")
        parts.append(" ".join(f"{name} {time_ms:.1f}" for name, time_ms in self.timings_ms.items()) + " ms")
        if self.recorder is not None:
            parts.insert(0, "RECORDING")
        self._status = (now_ms, parts)
        return parts

    # What is left behind

    def save(self) -> Path:
        """Writes the canvas as PNG and the plan as JSON, beside the window; returns the picture's path."""
        pixels = self.canvas.read().numpy()
        path = self._free_path("view", ".png")
        facts = self.as_dict()

        def write() -> None:
            try:
                write_picture(path, pixels)
                write_json(path.with_suffix(".json"), facts)
            except OSError as error:
                self.say(f"could not save {path}: {error}")

        thread = threading.Thread(target=write, name="homunculus-writer")
        self._writers = [writer for writer in self._writers if writer.is_alive()] + [thread]
        thread.start()
        self.saved += [path, path.with_suffix(".json")]
        self.say(f"saved {path} and its plan, {path.with_suffix('.json').name}")
        return path

    def as_dict(self) -> Mapping[str, Any]:
        """The state and the plan, in JSON types."""
        state = self.state
        return {
            "image": str(self.source.paths[self.source.index]),
            "image_size": list(state.size),
            "view": state.view,
            "fixations_px": [list(point) for point in state.fixations],
            "budget": state.budget,
            "allocator": state.allocator,
            "quality": state.quality,
            "e0_px": state.e0_px,
            "query": state.query,
            "patch_size": state.patch_size,
            "backend": self.unit.backend,
            "renderer": self.unit.renderer,
            "footprints": [] if self.plan is None else self.plan.footprints.tolist(),
        }

    def _free_path(self, stem: str, suffix: str) -> Path:
        self.out.mkdir(parents=True, exist_ok=True)
        number = 1
        while (path := self.out / f"{stem}-{number:03d}{suffix}").exists() or path in self.saved:
            number += 1
        return path

    def close(self) -> None:
        """Saves what is being recorded, waits for files being written, and frees everything."""
        self.attempt(self.stop_recording)
        for writer in self._writers:
            writer.join()
        self.planner.close()
        self.measurer.close()
        self.source.close()
        self.painter.close()
        self.tokens.close()
        self.cortex.close()
        self.canvas.close()
        self.pyramid.close()


def wall_ms() -> float:
    return 1000 * perf_counter()


def write_picture(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Replaces the file as a whole; its ending says the format, PNG by default."""
    staging = path.with_name(f".{path.name}.part")
    format = {".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}.get(path.suffix.lower(), "PNG")
    Image.fromarray(pixels).save(staging, format=format, quality=92)
    os.replace(staging, path)


def write_json(path: Path, facts: Mapping[str, Any]) -> None:
    """Replaces the file as a whole."""
    staging = path.with_name(f".{path.name}.part")
    staging.write_text(json.dumps(facts, indent=1, allow_nan=False) + "\n", "utf-8")
    os.replace(staging, path)


def _bytes(count: int) -> str:
    return f"{count} B" if count < 1000 else f"{count / 1000:.1f} kB" if count < 1e6 else f"{count / 1e6:.1f} MB"


class _Clock:
    """Milliseconds by part, the device's work included."""

    def __init__(self, unit: GLUnit) -> None:
        self._finish = unit.context.moderngl.finish
        self.laps_ms: dict[str, float] = {}
        self._start = perf_counter()

    def lap(self, name: str) -> None:
        self._finish()
        now = perf_counter()
        self.laps_ms[name] = 1000 * (now - self._start)
        self._start = now
