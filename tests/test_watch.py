"""Watching a clip: one budget over space and time, a gaze that follows, and a state from which it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from pictures import dead_leaves

import homunculus as hm
from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.errors import DataError, ImageError, PlanError
from homunculus.bridge.unit import TextureUnit
from homunculus.loop.watched import Watched, WatchState

SIZE = (192, 256)
BUDGET = 100


def disc(x: float, y: float, seed: int = 0) -> np.ndarray:
    """A red disc of radius 14 px on grey clutter."""
    leaves = dead_leaves(256, seed)[: SIZE[0]].mean(-1, keepdims=True)
    frame = np.repeat(90 + leaves.astype(np.float32) / 6, 3, -1)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]] + 0.5
    inside = np.hypot(columns - x, rows - y) < 14
    frame[inside] = (220, 30, 30)
    return frame.astype(np.uint8)


@pytest.fixture
def eye(fastest_unit: TextureUnit) -> Iterator[hm.Homunculus]:
    with hm.Homunculus(fastest_unit, budget=BUDGET) as eye:
        yield eye


def squares(seen: Watched) -> Counter[tuple[float, ...]]:
    return Counter(tuple(row) for row in seen.plan.footprints[:, :6].tolist())


def path(number: int) -> tuple[float, float]:
    return 60 + 4.0 * number, 60 + 3.0 * number


def test_the_budget_is_spent_over_space_and_time(eye: hm.Homunculus) -> None:
    with eye.unit.clip(SIZE, frames=8) as clip:
        for number in range(16):
            clip.push(disc(*path(number)), number / 25)
            seen = eye.watch(clip)
            assert len(seen.plan) == len(seen.patches) == BUDGET
            assert (seen.number, seen.time_s) == (number, number / 25)
            first, frames = seen.times.T
            assert bool((first >= clip.timeline.start).all())
            assert bool((first + frames <= number + 1).all())
        assert sum(seen.durations.values()) == BUDGET
        assert len(seen.durations) > 1  # the clutter lasts, the disc does not
        shown = eye.unit.sample(clip, seen.plan, quality=eye.options.quality)
        assert torch.equal(shown.pixels, seen.patches.pixels)


def test_tokens_stay_where_nothing_moves_and_all_are_new_after_a_cut(eye: hm.Homunculus) -> None:
    with eye.unit.clip(SIZE, frames=8) as clip:
        still, other = disc(100, 100), 255 - disc(180, 60, seed=5)
        before: Watched | None = None
        for number in range(30):
            clip.push(still)
            seen = eye.watch(clip, at=(0.4, 0.5))
            if before is not None and number > 1:
                new = sum((squares(seen) - squares(before)).values())
                assert seen.moved == new
                assert new <= 0.05 * BUDGET, number
            before = seen
        clip.push(other)
        seen = eye.watch(clip, at=(0.4, 0.5))
        assert seen.cut
        assert seen.moved == BUDGET
        assert bool((seen.times[:, 0] == 30).all())


def test_the_gaze_follows_what_is_asked_for(eye: hm.Homunculus) -> None:
    with eye.unit.clip(SIZE, frames=4) as clip:
        for number in range(12):
            clip.push(disc(*path(number)))
            seen = eye.watch(clip, "red")
            x, y = seen.fixations_px[0].tolist()
            assert np.hypot(x - path(number)[0], y - path(number)[1]) < 14, number


def test_the_gaze_goes_where_it_is_told(eye: hm.Homunculus) -> None:
    with eye.unit.clip(SIZE, frames=4) as clip:
        clip.push(disc(50, 50))
        seen = eye.watch(clip, at=(0.25, 0.75))
        assert seen.fixations_px.tolist() == [[64.0, 144.0]]
        around = seen.plan.side_px[(seen.plan.centers - seen.fixations_px).norm(dim=-1) < 40].mean()
        assert float(around) < float(seen.plan.side_px.mean())


def watched(eye: hm.Homunculus, clip: Clip, numbers: range, state: WatchState | None = None) -> list[Watched]:
    found = []
    for number in numbers:
        clip.push(disc(*path(number)), number / 25)
        found.append(eye.watch(clip, "red", state=state if not found else None))
    return found


def test_it_goes_on_from_a_state_bit_for_bit(eye: hm.Homunculus) -> None:
    with eye.unit.clip(SIZE, frames=4) as clip:
        whole = watched(eye, clip, range(8))
    kept = {name: tensor.clone() for name, tensor in whole[4].state.to_tensors().items()}
    with hm.Homunculus(eye.unit, budget=BUDGET) as other, other.unit.clip(SIZE, frames=4) as clip:
        for number in range(5):
            clip.push(disc(*path(number)), number / 25)
        rest = watched(other, clip, range(5, 8), WatchState.of_tensors(kept))
    for expected, found in zip(whole[5:], rest, strict=True):
        assert torch.equal(expected.plan.footprints, found.plan.footprints)
        assert torch.equal(expected.patches.pixels, found.patches.pixels)
        assert expected.as_dict() == found.as_dict()


def test_an_encoder_of_pictures_gives_tokens_of_every_duration(fastest_unit: TextureUnit) -> None:
    from transformers import ViTConfig, ViTModel

    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    vit = hm.FoveatedViT(ViTModel(ViTConfig(**small)).eval())
    with (
        hm.Homunculus(fastest_unit, vit, budget=BUDGET) as eye,
        eye.unit.clip(SIZE, frames=4) as clip,
        torch.no_grad(),
    ):
        for number in range(5):
            clip.push(disc(*path(number)))
            seen = eye.watch(clip)
        assert seen.tokens is not None
        assert seen.tokens.shape == (BUDGET, 32)
        raw = eye.unit.sample(clip, seen.plan).pixels
        within = seen.patches.inside > 0.999
        assert float((raw - seen.patches.pixels)[within].abs().max()) < 1e-5


def test_what_cannot_be_watched_is_refused(eye: hm.Homunculus) -> None:
    with eye.unit.clip(SIZE, frames=4) as clip:
        with pytest.raises(PlanError, match="holds no frame yet; push one first"):
            eye.watch(clip)
        with pytest.raises(ImageError, match=r"is no clip; make one with unit\.clip"):
            eye.watch(disc(50, 50))  # type: ignore[arg-type]
        clip.push(disc(50, 50))
        with pytest.raises(DataError, match="no state of watching"):
            WatchState.of_tensors({"footprints": torch.zeros(3, 8)})
        assert len(eye.watch(clip).plan) == BUDGET
