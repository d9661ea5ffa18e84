"""Which frames the layers of a clip stand for: whole durations, aligned like the blocks of a mip level, and none across a cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan, rows_of
from homunculus.bridge.values import Limit, shown, whole

SLOTS = Limit(256, "and longer clips are several of them")


class Span(NamedTuple):
    """Frames `first` to `first + frames - 1`, counted from the first that was pushed. frames: a power of 2 that divides `first`."""

    first: int
    frames: int

    @property
    def end(self) -> int:
        """One past its last frame."""
        return self.first + self.frames

    @property
    def halves(self) -> tuple[Span, Span]:
        """Raises PlanError for a single frame."""
        if self.frames == 1:
            raise PlanError(f"{self} is one frame, which has no halves")
        half = self.frames // 2
        return Span(self.first, half), Span(self.first + half, half)


@dataclass(frozen=True)
class Timeline:
    """The layers of a clip after `count` frames.

    Span (m * 2^k, 2^k) lies in the ring of 2^k-frame means, in slot m modulo `slots` / 2^k, from when its last frame has come until
    that slot is written again; a mean across a cut is never made.

    slots: how many frames fit, a power of 2, and the longest duration. count: frames pushed so far. cuts: the first frames of new scenes,
    ascending; those that concern nothing held may be left out.

    >>> Timeline(16, 37).spans
    [Span(first=16, frames=16), Span(first=32, frames=4), Span(first=36, frames=1)]
    """

    slots: int
    count: int = 0
    cuts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        slots = whole("frames", self.slots, SLOTS)
        if slots & (slots - 1):
            raise PlanError(
                f"frames is {slots}; a clip holds a power of 2 of them, such as {1 << slots.bit_length() - 1}"
            )

    @property
    def layers(self) -> int:
        """Of the pyramid: `slots` of one frame, half as many of two, and so on to one of all."""
        return 2 * self.slots - 1

    def pushed(self, cut: bool = False) -> Timeline:
        """After one frame more; cut: whether it is the first of another scene."""
        cuts = (*self.cuts, self.count) if cut and self.count else self.cuts
        return replace(self, count=self.count + 1, cuts=tuple(at for at in cuts if at > self.count - 3 * self.slots))

    @property
    def scene(self) -> int:
        """The first frame of the present scene."""
        return self.cuts[-1] if self.cuts else 0

    @property
    def start(self) -> int:
        """The first frame that `spans` cover; `count` where there is none."""
        spans = self.spans
        return spans[0].first if spans else self.count

    @property
    def spans(self) -> list[Span]:
        """The longest spans that together are the present scene, oldest first, without overlap: the last whole one of the longest
        duration, and what has come since, in as few as there are. Frames older than that, and those of a scene's beginning whose
        slots are written again, are forgotten."""
        whole_before = max(self.count // self.slots - 1, 0) * self.slots
        found = list(_cover(max(self.scene, whole_before), self.count, self.slots))
        lost = [number for number, span in enumerate(found) if not self.holds(span)]
        return found[lost[-1] + 1 :] if lost else found

    @property
    def completed(self) -> list[Span]:
        """The means that the last frame has completed, shortest first: what a clip writes beside the frame itself."""
        lengths = (2**k for k in range(1, self.slots.bit_length()))
        ended = (Span(self.count - length, length) for length in lengths if self.count and not self.count % length)
        return [span for span in ended if not self._mixed(span)]

    def holds(self, span: Span) -> bool:
        """Whether its layer shows it, and nothing else."""
        first, frames = span
        aligned = 1 <= frames <= self.slots and not frames & (frames - 1) and first >= 0 and not first % frames
        return aligned and span.end <= self.count < first + self.slots + frames and not self._mixed(span)

    def halves(self, span: Span) -> tuple[Span, Span] | None:
        """The two spans that a span is the mean of; None where they are no longer held, or it is a single frame."""
        if span.frames == 1:
            return None
        first, second = span.halves
        return (first, second) if self.holds(first) and self.holds(second) else None

    def layer(self, span: Span) -> int:
        """Where it lies in the pyramid. Raises PlanError where it is not held."""
        if not self.holds(span):
            raise PlanError(
                f"{span} is not held by a clip of {self.slots} frames after {self.count}; take one of {self.spans}, or what `halves` "
                "gives of it"
            )
        return self._base(span.frames) + span.first // span.frames % (self.slots // span.frames)

    def span(self, layer: int) -> Span:
        """What a layer shows. Raises PlanError for one that nothing was written to, or whose mean the cut has left out."""
        frames = 1
        while layer >= self._base(frames) + self.slots // frames:
            frames *= 2
            if frames > self.slots:
                raise PlanError(f"layer is {layer}; a clip of {self.slots} frames has {self.layers} layers")
        ring = self.slots // frames
        newest = self.count // frames - 1
        span = Span((newest - (newest - (layer - self._base(frames))) % ring) * frames, frames)
        if not self.holds(span):
            raise PlanError(f"layer {layer} holds nothing after {self.count} frames; ask for a plan of {self.spans}")
        return span

    def times(self, plan: SamplePlan) -> Tensor:
        """int64 [N, 2] on the host: the first frame of each footprint, counted from the first pushed, and how many it lasts.

        Raises PlanError for a layer that holds nothing.
        """
        layers = rows_of(plan).detach().reshape(len(plan), -1, 8)[:, 0, 6].round().long().tolist()
        spans = {layer: self.span(layer) for layer in set(layers)}
        return torch.tensor([spans[layer] for layer in layers], dtype=torch.int64, device="cpu").reshape(-1, 2)

    def on(self, plan: SamplePlan, span: Span) -> SamplePlan:
        """The plan's footprints, of that span."""
        return plan.on_layer(self.layer(span))

    def _base(self, frames: int) -> int:
        return 2 * self.slots - 2 * self.slots // frames

    def _mixed(self, span: Span) -> bool:
        return any(span.first < cut < span.end for cut in self.cuts)

    def __repr__(self) -> str:
        cuts = f", cuts at {', '.join(map(str, self.cuts))}" if self.cuts else ""
        return f"Timeline({self.slots} slots after {shown(self.count)} frames{cuts})"


def _cover(start: int, end: int, longest: int) -> Iterator[Span]:
    """The fewest aligned spans of at most `longest` frames that are start..end."""
    while start < end:
        frames = longest
        while start % frames or start + frames > end:
            frames //= 2
        yield Span(start, frames)
        start += frames
