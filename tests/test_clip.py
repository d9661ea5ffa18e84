"""Layers written again, and clips: the last frames and their means as one pyramid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pictures import white_noise

from homunculus import layouts
from homunculus.bridge.clips import means
from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.clips.frame import VideoFrame
from homunculus.bridge.clips.timeline import Span, Timeline
from homunculus.bridge.errors import ClosedError, GradientError, ImageError, PlanError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.images import Format
from homunculus.bridge.open import open_unit
from homunculus.bridge.unit import TextureUnit

SIZE = (100, 150)


def frames(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> list[np.ndarray]:
    """Noise around one grey, so that no two are of unlike scenes."""
    return [white_noise(*size, seed + number) // 4 + 90 for number in range(count)]


def same(unit: TextureUnit, written: object, built: object) -> None:
    for level in range(7):
        assert torch.equal(written.level(level), built.level(level)), level  # type: ignore[attr-defined]
    plan = layouts.quadtree(SIZE, fixation=(40, 50), budget=40)
    for layer in range(3):
        on = plan.on_layer(layer)
        assert torch.equal(unit.sample(written, on).pixels, unit.sample(built, on).pixels)  # type: ignore[arg-type]


@pytest.mark.gl
@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
def test_a_layer_that_is_written_again_is_as_if_built(unit: TextureUnit, format: Format) -> None:
    three, other = np.stack(frames(3)), white_noise(*SIZE, 9)
    expected = three.copy()
    expected[1] = other
    with unit.pyramid(three, format=format) as written, unit.pyramid(expected, format=format) as built:
        written.write(1, other)
        same(unit, written, built)


def test_the_twin_writes_a_layer(twin: TextureUnit) -> None:
    three, other = np.stack(frames(3)), white_noise(*SIZE, 9)
    expected = np.stack([three[0], three[1], other])
    with twin.pyramid(three) as written, twin.pyramid(expected) as built:
        written.write(2, other)
        same(twin, written, built)


@pytest.mark.gl
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("builder", ["exact", "driver", "simd", "sparse"])
@pytest.mark.parametrize("size", [SIZE, (200, 1600)])
def test_every_builder_writes_again(gl_unit: GLUnit, builder: str, size: tuple[int, int], layers: int) -> None:
    first, other = np.stack([white_noise(*size, seed) for seed in range(layers)]), white_noise(*size, 9)
    expected = first.copy()
    expected[-1] = other
    plan = layouts.quadtree(size, fixation=(40, 50), budget=40)
    with (
        gl_unit.pyramid(first, builder=builder) as written,  # type: ignore[arg-type]
        gl_unit.pyramid(expected, builder=builder) as built,  # type: ignore[arg-type]
    ):
        gl_unit.sample(written, plan)  # of a sparse one some tiles are there
        written.write(layers - 1, other)
        assert torch.equal(gl_unit.sample(written, plan).pixels, gl_unit.sample(built, plan).pixels)
        assert all(torch.equal(written.level(level), built.level(level)) for level in range(7))


def test_what_cannot_be_written_is_refused(any_unit: TextureUnit) -> None:
    picture = white_noise(*SIZE)
    with any_unit.pyramid(picture) as pyramid:
        before = pyramid.level(0).clone()
        with pytest.raises(PlanError, match=r"layer is 1; .* has layers 0 to 0"):
            pyramid.write(1, picture)
        with pytest.raises(ImageError, match="the image is 1 x 150 x 100 px"):
            pyramid.write(0, picture.transpose(1, 0, 2))
        with pytest.raises(ImageError, match="not built of whole pictures"):
            any_unit.statistics(pyramid, 0).write(0, picture)
        with pytest.raises(GradientError):
            pyramid.write(0, torch.rand(*SIZE, 3, requires_grad=True))
        assert torch.equal(pyramid.level(0), before)
    with pytest.raises(ClosedError):
        pyramid.write(0, picture)


def tokens(unit: TextureUnit, clip: Clip, span: Span) -> torch.Tensor:
    plan = layouts.log_polar(SIZE, fixation=(60, 40), budget=60)
    return unit.sample(clip, clip.timeline.on(plan, span)).pixels


def held(clip: Clip) -> list[Span]:
    lengths = [2**k for k in range(clip.timeline.slots.bit_length())]
    return [
        span
        for n in lengths
        for first in range(0, clip.timeline.count, n)
        if clip.timeline.holds(span := Span(first, n))
    ]


@pytest.mark.gl
def test_tokens_of_every_duration_of_a_still_clip_are_equal(unit: TextureUnit) -> None:
    picture = white_noise(*SIZE)
    with unit.clip(SIZE, frames=8) as clip, unit.pyramid(picture) as still:
        for _ in range(11):
            clip.push(picture)
        expected = unit.sample(still, layouts.log_polar(SIZE, fixation=(60, 40), budget=60)).pixels
        spans = held(clip)
        assert {span.frames for span in spans} == {1, 2, 4, 8}
        for span in spans:
            assert float((tokens(unit, clip, span) - expected).abs().max()) * 255 <= 0.51, span


@pytest.mark.gl
def test_means_of_tokens_are_tokens_of_means(unit: TextureUnit) -> None:
    with unit.clip(SIZE, frames=8, format="rgba32f") as clip:
        for frame in frames(8):
            clip.push(frame)
        each = [tokens(unit, clip, Span(number, 1)) for number in range(8)]
        for span in held(clip):
            mean = torch.stack(each[span.first : span.end]).mean(0)
            assert float((tokens(unit, clip, span) - mean).abs().max()) <= 1e-4, span


@pytest.mark.gl
def test_means_of_bytes_are_rounded_once(any_unit: TextureUnit) -> None:
    given = frames(16)
    with any_unit.clip(SIZE, frames=16) as clip:
        for frame in given:
            clip.push(frame)
        for span in held(clip):
            exact = np.rint(np.mean(given[span.first : span.end], axis=0, dtype=np.float64))
            stored = clip.level(0)[clip.timeline.layer(span), : SIZE[0], : SIZE[1], :3].numpy() * 255
            assert np.abs(stored - exact).max() < 0.01, span


def test_the_order_of_frames_within_a_duration_does_not_matter(any_unit: TextureUnit) -> None:
    given = frames(8)
    with any_unit.clip(SIZE, frames=8) as clip, any_unit.clip(SIZE, frames=8) as other:
        for frame, shuffled in zip(given, np.random.default_rng(0).permutation(np.stack(given)), strict=True):
            clip.push(frame)
            other.push(shuffled)
        span = Span(0, 8)
        assert torch.equal(tokens(any_unit, clip, span), tokens(any_unit, other, span))


def test_a_clip_knows_its_newest_frames_small(any_unit: TextureUnit) -> None:
    size = (200, 300)
    given = frames(11, size)
    with any_unit.clip(size, frames=4) as clip:
        assert clip.coarse.shape == (0, 50, 75, 3)
        for number, frame in enumerate(given):
            clip.push(VideoFrame(frame, number / 25, number))
        assert clip.timeline.start == 4
        boxes = np.stack(given[4:]).reshape(7, 50, 4, 75, 4, 3).mean((2, 4)) / 255
        assert float((clip.coarse.cpu() - torch.from_numpy(boxes)).abs().max()) <= 0.51 / 255
        assert clip.time_s(10) == 10 / 25
        with pytest.raises(PlanError, match="frame 3 is not held; this clip covers frames 4 to 10"):
            clip.time_s(3)


def test_a_cut_is_told_and_no_mean_runs_across_it(any_unit: TextureUnit) -> None:
    dark, light = np.full((*SIZE, 3), 40, np.uint8), np.full((*SIZE, 3), 200, np.uint8)
    with any_unit.clip(SIZE, frames=8) as clip:
        cuts = []
        for number in range(16):
            clip.push(light if number >= 5 else dark)
            cuts += [number] if clip.cut else []
        assert cuts == [5]
        assert clip.timeline.spans == [Span(8, 8)]
        values = {round(float(clip.level(3)[clip.timeline.layer(span), 0, 0, 0]) * 255) for span in held(clip)}
        assert values == {200}


def test_frames_that_are_refused_leave_a_clip_as_it_was(any_unit: TextureUnit) -> None:
    with any_unit.clip(SIZE, frames=4) as clip:
        with pytest.raises(PlanError, match="holds no frame yet"):
            clip.newest  # noqa: B018
        clip.push(VideoFrame(white_noise(*SIZE), 1.5, 0))
        before, texels = clip.timeline, clip.level(0).clone()
        with pytest.raises(PlanError, match=r"time_s is 1.5 and the frame before is shown at 1.5"):
            clip.push(white_noise(*SIZE), 1.5)
        with pytest.raises(ImageError):
            clip.push(white_noise(64, 64), 2.0)
        with pytest.raises(ImageError, match="give it frames with push"):
            clip.write(0, white_noise(*SIZE))
        assert clip.timeline == before
        assert torch.equal(clip.newest, torch.from_numpy(white_noise(*SIZE)))
        assert torch.equal(clip.level(0), texels)
        clip.push(white_noise(*SIZE), 2.0)
        assert clip.timeline.count == 2
    with pytest.raises(ClosedError):
        clip.push(white_noise(*SIZE), 3.0)


def test_clips_of_odd_lengths_or_sizes_are_refused() -> None:
    with open_unit("torch") as unit:
        with pytest.raises(PlanError, match="frames is 12; a clip holds a power of 2 of them, such as 8"):
            unit.clip(SIZE, frames=12)
        with pytest.raises(ImageError, match="height is 0"):
            unit.clip((0, 4))


@pytest.mark.parametrize("opencv", [True, False])
def test_means_of_bytes_are_those_of_whole_numbers_and_keep_nothing_of_the_callers(
    monkeypatch: pytest.MonkeyPatch, opencv: bool
) -> None:
    """Ties go to the even byte; the sums of 256 white frames fit; the array of a frame may be used for the next."""
    monkeypatch.setattr(means, "HAS_OPENCV", opencv and means.HAS_OPENCV)
    random, made, own = np.random.default_rng(0), means.Means("rgba8"), np.empty((6, 7, 3), np.uint8)
    shown = [random.integers(250, 256, own.shape, dtype=np.uint8) for _ in range(256)]
    timeline, seen = Timeline(256), 0
    for frame in shown:
        own[:] = frame
        timeline = timeline.pushed()
        for span, mean in made.pushed(torch.from_numpy(own), timeline.completed):
            total = np.sum(shown[span.first : span.end], axis=0, dtype=np.int64)
            assert np.array_equal(mean.numpy(), np.rint(total / span.frames).astype(np.uint8)), span
            seen += 1
    assert seen == 255
