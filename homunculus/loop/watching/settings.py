"""What watching a video is asked for: everything that changes what is kept of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.errors import DataError
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend
from homunculus.bridge.values import Limit, one_text, whole
from homunculus.bridge.versions import version_of
from homunculus.loop.run.manifest import versions_of
from homunculus.loop.run.settings import Keep, RunSettings, Values

SHARD_FRAMES = Limit(4096, "frames of one file")


@dataclass(frozen=True, kw_only=True)
class WatchSettings:
    """How a video is watched, and what of it is kept.

    query: what the gaze follows, in words; None for what moves. frames: of the clip, the longest that a token may last; a power of 2.
    every: of so many frames one is watched. shard_frames: of one file. read: whether words that nothing else understands are read in every
    frame. values: how patches are kept, by default rounded to bytes. The rest as of `RunSettings`. Raises PlanError and DataError.
    """

    query: str | None = None
    budget: int = 273
    frames: int = 16
    every: int = 1
    quality: Quality = "high"
    model: str | None = None
    patch_size: int | None = None
    read: bool = False
    backend: Backend | None = None
    device: str = "cpu"
    dtype: str = "float32"
    keep: Keep | None = None
    values: Values = "uint8"
    shard_frames: int = 64

    def __post_init__(self) -> None:
        Timeline(self.frames)
        whole("every", self.every)
        whole("shard_frames", self.shard_frames, SHARD_FRAMES)
        if self.query is not None:
            one_text("query", self.query, refusal=DataError)
        assert self.eye

    @property
    def eye(self) -> RunSettings:
        """How each moment is looked at."""
        shared = {one.name for one in fields(RunSettings)} & {one.name for one in fields(self)}
        return RunSettings(**{name: getattr(self, name) for name in shared})

    @property
    def versions(self) -> dict[str, Any]:
        """Of everything whose version changes what is kept."""
        return versions_of(self.eye) | {"av": version_of("av")}

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"keep": self.eye.kept}
