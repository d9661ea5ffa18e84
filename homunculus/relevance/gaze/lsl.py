"""The gaze that an eye tracker sends over the Lab Streaming Layer (labstreaminglayer.org), by `pylsl`, the extra `gaze`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event, Thread
from time import perf_counter
from typing import Any

from homunculus.bridge.errors import BackendUnavailableError, DataError
from homunculus.bridge.findings import Report
from homunculus.relevance.gaze.channels import GazeChannels, told_channels
from homunculus.relevance.gaze.online import EyeMovements
from homunculus.relevance.gaze.sample import PX_PER_DEGREE, GazeSample, GazeSpace, Place

LOST_S = 0.25  # without a sample
BLINK_S = 0.5  # no blink is longer
SILENT_S = 2.0  # after which the stream is looked for anew
OTHERS_S = 0.6  # how long, after the first stream, others are waited for
FOREIGN_S = 5.0  # a stamp farther from now is of another clock
# Where liblsl looks for its settings.
CONFIGURED = ("lsl_api.cfg", os.path.expanduser("~/lsl_api/lsl_api.cfg"), "/etc/lsl_api/lsl_api.cfg")
_TICK_S = 0.05
_CORRECT_S = 5.0
_MANY = 20  # samples at once


def import_pylsl() -> Any:
    """Without what liblsl tells a terminal of itself, unless a file configures it. Raises BackendUnavailableError with the remedy."""
    try:
        import pylsl

        if "LSLAPICFG" not in os.environ and not any(map(os.path.exists, CONFIGURED)):
            with suppress(AttributeError, NotImplementedError):  # of a library that is older
                pylsl.set_config_content("[log]\nlevel = -3\n")
    except (ImportError, OSError, RuntimeError) as error:  # the last two where its library cannot be loaded
        raise BackendUnavailableError(f"a live gaze needs pylsl ({error})", "run: pip install pylsl") from None
    return pylsl


def examine(report: Report) -> None:
    """Whether a live gaze works here. Says nothing of streams: which there are, the viewer tells."""
    try:
        version = import_pylsl().library_version()
    except BackendUnavailableError as error:
        report.add("live gaze", None, f"off: {error.text}", error.remedy)
    else:
        report.add("live gaze", True, f"by pylsl, with liblsl {version // 100}.{version % 100}")


class LslGaze:
    """The newest sample of a stream of type Gaze, or of the stream of that name.

    A thread finds the stream, reads it, and finds it again when it has been away; nobody waits for it. Every sample is judged by
    `EyeMovements` and told to on_sample, on that thread; only the newest is kept. A sample's time is its own stamp, brought from the
    stream's clock to that of `time.perf_counter`; where stamps are of a clock that LSL does not know, it is that of its arrival.
    place: from the stream's space to pixels of the picture, called on that thread. space: what the numbers mean; without it the
    stream's description says, and `remark` tells how it was read. px_per_degree: of the picture's pixels at any moment, called
    there too.
    Raises BackendUnavailableError without pylsl.
    """

    def __init__(
        self,
        name: str | None,
        place: Place,
        space: GazeSpace | None = None,
        px_per_degree: Callable[[], float] = lambda: PX_PER_DEGREE,
    ) -> None:
        self._lsl = import_pylsl()
        self.on_sample: Callable[[GazeSample], object] | None = None
        self.remark = ""
        self._name, self._place, self._space = name, place, space
        self._px_per_degree = px_per_degree
        self._movements = EyeMovements(px_per_degree())
        self._newest: GazeSample | None = None
        self._seen_s = 0.0  # when an eye was seen last
        self._amiss = ""
        self._was: tuple[str, str] | None = None  # name and source of the stream read last
        self._closed = Event()
        self._thread = Thread(target=self._run, name="homunculus-gaze", daemon=True)
        self._thread.start()

    def latest(self, now_s: float) -> GazeSample | None:
        return self._newest

    def told(self, now_s: float) -> str:
        newest = self._newest
        wanted = f"a stream called {self._name!r}" if self._name else "a stream of type Gaze"
        if newest is None:
            return self._amiss or f"looking for {wanted}"
        age_s = max(now_s - newest.time_s, 0.0)
        if age_s > LOST_S:
            return f"gaze lost for {age_s:.1f} s" + (f": {self._amiss}" if self._amiss else "")
        if newest.seen:
            return f"gaze {1000 * age_s:.0f} ms old"
        unseen_s = now_s - self._seen_s
        return (
            "blink"
            if unseen_s < BLINK_S
            else f"no eye seen for {unseen_s:.1f} s"
            if self._seen_s
            else "no eye seen yet"
        )

    def close(self) -> None:
        self._closed.set()
        self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while not self._closed.is_set():
            found = self._found()
            if found is None:
                continue
            try:
                self._read(found)
            except DataError as error:
                self._amiss = str(error)
                self._closed.wait(1.0)  # it may be made anew, with a description
            except RuntimeError:  # as pylsl's errors are: the outlet has ended
                self._amiss = ""

    def _found(self) -> Any:
        """The stream's information; None once closed. Several to choose from are told, and waited for."""
        resolver = self._lsl.ContinuousResolver(pred=_predicate(self._name), forget_after=1.0)
        first_s: float | None = None
        while not self._closed.wait(_TICK_S):
            streams = {stream.uid(): stream for stream in resolver.results()}
            known = [stream for stream in streams.values() if (stream.name(), stream.source_id()) == self._was]
            if len(known) == 1:
                return known[0]
            first_s = (first_s or perf_counter()) if streams else None
            if first_s is None or perf_counter() - first_s < OTHERS_S:
                continue
            if len(streams) == 1:
                return next(iter(streams.values()))
            names = ", ".join(sorted(f"{stream.name()!r} of {stream.hostname()}" for stream in streams.values()))
            self._amiss = f"{len(streams)} streams of gaze: {names}; choose one: --gaze lsl:NAME, or end the others"
        return None

    def _read(self, stream: Any) -> None:
        """Until it is closed or silent. Raises DataError for what describes no gaze, and pylsl's errors when the outlet ends."""
        inlet = self._lsl.StreamInlet(stream, max_buflen=1, max_chunklen=1, recover=False)
        name = stream.name()
        if stream.channel_format() == self._lsl.cf_string:
            raise DataError(
                f"the stream {name!r} sends text, and no numbers of a gaze; choose another: --gaze lsl:NAME"
            )
        told = told_channels(inlet.info(SILENT_S).as_xml())
        channels = GazeChannels.of(name, told, stream.channel_count(), self._space)
        clock = _StreamClock(self._lsl, inlet)
        try:
            inlet.open_stream(SILENT_S)
            self._was, self._amiss, self.remark = (name, stream.source_id()), "", channels.remark
            heard_s = perf_counter()
            while not self._closed.is_set() and perf_counter() - heard_s < SILENT_S:
                samples, stamps = _waiting(inlet)
                if samples:
                    heard_s = perf_counter()
                    channels = self._hear(channels, samples, clock.times_s(stamps))
        finally:
            clock.close()

    def _hear(
        self, channels: GazeChannels, samples: Sequence[Sequence[float]], times_s: Sequence[float]
    ) -> GazeChannels:
        self._movements.scale(self._px_per_degree())
        if len(samples) > _MANY:  # newest first: who draws has been waiting
            self._newest = self._made(channels, samples[-1], times_s[-1])
        for sample, time_s in zip(samples, times_s, strict=True):
            if channels.unsaid:
                channels = channels.heard(channels.point(sample)[0])
                self.remark = channels.remark
            made = self._made(channels, sample, time_s)
            if made.seen:
                self._seen_s = time_s
            made = replace(made, movement=self._movements.see(*(made.point_px if made.seen else _NOWHERE), time_s))
            if self.on_sample is not None:
                self.on_sample(made)
        self._newest = made
        return channels

    def _made(self, channels: GazeChannels, sample: Sequence[float], time_s: float) -> GazeSample:
        """With the movement of the sample before."""
        point, confidence = channels.point(sample)
        if point[0] == point[0]:
            point = self._place(channels.space, point)
        return GazeSample(*point, time_s, confidence, self._movements.movement)


_NOWHERE = float("nan"), float("nan")


def _waiting(inlet: Any) -> tuple[list[Sequence[float]], list[float]]:
    """What has come, samples and their stamps, or comes in a moment: an inlet that is not emptied queues. In two calls, after each of
    which this thread waits for its turn among Python's."""
    first, stamp = inlet.pull_sample(_TICK_S)
    if first is None:
        return [], []
    more, stamps = inlet.pull_chunk(0.0)
    return [first, *more], [stamp, *stamps]


def _predicate(name: str | None) -> str:
    if name is None:
        return "type='Gaze'"
    quote = '"' if "'" in name else "'"
    return f"name={quote}{name}{quote}"


class _StreamClock:
    """From a stream's stamps to `time.perf_counter`. What lies between the clocks is measured on a thread: the first time takes 0.6 s."""

    def __init__(self, lsl: Any, inlet: Any) -> None:
        self._lsl, self._inlet = lsl, inlet
        self._local_to_here_s = perf_counter() - float(lsl.local_clock())
        self._correction_s: float | None = None
        self._ended = Event()
        self._thread = Thread(target=self._measure, name="homunculus-gaze-clock", daemon=True)
        self._thread.start()

    def _measure(self) -> None:
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            try:
                self._correction_s = self._inlet.time_correction(0.25)
                wait_s = _CORRECT_S
            except self._lsl.util.TimeoutError:
                wait_s = 0.0
            except RuntimeError:  # the stream has ended
                return

    def times_s(self, stamps: Sequence[float]) -> list[float]:
        """Of samples the last of which has just come."""
        local_s = perf_counter() - self._local_to_here_s
        correction_s = self._correction_s
        if correction_s is None or abs(local_s - stamps[-1] - correction_s) > FOREIGN_S:
            correction_s = local_s - stamps[-1]
        return [stamp + correction_s + self._local_to_here_s for stamp in stamps]

    def close(self) -> None:
        self._ended.set()
        self._thread.join(timeout=0.5)
