"""A sample inside torch: autograd, torch.compile, torch.export and torch.func, on every backend, against autograd through the twin."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import homunculus as hm
from homunculus.bridge.errors import ClosedError, GradientError, ImageError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.slow
SETTINGS: dict[str, Any] = {"quality": "high", "mean": (0.4, 0.4, 0.4), "std": (0.2, 0.2, 0.2)}


def images(seed: int = 0) -> Tensor:
    return torch.rand(2, 70, 90, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float32, device="cpu")


def footprints() -> Tensor:
    """Off the kinks of the law, on both images, one partly outside."""
    rows = torch.tensor(
        [
            [40.3, 30.7, 2.3, 0.4, -0.3, 3.1, 0, 0.1],
            [20.6, 50.2, 1.4, 0.2, -0.1, 1.7, 1, 0.0],
            [3.4, 9.1, 5.3, 0.0, 0.2, 1.2, 0, 0.3],
            [60.9, 20.8, 0.4, 2.9, -1.1, 0.3, 1, -0.2],
        ],
        dtype=torch.float32,
        device="cpu",
    )
    return rows


def seen(unit: TextureUnit, image: Tensor, rows: Tensor) -> Tensor:
    return unit.sample(unit.pyramid(image), SamplePlan(rows, 4), **SETTINGS).pixels


def loss(unit: TextureUnit, image: Tensor, rows: Tensor) -> Tensor:
    patches = unit.sample(unit.pyramid(image), SamplePlan(rows, 4), **SETTINGS)
    return patches.pixels.square().mean() + patches.inside.square().sum()


def gradients(function: Callable[[Tensor, Tensor], Tensor]) -> list[Tensor]:
    image, rows = images().requires_grad_(), footprints().requires_grad_()
    found = torch.autograd.grad(function(image, rows), (image, rows))
    return [part.cpu() for part in found]


def expected() -> list[Tensor]:
    with hm.open_unit("torch") as unit:
        return gradients(lambda image, rows: loss(unit, image, rows))


def assert_close(found: list[Tensor] | tuple[Tensor, ...], wanted: list[Tensor] | tuple[Tensor, ...]) -> None:
    for one, other in zip(found, wanted, strict=True):
        error = float((one.cpu() - other).double().norm() / other.double().norm())
        assert error < 1e-4, f"relative error {error:.2e}"


def test_gradients_reach_images_and_footprints(unit: TextureUnit) -> None:
    assert_close(gradients(lambda image, rows: loss(unit, image, rows)), expected())


def test_gradients_through_a_compiled_function_without_a_graph_break(any_unit: TextureUnit) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(lambda image, rows: loss(any_unit, image, rows), fullgraph=True, backend="aot_eager")
    assert_close(gradients(compiled), expected())
    told = torch._dynamo.explain(lambda image, rows: loss(any_unit, image, rows))(images(), footprints())
    assert told.graph_break_count == 0


def test_a_pyramid_from_outside_is_sampled_in_a_compiled_function(any_unit: TextureUnit) -> None:
    torch._dynamo.reset()
    rows = footprints().requires_grad_()
    with any_unit.pyramid(images()) as pyramid:
        compiled = torch.compile(
            lambda rows: any_unit.sample(pyramid, SamplePlan(rows, 4), **SETTINGS).pixels,
            fullgraph=True,
            backend="aot_eager",
        )
        patches = compiled(rows)
        (found,) = torch.autograd.grad(patches.square().mean(), rows)
        assert torch.equal(
            patches.detach().cpu(), any_unit.sample(pyramid, SamplePlan(footprints(), 4), **SETTINGS).pixels.cpu()
        )
    with hm.open_unit("torch") as twin:
        (wanted,) = torch.autograd.grad(seen(twin, images(), rows).square().mean(), rows)
    assert_close([found], [wanted])


class Looks(torch.nn.Module):
    def __init__(self, unit: TextureUnit) -> None:
        super().__init__()
        self.unit = unit

    def forward(self, image: Tensor, rows: Tensor) -> Tensor:
        return seen(self.unit, image, rows)


def test_an_exported_program_comes_back_the_same(any_unit: TextureUnit) -> None:
    program = torch.export.export(Looks(any_unit), (images(), footprints()))
    written = io.BytesIO()
    torch.export.save(program, written)
    written.seek(0)
    again = torch.export.load(written).module()
    assert torch.equal(again(images(1), footprints()), seen(any_unit, images(1), footprints()))


def test_vmap_is_a_loop(any_unit: TextureUnit) -> None:
    batch = torch.stack([images(k) for k in range(3)])
    rows = torch.stack([footprints() + 0.3 * k * torch.eye(8)[0] for k in range(3)])
    with any_unit.pyramid(images()) as pyramid:

        def one(rows: Tensor) -> Tensor:
            return any_unit.sample(pyramid, SamplePlan(rows, 4)).pixels

        assert torch.equal(torch.func.vmap(one)(rows), torch.stack([one(row) for row in rows]))
    both = torch.func.vmap(lambda image, rows: seen(any_unit, image, rows))(batch, rows)
    looped = torch.stack([seen(any_unit, image, row) for image, row in zip(batch, rows, strict=True)])
    assert torch.equal(both, looped)


@pytest.mark.parametrize("dims", [(0, 0), (None, 0), (0, None)])
def test_gradients_under_vmap_are_those_of_a_loop(any_unit: TextureUnit, dims: tuple[int | None, int | None]) -> None:
    batch = torch.stack([images(k) for k in range(2)])
    rows = torch.stack([footprints() + 0.3 * k * torch.eye(8)[0] for k in range(2)])
    given = [values if dim == 0 else values[0] for values, dim in zip((batch, rows), dims, strict=True)]
    gradient = torch.func.grad(lambda image, rows: loss(any_unit, image, rows), (0, 1))
    found = torch.func.vmap(gradient, dims)(*given)
    looped = [
        gradient(*(values[k] if dim == 0 else values for values, dim in zip(given, dims, strict=True)))
        for k in range(2)
    ]
    assert_close(found, [torch.stack([one[k] for one in looped]) for k in range(2)])


def test_the_op_keeps_the_rules_of_ops(any_unit: TextureUnit) -> None:
    image, rows = images().requires_grad_(), footprints().requires_grad_()
    settings = (any_unit.key, 0, None, None, 6, [0, 0], 4, "high", torch.float32, [0.0] * 3, [1.0] * 3, True)
    found = torch.library.opcheck(torch.ops.homunculus.sample.default, (image, rows, *settings))
    assert list(found.values()) == ["SUCCESS"] * 4
    with any_unit.pyramid(images()) as pyramid:
        held = (any_unit.key, pyramid.key, *settings[2:])
        torch.library.opcheck(torch.ops.homunculus.sample.default, (None, rows, *held))


def test_a_pyramid_that_is_dropped_lives_until_its_gradient_has_been_asked_for(any_unit: TextureUnit) -> None:
    image = images().requires_grad_()
    pyramid = any_unit.pyramid(image)
    patches = any_unit.sample(pyramid, SamplePlan(footprints(), 4))
    del pyramid
    any_unit.pyramid(images(1))  # which would take the memory
    patches.pixels.square().mean().backward()
    with hm.open_unit("torch") as twin:
        again = images().requires_grad_()
        twin.sample(twin.pyramid(again), SamplePlan(footprints(), 4)).pixels.square().mean().backward()
    assert image.grad is not None
    assert again.grad is not None
    assert_close([image.grad], [again.grad])


def test_a_pyramid_that_is_closed_gives_no_gradient_any_more(unit: TextureUnit) -> None:
    rows = footprints().requires_grad_()
    with unit.pyramid(images()) as pyramid:
        patches = unit.sample(pyramid, SamplePlan(rows, 4))
    with pytest.raises(ClosedError, match="is closed, or its unit is"):
        patches.pixels.sum().backward()
    assert unit.sample(unit.pyramid(images()), SamplePlan(rows, 4)).pixels.requires_grad


def test_a_second_derivative_is_refused(unit: TextureUnit) -> None:
    rows = footprints().requires_grad_()
    (first,) = torch.autograd.grad(seen(unit, images(), rows).square().sum(), rows, create_graph=True)
    with pytest.raises(GradientError, match=r"second derivative.*Use backend='torch'"):
        first.sum().backward()


def test_levels_and_statistics_of_an_image_with_a_gradient_are_not_read_in_silence(unit: TextureUnit) -> None:
    pyramid = unit.pyramid(images().requires_grad_())
    for read in (pyramid.level, lambda level: unit.statistics(pyramid, level)):
        with pytest.raises(GradientError, match=r"torch\.no_grad\(\)"):
            read(1)
        with torch.no_grad():
            read(1)


def test_a_format_that_rounds_is_refused_an_image_with_a_gradient(any_unit: TextureUnit) -> None:
    with pytest.raises(GradientError, match=r"'rgba8' rounds it.*format='rgba32f'"):
        any_unit.pyramid(images().requires_grad_(), format="rgba8")
    assert any_unit.pyramid(images(), format="rgba8").images is None


def test_narrow_patches_and_wide_images_keep_their_types(unit: TextureUnit) -> None:
    image, rows = images().double().requires_grad_(), footprints().requires_grad_()
    patches = unit.sample(unit.pyramid(image), SamplePlan(rows, 4), dtype=torch.bfloat16)
    patches.pixels.float().square().mean().backward()
    for given, dtype in ((image, torch.float64), (rows, torch.float32)):
        assert given.grad is not None
        assert given.grad.dtype == dtype
        assert bool(given.grad.any())


def test_warped_plans_have_gradients_texel_by_texel(any_unit: TextureUnit) -> None:
    offsets = torch.rand(4, 4, 4, 2, generator=torch.Generator().manual_seed(3)) * 20 - 10
    texels = footprints()[:, None, None, :].repeat(1, 4, 4, 1)
    texels[..., :2] += offsets

    def gradient(unit: TextureUnit) -> Tensor:
        rows = texels.clone().requires_grad_()
        plan = SamplePlan(footprints(), 4, rows)
        (found,) = torch.autograd.grad(unit.sample(unit.pyramid(images()), plan).pixels.square().mean(), rows)
        return found.cpu()

    with hm.open_unit("torch") as twin:
        assert_close([gradient(any_unit)], [gradient(twin)])


def breaking(unit: TextureUnit, image: Tensor, fixed: SamplePlan) -> list[Tensor]:
    """Everything of a unit's that breaks a graph, and a look, in one function."""
    plan = unit.write_plan(hm.layouts.log_polar_program((70, 90), 16, 8), torch.tensor([[40.0, 30.0]]))
    pyramid = unit.pyramid(image)
    with unit.sampled(pyramid, fixed) as lent:
        kept = lent.pixels.clone()
    statistics = unit.statistics(pyramid, 1).level(0)
    look = hm.look(image[0], budget=16, unit=unit).patches.pixels
    return [unit.sample(pyramid, plan).pixels, kept, pyramid.level(2), statistics, look]


def test_what_breaks_a_graph_gives_the_same(any_unit: TextureUnit) -> None:
    torch._dynamo.reset()
    fixed = hm.layouts.quadtree((70, 90), (40.0, 30.0), 16, 8)
    found = torch.compile(breaking, backend="eager")(any_unit, images(), fixed)
    for one, other in zip(found, breaking(any_unit, images(), fixed), strict=True):
        assert torch.equal(one, other)


def test_levels_of_a_traced_pyramid_are_refused(any_unit: TextureUnit) -> None:
    with pytest.raises(ImageError, match="can only be sampled"):
        torch.func.vmap(lambda image: any_unit.pyramid(image).level(0))(images()[None])


def test_a_unit_that_is_gone_is_told() -> None:
    key = hm.open_unit("torch").key
    settings = (0, None, None, 6, [0, 0], 4, "high", torch.float32, [0.0] * 3, [1.0] * 3, True)
    with pytest.raises(ClosedError, match=r"'torch' unit that this was made with is gone"):
        torch.ops.homunculus.sample(images(), footprints(), key, *settings)
    elsewhere = key.replace(f"/{key.split('/')[1]}/", "/1/")
    found = torch.ops.homunculus.sample(images(), footprints(), elsewhere, *settings)
    assert found[0].shape == (4, 3, 4, 4)
