"""Watching a clip with a model: what it is given of each token, and the tokens it makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from tiny_models import tiny
from torch import Tensor

import homunculus as hm
from homunculus.bridge.clips.timeline import Span
from homunculus.bridge.plan import SamplePlan

SIZE, BUDGET, SLOTS = (64, 96), 48, 8
MODELS = ("vjepa2", "vivit", "qwen2_5_vl_vision", "dinov2")


def frames(count: int) -> list[np.ndarray]:
    """A dark square that goes to the right over still clutter."""
    ground = (255 * dead_leaves(96, 0)[: SIZE[0]]).astype(np.uint8)
    found = [ground.copy() for _ in range(count)]
    for number, frame in enumerate(found):
        frame[20:40, 3 * number : 3 * number + 20] = 10
    return found


class Given:
    """What a model is called with."""

    def __init__(self, encoder: hm.FoveatedViT) -> None:
        self.pixels: Tensor = torch.zeros(0)
        self.times: Tensor | None = None
        encoder.register_forward_pre_hook(self.keep, with_kwargs=True)

    def keep(self, module: Any, given: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.pixels, self.times = given[0], options["times"]


def single_frames(unit: Any, encoder: hm.FoveatedViT, shown: list[np.ndarray], plan: SamplePlan) -> Tensor:
    """[F, N, 3, P, P] what every footprint shows of each frame alone, as the model takes it."""
    with unit.pyramid(np.stack(shown)) as pyramid:
        plans = [plan.on_layer(number) for number in range(len(shown))]
        return torch.stack([unit.sample(pyramid, each, mean=encoder.mean, std=encoder.std).pixels for each in plans])


def mean_of(alone: Tensor, spans: list[Span]) -> Tensor:
    """[N, 3, P, P] the mean of each token's frames."""
    return torch.stack([alone[span.first : span.end, token].mean(0) for token, span in enumerate(spans)])


@pytest.mark.parametrize("family", MODELS)
@torch.no_grad()
def test_a_model_is_given_the_halves_of_each_tokens_duration(family: str) -> None:
    encoder, shown = hm.FoveatedViT(tiny(family)), frames(2 * SLOTS + 5)
    given = Given(encoder)
    with hm.open_unit("torch") as unit, unit.clip(SIZE, frames=SLOTS) as clip:
        eye = hm.Homunculus(unit, encoder, budget=BUDGET)
        for frame in shown:
            clip.push(frame)
        seen = eye.watch(clip)
        assert seen.tokens is not None
        assert seen.tokens.shape == (BUDGET, encoder.dim)
        assert seen.tokens.isfinite().all()
        assert len(seen.durations) > 1
        assert int(seen.times[:, 0].min()) == clip.timeline.start == SLOTS
        alone, spans = single_frames(unit, encoder, shown, seen.plan), [Span(*span) for span in seen.times.tolist()]
        if encoder.frames == 1:
            assert given.times is None
            expected = mean_of(alone, spans)
        else:
            assert given.times is not None
            assert torch.equal(given.times + torch.tensor([clip.timeline.start, 0]), seen.times)
            halves = [clip.timeline.halves(span) or (span, span) for span in spans]
            assert any(first != second for first, second in halves)
            expected = torch.stack([mean_of(alone, list(each)) for each in zip(*halves, strict=True)], 1)
        rounding = 1.01 / 255 / min(encoder.std)  # of means to bytes, and of their levels
        assert (given.pixels - expected).abs().max() <= rounding
        assert torch.equal(encoder(given.pixels, seen.plan, SIZE, times=given.times).tokens, seen.tokens)


@pytest.mark.parametrize("family", MODELS)
@torch.no_grad()
def test_of_a_still_clip_a_model_is_given_a_still_picture(family: str) -> None:
    encoder, still = hm.FoveatedViT(tiny(family)), frames(1)[0]
    given = Given(encoder)
    with hm.open_unit("torch") as unit, unit.clip(SIZE, frames=SLOTS) as clip:
        eye = hm.Homunculus(unit, encoder, budget=BUDGET)
        for _ in range(SLOTS):
            clip.push(still)
            seen = eye.watch(clip)
        with unit.pyramid(still) as pyramid:
            alone = unit.sample(pyramid, seen.plan.on_layer(0), mean=encoder.mean, std=encoder.std).pixels
    for pixels in (given.pixels,) if encoder.frames == 1 else given.pixels.unbind(1):
        assert ((pixels - alone).abs() <= 0.51 / 255 / min(encoder.std)).all()
