"""FoveatedViT against the models' own forward, and what must hold however the tokens lie."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_models import ALIKE, FAMILIES, native_plan, own_forward, tiles, tiny
from torch import Tensor

import homunculus as hm
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Family, families
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families import vits
from homunculus.encoder.positions import (
    Filter,
    axial_rotation,
    box_weights,
    cubic_weights,
    filter_weights,
    table_position,
)
from homunculus.encoder.small import SmallViT

SIZES = {
    "siglip2": [(32, 32), (24, 48), (40, 16)],
    "qwen2_vl_vision": [(40, 24), (16, 64)],
    "qwen2_5_vl_vision": [(40, 24), (32, 32)],
    "glm4v_vision": [(40, 24), (16, 64)],
    "glm4v_moe_vision": [(40, 24)],
    "glm_ocr_vision": [(40, 24), (16, 64)],
    "qwen3_vl_vision": [(40, 24), (16, 64), (8, 32)],
    "dinov3_vit": [(32, 32), (24, 48)],
}
SQUARE = [(32, 32)]


@pytest.fixture(autouse=True)
def _reproducible() -> None:
    torch.manual_seed(0)


def scattered(count: int = 9, size: tuple[int, int] = (90, 120), patch: int = 8) -> SamplePlan:
    """Footprints of many sides and angles, some near the border."""
    generator = torch.Generator().manual_seed(3)
    at, side, angle = (torch.rand(count, *shape, generator=generator) for shape in ((2,), (), ()))
    return SamplePlan.squares(at * torch.tensor([size[1], size[0]]), 4 + 40 * side, patch, angle=angle)


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize(("family", "size"), [(name, size) for name in FAMILIES for size in SIZES.get(name, SQUARE)])
@torch.no_grad()
def test_on_the_native_grid_it_is_the_model_itself(family: str, size: tuple[int, int]) -> None:
    image = torch.randn(3, *size)
    vit = hm.FoveatedViT(tiny(family))
    assert vit.patch_size == 8
    seen = vit(tiles(image), native_plan(*size), size)
    state, pooled = own_forward(family, tiny(family), image)
    assert state.std() > 0.1
    close(seen.last_hidden_state, state)
    assert seen.pooled is not None
    close(seen.pooled, pooled)
    assert seen.tokens.shape == (len(native_plan(*size)), vit.dim)


@pytest.mark.parametrize("family", ALIKE)
@torch.no_grad()
def test_what_is_a_vit_under_another_name_is_itself_on_the_native_grid(family: str) -> None:
    image, vit = torch.randn(3, 32, 32), hm.FoveatedViT(tiny(family))
    state, pooled = own_forward(family, tiny(family), image)
    seen = vit(tiles(image), native_plan(32, 32), (32, 32))
    assert state.std() > 0.1
    close(seen.last_hidden_state, state)
    assert (seen.pooled is None) == (pooled is None)
    if pooled is not None:
        assert seen.pooled is not None
        close(seen.pooled, pooled)
    weighed = hm.FoveatedViT(tiny(family), area_attention=True, position="footprint")
    close(weighed(tiles(image), native_plan(32, 32), (32, 32)).tokens, seen.tokens)
    turned = SamplePlan(native_plan(32, 32).footprints.flip(0), 8)
    assert (vit(tiles(image), turned, (32, 32)).tokens - seen.tokens).abs().max() > 1e-3


# Whose own forward takes pictures of other shapes: as they are, or by an option.
ANY_SHAPE = (
    "idefics3_vision",
    "pixtral",
    "mlcd_vision_model",
    "aimv2_native",
    "siglip2",
    "dinov3_vit",
    "qwen2_5_vl_vision",
    "internvl_vision",
)
BY_OPTION = (
    "deit",
    "ijepa",
    "vit_msn",
    "clip",
    "siglip",
    "metaclip_2_vision_model",
    "janus_vision_model",
    "blip_vision_model",
    "dinov2",
)


@pytest.mark.parametrize("family", [*ANY_SHAPE, *BY_OPTION])
@torch.no_grad()
def test_on_an_odd_grid_it_is_the_model_itself(family: str) -> None:
    image, vit = torch.randn(3, 24, 56), hm.FoveatedViT(tiny(family))
    seen = vit(tiles(image), native_plan(24, 56), (24, 56)).last_hidden_state
    if family in BY_OPTION:
        own = tiny(family)
        own = getattr(own, "vision_model", own)
        options = {} if family == "dinov2" else {"interpolate_pos_encoding": True}
        state = own(image[None], **options).last_hidden_state
    else:
        state, _ = own_forward(family, tiny(family), image)
    close(seen, state)


@pytest.mark.slow
@pytest.mark.parametrize("family", [*FAMILIES, *ALIKE])
@torch.no_grad()
def test_in_half_precision_it_is_the_model_itself(family: str) -> None:
    image, model = torch.randn(3, 32, 32).bfloat16(), deepcopy(tiny(family)).bfloat16()
    state, _ = own_forward(family, model, image)
    seen = hm.FoveatedViT(model)(tiles(image), native_plan(32, 32), (32, 32)).last_hidden_state
    assert seen.dtype == torch.bfloat16
    # Of values of this size: random layers as strong as these blow single roundings up.
    scale = state.float().abs().max()
    assert (seen.float() - state.float()).abs().max() <= 2e-2 * scale


MERGED = (
    "clip",
    "siglip",
    "dinov2_with_registers",
    "internvl_vision",
    "idefics3_vision",
    "pixtral",
    "mlcd_vision_model",
)


@pytest.mark.parametrize("family", MERGED)
@torch.no_grad()
def test_footprints_of_several_cells_are_their_patches(family: str) -> None:
    image, plan = torch.randn(3, 32, 32), native_plan(32, 32, 16)
    vit, cells = hm.FoveatedViT(tiny(family), merge=2), hm.FoveatedViT(tiny(family))
    assert (vit.patch_size, cells.patch_size) == (16, 8)
    assert vit.native_grid == (None if cells.native_grid is None else (2, 2))
    seen = vit(tiles(image, 16), plan, (32, 32), hidden=("layer.0",))
    own = cells(tiles(image), native_plan(32, 32), (32, 32), hidden=("layer.0",))
    special = vit.family.special
    order = (
        torch.arange(16).reshape(2, 2, 2, 2).transpose(1, 2).flatten()
    )  # raster of footprints, in each the raster of its cells
    order = torch.cat([torch.arange(special), order + special])
    for given, expected in (
        (seen.last_hidden_state, own.last_hidden_state), (seen.hidden["layer.0"], own.hidden["layer.0"]),
    ):  # fmt: skip
        close(given, expected[:, order])
    close(seen.tokens, own.tokens[order[special:] - special].reshape(4, 4, -1).mean(1))
    with pytest.raises(hm.ModelError, match="merge is 0; it must be a whole number of at least 1"):
        hm.FoveatedViT(tiny(family), merge=0)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_on_the_native_grid_area_and_footprint_change_nothing(family: str) -> None:
    pixels, plan = torch.randn(16, 3, 8, 8), native_plan(32, 32)
    plain = hm.FoveatedViT(tiny(family))(pixels, plan, (32, 32))
    for options in ({"area_attention": True}, {"position": "footprint"}, {"position": "center"}):
        close(
            hm.FoveatedViT(tiny(family), **options)(pixels, plan, (32, 32)).last_hidden_state, plain.last_hidden_state
        )


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_order_of_tokens_is_free(family: str) -> None:
    plan, pixels, order = scattered(), torch.randn(9, 3, 8, 8), torch.randperm(9)
    vit = hm.FoveatedViT(tiny(family), area_attention=True, position="footprint")
    seen = vit(pixels, plan, (90, 120))
    moved = vit(pixels[order], SamplePlan(plan.footprints[order], 8), (90, 120))
    close(moved.tokens, seen.tokens[order])
    assert seen.pooled is not None
    assert moved.pooled is not None
    close(moved.pooled, seen.pooled[:, order] if seen.pooled.ndim == 3 else seen.pooled)


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_two_halves_of_a_token_count_as_the_whole(family: str) -> None:
    plan, pixels = scattered(), torch.randn(9, 3, 8, 8)
    twice = torch.tensor([0, 1, 2, 3, 3, 4, 5, 6, 7, 8])
    once = torch.tensor([0, 1, 2, 3, 5, 6, 7, 8, 9])
    split = SamplePlan(plan.footprints[twice], 8)
    area = plan.area_px[twice] * torch.where(twice == 3, 0.5, 1.0)
    weighted, plain = (hm.FoveatedViT(tiny(family), area_attention=on) for on in (True, False))
    whole, halves = weighted(pixels, plan, (90, 120)), weighted(pixels[twice], split, (90, 120), area_px=area)
    close(halves.tokens[once], whole.tokens)
    assert whole.pooled is not None
    assert halves.pooled is not None
    close(halves.pooled[:, once] if whole.pooled.ndim == 3 else halves.pooled, whole.pooled)
    changed = plain(pixels[twice], split, (90, 120)).tokens[once] - plain(pixels, plan, (90, 120)).tokens
    assert changed.abs().max() > 1e-3


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_batch_is_its_singles(family: str) -> None:
    plans, pixels = [scattered(), scattered(size=(60, 60))], torch.randn(2, 9, 3, 8, 8)
    vit = hm.FoveatedViT(tiny(family), area_attention=True)
    seen = vit(pixels, plans, (90, 120), hidden=("embeddings", "layer.1"))
    for index, plan in enumerate(plans):
        single = vit(pixels[index], plan, (90, 120), hidden=("embeddings", "layer.1"))
        close(seen.tokens[index], single.tokens)
        close(seen.last_hidden_state[index], single.last_hidden_state[0])
        for name in ("embeddings", "layer.1"):
            close(seen.hidden[name][index], single.hidden[name][0])
    close(vit(pixels, plans[0], (90, 120)).tokens[1], vit(pixels[1], plans[0], (90, 120)).tokens)


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_pixels_and_places(family: str) -> None:
    pixels = torch.randn(9, 3, 8, 8, requires_grad=True)
    rows = scattered().footprints.requires_grad_()
    vit = hm.FoveatedViT(tiny(family), position="footprint", area_attention=True)
    vit(pixels, SamplePlan(rows, 8), (90, 120)).tokens.square().mean().backward()
    for gradient in (pixels.grad, rows.grad):
        assert gradient is not None
        assert gradient.isfinite().all()
        assert (gradient.flatten(1).abs().amax(1) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_it_never_waits_for_the_device(family: str) -> None:
    """A meta tensor has no values: to read one on the host, or let a shape or a branch depend on one, raises."""
    vit = hm.FoveatedViT(tiny(family), position="footprint", area_attention=True)
    values = [*vit.named_parameters(), *vit.named_buffers()]
    with torch.no_grad():
        state = {name: value.to("meta") for name, value in values}
        pixels = torch.empty(2, 9, 3, 8, 8, device="meta")
        plan = SamplePlan(torch.empty(9, 8, device="meta"), 8)
        seen = torch.func.functional_call(vit, state, (pixels, plan, (90, 120)))
    assert seen.tokens.shape == (2, 9, vit.dim)
    assert seen.tokens.device.type == "meta"


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_gpu_it_never_waits_and_agrees(family: str) -> None:
    from tiny_models import build, randomised

    plan, pixels = scattered(), torch.randn(9, 3, 8, 8)
    vit = hm.FoveatedViT(randomised(build(family)), position="footprint", area_attention=True)
    with torch.no_grad():
        expected = vit(pixels, plan, (90, 120)).tokens
        vit, there, pixels = vit.cuda(), plan.to("cuda"), pixels.cuda()
        vit(pixels, there, (90, 120))
        torch.cuda.set_sync_debug_mode("error")
        try:
            tokens = vit(pixels, there, (90, 120)).tokens
        finally:
            torch.cuda.set_sync_debug_mode("default")
    close(tokens.cpu(), expected, 1e-3)


@pytest.mark.parametrize("family", ["clip", "siglip", "siglip2", "dinov3_vit", "qwen2_5_vl_vision"])
@torch.no_grad()
def test_half_precision_stays_near(family: str) -> None:
    from tiny_models import build, randomised

    plan, pixels = scattered(), torch.randn(9, 3, 8, 8)
    vit = hm.FoveatedViT(randomised(build(family)), area_attention=True)
    exact = vit(pixels, plan, (90, 120)).tokens
    half = vit.to(torch.bfloat16)(pixels.bfloat16(), plan, (90, 120)).tokens
    assert half.dtype == torch.bfloat16
    assert torch.cosine_similarity(half.float(), exact).min() > 0.99


def test_eager_and_sdpa_agree() -> None:
    from tiny_models import build, randomised

    plan, pixels = scattered(), torch.randn(9, 3, 8, 8)
    model = randomised(build("clip"))
    one = hm.FoveatedViT(model, area_attention=True)(pixels, plan, (90, 120)).tokens
    model.set_attn_implementation("eager")
    close(hm.FoveatedViT(model, area_attention=True)(pixels, plan, (90, 120)).tokens, one)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vit", "clip", "dinov2", "dinov2_with_registers", "dinov3_vit"])
@torch.no_grad()
def test_the_class_tokens_attention_is_what_the_layer_computes(family: str) -> None:
    from tiny_models import build, randomised

    model = randomised(build(family))
    model.set_attn_implementation("eager")
    vit, weights = hm.FoveatedViT(model, area_attention=True, position="footprint"), []
    layer = vit.family.layers[1]
    block = layer.self_attn if family == "clip" else layer.attention
    block.register_forward_hook(lambda module, given, out: weights.append(out[1]))
    seen = vit(torch.randn(9, 3, 8, 8), scattered(), (90, 120), hidden=["attention.1"]).hidden["attention.1"]
    assert seen.shape == (1, 4, vit.family.special + 9)
    close(seen, weights[0][:, :, 0])


def test_without_a_class_token_there_is_no_attention_of_it() -> None:
    with pytest.raises(hm.ModelError, match="siglip has no class token whose attention could be read; ask for layers"):
        hm.FoveatedViT(tiny("siglip"))(torch.randn(9, 3, 8, 8), scattered(), (90, 120), hidden=["attention.1"])


def test_a_token_keeps_its_window_at_its_own_scale() -> None:
    """Qwen2.5-VL: windows of 2 x 2 tokens here. A token four times as wide has a window four times as wide."""
    boxes = torch.tensor([[0, 0, 8, 8], [8, 8, 16, 16], [16, 0, 24, 8], [32, 32, 64, 64], [8, -8, 40, 24.0]])
    family = hm.FoveatedViT(tiny("qwen2_5_vl_vision")).family
    coordinates = Coordinates.of([SamplePlan.boxes(boxes, 8)], (64, 64), torch.device("cpu"))
    context = family.context(coordinates.cells(2), "center", None)
    assert context.window is not None
    sees = context.window[0, 0, ::4, ::4].tolist()
    assert sees == [
        [True, True, False, False, False],
        [True, True, False, False, False],
        [False, False, True, False, True],
        [True, True, True, True, True],
        [True, True, True, True, True],
    ]


# Positions


def places_of(boxes: list[list[float]], size: tuple[int, int] = (32, 32)) -> Coordinates:
    return Coordinates.of([SamplePlan.boxes(torch.tensor(boxes), 8)], size, torch.device("cpu"))


def test_a_table_is_read_as_grid_sample_reads_it() -> None:
    table, coordinates = torch.randn(4, 4, 5), Coordinates.of([scattered(50)], (90, 120), torch.device("cpu"))
    at = 2 * coordinates.center[:, :, None] - 1
    sampled = torch.nn.functional.grid_sample(
        table.permute(2, 0, 1)[None], at, mode="bicubic", align_corners=False, padding_mode="border"
    )
    close(table_position(table, coordinates, footprint=False), sampled[..., 0].transpose(1, 2))


def test_a_footprint_of_one_cell_is_bilinear_and_one_of_the_image_the_mean() -> None:
    table = torch.randn(4, 4, 5)
    cells = places_of([[8, 16, 16, 24], [3, 5, 11, 13], [30, 30, 34, 34]])
    at = 2 * cells.center[:, :, None] - 1
    bilinear = torch.nn.functional.grid_sample(
        table.permute(2, 0, 1)[None], at, align_corners=False, padding_mode="border"
    )
    close(table_position(table, cells, footprint=True), bilinear[..., 0].transpose(1, 2))
    close(table_position(table, cells, footprint=True)[0, 0], table[2, 1])
    whole = table_position(table, places_of([[0, 0, 32, 32], [-8, -8, 40, 40]]), footprint=True)
    close(whole, table.mean((0, 1)).expand(1, 2, 5))
    quarter = table_position(table, places_of([[16, 0, 32, 16]]), footprint=True)
    close(quarter[0, 0], table[:2, 2:].mean((0, 1)))


@pytest.mark.parametrize("target", [1, 3, 5, 9, 16, 31])
@pytest.mark.parametrize(("kind", "mode"), [("triangle", "bilinear"), ("cubic", "bicubic")])
def test_antialiased_positions_are_those_of_interpolate(kind: Filter, mode: str, target: int) -> None:
    table = torch.randn(9, 7)
    centers = (torch.arange(target) + 0.5) / target
    weights = filter_weights(centers, torch.full((target,), 1 / target), 9, kind)
    resized = torch.nn.functional.interpolate(
        table.T[None, :, None], (1, target), mode=mode, antialias=True, align_corners=False
    )
    close(weights @ table, resized[0, :, 0].T)


REGULAR = [(4, 4), (3, 3), (9, 9), (2, 7), (6, 2), (16, 5)]


@pytest.mark.parametrize("grid", REGULAR)
@pytest.mark.parametrize("family", ["vit", "clip", "siglip", "siglip2", "dinov2", "dinov2_with_registers"])
@torch.no_grad()
def test_on_every_regular_grid_positions_are_those_that_transformers_resizes(
    family: str, grid: tuple[int, int]
) -> None:
    vit, (rows, columns) = hm.FoveatedViT(tiny(family)), grid
    size, embeddings = (8 * rows, 8 * columns), vit.family.tower.embeddings
    coordinates = Coordinates.of([native_plan(*size)], size, torch.device("cpu"))
    read = vit.family.positions(coordinates, vit.position)
    if family == "siglip2":
        table = embeddings.position_embedding.weight.reshape(4, 4, -1)
        own = embeddings.resize_positional_embeddings(table, torch.tensor([grid]), rows * columns)
    else:
        own = embeddings.interpolate_pos_encoding(torch.zeros(1, vit.family.special + rows * columns, 32), *size)
    close(read, own[:, min(vit.family.special, 1) :])


@pytest.mark.slow
@pytest.mark.parametrize("grid", REGULAR)
@pytest.mark.parametrize("family", ["vit", "clip", "siglip", "dinov2", "dinov2_with_registers"])
@torch.no_grad()
def test_on_every_regular_grid_it_is_the_model_itself(family: str, grid: tuple[int, int]) -> None:
    size = (8 * grid[0], 8 * grid[1])
    image, model = torch.randn(3, *size), getattr(tiny(family), "vision_model", tiny(family))
    told = {} if family.startswith("dinov2") else {"interpolate_pos_encoding": True}
    close(
        hm.FoveatedViT(tiny(family))(tiles(image), native_plan(*size), size).last_hidden_state,
        model(image[None], **told).last_hidden_state,
        1e-4,
    )


def test_weights_sum_to_one_even_outside() -> None:
    centers, extent = torch.tensor([-3.0, 0.0, 0.4, 1.0, 7.0]), torch.tensor([0.1, 3.0, 0.5, 0.01, 0.0])
    for weights in (
        box_weights(centers, extent, 5),
        cubic_weights(centers, 5),
        cubic_weights(centers, 1),
        filter_weights(centers, extent, 5, "triangle"),
        filter_weights(centers, extent, 5, "cubic"),
    ):
        close(weights.sum(-1), torch.ones(5))


def test_rotations_are_means_over_the_footprint() -> None:
    """Against a sum over a fine grid of points, relative to the same sum over a native cell."""
    frequencies, point = torch.tensor([0.3, 0.9]), torch.tensor([[0.4, -1.2]])
    cos, sin = axial_rotation(point, frequencies, torch.tensor([[2.5, 0.2]]), cell=0.5)
    offsets = (torch.arange(2001) + 0.5) / 2001 - 0.5
    for axis, (extent, column) in enumerate(
        ((2.5, 0), (0.5, 2))
    ):  # y first; the second is below a cell, so it stays whole
        for index, frequency in enumerate(frequencies):
            angles = frequency * (point[0, axis] + extent * offsets)
            native = (frequency * 0.5 * offsets).cos().mean()
            close(cos[0, column + index], angles.cos().mean() / native, 1e-4)
            close(sin[0, column + index], angles.sin().mean() / native, 1e-4)
    close(cos[0, :4], cos[0, 4:])


@pytest.mark.parametrize("position", ["center", "footprint"])
@pytest.mark.parametrize("family", [*FAMILIES, "homunculus_small"])
@torch.no_grad()
def test_a_batch_of_pictures_of_several_sizes_is_each_alone(family: str, position: Any) -> None:
    model = SmallViT() if family == "homunculus_small" else tiny(family)
    vit = hm.FoveatedViT(model, position=position, area_attention=True)
    side, sizes = vit.patch_size, [(96, 128), (128, 96), (70, 300)]
    plans = [hm.layouts.quadtree(size, (30, 40), 22, side) for size in sizes]
    pixels = torch.randn(3, 22, 3, side, side)
    together = vit(pixels, plans, sizes)
    for index, size in enumerate(sizes):
        close(together.tokens[index], vit(pixels[index], plans[index], size).tokens, 1e-4)
    assert torch.equal(vit(pixels, plans, torch.tensor(sizes)).tokens, together.tokens)
    close(vit(pixels, plans[0], sizes).tokens[1], vit(pixels[1], plans[0], sizes[1]).tokens, 1e-4)


# What is refused


def refused(**changed: Any) -> str:
    given = {"pixels": torch.zeros(16, 3, 8, 8), "plan": native_plan(32, 32), "size": (32, 32)} | changed
    with pytest.raises(hm.ModelError) as error:
        hm.FoveatedViT(tiny("clip"))(**given)
    return str(error.value)


def test_what_does_not_fit_is_refused_with_both_values_and_the_remedy() -> None:
    P16 = native_plan(64, 64, 16)
    text = refused(pixels=torch.zeros(16, 3, 16, 16), plan=P16)
    assert text == (
        "patches are (16, 16) texels and the plan's [16]; this clip takes 8: lay the plan out with patch_size=8 and sample again"
    )
    assert "plan's [16]; this clip takes 8" in refused(plan=P16)
    assert "15 patches for a plan of 16 footprints; give the patches that this plan sampled" in refused(
        pixels=torch.zeros(15, 3, 8, 8)
    )
    assert "expected floats [N, 3, 8, 8] or [B, N, 3, 8, 8]" in refused(pixels=torch.zeros(16, 1, 8, 8))
    assert "torch.uint8" in refused(pixels=torch.zeros(16, 3, 8, 8, dtype=torch.uint8))
    assert "3 plans for a batch of 1 images" in refused(plan=[native_plan(32, 32)] * 3)
    assert "size is (0, 32); expected the image's (height, width) in pixels, such as pyramid.size" in refused(
        size=(0, 32)
    )
    assert "size is [(32, 32), (32,)]; expected" in refused(size=[(32, 32), (32,)])
    assert "2 sizes for a batch of 1 images; give one (height, width) for all or one" in refused(size=[(32, 32)] * 2)
    uneven = [native_plan(32, 32), native_plan(32, 24)]
    assert "16 patches for a plan of 12 footprints" in refused(pixels=torch.zeros(2, 16, 3, 8, 8), plan=uneven)
    with pytest.raises(
        hm.ModelError, match=r"differ in \(tokens, patch size\): \[\(12, 8\), \(16, 8\)\]; give all the same"
    ):
        Coordinates.of(uneven, (32, 32), torch.device("cpu"))
    assert (
        "hidden names ['layer.3'] do not exist; this model has 'embeddings', 'layer.0' to 'layer.2' and 'attention.0'"
        in refused(hidden=["layer.3"])
    )
    assert "expected one area for each of 16 tokens" in refused(area_px=torch.ones(4))


def test_options_that_do_not_exist_are_refused() -> None:
    with pytest.raises(hm.ModelError, match="position is 'corner'; expected 'center' or 'footprint'"):
        hm.FoveatedViT(tiny("vit"), position="corner")  # type: ignore[arg-type]
    from transformers import BertConfig, BertModel

    bert = BertModel(
        BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, vocab_size=9)
    )
    with pytest.raises(
        hm.ModelError,
        match="is not supported: no row here tells where it keeps its parts",
    ):
        hm.FoveatedViT(bert)


def test_an_attention_without_biases_is_refused() -> None:
    from tiny_models import build

    model = build("vit")
    model.config._attn_implementation = "flash_attention_2"
    with pytest.raises(
        hm.ModelError, match="attention 'flash_attention_2' ignores; load the model with attn_implementation='sdpa'"
    ):
        hm.FoveatedViT(model, area_attention=True)


def test_a_whole_model_and_its_tower_are_one() -> None:
    pixels, plan = torch.randn(16, 3, 8, 8), native_plan(32, 32)
    for family in ("clip", "siglip"):
        whole, tower = hm.FoveatedViT(tiny(family)), hm.FoveatedViT(tiny(family).vision_model)
        close(whole(pixels, plan, (32, 32)).tokens, tower(pixels, plan, (32, 32)).tokens, 0)
        assert whole.native_grid == tower.native_grid == (4, 4)
    assert math.isclose(sum(hm.FoveatedViT(tiny("clip")).mean), 0.48145466 + 0.4578275 + 0.40821073)


def test_a_stranger_adds_a_family_by_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "registry", dict(families.registry))
    families.register(replace(vits.VIT, types=("my_vit",)))
    model = tiny("vit")
    monkeypatch.setattr(type(model.config), "model_type", "my_vit")
    vit = hm.FoveatedViT(model)
    assert isinstance(vit.family, Family)
    assert "my_vit, patches of 8, position=center, area_attention=False" in repr(vit)


@torch.no_grad()
def test_from_image_to_tokens_is_the_models_own_path() -> None:
    """Sampled by a unit with the model's own normalisation, on the native grid: what a processor and the model would give."""
    image = torch.randint(256, (32, 32, 3), dtype=torch.uint8)
    vit = hm.FoveatedViT(tiny("clip"))
    with hm.open_unit("torch") as unit, unit.pyramid(image) as pyramid:
        plan = native_plan(*pyramid.size, vit.patch_size)
        patches = unit.sample(pyramid, plan, mean=vit.mean, std=vit.std)
        seen = vit(patches.pixels, plan, pyramid.size)
    mean, std = torch.tensor(vit.mean)[:, None, None], torch.tensor(vit.std)[:, None, None]
    state, _ = own_forward("clip", tiny("clip"), (image.permute(2, 0, 1) / 255 - mean) / std)
    close(seen.last_hidden_state, state)
