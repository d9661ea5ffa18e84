"""What goes back through a sample on every device, against the float64 twin's own autograd; and where the law has no derivative."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from pictures import white_noise
from test_conformance import random_footprints, sheared_footprints
from torch import Tensor
from torch_states import deterministic

from homunculus import layouts
from homunculus.bridge import law
from homunculus.bridge.adjoint import Gradients, Upstream, Wanted
from homunculus.bridge.errors import GradientError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.law import QUALITIES, Quality
from homunculus.bridge.patches import Filtering
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.sampler import sample_texels
from homunculus.bridge.twin.unit import TwinUnit, texel_centers
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.gl

BOTH = Wanted(rows=True, images=True)
ROWS = Wanted(rows=True, images=False)
MOST = 1e-4  # relative L2, of a row's gradient and of an image's
# A row whose gradient all but cancels is held to this share of the median row's instead of its own.
LEAST_SHARE = 0.1
MEAN, STD = (0.48, 0.46, 0.41), (0.27, 0.26, 0.28)
PLACE_SLACK_PX = 4e-5  # float32 texture coordinates of pictures of some 200 px
SLACK = 1e-4


@dataclass(frozen=True)
class NearLines:
    """In the place of texels: 1 where a tap stands so near to a line between four of them that float32 may take it for another four's."""

    max_level: int
    layers: int
    padded_size: tuple[int, int]
    channels = 1

    def fetch(self, layer: Tensor, points: Tensor, lod: Tensor) -> Tensor:
        lower = lod.clamp(0, self.max_level).floor()
        near = torch.zeros(points.shape[:2], dtype=torch.bool, device="cpu")
        for level in (lower, (lower + 1).clamp(max=self.max_level)):
            scale = 2.0 ** -level[:, None, None]
            texel = points * scale - 0.5
            sides = torch.tensor(self.padded_size[::-1], dtype=torch.float64, device="cpu") * scale
            inside = ((texel > -1.5) & (texel < sides + 0.5)).all(-1)
            near |= inside & ((texel - texel.round()).abs() < PLACE_SLACK_PX * scale + 1e-7).any(-1)
        return near[..., None].double()


def is_smooth(rows: Tensor, max_level: int, quality: Quality) -> Tensor:
    """[N] whether the law has a derivative near rows [N, 8]: no count, level or order of axes is about to change."""

    def off(value: Tensor, kink: Tensor | float) -> Tensor:
        return (value - kink).abs() > SLACK

    right, down = rows[:, 2:4], rows[:, 4:6]
    lengths = law.length(right) * law.length(down)
    shear = (right * down).sum(-1).abs() / lengths / law.SHEAR_SLACK
    cut = law.taps(right, down, max_level)
    major_px, minor_px = law.length(cut.major), law.length(cut.minor)
    lod = law.lod(cut.step_px, rows[:, 7])
    level = lod + 0.5 if quality == "exact" else law.quality_lod(cut.step_px, rows[:, 7], quality)
    smooth = off(shear, 1.0) & off(shear, 2.0) & off(cut.step_px, 1.0) & off(level, level.round())
    for ratio in (major_px / minor_px.clamp(max=2.0**max_level), minor_px / 2.0**max_level):
        smooth &= off(ratio - law.RATIO_SLACK, (ratio - law.RATIO_SLACK).round())
    first, second = major_px / cut.major_count, minor_px / cut.minor_count
    smooth &= (first == second) | off(first / second, 1.0)
    for side in (first, second):
        width = (cut.step_px / 2).clamp(min=1.0)
        smooth &= off(side**2, 2 * width**2 - 1) & off(width, 1.0 + (cut.step_px <= 2) * 1.0)
    return smooth


def off_the_kinks(plan: SamplePlan, twin: TwinUnit, image: Tensor, quality: Quality) -> SamplePlan:
    """Its patches of which no tap, no level and no share of the image is about to change its formula."""
    plan = plan.to(dtype=torch.float64)
    with twin.pyramid(image) as pyramid:
        texels = pyramid.held()  # type: ignore[attr-defined]
        alpha = twin._rgba(texels, plan, quality)[:, 3].flatten(1)
        lines = NearLines(texels.max_level, texels.layers, texels.padded_size)
    rows = plan.footprints if plan.texels is None else plan.texels.reshape(-1, 8)
    centers = texel_centers(plan) if plan.texels is None else rows[:, None, :2]
    near = sample_texels(lines, centers, rows, quality).reshape(len(plan), -1)
    smooth = is_smooth(rows, texels.max_level, quality).reshape(len(plan), -1)
    kept = smooth.all(1) & (near == 0).all(1) & ((alpha - law.MIN_ALPHA).abs() > 1e-5).all(1)
    plan = plan.to(dtype=torch.float32)
    return replace(plan, footprints=plan.footprints[kept], texels=None if plan.texels is None else plan.texels[kept])


@dataclass(frozen=True)
class Case:
    """What is asked of every device, and the twin's answer."""

    image: Tensor  # float64
    plan: SamplePlan
    filtering: Filtering
    upstream: Upstream
    expected: Gradients


def random_numbers(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu")


def case(image: Tensor, plan: SamplePlan, quality: Quality, twin: TwinUnit) -> Case:
    count, size = len(plan), plan.patch_size
    upstream = Upstream(random_numbers((count, 3, size, size), 1), 20 * random_numbers((count,), 2))
    filtering = Filtering(quality, torch.float32, MEAN, STD)
    leaves = image.clone().requires_grad_()
    wide = plan.to(dtype=torch.float64)
    given = wide.footprints if wide.texels is None else wide.texels
    rows = given.clone().requires_grad_()
    wide = replace(wide, footprints=rows) if wide.texels is None else replace(wide, texels=rows)
    with twin.pyramid(leaves) as pyramid:
        patches = twin._sample(pyramid, wide, filtering._replace(dtype=torch.float64))
        loss = (patches.pixels * upstream.pixels).sum() + (patches.inside.double() * upstream.inside).sum()
        loss.backward()
    return Case(image, plan, filtering, upstream, Gradients(rows.grad, leaves.grad))


def noise(height: int, width: int, batch: int) -> Tensor:
    return torch.from_numpy(np.stack([white_noise(height, width, seed) for seed in range(batch)])).double() / 255


def thousand(size: tuple[int, int]) -> SamplePlan:
    """Random ones, on either image of a batch, at levels of their own; half are sheared, half stand across the border."""
    plans = [random_footprints(1200, size, seed=3), sheared_footprints(1200, size)]
    rows = torch.cat([plan.footprints for plan in plans])
    rows[:, 6] = torch.arange(len(rows), dtype=torch.int64, device="cpu") % 2
    rows[:, 7] = 0.7 * random_numbers((len(rows),), 4)
    return SamplePlan(rows, 3)


@cache
def of_a_thousand(quality: Quality) -> Case:
    twin, size = TwinUnit(dtype=torch.float64), (133, 217)
    image = noise(*size, batch=2)
    plan = off_the_kinks(thousand(size), twin, image, quality)
    assert len(plan) >= 1000, f"{len(plan)} stand off the kinks"
    keep = torch.linspace(0, len(plan) - 1, 1000, dtype=torch.float64, device="cpu").round().long()
    return case(image, SamplePlan(plan.footprints[keep], plan.patch_size), quality, twin)


@cache
def of_squares(quality: Quality) -> Case:
    """Turned, of equal sides as layouts make them: the tie of `right` and `down`, at and below native scale as well."""
    twin, size = TwinUnit(dtype=torch.float64), (133, 217)
    image = noise(*size, batch=1)
    step = torch.linspace(-1.3, 5, 150, dtype=torch.float64, device="cpu").exp2()
    x, y, angle = torch.rand(3, 150, generator=torch.Generator().manual_seed(9), dtype=torch.float64, device="cpu")
    centers = torch.stack([217 * x, 133 * y], -1)
    plan = SamplePlan.squares(centers, step * 4, 4, angle=6 * angle).to(dtype=torch.float32)
    return case(image, off_the_kinks(plan, twin, image, quality), quality, twin)


@cache
def of_warped(quality: Quality) -> Case:
    twin, size = TwinUnit(dtype=torch.float64), (133, 217)
    image = noise(*size, batch=2)
    rows = thousand(size).footprints[::3][:700].reshape(-1, 2, 2, 8)
    plan = SamplePlan(rows[:, 0, 0], 2, texels=rows)
    return case(image, off_the_kinks(plan, twin, image, quality), quality, twin)


def backward(unit: TextureUnit, case: Case, wanted: Wanted = BOTH, builder: str = "exact") -> Gradients:
    with unit.pyramid(case.image.float(), format="rgba32f", builder=builder) as pyramid:  # type: ignore[arg-type]
        return unit._backward(pyramid, case.plan, case.filtering, case.upstream, wanted)


def relative(measured: Tensor, expected: Tensor) -> Tensor:
    """[N] L2 of rows' errors, relative to the row or, where that nearly cancels, to a share of the median row."""
    error = (measured.cpu().double() - expected).reshape(-1, 8).norm(dim=1)
    norm = expected.reshape(-1, 8).norm(dim=1)
    return error / torch.maximum(norm, LEAST_SHARE * norm.median())


def assert_as_the_twin(unit: TextureUnit, case: Case) -> None:
    found = backward(unit, case)
    assert found.rows is not None
    assert found.images is not None
    assert case.expected.rows is not None
    assert case.expected.images is not None
    assert found.rows.shape == case.expected.rows.shape
    assert float(relative(found.rows, case.expected.rows).max()) <= MOST
    assert found.images.shape == case.image.shape
    error = (found.images.cpu().double() - case.expected.images).flatten(1).norm(dim=1)
    assert float((error / case.expected.images.flatten(1).norm(dim=1)).max()) <= MOST


@pytest.mark.slow
@pytest.mark.parametrize("quality", QUALITIES)
def test_a_thousand_footprints_and_their_images(unit: TextureUnit, quality: Quality) -> None:
    assert_as_the_twin(unit, of_a_thousand(quality))


@pytest.mark.slow
@pytest.mark.parametrize("quality", QUALITIES)
def test_squares_share_among_equal_sides(unit: TextureUnit, quality: Quality) -> None:
    assert len(of_squares(quality).plan) > 100
    assert_as_the_twin(unit, of_squares(quality))


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["fast", "high"])
def test_a_warped_plan_has_a_gradient_a_texel(unit: TextureUnit, quality: Quality) -> None:
    assert len(of_warped(quality).plan) > 100
    assert_as_the_twin(unit, of_warped(quality))


@pytest.mark.slow
def test_what_is_not_wanted_is_not_computed(unit: TextureUnit) -> None:
    case, before = of_squares("high"), unit.stats.dispatches
    whole = backward(unit, case)
    assert unit.stats.dispatches > before
    rows, images = (backward(unit, case, Wanted(*wanted)) for wanted in ((True, False), (False, True)))
    assert rows.images is None
    assert images.rows is None
    assert torch.equal(rows.rows, whole.rows)  # type: ignore[arg-type]
    torch.testing.assert_close(images.images, whole.images, rtol=1e-4, atol=1e-5)  # atomics add in any order


@pytest.mark.slow
@pytest.mark.parametrize("quality", QUALITIES)
def test_the_image_gradient_is_the_adjoint_of_the_sample(unit: TextureUnit, quality: Quality) -> None:
    image, plan = random_numbers((1, 90, 117, 3), 5), random_footprints(80, (90, 117))
    filtering = Filtering(quality, std=STD)
    with unit.pyramid(image, format="rgba32f", builder="exact") as pyramid:
        seen = unit._sample(pyramid, plan, filtering).pixels.cpu()
        upstream = Upstream(random_numbers(tuple(seen.shape), 6), torch.zeros(80, dtype=torch.float32, device="cpu"))
        images = unit._backward(pyramid, plan, filtering, upstream, BOTH).images
    assert images is not None
    there = (seen.double() * upstream.pixels).sum()
    back = (image.double() * images.cpu()).sum()
    assert float((there - back).abs() / (seen.double().norm() * upstream.pixels.double().norm())) <= 1e-6


def steepness(side: float, patch_size: int = 4) -> float:
    """The mean of |d mean pixel / d right| of patches of 4 x 4 on noise, in `high`, by the float64 twin. They stand on pixels, as layouts
    put their fovea: there a pair of taps has a line between texels between them, and its distance shows."""
    twin = TwinUnit(dtype=torch.float64)
    corners = 100 * torch.rand(200, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    rows = torch.zeros(200, 8, dtype=torch.float64, device="cpu")
    rows[:, :2], rows[:, 2], rows[:, 5] = corners.floor() + 12 + patch_size / 2, side, side
    rows.requires_grad_()
    with twin.pyramid(noise(128, 128, 1)) as pyramid:
        pixels = twin._sample(pyramid, SamplePlan(rows, patch_size), Filtering("high", torch.float64)).pixels
    slopes = torch.autograd.grad(pixels.mean((1, 2, 3)).sum(), rows)[0][:, 2:4]
    return float(slopes.norm(dim=-1).mean())


@pytest.mark.parametrize("more", [1e-3, 1e-5, 1e-7, 1e-9, 1e-12])
def test_high_is_bounded_just_above_native_scale(more: float) -> None:
    assert 0.05 < steepness(1 + more) <= 0.3  # 12 at 1e-7, 3,800 at 1e-12 without the bound
    assert 0 < steepness(1.0) < 0.1
    assert 0.1 < steepness(1 + more, 1) <= 1.0  # one texel of white noise: 109 at 1e-7


def test_the_bound_moves_no_sample() -> None:
    axis = torch.cat([1 + torch.logspace(-15, 2, 2000, dtype=torch.float64, device="cpu"), torch.ones(1).double()])
    for step in (axis, axis * 3):
        excess = ((axis**2 - 2 * (step / 2).clamp(min=1.0) ** 2 + 1) / 12).clamp(min=0.0)
        assert torch.equal(law.pair_offset(step, axis, "high"), excess.sqrt() / axis)


def test_sheared_sides_of_one_length_turn_as_others_do() -> None:
    """At equal lengths the axes change places; their rotation goes on as on both sides of it."""

    def slope(stretch: float) -> Tensor:
        right = torch.tensor([3.0 * (1 + stretch), 0.0], dtype=torch.float64, requires_grad=True)
        axes = law.singular_axes(right, torch.tensor([1.8, 2.4], dtype=torch.float64))
        lengths = torch.stack([law.length(axis) for axis in axes]).sort().values
        return torch.autograd.grad(lengths[1], right)[0]

    torch.testing.assert_close(slope(0.0), (slope(1e-6) + slope(-1e-6)) / 2, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_at_a_whole_level_the_bias_moves_towards_the_next(unit: TextureUnit, twin: TwinUnit) -> None:
    image = noise(133, 217, 1)
    centers = torch.tensor([[60.3, 50.7], [100.2, 80.6]], dtype=torch.float32, device="cpu")
    plan = SamplePlan.squares(centers, torch.tensor([4.0, 4.0], dtype=torch.float32, device="cpu"), 4)
    told = case(image, plan, "fast", twin)
    assert float(told.expected.rows[:, 7].abs().min()) > 0.1  # type: ignore[index]
    assert_as_the_twin(unit, told)


@pytest.mark.slow
def test_at_the_coarsest_level_the_bias_moves_nothing(unit: TextureUnit, twin: TwinUnit) -> None:
    centers = torch.tensor([[60.3, 50.7], [100.2, 80.6]], dtype=torch.float32, device="cpu")
    plan = SamplePlan.squares(centers, torch.tensor([256.0, 256.0], dtype=torch.float32, device="cpu"), 4)
    told = case(noise(133, 217, 1), plan, "fast", twin)
    assert float(told.expected.rows[:, 7].abs().max()) == 0  # type: ignore[index]
    assert float(backward(unit, told).rows[:, 7].abs().max()) == 0  # type: ignore[index]
    assert_as_the_twin(unit, told)


@pytest.mark.slow
def test_bytes_read_in_part_have_the_gradient_of_bytes_read_whole(gl_unit: GLUnit) -> None:
    image = white_noise(1600, 1700)
    plan = SamplePlan(layouts.quadtree((1600, 1700), (700.3, 800.2), 60, 8).footprints, 8)
    upstream = Upstream(random_numbers((len(plan), 3, 8, 8), 1), random_numbers((len(plan),), 2))
    found = []
    for builder in ("sparse", "simd"):
        with gl_unit.pyramid(image, format="rgba8", builder=builder) as pyramid:  # type: ignore[arg-type]
            found += [
                gl_unit._backward(pyramid, plan, Filtering(quality), upstream, ROWS).rows
                for quality in ("fast", "high")
            ]
    assert torch.equal(found[0], found[2])  # type: ignore[arg-type]
    assert torch.equal(found[1], found[3])  # type: ignore[arg-type]


def limited(unit: GLUnit, **limits: int) -> Callable[[], None]:
    """Makes the device poorer; what is returned undoes it."""
    before = unit.context.limits
    unit.context.limits = replace(before, **limits)

    def restore() -> None:
        unit.context.limits = before

    return restore


@pytest.mark.slow
@pytest.mark.parametrize("name", ["float_atomics", "storage_bytes", "work_groups"])
def test_a_poorer_device_gives_the_same(gl_unit: GLUnit, name: str) -> None:
    told = of_squares("high")
    whole = backward(gl_unit, told)
    restore = limited(gl_unit, **{name: {"float_atomics": 0, "storage_bytes": 600_000, "work_groups": 7}[name]})
    if name == "storage_bytes":  # of parts of seven patches the plan's rows are wanted alone
        restore()
        restore = limited(gl_unit, storage_bytes=7 * 4 * 4 * 3 * 4)
    try:
        wanted = ROWS if name == "storage_bytes" else BOTH
        before = gl_unit.stats.dispatches
        found = backward(gl_unit, told, wanted)
        parts = gl_unit.stats.dispatches - before
    finally:
        restore()
    assert torch.equal(found.rows, whole.rows)  # type: ignore[arg-type]
    if name == "storage_bytes":
        assert parts > len(told.plan) // 7
    else:
        torch.testing.assert_close(found.images, whole.images, rtol=1e-4, atol=1e-5)


def test_an_image_gradient_that_no_buffer_holds_is_refused(gl_unit: GLUnit) -> None:
    restore = limited(gl_unit, storage_bytes=100_000)
    try:
        with pytest.raises(GradientError, match=r"takes \d+ bytes; backend 'gl' allows 100000 here\. Use a smaller"):
            backward(gl_unit, of_squares("high"))
    finally:
        restore()


@pytest.mark.slow
def test_no_fixed_order_is_refused_where_one_is_asked_for(unit: TextureUnit) -> None:
    told = of_squares("high")
    with deterministic():
        backward(unit, told, ROWS)
        with pytest.raises(GradientError, match=r"adds in no fixed order.*warn_only=True, or use backend='torch'"):
            backward(unit, told)


@pytest.mark.slow
def test_many_calls_leave_nothing_behind(gl_unit: GLUnit) -> None:
    told = of_squares("high")
    with gl_unit.pyramid(told.image.float(), format="rgba32f", builder="exact") as pyramid:
        for k in range(200):
            gl_unit._backward(pyramid, told.plan, told.filtering, told.upstream, BOTH)
            if k == 0:
                before = dict(gl_unit.context.live)
        assert dict(gl_unit.context.live) == before
