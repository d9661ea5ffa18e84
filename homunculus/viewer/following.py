"""What moves the gaze of a session, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from homunculus.relevance.gaze.pointer import PointerGaze
from homunculus.relevance.gaze.sample import Gaze, GazeSample
from homunculus.viewer import state as states
from homunculus.viewer.outputs import Outputs
from homunculus.viewer.placing import OnScreen
from homunculus.viewer.player import Played, Player
from homunculus.viewer.recorder import GazeLog
from homunculus.viewer.state import ViewState


class Following:
    """A recording that plays, else an eye tracker's stream, else the mouse; one gaze at a time, and of each its newest sample.

    now_s: the clock. px_per_degree: of the picture, as it is shown now. To be set: wake, called from any thread when a stream has
    something new, once until it is heard; screen, where the canvas lies, of a window.
    """

    def __init__(
        self,
        now_s: Callable[[], float],
        px_per_degree: Callable[[], float],
        outputs: Outputs,
        say: Callable[[str], None],
    ) -> None:
        self._now_s, self._say = now_s, say
        self.mouse, self.player, self.log = PointerGaze(), Player(say, px_per_degree), GazeLog(outputs, say)
        self.stream: Gaze | None = None
        self.screen: OnScreen | None = None
        self.wake: Callable[[], object] | None = None
        self._heard: GazeSample | None = None
        self._woken = False
        self._remark = ""

    @property
    def source(self) -> Gaze:
        return self.player if self.player.playing else self.stream or self.mouse

    def attach(self, stream: Gaze) -> None:
        """The eye moves the gaze from now on, instead of the mouse."""
        self.stream = stream
        stream.on_sample = self._hear

    def _hear(self, sample: GazeSample) -> None:
        self.log.hear(sample)
        if self.wake is not None and not self._woken:
            self._woken = True
            self.wake()

    def moved(self, state: ViewState) -> ViewState:
        """The state with the gaze where the newest sample is. What was not seen, and a saccade until it lands, leave it where it was:
        nobody sees while the eye flies."""
        self._woken = False
        if self.stream is not None and self.stream.remark != self._remark:
            self._remark = self.stream.remark
            self._say(self._remark)
        source, now_s = self.source, self._now_s()
        sample = source.latest(now_s)
        if sample is not None and sample is not self._heard:
            self._heard = sample
            if sample.seen and sample.movement != "saccade":
                state = self._taken(state, source, sample)
        if self.log.recording and source is not self.stream:
            self.log.hear(GazeSample(*state.gaze, now_s))
        return state

    def _taken(self, state: ViewState, source: Gaze, sample: GazeSample) -> ViewState:
        if source is self.player:
            return replace(state, fixations=(states.inside(state, sample.point_px),), held=True)
        if state.held:
            return state
        return states.look_at(state, sample.point_px)

    def told(self, state: ViewState) -> list[str]:
        """In words, what moves the gaze and how."""
        now_s = self._now_s()
        words = ["RECORDING"] if self.log.recording else []
        if self.player.playing:
            return [*words, self.player.told(now_s)]
        if self.stream is not None:
            return [*words, "fixed" if state.held else "follows the eye", self.stream.told(now_s)]
        return [*words, "fixed" if state.held else "follows the mouse"]

    def play(self, played: Played | None = None) -> None:
        """From the start: another recording, or the one there is."""
        if played is not None:
            self.player.take(played)
        self.player.play(self._now_s())

    def toggle(self, state: ViewState) -> None:
        """Plays the recording, or stops it; without one records, until it is asked again."""
        if self.player.playing:
            self.player.stop()
        elif self.player.played is not None and not self.log.recording:
            self.play()
        else:
            self.record(state)

    def record(self, state: ViewState, path: Path | None = None) -> None:
        """Records the gaze; asked again, saves it. path: as `GazeLog.begin` takes it."""
        if self.log.recording:
            self.save(state)
        else:
            self.player.stop()
            self.log.begin(path)
            self._say("recording where you look; P stops and saves")

    def save(self, state: ViewState) -> None:
        """Ends a recording and writes it, if there is one. It can be played then."""
        recorded = self.log.end(state.patch_size)
        if recorded is not None:
            self.player.take(recorded)

    def close(self) -> None:
        for source in (self.stream, self.player, self.mouse):
            if source is not None:
                source.close()
