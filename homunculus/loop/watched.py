"""The record of one moment of a video that is watched, and what the next moment needs to know of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.errors import DataError
from homunculus.bridge.notebook import Pictured
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding
from homunculus.report.durations import draw_durations, seen_by
from homunculus.report.shown import small_reconstruction


@dataclass(frozen=True, eq=False)
class WatchState:
    """What was decided at one moment and the next one starts from, on the host: the plan, the timeline that its layers are of, the
    fixations [K, 2] in pixels, and those of the moment before it in the same scene, [0, 2] where there was none."""

    plan: SamplePlan
    timeline: Timeline
    fixations: Tensor
    earlier: Tensor

    def to_tensors(self) -> dict[str, Tensor]:
        """All of it, for a file: `of_tensors` gives the same again, bit for bit."""
        timeline = [self.timeline.slots, self.timeline.count, *self.timeline.cuts]
        return {
            "footprints": self.plan.footprints,
            "patch_size": _whole(self.plan.patch_size),
            "timeline": _whole(*timeline),
            "fixations": self.fixations,
            "earlier": self.earlier,
        }

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor]) -> Self:
        """Raises DataError for tensors that are not those of a state."""
        try:
            slots, count, *cuts = tensors["timeline"].tolist()
            plan = SamplePlan(tensors["footprints"], int(tensors["patch_size"]))
            gazes = (tensors[name].reshape(-1, 2) for name in ("fixations", "earlier"))
            return cls(plan, Timeline(slots, count, tuple(cuts)), *gazes)
        except (KeyError, ValueError, RuntimeError) as error:
            raise DataError(f"these tensors are no state of watching: {error}; give what to_tensors gave") from error


@dataclass(frozen=True, eq=False)
class WatchedMoment:
    """A frame of a video, and where it and those before it were looked at.

    number, time_s: of that frame. plan: its footprints' layers are those of the clip then. times: int64 [N, 2], each token's first frame,
    counted from the first that was pushed, and how many it lasts. fixations_px: float [K, 2]. moved: how many tokens are new. cut: whether
    the frame began another scene; jumped: whether the gaze left what it followed.
    """

    number: int
    time_s: float
    plan: SamplePlan
    times: Tensor
    fixations_px: Tensor
    moved: int
    cut: bool
    jumped: bool

    @property
    def durations(self) -> dict[int, int]:
        """How many tokens last so many frames."""
        return dict(sorted(Counter(self.times[:, 1].tolist()).items()))

    def as_dict(self) -> dict[str, Any]:
        """All but the plan and what it showed, in JSON types."""
        return {
            "number": self.number,
            "time_s": self.time_s,
            "fixations_px": self.fixations_px.tolist(),
            "durations": {str(frames): count for frames, count in self.durations.items()},
            "moved": self.moved,
            "cut": self.cut,
            "jumped": self.jumped,
        }


@dataclass(frozen=True, eq=False)
class Watched(WatchedMoment, Pictured):
    """What was seen of a clip when its newest frame had come.

    size: (height, width) of its frames. timeline: of the clip then, by which layers are spans. patches: in 0..1; encoding: what the
    encoder made of them, None without one. relevance: [h, w], what the gaze followed. state: from which the next moment goes on.
    """

    size: tuple[int, int]
    timeline: Timeline
    patches: Patches
    encoding: Encoding | None
    relevance: Tensor
    state: WatchState

    @property
    def tokens(self) -> Tensor | None:
        """[N, D] in the plan's order, None without an encoder."""
        return None if self.encoding is None else self.encoding.tokens

    def __repr__(self) -> str:
        points = ", ".join(f"({x:.0f}, {y:.0f})" for x, y in self.fixations_px.tolist())
        return f"Watched(frame {self.number}, {len(self.plan)} tokens of {self.durations}, fixations {points})"

    def _picture(self) -> Image.Image:
        """The tokens that the frame is seen by, coloured by how long they last, on what they show of it."""
        rows, plan = seen_by(self.times, self.number), self.plan.to("cpu")
        shown = replace(plan, footprints=plan.footprints[rows]).on_layer(0)
        seen, scale = small_reconstruction(self.patches.pixels.cpu()[rows], shown, self.size)
        return draw_durations(seen, plan, self.times, self.number, self.fixations_px.tolist(), scale=scale)


def _whole(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device="cpu")
