"""Which frames a clip's layers stand for, held to a clip that is simulated slot by slot."""

from __future__ import annotations

import itertools

import pytest
import torch

from homunculus.bridge.clips.timeline import Span, Timeline
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan

CUTS = [(), (5,), (21,), (16,), (20, 30), (1, 2, 3)]


def simulated(slots: int, count: int, cuts: tuple[int, ...]) -> dict[int, Span]:
    """What each layer holds: written frame by frame, as a clip is."""
    held: dict[int, Span] = {}
    for number in range(count):
        base, ring, frames = 0, slots, 1
        while frames <= slots:
            if (number + 1) % frames == 0:
                first = number + 1 - frames
                layer = base + first // frames % ring
                held.pop(layer, None)
                if not any(first < cut < number + 1 for cut in cuts):
                    held[layer] = Span(first, frames)
            base, ring, frames = base + ring, ring // 2, frames * 2
    return held


@pytest.mark.parametrize("slots", [1, 2, 8, 16])
@pytest.mark.parametrize("cuts", CUTS)
def test_layers_show_what_a_simulation_wrote_to_them(slots: int, cuts: tuple[int, ...]) -> None:
    timeline = Timeline(slots)
    for count in range(1, 5 * slots + 4):
        timeline = timeline.pushed(count - 1 in cuts)
        held = simulated(slots, count, cuts)
        found = {}
        for layer in range(timeline.layers):
            try:
                found[layer] = timeline.span(layer)
            except PlanError:
                continue
        assert found == held
        assert all(timeline.layer(span) == layer for layer, span in held.items())
        written = set(timeline.completed) | {Span(count - 1, 1)}
        assert written == {span for span in held.values() if span.end == count}


@pytest.mark.parametrize("cuts", CUTS)
def test_the_spans_cover_the_scene_once_and_end_with_the_newest_frame(cuts: tuple[int, ...]) -> None:
    timeline = Timeline(16)
    for count in range(1, 80):
        timeline = timeline.pushed(count - 1 in cuts)
        spans = timeline.spans
        assert spans[-1].end == count
        assert all(timeline.holds(span) for span in spans)
        assert all(before.end == after.first for before, after in itertools.pairwise(spans))
        assert spans[0].first >= timeline.scene
        if not timeline.cuts and count >= 16:
            assert spans[0].frames == 16
            assert count - spans[0].first < 32


def test_a_cut_leaves_no_mean_of_two_scenes() -> None:
    timeline = Timeline(8)
    for number in range(8):
        timeline = timeline.pushed(number == 5)
    assert timeline.spans == [Span(5, 1), Span(6, 2)]
    assert not timeline.holds(Span(0, 8))
    assert not timeline.holds(Span(4, 2))
    assert timeline.holds(Span(0, 4))


def test_halves_are_given_while_they_are_held() -> None:
    assert Timeline(4, 4).halves(Span(0, 4)) == (Span(0, 2), Span(2, 2))
    assert Timeline(4, 6).halves(Span(0, 4)) is None  # frames 0 and 1 have been written over, with their mean
    assert Timeline(4, 6).halves(Span(4, 2)) == (Span(4, 1), Span(5, 1))
    assert Timeline(4, 4).halves(Span(3, 1)) is None


def test_a_plan_tells_its_times() -> None:
    timeline = Timeline(4, 6)
    plan = SamplePlan(torch.tensor([[8.0, 8, 1, 0, 0, 1, 0, 0]]), 16)
    both = SamplePlan.concatenate([timeline.on(plan, Span(4, 1)), timeline.on(plan, Span(0, 4))])
    assert timeline.times(both).tolist() == [[4, 1], [0, 4]]


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: Timeline(12), "frames is 12; a clip holds a power of 2"),
        (lambda: Timeline(0), "frames"),
        (lambda: Timeline(4, 6).layer(Span(1, 2)), "not held by a clip of 4 frames after 6"),
        (lambda: Timeline(4, 2).span(3), "layer 3 holds nothing after 2 frames"),
        (lambda: Timeline(4, 6).span(7), "layer is 7; a clip of 4 frames has 7 layers"),
        (lambda: Span(3, 1).halves, "one frame"),
    ],
)
def test_what_is_not_held_is_refused(call: object, said: str) -> None:
    with pytest.raises(PlanError, match=said):
        call()  # type: ignore[operator]
