"""The README's conventions table, one test a row."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.gl

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def native(x: float, y: float, patch_size: int = 1) -> SamplePlan:
    """A patch of one texel a pixel centred at (x, y)."""
    return SamplePlan.squares(torch.tensor([[x, y]]), torch.tensor([float(patch_size)]), patch_size)


def read(unit: TextureUnit, pyramid: Pyramid, plan: SamplePlan) -> np.ndarray:
    return (unit.sample(pyramid, plan).pixels * 255).round().numpy()


def origin(unit: TextureUnit) -> None:
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[0, 0] = 200
    with unit.pyramid(picture) as pyramid:
        assert read(unit, pyramid, native(0.5, 0.5)).max() == 200
        assert read(unit, pyramid, native(59.5, 39.5)).max() == 0
        assert float(pyramid.level(0)[0, 0, 0, 0]) * 255 == pytest.approx(200, abs=1e-3)


def pixels(unit: TextureUnit) -> None:
    with unit.pyramid(PICTURE) as pyramid:
        for row, column in ((0, 0), (3, 7), (39, 59)):
            assert (
                read(unit, pyramid, native(column + 0.5, row + 0.5))[0, :, 0, 0].tolist()
                == PICTURE[row, column].tolist()
            )


def points_and_sizes(unit: TextureUnit) -> None:
    with unit.pyramid(PICTURE) as pyramid:
        assert pyramid.size == (40, 60)
        assert pyramid.at(0.5, 0.25) == (30.0, 10.0)


def footprints(unit: TextureUnit) -> None:
    rows = torch.tensor([[20.0, 15.0, 0.0, 1.0, -1.0, 0.0, 0.0, 0.0]])  # columns go down, rows go left
    with unit.pyramid(PICTURE) as pyramid:
        turned = read(unit, pyramid, SamplePlan(rows, 4))[0].transpose(1, 2, 0)
    upright = PICTURE[13:17, 18:22]
    np.testing.assert_array_equal(turned, upright[:, ::-1].transpose(1, 0, 2))


def patches(unit: TextureUnit) -> None:
    with unit.pyramid(PICTURE) as pyramid:
        found = unit.sample(pyramid, native(20, 15, patch_size=8))
    assert found.pixels.shape == (1, 3, 8, 8)
    assert found.pixels.dtype == torch.float32
    expected = PICTURE[11:19, 16:24].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(found.pixels[0].numpy(), expected, atol=1e-5)


def values(unit: TextureUnit) -> None:
    checker = np.where((np.indices((64, 64)).sum(0) % 2)[..., None], 255, 0).astype(np.uint8).repeat(3, -1)
    with unit.pyramid(checker, format="rgba32f") as pyramid:
        plan = SamplePlan.squares(torch.tensor([[32.0, 32.0]]), torch.tensor([64.0]), 16)
        np.testing.assert_allclose(
            unit.sample(pyramid, plan).pixels, 0.5, atol=1e-5
        )  # 0.735 if averaged in linear light


def levels(unit: TextureUnit) -> None:
    with unit.pyramid(PICTURE, format="rgba32f") as pyramid:
        assert pyramid.padded_size == (64, 64)
        assert [tuple(pyramid.level(k).shape[1:3]) for k in range(7)] == [(64 >> k, 64 >> k) for k in range(7)]
        block = PICTURE[8:16, 24:32].mean((0, 1)) / 255
        np.testing.assert_allclose(pyramid.level(3)[0, 1, 3, :3], block, atol=1e-5)


def outside(unit: TextureUnit) -> None:
    white = np.full((40, 60, 3), 255, np.uint8)
    with unit.pyramid(white) as pyramid:
        half = unit.sample(pyramid, native(0, 20, patch_size=8), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert float(half.inside) == pytest.approx(0.5)
    np.testing.assert_allclose(half.pixels[0, :, :, 4:], 1, atol=1e-5)
    np.testing.assert_allclose(half.pixels[0, :, :, :4], 0, atol=1e-5)


ROWS = {
    "Origin": origin,
    "Pixels": pixels,
    "Points and sizes": points_and_sizes,
    "Footprints": footprints,
    "Patches": patches,
    "Values": values,
    "Levels": levels,
    "Outside": outside,
}


@pytest.mark.parametrize("name", ROWS)
@pytest.mark.parametrize("backend", ["gl", "torch"])
def test_convention(gl_unit: GLUnit, twin: TwinUnit, backend: str, name: str) -> None:
    ROWS[name](gl_unit if backend == "gl" else twin)


def test_the_readme_lists_these_conventions_and_no_other() -> None:
    text = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    section = text.split("## Conventions")[1].split("\n## ")[0]
    assert re.findall(r"^\| \*\*(.+?)\*\* \|", section, re.MULTILINE) == list(ROWS)
