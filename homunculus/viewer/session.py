"""The viewer without its window: events change the state, a frame draws it, nothing waits."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from torch import Tensor

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.gl.draw.canvas import Canvas, Chart
from homunculus.bridge.gl.draw.tokens import Tokens
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.pictures.entrance import Picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.pyramid import Pyramid
from homunculus.relevance.gaze.sample import GazeSpace
from homunculus.relevance.gaze.scanpath import GazePath
from homunculus.viewer import planning
from homunculus.viewer import state as states
from homunculus.viewer.facts import facts
from homunculus.viewer.following import Following
from homunculus.viewer.guide import Guide
from homunculus.viewer.guided import Guided
from homunculus.viewer.on_view import OnView
from homunculus.viewer.outputs import Outputs
from homunculus.viewer.painter import COLORS, Moment, Painter
from homunculus.viewer.placing import placed
from homunculus.viewer.player import Played, wall_ms
from homunculus.viewer.playlist import Playlist, Shown
from homunculus.viewer.retina import Retina
from homunculus.viewer.state import Point, ViewState
from homunculus.viewer.status import WORDS_MS, Status
from homunculus.viewer.view import registry

NOTE_MS = 4000.0
DEFAULT_LODS = (0.0, 3.0)


class Session:
    """Everything one viewer holds. All methods run on the unit's thread.

    unit: whose context draws, and samples. source: opened here. size: (height, width) of the canvas. guide: answers the space
    bar. played: a recorded gaze. out: where S and P write. now_ms: the clock.
    To be set: chrome, whether there are words on the canvas; scale, canvas pixels of a point of text; strict, whether errors are
    raised rather than shown.
    """

    chrome, scale, strict = True, 1.0, False

    def __init__(
        self,
        unit: GLUnit,
        source: Playlist,
        size: tuple[int, int],
        *,
        guide: Guide | None = None,
        played: Played | None = None,
        out: Path = Path("."),
        now_ms: Callable[[], float] = wall_ms,
    ) -> None:
        self.unit, self.source, self.now_ms = unit, source, now_ms
        self.channels: Sequence[tuple[str, Tensor]] = ()
        self.help: Sequence[tuple[str, str]] = ()
        self.closing = False
        self.timings_ms: dict[str, float] = {}
        self.note, self._note_until_ms = "", 0.0
        self.maps_seen = 0
        self.sight = OnView(unit, source.open())
        self.state = self.first = states.start(self.pyramid.size)
        self.guided = Guided(guide, self.say)
        self.outputs = Outputs(out, self.say)
        self.following = Following(lambda: now_ms() / 1000, self.px_per_degree, self.outputs, self.say)
        if played is not None:
            self.following.player.take(played.within(self.state.size))
        self.canvas = Canvas(unit, size, COLORS)
        self.painter = Painter(self.canvas)
        self.retina = Retina(unit)
        self.status = Status(now_ms, unit.stats)
        self.chrome_px = 0  # the height of the status lines drawn last

    @property
    def pyramid(self) -> Pyramid:
        return self.sight.pyramid

    @property
    def pictures_seen(self) -> int:
        return self.sight.number

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
        """The mouse is over a point of the picture: the gaze goes there, unless it is fixed or something else moves it."""
        self.following.mouse.see(point, self.now_ms() / 1000)
        self.look()

    def look(self) -> None:
        """Takes the newest sample of what moves the gaze. It costs nothing, and may be called more often than frames are drawn."""
        self.change(self.following.moved(self.state))

    def placed(self, space: GazeSpace, point: Point) -> Point:
        """Where a tracker's numbers lie in the picture, in its pixels; from any thread."""
        shown = [area for view, area in self.painter.panels(self.state, self.chrome_px) if not registry[view].cortical]
        return placed(space, point, self.state.size, self.canvas.size, shown, self.following.screen)

    def px_per_degree(self) -> float:
        """Pixels of the picture in a degree of the eye, as it is shown now; from any thread."""
        _, area = self.painter.panels(self.state, self.chrome_px)[0]
        return self.state.px_per_degree * area.step_px

    def reset(self) -> None:
        self.following.player.stop()
        self.change(states.reset(self.state, self.first))

    def open_paths(self, paths: Sequence[Picture]) -> None:
        """Looks at other files from now on. Raises, and keeps the old ones, where the first cannot be read."""
        source = Playlist(paths)
        shown = source.open()
        before, self.source = self.source, source
        self._show(shown, source.name)
        before.close()

    def step(self, by: int) -> None:
        """The next or previous picture of several."""
        shown = self.source.step(by)
        if shown is not None:
            self._show(shown, f"{self.source.index + 1} of {len(self.source.items)}: {self.source.name}")

    def _show(self, shown: Shown, note: str) -> None:
        """Another picture: what was known about the last one is forgotten."""
        self.sight.show(shown)
        self._fit()
        self.show_channels([])
        self.following.player.take(None)
        self.say(f"{note}, {self.state.size[1]} x {self.state.size[0]} px")

    def _next_frame(self) -> None:
        frame = self.source.frame()
        if frame is not None:
            self.see(frame)

    def see(self, frame: Array) -> None:
        """The next frame of a video or camera, uint8 [H, W, 3]."""
        self.remember()
        self.sight.see(frame)
        self._fit()

    def remember(self) -> None:
        """Keeps the last frames of a video while an allocator spends over them."""
        self.sight.remember(self.source.moves and planning.over_time(self.state.allocator))

    def _fit(self) -> None:
        self.state, self.first = (states.resized(state, self.pyramid.size) for state in (self.state, self.first))

    def show_channels(self, channels: Sequence[tuple[str, Tensor]]) -> None:
        """Other relevance maps; allocators spend by the first."""
        self.channels = channels
        self.maps_seen += 1
        self.painter.forget_maps()

    def save(self) -> None:
        """Writes the canvas as PNG and the plan as JSON, beside the window."""
        told = facts(self.source.told, self.state, self.retina, self.unit)
        path = self.outputs.save(self.canvas.read().numpy(), told)
        self.say(f"saved {path} and its plan, {path.with_suffix('.json').name}")

    def ask_guide(self) -> None:
        """Lets the model look, beside the window."""
        self.guided.ask(self.sight.shown, self.state.query, self.maps_seen)

    def _hear_guide(self) -> None:
        answer = self.guided.heard(self.maps_seen)
        if answer is not None:
            self.show_channels(answer.channels)
            if answer.fixations_px:
                self.following.play(GazePath.of(answer.fixations_px).within(self.state.size))

    def frame(self, *, wait_s: float = 0.0) -> None:
        """Draws the present moment on the canvas. wait_s: how long to wait for a plan that the host makes; a window does not."""
        self.attempt(self._next_frame)
        self.attempt(self.remember)
        self.attempt(self._hear_guide)
        self.look()
        with self._timed("plan"):
            self.attempt(lambda: self.retina.plan_for(self._request(), wait_s))
        with self._timed("sample"):
            shown = self.painter.panels(self.state, 0)
            minified = any(area.step_px >= 2**0.5 for _, area in shown)
            drawn = any(registry[view].patches for view, _ in shown)
            told = self.sight, self.state
            self.attempt(lambda: self.retina.sample(*told, drawn=drawn, minified=minified, wait=wait_s > 0))
            cortex: list[tuple[Tokens, Chart]] = []
            if any(registry[view].cortical for view, _ in shown):
                self.attempt(lambda: cortex.append(self.retina.cortical_image(*told)))
        with self._timed("draw"):
            moment = self._moment(cortex[0] if cortex else None)
            self.chrome_px = self.painter.status_px(moment)
            self.painter.draw(moment)

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        """With the work that the device still had to do, and has done then."""
        start = perf_counter()
        yield
        self.unit.context.moderngl.finish()
        self.timings_ms[part] = 1000 * (perf_counter() - start)

    def _moment(self, cortex: tuple[Tokens, Chart] | None) -> Moment:
        state, retina = self.state, self.retina
        if self.chrome:
            self.attempt(lambda: self.status.measure(state, retina.plan))
        measured = self.status.measured
        return Moment(
            state=state,
            pyramid=self.pyramid,
            tokens=retina.tokens if retina.tokens.count else None,
            chart=retina.chart,
            durations=retina.durations,
            cortex=cortex,
            channels=self.channels,
            path=self.following.player.trail,
            lods=measured.lods if measured is not None else DEFAULT_LODS,
            status=self._words() if self.chrome else (),
            help=self.help,
            chrome=self.chrome,
            scale=self.scale,
            e0_px=planning.fitted_e0_px(state) if state.grid else 0.0,
            note=self._note(),
            version=(self.pictures_seen, self.maps_seen),
        )

    def _request(self) -> planning.PlanRequest:
        relevance = self.channels[0][1] if self.channels else None
        version = self.pictures_seen, self.maps_seen
        return planning.PlanRequest(
            self.state, self.sight.picture, relevance, version, self.sight.clip, self.sight.coarse
        )

    def _words(self) -> list[str]:
        told = self.following.told(self.state)
        return self.status.words(self.state, self.retina, self.timings_ms, told, self.px_per_degree())

    def _note(self) -> str:
        if self.state.typing:
            return f"/{self.state.query}_"
        if self.guided.busy:
            return f"{self.note} ..."
        return self.note if self.now_ms() < self._note_until_ms else ""

    @property
    def fingerprint(self) -> tuple[object, ...]:
        """What the next frame depends on: a window draws when it changes."""
        now_ms = self.now_ms()
        following = self.following
        moving = now_ms if following.player.playing or following.log.recording else None
        if moving is None and following.stream is not None:  # whose age is told
            moving = now_ms // WORDS_MS
        seen = self.pictures_seen, self.maps_seen
        return self.state, seen, self.canvas.size, self.note, now_ms < self._note_until_ms, moving

    @property
    def pending(self) -> bool:
        """Whether another thread has something for the next frame."""
        retina = self.retina
        return (
            self.guided.ready
            or retina.planner.ready
            or retina.arriving
            or self.source.ready
            or self.status.ready(retina.plan)
        )

    def close(self) -> None:
        """Saves what is being recorded, waits for files being written but for no guide, and frees everything."""
        self.attempt(lambda: self.following.save(self.state))
        self.following.close()
        self.guided.close()
        self.outputs.join()
        self.status.close()
        self.sight.close()
        self.source.close()
        self.retina.close()
        self.painter.close()
        self.canvas.close()
