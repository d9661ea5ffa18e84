"""The library's own model: fed by plans like any other, and blind to where on the page a window lies."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from homunculus import layouts
from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import FoveatedViT, dense_features, in_cells
from homunculus.encoder.marks import MARKS, SHAPES
from homunculus.encoder.reader import Reader
from homunculus.encoder.small import SmallConfig

TINY = SmallConfig(hidden_size=32, layers=3, num_attention_heads=2, stem=(4, 8))
SIZE = 128, 160


@pytest.fixture(scope="module")
def reader() -> Reader:
    torch.manual_seed(0)
    return Reader(TINY).eval()


@pytest.fixture(scope="module")
def plan() -> SamplePlan:
    return layouts.log_polar(SIZE, (70, 60), 40, 16)


def random_pixels(count: int) -> torch.Tensor:
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_class_attention_is_that_of_the_layer(reader: Reader, plan: SamplePlan) -> None:
    """The class token's values, weighted by what it attends to, are what the layer adds to it before its MLP."""
    vit = reader.encoder()
    x, context = vit.begin(random_pixels(len(plan)), plan, SIZE)
    block = vit.family.attention(1)
    weights = vit.family.class_attention(1, x, context)  # [1, heads, 1 + N]
    values = block.value(block.norm(x)).unflatten(-1, (TINY.num_attention_heads, -1))
    seen = torch.einsum("bhn,bnhd->bhd", weights, values).flatten(1)
    assert torch.allclose(x[:, 0] + block.out(seen), vit.family.mix(1, x, context)[:, 0], atol=1e-5)


@torch.no_grad()
def test_order_of_tokens_is_free(reader: Reader, plan: SamplePlan) -> None:
    vit, pixels = reader.encoder(), random_pixels(len(plan))
    order = torch.randperm(len(plan), generator=torch.Generator().manual_seed(2))
    shuffled = SamplePlan(plan.footprints[order], plan.patch_size)
    assert torch.allclose(vit(pixels[order], shuffled, SIZE).tokens, vit(pixels, plan, SIZE).tokens[order], atol=1e-5)


@torch.no_grad()
def test_a_window_is_compared_alike_wherever_it_lies(reader: Reader) -> None:
    """What patches are to each other depends on how they lie to each other alone; the class token has no place."""
    vit = reader.encoder()
    here = layouts.grid((64, 64), None, 16, 16)
    rows = here.footprints.clone()
    rows[:, :2] += torch.tensor([1000.0, 700.0])
    moved = SamplePlan(rows, 16)
    torn = SamplePlan(rows + torch.eye(8)[0] * 40.0 * (torch.arange(16) == 3)[:, None], 16)
    x = torch.randn(1, TINY.num_attention_heads, 17, TINY.head, generator=torch.Generator().manual_seed(3))

    def logits(plan: SamplePlan, size: tuple[int, int]) -> torch.Tensor:
        _, context = vit.begin(random_pixels(16), plan, size)
        turned = vit.family.rotated(x, context)[:, :, 1:]
        return turned @ turned.mT

    assert torch.allclose(logits(here, (64, 64)), logits(moved, (2048, 2048)), atol=5e-3)
    assert not torch.allclose(logits(here, (64, 64)), logits(torn, (2048, 2048)), atol=0.5)


@torch.no_grad()
def test_scale_and_place_matter(reader: Reader) -> None:
    vit, pixels = reader.encoder(), random_pixels(16)
    fine = vit(pixels, layouts.grid((64, 64), None, 16, 16), (64, 64)).tokens
    coarse = vit(pixels, layouts.grid((256, 256), None, 16, 16), (256, 256)).tokens
    assert not torch.allclose(fine, coarse, atol=1e-2)


@torch.no_grad()
def test_halves_of_a_token_count_as_the_whole(reader: Reader, plan: SamplePlan) -> None:
    vit, pixels = reader.encoder(area_attention=True), random_pixels(len(plan))
    twice = SamplePlan(torch.cat([plan.footprints, plan.footprints[:1]]), plan.patch_size)
    area = torch.cat([plan.area_px, plan.area_px[:1]])
    area[0] /= 2
    area[-1] /= 2
    # The scale that a token is told is that of what it stands for, so both must be told alike.
    whole = vit(pixels, plan, SIZE, area_px=torch.cat([plan.area_px[:1], plan.area_px[1:]])).tokens
    halved = vit(torch.cat([pixels, pixels[:1]]), twice, SIZE, area_px=area).tokens
    assert torch.allclose(whole[1:], halved[1:-1], atol=0.05)


@torch.no_grad()
def test_features_of_cells_lie_where_in_cells_says(reader: Reader, plan: SamplePlan) -> None:
    vit, pixels = reader.encoder(), random_pixels(len(plan))
    features = dense_features(vit, pixels, plan, SIZE)
    cells = in_cells(plan, vit.family.cells)
    assert len(features) == len(cells) == len(plan) * TINY.cells**2
    assert cells.area_px.sum().item() == pytest.approx(plan.area_px.sum().item(), rel=1e-4)
    tokens = vit(pixels, plan, SIZE).tokens
    marks = torch.tensor([0, len(MARKS) - 1])
    asked = reader.queries(marks)
    logits = reader.find(tokens[None], asked[None])[0].flatten(1)
    assert torch.allclose(features @ reader.in_text_space(asked).T, logits.T, atol=1e-4)
    first = cells.footprints[: TINY.cells**2, :2]
    side = float(plan.right[0, 0]) * 16
    corner = plan.footprints[0, :2] - side / 2
    row, column = divmod(6, TINY.cells)
    expected = corner + torch.tensor([column + 0.5, row + 0.5]) * side / TINY.cells
    assert torch.allclose(first[6], expected, atol=1e-3)


def test_queries_are_words(reader: Reader) -> None:
    red_circle, red_square = (reader.queries(torch.tensor(MARKS.index(f"red {shape}"))) for shape in SHAPES[:2])
    blue_circle, blue_square = (reader.queries(torch.tensor(MARKS.index(f"blue {shape}"))) for shape in SHAPES[:2])
    assert torch.allclose(red_circle - red_square, blue_circle - blue_square, atol=1e-6)
    assert not torch.allclose(red_circle, blue_circle)


@torch.no_grad()
def test_what_is_saved_is_what_is_loaded(reader: Reader, plan: SamplePlan, tmp_path: Path) -> None:
    reader.notes = {"about": "nothing"}
    reader.save(tmp_path / "reader.safetensors")
    again = Reader.load(tmp_path / "reader.safetensors")
    assert again.notes == {"about": "nothing"}
    assert again.vit.config == TINY
    pixels = random_pixels(len(plan))
    there, back = (one.encoder()(pixels, plan, SIZE).tokens for one in (reader, again))
    assert torch.allclose(there, back, atol=0.02)  # half precision
    with pytest.raises(
        ModelError, match=r"is not a file; give the .safetensors file that `homunculus train needle` wrote"
    ):
        Reader.load(tmp_path / "missing.safetensors")
    (tmp_path / "broken.safetensors").write_bytes((tmp_path / "reader.safetensors").read_bytes()[:900])
    with pytest.raises(ModelError, match="cannot be read"):
        Reader.load(tmp_path / "broken.safetensors")


def test_wavelengths_span_what_the_configuration_says(reader: Reader) -> None:
    wavelengths = 2 * math.pi / reader.vit.frequencies
    assert float(wavelengths[0]) == pytest.approx(TINY.shortest_px)
    assert float(wavelengths[-1]) == pytest.approx(TINY.longest_px, rel=1e-4)
    assert isinstance(reader.encoder(), FoveatedViT)
