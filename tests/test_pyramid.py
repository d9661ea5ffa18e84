"""Levels against the exact box mean, by every builder, at even and odd sizes."""

import re

import numpy as np
import pytest
import torch
from pictures import white_noise
from tolerances import LEVELS

from homunculus.bridge.errors import ClosedError, GLError, ImageError, ImageTooLargeError
from homunculus.bridge.gl.pyramid import Texture
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.images import Format
from homunculus.bridge.opencv import HAS_OPENCV
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Builder
from homunculus.bridge.twin.unit import TwinUnit

SIZES = [(1024, 1024), (320, 1024), (999, 1001), (333, 517), (1, 1), (1, 257), (63, 64), (129, 65)]


def box_levels(image: np.ndarray, max_level: int = 6) -> list[np.ndarray]:
    """Premultiplied RGBA levels in float64, each from level 0 at once: an oracle that shares no code with any builder."""
    block = 1 << max_level
    height, width = (-(-side // block) * block for side in image.shape[:2])
    unit = 255 if image.dtype == np.uint8 else 1  # sums of bytes are exact, so that a tie is a tie
    rgba = np.zeros((height, width, 4))
    rgba[: image.shape[0], : image.shape[1], :3] = image
    rgba[: image.shape[0], : image.shape[1], 3] = unit
    return [rgba.reshape(height >> k, 1 << k, width >> k, 1 << k, 4).mean((1, 3)) / unit for k in range(max_level + 1)]


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("builder", ["exact", "simd", "sparse"])
def test_byte_levels_keep_their_row_of_the_table(gl_unit: GLUnit, size: tuple[int, int], builder: Builder) -> None:
    if builder in ("simd", "sparse") and not HAS_OPENCV:
        pytest.skip("OpenCV is not installed; pip install opencv-python-headless")
    image = white_noise(*size)
    greatest, mean = LEVELS
    with gl_unit.pyramid(image, builder=builder) as pyramid:
        for level, expected in enumerate(box_levels(image)):
            error = (pyramid.level(level)[0].numpy() - expected) * 255
            assert np.abs(error).max() <= (greatest if level else 1e-4), f"level {level}"
            if error[..., :3].size >= 12_000:  # with fewer, the mean of honest rounding errors scatters that far itself
                assert abs(error.mean()) <= mean, f"level {level}: mean {error.mean():.3f}/255"


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("size", [(1024, 1024), (1023, 1021)])
def test_exact_rounds_ties_to_even(gl_unit: GLUnit, size: tuple[int, int]) -> None:
    """A quarter of level 1's means end in .5: rounding all of them up would shift the level by 1/8 of a byte step."""
    image = white_noise(*size)
    with gl_unit.pyramid(image, builder="exact") as pyramid:
        for level, expected in enumerate(box_levels(image)[1:], start=1):
            error = (pyramid.level(level)[0].numpy() - expected) * 255
            assert np.abs(error).max() <= 0.51
            if level <= 5:  # level 6 has too few texels for the mean to settle
                assert abs(error.mean()) <= 0.02, f"level {level}: {error.mean():.4f}"


@pytest.mark.slow
@pytest.mark.gl
def test_exact_level_6_keeps_the_mean_of_noise(gl_unit: GLUnit) -> None:
    image = white_noise(4096, 4096)
    with gl_unit.pyramid(image, builder="exact") as pyramid:
        error = pyramid.level(6)[0, ..., :3].numpy().mean() - image.mean() / 255
    assert abs(error) * 255 <= 0.02


@pytest.mark.gl
@pytest.mark.parametrize("format", ["rgba16f", "rgba32f"])
def test_float_levels_keep_the_mean_of_noise(gl_unit: GLUnit, format: Format) -> None:
    image = np.random.default_rng(0).random((512, 448, 3)).astype(np.float32)
    with gl_unit.pyramid(image, format=format) as pyramid:
        for level in range(7):
            assert abs(float(pyramid.level(level)[0, ..., :3].mean()) - image.mean()) <= 1e-4


@pytest.mark.gl
@pytest.mark.parametrize("max_level", [0, 1, 3, 6, 8])
def test_more_or_fewer_levels_on_request(gl_unit: GLUnit, max_level: int) -> None:
    image = white_noise(300, 200).astype(np.float32) / 255
    with gl_unit.pyramid(image, max_level=max_level) as pyramid:
        assert pyramid.max_level == max_level
        assert all(side % (1 << max_level) == 0 for side in pyramid.padded_size)
        for level, expected in enumerate(box_levels(image, max_level)):
            np.testing.assert_allclose(pyramid.level(level)[0].numpy(), expected, atol=1e-6)


@pytest.mark.gl
def test_driver_and_auto_say_what_they_are(gl_unit: GLUnit) -> None:
    image = white_noise(256, 192)
    with gl_unit.pyramid(image, builder="driver") as driver, gl_unit.pyramid(image, builder="auto") as auto:
        assert driver.builder == "driver"
        error = max(np.abs(driver.level(k)[0].numpy() - e).max() for k, e in enumerate(box_levels(image))) * 255
        assert gl_unit.driver_is_exact("rgba8") == (auto.builder == "driver")
        if error > 1.01:
            assert auto.builder != "driver", f"the driver's levels are off by {error:.2f}/255, yet auto trusts them"


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("size", [(100, 3000), (3000, 100), (256, 192), (512, 512)])
@pytest.mark.parametrize(("format", "tolerance"), [("rgba32f", 1e-4), ("rgba16f", 5e-4)])
def test_auto_keeps_the_tolerance_of_float_images_at_any_size(
    gl_unit: GLUnit, size: tuple[int, int], format: Format, tolerance: float
) -> None:
    """A driver's blit may be an exact box at small sides and at powers of two alone."""
    image = np.random.default_rng(0).random((*size, 3)).astype(np.float16)
    with gl_unit.pyramid(image, format=format, builder="auto") as auto:
        for level, expected in enumerate(box_levels(image)):
            assert np.abs(auto.level(level)[0].numpy() - expected).max() <= tolerance, f"{auto.builder}, level {level}"


@pytest.mark.gl
@pytest.mark.skipif(not HAS_OPENCV, reason="OpenCV is not installed; pip install opencv-python-headless")
@pytest.mark.parametrize("max_level", [0, 1, 2, 3, 5, 6])
@pytest.mark.parametrize("size", [(600, 1000), (63, 64), (1, 1)])
def test_simd_writes_the_bytes_of_exact(gl_unit: GLUnit, size: tuple[int, int], max_level: int) -> None:
    images = np.stack([white_noise(*size, seed) for seed in range(2)])
    simd, exact = (gl_unit.pyramid(images, builder=name, max_level=max_level) for name in ("simd", "exact"))
    with simd, exact:
        for level in range(max_level + 1):
            assert torch.equal(simd.level(level), exact.level(level)), f"level {level}"


@pytest.mark.slow
def test_twin_levels_are_the_box_mean(twin: TwinUnit) -> None:
    for size in SIZES:
        image = white_noise(*size)
        exact, stored = twin.pyramid(image, format="rgba64f"), twin.pyramid(image)
        for level, expected in enumerate(box_levels(image)):
            np.testing.assert_allclose(exact.level(level)[0].numpy(), expected, atol=1e-12)
            ties_to_even = np.round((expected * 255 * 4**level).round() / 4**level)
            np.testing.assert_array_equal((stored.level(level)[0].numpy() * 255).round(), ties_to_even)


@pytest.mark.gl
def test_default_format_follows_the_image(gl_unit: GLUnit) -> None:
    picture = white_noise(64, 64)
    cases = {torch.uint8: "rgba8", torch.float16: "rgba16f", torch.float32: "rgba32f", torch.float64: "rgba32f"}
    for dtype, format in cases.items():
        image = torch.from_numpy(picture) if dtype == torch.uint8 else torch.from_numpy(picture / 255).to(dtype)
        with gl_unit.pyramid(image) as pyramid:
            assert pyramid.format == format


@pytest.mark.gl
def test_a_freed_texture_is_used_again_and_holds_nothing_of_the_last_picture(gl_unit: GLUnit) -> None:
    for builder in ("exact", "driver"):
        gl_unit.pyramid(np.full((60, 50, 3), 255, np.uint8), builder=builder).close()
        with gl_unit.pyramid(np.full((33, 20, 3), 128, np.uint8), builder=builder) as pyramid:
            level = pyramid.level(0)[0]
            assert float(level[33:].abs().max()) == 0
            assert float(level[:, 20:].abs().max()) == 0


@pytest.mark.gl
def test_images_beyond_the_limits_are_refused_before_anything_is_allocated(gl_unit: GLUnit) -> None:
    limit = gl_unit.context.limits.texture_px
    live = dict(gl_unit.context.live)
    for image in (np.zeros((2, limit + 1, 1, 3), np.uint8), np.zeros((limit + 1, 1, 3), np.float32)):
        with pytest.raises(ImageTooLargeError, match=rf"1 x {limit + 1} px.*allows {limit} px.*tiles"):
            gl_unit.pyramid(image)
    layers = gl_unit.context.limits.layers
    with pytest.raises(
        ImageTooLargeError, match=rf"{layers + 1} images need {layers + 1} layers; .*{layers} layers.*Split"
    ):
        gl_unit.pyramid(np.zeros((layers + 1, 1, 1, 3), np.uint8))
    assert dict(gl_unit.context.live) == live
    with gl_unit.pyramid(np.zeros((limit, 1, 3), np.uint8)) as pyramid:
        assert pyramid.size == (limit, 1)


REFUSED = {
    "one row": (np.zeros((4,), np.uint8), r"shape \(4,\); expected \[H, W, 3\] or \[B, H, W, 3\]"),
    "two ways": (np.zeros((4, 4, 4), np.uint8), r"4 or 4 may be its channels. Give \[H, W, 3\]: by permute"),
    "light of 0..255": (white_noise(4, 4).astype(np.float32), "floats are light in 0..1. Scale them.*format='rgba32f'"),
    "empty": (np.zeros((0, 4, 3), np.uint8), "at least 1"),
    "no images": (np.zeros((0, 4, 4, 3), np.uint8), "at least 1"),
    "int64": (np.zeros((4, 4, 3), np.int64), "int64; expected uint8"),
    "object": (np.full((4, 4, 3), None), "object; expected uint8"),
    "nan": (np.full((4, 4, 3), np.nan, np.float32), "48 values that are not finite.*nan_to_num"),
    "inf": (np.full((4, 4, 3), -np.inf), "48 values that are not finite"),
}


@pytest.mark.gl
@pytest.mark.parametrize("name", REFUSED)
def test_images_that_cannot_be_sampled_are_refused(gl_unit: GLUnit, twin: TwinUnit, name: str) -> None:
    image, message = REFUSED[name]
    for unit in (gl_unit, twin):
        with pytest.raises(ImageError, match=message):
            unit.pyramid(image)
        assert (
            unit.sample(
                unit.pyramid(white_noise(8, 8)), SamplePlan.squares(torch.tensor([[4.0, 4.0]]), torch.tensor([8.0]))
            ).pixels.mean()
            > 0
        )


@pytest.mark.gl
def test_arguments_that_make_no_sense_are_refused(gl_unit: GLUnit, twin: TwinUnit) -> None:
    image = white_noise(8, 8)
    for unit in (gl_unit, twin):
        with pytest.raises(ImageError, match=r"light in 0\.\.1.*rgba32f"):
            unit.pyramid(image.astype(np.float32), format="rgba8")
        with pytest.raises(ImageError, match="builder is 'cubic'"):
            unit.pyramid(image, builder="cubic")  # type: ignore[arg-type]
        with pytest.raises(ImageError, match="max_level is 15"):
            unit.pyramid(image, max_level=15)
        with pytest.raises(ImageError, match="format is 'rgb'"):
            unit.pyramid(image, format="rgb")  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="backend 'gl' offers nv12, rgba8, rgba16f, rgba32f"):
        gl_unit.pyramid(image, format="rgba64f")
    if HAS_OPENCV:
        with pytest.raises(ImageError, match="reduces rgba8 only"):
            gl_unit.pyramid(image, format="rgba32f", builder="simd")


@pytest.mark.gl
def test_strides_byte_order_and_read_only_memory_do_not_matter(gl_unit: GLUnit) -> None:
    image = white_noise(100, 80)
    frozen = image.copy()
    frozen.flags.writeable = False
    swapped = (image / 255).astype(">f4")
    for same in (
        np.asfortranarray(image),
        image[::-1][::-1],
        frozen,
        torch.from_numpy(image).permute(1, 0, 2).permute(1, 0, 2),
    ):
        with gl_unit.pyramid(same, builder="exact") as pyramid:
            np.testing.assert_array_equal((pyramid.level(0)[0, :100, :80, :3] * 255).round().numpy(), image)
    with gl_unit.pyramid(swapped) as pyramid:
        np.testing.assert_allclose(pyramid.level(0)[0, :100, :80, :3].numpy() * 255, image, atol=1e-3)


@pytest.mark.gl
def test_after_close(gl_unit: GLUnit, twin: TwinUnit) -> None:
    plan = SamplePlan.squares(torch.tensor([[4.0, 4.0]]), torch.tensor([8.0]))
    for unit in (gl_unit, twin):
        pyramid = unit.pyramid(white_noise(8, 8))
        pyramid.close()
        pyramid.close()
        with pytest.raises(ClosedError, match="is closed, or its unit is; build it again"):
            unit.sample(pyramid, plan)
        with pytest.raises(ClosedError, match="is closed, or its unit is; build it again"):
            pyramid.level(0)
        other = unit.pyramid(white_noise(8, 8))
        with pytest.raises(ImageError, match="belongs to another backend"):
            (twin if unit is gl_unit else gl_unit).sample(other, plan)
        other.close()
    twin.close()
    with pytest.raises(ClosedError, match="open another with open_unit"):
        twin.pyramid(white_noise(8, 8))


def test_point_at_fractions(twin: TwinUnit) -> None:
    pyramid = twin.pyramid(white_noise(100, 200))
    assert pyramid.at(0.25, 0.5) == (50.0, 50.0)
    from homunculus.bridge.errors import PlanError

    with pytest.raises(PlanError, match=r"\(1\.2, 0\.5\).*0 to 1"):
        pyramid.at(1.2, 0.5)
    with pytest.raises(PlanError):
        pyramid.at(float("nan"), 0.5)


@pytest.mark.gl
def test_out_of_memory_is_a_typed_error_and_the_next_call_works(gl_unit: GLUnit) -> None:
    """llvmpipe refuses a texture of 4 GiB outright; a device that has the room gives it, and is given it back."""
    limit = gl_unit.context.limits.texture_px
    key = (limit, limit, 1, 7, "rgba32f")
    live = dict(gl_unit.context.live)
    refusal = ""
    try:
        gl_unit.context.thread.call(Texture, gl_unit.context, key).release()
    except GLError as error:
        refusal = str(error)
    assert refusal == "" or re.match(
        "GL_OUT_OF_MEMORY after allocating .*close pyramids that are no longer needed", refusal
    )
    assert refusal or not gl_unit.software
    assert dict(gl_unit.context.live) == live
    with gl_unit.pyramid(white_noise(64, 64)) as pyramid:
        assert pyramid.level(0).shape == (1, 64, 64, 4)
