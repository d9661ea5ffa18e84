"""Statistics pyramids: the GL unit against the float64 twin on the same texels, closed forms, invariances and refusals."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from pictures import dead_leaves, white_noise
from tolerances import STATISTICS, STATISTICS_HARDWARE, is_software
from torch import Tensor

from homunculus.bridge.errors import ClosedError, ImageError, ImageTooLargeError
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.images import Format
from homunculus.bridge.oriented import PEAK_PERIOD_PX
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Extent, Pyramid
from homunculus.bridge.statistics import CHANNELS, LAYERS, deviations, planes
from homunculus.bridge.twin.pyramid import TwinPyramid
from homunculus.bridge.twin.statistics import statistics as twin_statistics
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.bridge.unit import TextureUnit

pytestmark = pytest.mark.gl

SIZES = [(1, 1), (5, 7), (64, 64), (128, 192), (63, 130), (333, 517), (1000, 1023)]
INTENSITY, RED_GREEN, BLUE_YELLOW = range(3)
ENERGY, ON, OFF = slice(6, 10), 10, 11


def ramp(height: int, width: int) -> np.ndarray:
    """float32 [H, W, 3]: red grows to the right, green downwards, blue along the diagonal."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x / width, y / height, (x / width + y / height) / 2], -1).astype(np.float32)


def pair(height: int, width: int) -> np.ndarray:
    """uint8 [2, H, W, 3]: white noise, and a ramp with a picture's corner in it."""
    second = (ramp(height, width) * 255).astype(np.uint8)
    picture = (dead_leaves(256) * 255).astype(np.uint8)[:height, :width]
    second[: picture.shape[0] // 2 + 1, : picture.shape[1]] = picture[: picture.shape[0] // 2 + 1]
    return np.stack([white_noise(height, width), second])


def expected_of(pyramid: Pyramid, level: int) -> TwinPyramid:
    """What the twin measures on the very texels of another pyramid: how those were rounded has tests of its own."""
    levels = [pyramid.level(k).cpu().double() for k in range(pyramid.max_level + 1)]
    return twin_statistics(TwinPyramid(levels, pyramid.size, "rgba64f"), level)


def assert_conforms(unit: TextureUnit, measured: Pyramid, expected: Pyramid) -> None:
    assert measured.size == expected.size
    assert measured.padded_size == expected.padded_size
    assert (measured.layers, measured.max_level, measured.format) == (expected.layers, expected.max_level, "rgba32f")
    for level in range(expected.max_level + 1):
        texels = measured.level(level).cpu()
        assert bool(torch.isfinite(texels).all()), f"level {level} holds a texel that was never written"
        error = (texels - expected.level(level)).abs().reshape(-1, LAYERS, *texels.shape[1:])
        contrast = error[:, 3, ..., 1:3]
        assert float(contrast.max()) <= (STATISTICS if is_software(unit) else STATISTICS_HARDWARE), (
            f"level {level}: contrast"
        )
        contrast.zero_()
        assert float(error.max()) <= STATISTICS, f"level {level}: {error.amax((0, 2, 3))}"


def square_mean(unit: TextureUnit, pyramid: Pyramid, center: tuple[float, float], side_px: float) -> Tensor:
    """[12] means over a square, in texels of the statistics: one fetch a layer."""
    plan = SamplePlan.squares(torch.tensor([center] * LAYERS), torch.full((LAYERS,), side_px), patch_size=1)
    plan.footprints[:, 6] = torch.arange(LAYERS)
    return unit.sample(pyramid, plan, quality="fast").pixels.flatten()


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("format", ["rgba8", "rgba16f", "rgba32f"])
def test_every_level_is_the_twins(gl_unit: GLUnit, size: tuple[int, int], format: Format) -> None:
    with gl_unit.pyramid(pair(*size), format=format) as pyramid:
        for level in (0, 1, 2):
            with gl_unit.statistics(pyramid, level) as measured:
                assert_conforms(gl_unit, measured, expected_of(pyramid, level))


@pytest.mark.parametrize("level", [3, 5, 6])
def test_coarse_levels_whose_surround_is_the_coarsest(gl_unit: GLUnit, level: int) -> None:
    with gl_unit.pyramid(pair(333, 517), max_level=6) as pyramid, gl_unit.statistics(pyramid, level) as measured:
        assert_conforms(gl_unit, measured, expected_of(pyramid, level))


def test_from_image_to_statistics_as_the_twin_does_it(gl_unit: GLUnit, twin: TwinUnit) -> None:
    images = pair(200, 301)
    with (
        gl_unit.pyramid(images, format="rgba32f") as ours,
        twin.pyramid(images, format="rgba32f") as theirs,
        gl_unit.statistics(ours) as measured,
        twin.statistics(theirs) as expected,
    ):
        assert_conforms(gl_unit, measured, expected)


def test_a_reused_texture_holds_nothing_of_its_last_user(gl_unit: GLUnit) -> None:
    with gl_unit.pyramid(pair(65, 100)) as pyramid:
        last = GLPyramid(gl_unit.context, gl_unit._pool, (33, 50), Extent(64, 64, 2 * LAYERS, 6, "rgba32f"))
        for level in range(6):
            height, width = (side >> level for side in last.padded_size)
            for layer in range(last.layers):
                nothing = torch.full((height, width, 4), math.nan)
                gl_unit.context.thread.call(last.texture.use)
                gl_unit.context.thread.call(last.texture.write, level, layer, 0, 0, nothing)
        assert bool(last.level(5).isnan().all())
        name = last.texture.name
        last.close()
        with gl_unit.statistics(pyramid, 1) as measured:
            assert isinstance(measured, GLPyramid)
            assert measured.texture.name == name
            assert_conforms(gl_unit, measured, expected_of(pyramid, 1))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(3, 5), (96, 131), (97, 129)])
@pytest.mark.parametrize("measured_level", [1, 3])
def test_a_constant_image_has_means_and_nothing_else(
    gl_unit: GLUnit, twin: TwinUnit, size: tuple[int, int], measured_level: int
) -> None:
    """Also where a texel, or the surround of all of them, lies hardly inside the image."""
    color = torch.tensor([0.75, 0.5, 0.25])
    for unit in (gl_unit, twin):
        with unit.pyramid(color.expand(*size, 3)) as pyramid, unit.statistics(pyramid, measured_level) as measured:
            for level in range(measured.max_level + 1):
                height, width = (-(-side >> level) for side in measured.size)
                values = planes(measured.level(level))[0, :, :height, :width]
                for channel, value in enumerate((0.0, 0.25, -0.375)):
                    torch.testing.assert_close(values[channel], torch.full_like(values[channel], value))
                assert float(values[6:].abs().max()) <= 1e-6
                assert float((values[3:6] - values[:3].square()).abs().max()) <= 1e-6


@pytest.mark.parametrize("direction", range(4))
def test_a_grating_has_its_variance_in_its_band(gl_unit: GLUnit, direction: int) -> None:
    angle, amplitude = direction * math.pi / 4, 0.4
    y, x = np.mgrid[:256, :256] + 0.5
    across = -math.sin(angle) * x + math.cos(angle) * y
    image = np.repeat((0.5 + amplitude * np.cos(2 * np.pi / PEAK_PERIOD_PX * across))[..., None], 3, -1)
    with gl_unit.pyramid(image.astype(np.float32)) as pyramid, gl_unit.statistics(pyramid, 0) as measured:
        energies = square_mean(gl_unit, measured, (128, 128), 64)[ENERGY] / (amplitude**2 / 2)
    bands = torch.tensor([math.cos((k - direction) * math.pi / 4) ** 6 for k in range(4)])
    torch.testing.assert_close(energies, bands, atol=0.02, rtol=0)


def test_variance_of_a_checkerboard_is_a_quarter(gl_unit: GLUnit, twin: TwinUnit) -> None:
    y, x = np.mgrid[:256, :256] // 2
    board = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, -1)
    for unit in (gl_unit, twin):
        with unit.pyramid(board) as pyramid, unit.statistics(pyramid, 1) as measured:
            for side_px in (2.0, 8.0, 32.0):
                values = square_mean(unit, measured, (64, 64), side_px)
                assert abs(float(values[3] - values[0] ** 2) - 0.25) <= 1e-6
                torch.testing.assert_close(deviations(values[None, :, None, None]).flatten(), torch.tensor([0.5, 0, 0]))


def test_red_beside_green(gl_unit: GLUnit) -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, :64, 0] = image[:, 64:, 1] = 255
    with gl_unit.pyramid(image) as pyramid, gl_unit.statistics(pyramid, 1) as measured:
        red, green, both = (square_mean(gl_unit, measured, (x, 32), side) for x, side in ((16, 16), (48, 16), (32, 64)))
    for values, opponent in ((red, 1.0), (green, -1.0), (both, 0.0)):
        torch.testing.assert_close(values[:3], torch.tensor([-1 / 6, opponent, -0.5]))
        assert abs(float(values[4]) - 1) <= 1e-6
    torch.testing.assert_close(
        deviations(both[None, :, None, None]).flatten(), torch.tensor([0.0, 1, 0]), atol=1e-3, rtol=0
    )


def test_a_bright_spot_is_on_and_a_dark_one_off(gl_unit: GLUnit) -> None:
    image = np.full((128, 128, 3), 128, np.uint8)
    image[32:34, 32:34] = 255
    image[96:98, 96:98] = 0
    with gl_unit.pyramid(image) as pyramid, gl_unit.statistics(pyramid, 1) as measured:
        values = planes(measured.level(0))[0]
    assert float(values[ON, 16, 16]) > 0.4
    assert float(values[OFF, 48, 48]) > 0.4
    assert float((values[ON] * values[OFF]).max()) == 0


def test_noise_keeps_its_variances_above_zero(gl_unit: GLUnit) -> None:
    with gl_unit.pyramid(white_noise(512, 512)) as pyramid, gl_unit.statistics(pyramid, 0) as measured:
        for level in range(1, measured.max_level + 1):
            values = planes(measured.level(level))
            variance = values[:, 3:6] - values[:, :3].square()
            assert float(variance.min()) >= -1e-7
            assert float((variance < 0).float().mean()) < 1e-3
            assert bool(torch.isfinite(deviations(values)).all())
        # bytes 0..255 have variance (256^2 - 1) / 12; intensity has a third of it, R - G twice, B - (R + G) / 2 three halves
        byte = (256**2 - 1) / 12 / 255**2
        expected = torch.tensor([byte / 3, 2 * byte, 1.5 * byte]).sqrt()
        torch.testing.assert_close(deviations(values).mean((0, 2, 3)), expected, rtol=0.02, atol=0)


def test_turned_over_the_diagonal_the_bands_change_places(gl_unit: GLUnit) -> None:
    image = (dead_leaves(256) * 255).astype(np.uint8)[:131, :190]
    results = []
    for picture in (image, image.transpose(1, 0, 2)):
        with gl_unit.pyramid(picture) as pyramid, gl_unit.statistics(pyramid, 1) as measured:
            results.append(planes(measured.level(0))[0])
    order = [CHANNELS.index(name) for name in ("energy_90", "energy_45", "energy_0", "energy_135")]
    turned = results[1].transpose(1, 2)[[*range(6), *order, ON, OFF]]
    torch.testing.assert_close(turned, results[0], atol=STATISTICS, rtol=0)


def test_an_image_and_its_statistics_find_their_textures_again(gl_unit: GLUnit) -> None:
    names = set()
    for seed in range(3):
        with gl_unit.pyramid(white_noise(100, 90, seed)) as pyramid, gl_unit.statistics(pyramid) as measured:
            assert isinstance(pyramid, GLPyramid)
            assert isinstance(measured, GLPyramid)
            names |= {pyramid.texture.name, measured.texture.name}
    assert len(names) == 2
    for side in range(1, 1 + gl_unit._pool.LATELY):
        with gl_unit.pyramid(white_noise(100, 64 * side + 100)):
            pass
    assert gl_unit.context.live["texture"] == 1, "textures of a size that is gone are kept"


def test_statistics_at_two_scales_find_their_textures_again(gl_unit: GLUnit) -> None:
    """As a look takes them: both while the picture lives, one after the other."""
    names = set()
    for seed in range(3):
        with gl_unit.pyramid(white_noise(100, 90, seed)) as pyramid:
            assert isinstance(pyramid, GLPyramid)
            names.add(pyramid.texture.name)
            for level in (1, 2):
                with gl_unit.statistics(pyramid, level) as measured:
                    assert isinstance(measured, GLPyramid)
                    names.add(measured.texture.name)
    assert len(names) == 3


def test_dispatches_are_counted_and_nothing_visits_the_host(gl_unit: GLUnit) -> None:
    with gl_unit.pyramid(white_noise(300, 200)) as pyramid:
        before = replace(gl_unit.stats)
        with gl_unit.statistics(pyramid, 1) as measured:
            measured.level(0)
            assert gl_unit.stats.dispatches - before.dispatches == 1
            measured.level(2)  # now the levels above are there
            measured.level(1)
            assert gl_unit.stats.dispatches - before.dispatches == 2
        assert gl_unit.stats.bytes_to_host == before.bytes_to_host
        gl_unit.statistics(pyramid, 6).level(0)  # one level: nothing to reduce
        assert gl_unit.stats.dispatches - before.dispatches == 3


def test_refusals_say_the_same_on_both_backends(gl_unit: GLUnit, twin: TwinUnit) -> None:
    for unit, other in ((gl_unit, twin), (twin, gl_unit)):
        with unit.pyramid(white_noise(40, 30), max_level=3) as pyramid:
            for level in (-1, 4):
                with pytest.raises(ImageError, match=rf"level {level} does not exist; this pyramid has levels 0 to 3"):
                    unit.statistics(pyramid, level)
            with pytest.raises(ImageError, match="belongs to another backend; build it with this unit's pyramid"):
                other.statistics(pyramid)
            measured = unit.statistics(pyramid)
        with pytest.raises(ClosedError, match=r"closed.*build it again from the image"):
            unit.statistics(pyramid)
        measured.close()
        measured.close()
        with pytest.raises(ClosedError, match=r"closed.*build it again from the image"):
            measured.level(0)
    twin.close()
    with pytest.raises(ClosedError, match="open another with open_unit"):
        twin.statistics(pyramid)


def test_too_many_layers_are_refused_before_anything_is_allocated(
    gl_unit: GLUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with gl_unit.pyramid(np.stack([white_noise(8, 8)] * 3)) as pyramid:
        live = dict(gl_unit.context.live)
        monkeypatch.setattr(gl_unit, "most_layers", 11)
        with pytest.raises(ImageTooLargeError, match=r"3 images need 12 layers; this device allows 11 layers.*Split"):
            gl_unit.statistics(pyramid)
        assert dict(gl_unit.context.live) == live
