"""A video watched from its beginning to its end: whoever is killed meanwhile, the same files come of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from homunculus.bridge.clips.frame import VideoFrame
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.clips.video import frames_told, read_video
from homunculus.bridge.errors import ImageReadError
from homunculus.bridge.files import alone, check_writable, replaced_together
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.pictures.files import expanded
from homunculus.loop.looker import Looker
from homunculus.loop.watched import WatchState
from homunculus.loop.watching.pictures import draw, rate_of
from homunculus.loop.watching.settings import WatchSettings
from homunculus.loop.watching.shards import NAME, WatchedFrame, read_frames, read_state, write_frames
from homunculus.relevance.query import Query

JOURNAL, RECORD, SHEET, FILM = "journal.jsonl", "watch.json", "sheet.png", "watch.mp4"
END, PICTURES = "end", "pictures"  # entries of the journal beside those of shards
HISTORY = 3  # times the slots of a clip: so many frames before one that is watched say all that it needs


@dataclass(frozen=True)
class WatchProgress:
    """How far it is. doing: `watching` or `drawing`. total: frames in all, or None where the file does not tell."""

    doing: str
    frames: int
    total: int | None


@dataclass(frozen=True)
class WatchResult:
    """What has come of it. frames: of the video that are kept; watched: by this call, in so many seconds. files: that were written. error:
    why the video ended early, empty where it did not."""

    frames: int
    watched: int
    seconds: float
    files: Sequence[Path]
    error: str


Tell = Callable[[WatchProgress], object]


def watch_video(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    tell: Tell = lambda progress: None,
    **settings: Any,
) -> WatchResult:
    """Watches a video as `Homunculus.watch` does and keeps in the folder `out`: shards of frames, `watch.json`, `sheet.png`, `watch.mp4`.
    Called again it goes on where it was. settings: as of `WatchSettings`.

    Of a video that ends early all good frames are kept, and the result says why. Raises ImageReadError for what has no frame, DataError
    for a folder of other settings, naming them, WriteError where it cannot be written; what was kept stays.
    """
    chosen, video, folder = WatchSettings(**settings), expanded(path), Path(out)
    check_writable(folder)
    with closing(read_video(video)) as frames:
        size = next(frames).image.shape[:2]
    with alone(folder), Looker(chosen.eye) as looker:
        work = _Watching(chosen, video, folder, looker, (size[0], size[1]), tell)
        if END not in work.journal.entries:
            work.watch()
        if PICTURES not in work.journal.entries:
            work.draw()
        return work.result()


class _Watching:
    """What is to be done in a folder, and what is done there already."""

    def __init__(
        self, settings: WatchSettings, video: Path, out: Path, looker: Looker, size: tuple[int, int], tell: Tell
    ) -> None:
        self.settings, self.video, self.out, self.looker, self.size, self.tell = (
            settings, video, out, looker, size, tell
        )  # fmt: skip
        status = os.stat(video)
        self.unit = {"backend": looker.unit.backend, "renderer": looker.unit.renderer}
        self.source = {"path": str(video), "bytes": status.st_size, "changed_ns": status.st_mtime_ns}
        of_video = {"video": video.name, "its bytes": status.st_size, "its change, ns": status.st_mtime_ns}
        of_versions = {f"version of {name}": value for name, value in settings.versions.items()}
        self.journal = Journal(out / JOURNAL, {**settings.as_dict(), **of_video, **of_versions, **self.unit})
        self.problem = ""
        self.watched, self.start = 0, perf_counter()

    @property
    def shards(self) -> list[tuple[Path, int]]:
        """Those that are there whole, from the first on, and how many frames each holds."""
        found: list[tuple[Path, int]] = []
        while entry := self.journal.entries.get(NAME.format(first=sum(count for _, count in found))):
            path = self.out / str(entry["id"])
            if not path.is_file() or path.stat().st_size != entry["bytes"]:
                break
            found.append((path, entry["frames"]))
        return found

    def watch(self) -> None:
        """Frames that are in no shard yet. Those shortly before them fill the clip, without being watched."""
        shards, slots = self.shards, self.settings.frames
        done = sum(count for _, count in shards)
        state = read_state(shards[-1][0]) if shards else None
        first = max(0, done - 1 - HISTORY * slots) // slots * slots
        query = None if self.settings.query is None else Query(self.settings.query)
        eye, rows = self.looker.eye(query), list[WatchedFrame]()
        total = frames_told(self.video, self.settings.every)
        with self.looker.unit.clip(self.size, slots) as clip:
            clip.timeline = Timeline(slots, first)
            for frame in self._frames():
                if frame.number >= first:
                    clip.push(frame)
                if frame.number < done:
                    continue
                seen = eye.watch(clip, query, state=state)
                state = seen.state
                rows.append(WatchedFrame.of(seen, self.settings.eye.kept, self.settings.values))
                if len(rows) == self.settings.shard_frames:
                    rows = self._keep(rows, state)
                self.watched += 1
                self.tell(WatchProgress("watching", frame.number + 1, total))
        if rows and state is not None:
            self._keep(rows, state)
        kept = sum(count for _, count in self.shards)
        self.journal.append({"id": END, "frames": kept, "error": self.problem})

    def _frames(self) -> Iterator[VideoFrame]:
        """All good frames; then it is known why there are no more."""
        with closing(read_video(self.video, every=self.settings.every)) as frames:
            try:
                yield from frames
            except ImageReadError as error:
                self.problem = str(error)

    def _keep(self, rows: Sequence[WatchedFrame], state: WatchState) -> list[WatchedFrame]:
        """The rows that are left for the next shard: none."""
        path = self.out / NAME.format(first=rows[0].number)
        write_frames(path, rows, state, {"settings": self.settings.as_dict(), "unit": self.unit})
        self.journal.append({"id": path.name, "frames": len(rows), "bytes": path.stat().st_size})
        return []

    def draw(self) -> None:
        """Sheet, film and record, all of them or none."""
        told = [row.as_dict() for row in self._rows()]
        record = {
            "video": {**self.source, "size": list(self.size)},
            "settings": self.settings.as_dict(),
            "versions": self.settings.versions,
            "unit": self.unit,
            "ended_early": self.journal.entries[END]["error"],
            "frames": told,
            "files": [SHEET, FILM, RECORD],
        }
        count = len(told)
        with replaced_together(self.out, RECORD) as staging:
            draw(
                staging.path(SHEET),
                staging.path(FILM),
                self._frames(),
                self._rows(),
                self.looker.unit,
                slots=self.settings.frames,
                quality=self.settings.quality,
                count=count,
                rate=rate_of((row["number"], row["time_s"]) for row in told),
                tell=lambda number: self.tell(WatchProgress("drawing", number, count)),
            )
            staging.json(RECORD, record)
        self.journal.append({"id": PICTURES, "frames": count})

    def _rows(self) -> Iterator[WatchedFrame]:
        for path, _ in self.shards:
            yield from read_frames(path)

    def result(self) -> WatchResult:
        end: Mapping[str, Any] = self.journal.entries[END]
        files = [self.out / SHEET, self.out / FILM, self.out / RECORD, *(path for path, _ in self.shards)]
        return WatchResult(end["frames"], self.watched, perf_counter() - self.start, files, end["error"])
