"""Pictures as luma and chroma: what the bytes mean, and what is sampled of them, on every backend."""

from __future__ import annotations

import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import white_noise
from PIL import Image
from test_conformance import aligned_footprints, random_footprints
from tolerances import INSIDE, INSIDE_HARDWARE, is_software, tolerance

import homunculus as hm
from homunculus import layouts
from homunculus.bridge.errors import GradientError, ImageError, ImageReadError
from homunculus.bridge.gl.planes import GLPlanes
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.law import MIN_ALPHA, QUALITIES, Quality
from homunculus.bridge.op import sample as sample_by_op
from homunculus.bridge.patches import Filtering
from homunculus.bridge.pictures.planes import Matrix, Planes, Range, Siting
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.shaders import as_cuda, source

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "photograph.jpg"
CODINGS: list[tuple[Matrix, Range]] = list(itertools.product(("601", "709"), ("full", "limited")))
SIZES = [(1, 1), (15, 70), (64, 64), (101, 131)]
# Luma coefficients of ITU-R BT.601-7 and BT.709-6, of red, green and blue.
ITU = {"601": (0.299, 0.587, 0.114), "709": (0.2126, 0.7152, 0.0722)}


def itu_rgb(y: np.ndarray, cb: np.ndarray, cr: np.ndarray, matrix: str, range_: str) -> np.ndarray:
    """Light in 0..1 of bytes: BT.601-7, 2.5.3 and BT.709-6, 3.4 and 3.5, solved for red, green and blue."""
    black, white, swing = (0, 255, 255) if range_ == "full" else (16, 235, 224)
    light = (np.asarray(y, float) - black) / (white - black)
    b_y = (np.asarray(cb, float) - 128) / swing * 2 * (1 - ITU[matrix][2])
    r_y = (np.asarray(cr, float) - 128) / swing * 2 * (1 - ITU[matrix][0])
    red, blue = light + r_y, light + b_y
    green = (light - ITU[matrix][0] * red - ITU[matrix][2] * blue) / ITU[matrix][1]
    return np.stack([red, green, blue], -1)


def noise(
    size: tuple[int, int], seed: int = 0, matrix: Matrix = "601", range_: Range = "full", siting: Siting = "centre"
) -> Planes:
    """Any bytes, colours beyond RGB among them."""
    luma = white_noise(*size, seed)[..., 0]
    chroma = white_noise(-(-size[0] // 2), -(-size[1] // 2), seed + 1)[..., :2]
    return Planes(torch.from_numpy(luma.copy()), torch.from_numpy(chroma.copy()), matrix, range_, siting)


def chart(matrix: Matrix, range_: Range) -> tuple[Planes, np.ndarray]:
    """Fields of 16 x 16 px over the bytes of the range, and the light of each; those beyond RGB are left out."""
    low, high = (0, 255) if range_ == "full" else (16, 235)
    y, cb, cr = (
        axis.ravel()
        for axis in np.meshgrid(np.linspace(low, high, 8).round(), *[np.linspace(low, high, 9).round()] * 2)
    )
    light = itu_rgb(y, cb, cr, matrix, range_)
    inside = ((light >= 0) & (light <= 1)).all(-1)
    y, cb, cr, light = y[inside], cb[inside], cr[inside], light[inside]
    luma = np.repeat(y.astype(np.uint8)[None], 16, 0).repeat(16, 1)
    chroma = np.stack([cb, cr], -1).astype(np.uint8)[None].repeat(8, 0).repeat(8, 1)
    return Planes(torch.from_numpy(luma), torch.from_numpy(chroma), matrix, range_), light


@pytest.mark.parametrize(("matrix", "range_"), CODINGS)
def test_rgb_is_the_formula_of_the_recommendation(matrix: Matrix, range_: Range) -> None:
    planes, light = chart(matrix, range_)
    assert len(light) > 100
    shown = planes.rgb()[8, 8::16].numpy() / 255
    assert float(np.abs(shown - light).max()) <= 0.5001 / 255


@pytest.mark.gl
@pytest.mark.slow
@pytest.mark.parametrize(("matrix", "range_"), CODINGS)
def test_tokens_of_a_chart_are_the_formula(unit: TextureUnit, matrix: Matrix, range_: Range) -> None:
    assert_chart(unit, matrix, range_)


@pytest.mark.parametrize(("matrix", "range_"), CODINGS)
def test_the_twins_tokens_of_a_chart_are_the_formula(twin: TextureUnit, matrix: Matrix, range_: Range) -> None:
    assert_chart(twin, matrix, range_)


def assert_chart(unit: TextureUnit, matrix: Matrix, range_: Range) -> None:
    planes, light = chart(matrix, range_)
    centers = torch.tensor([[16 * k + 8.0, 8.0] for k in range(len(light))])
    for side_px in (4.0, 8.0):  # native, and one level up
        plan = SamplePlan.squares(centers, torch.full((len(centers),), side_px), patch_size=4)
        with unit.pyramid(planes) as pyramid:
            pixels = unit.sample(pyramid, plan, quality="fast").pixels.cpu().double().permute(0, 2, 3, 1)
        assert float((pixels - torch.from_numpy(light)[:, None, None]).abs().max()) <= 1 / 255


@pytest.mark.gl
@pytest.mark.slow
def test_grey_is_exact(unit: TextureUnit) -> None:
    assert_grey(unit, (101, 131))


@pytest.mark.slow
def test_the_twins_grey_is_exact(twin: TextureUnit) -> None:
    assert_grey(twin, (101, 131))


def assert_grey(unit: TextureUnit, size: tuple[int, int]) -> None:
    """The tokens that the same grey picture gives as RGBA, across its border too."""
    picture = white_noise(*size)[..., :1].repeat(3, -1)
    planes = Planes.of_rgb(picture)
    assert bool((planes.chroma == 128).all())
    with unit.pyramid(planes) as ours, unit.pyramid(picture, builder="exact") as rgba:
        for quality in QUALITIES:
            plan = aligned(size) if quality == "exact" else random_footprints(16, size)
            seen, expected = unit.sample(ours, plan, quality=quality), unit.sample(rgba, plan, quality=quality)
            exact = is_software(
                unit
            )  # but for float32 in what alpha is reckoned from, where a texel lies outside by 15 / 16
            torch.testing.assert_close(seen.pixels, expected.pixels, rtol=0, atol=2e-5 if exact else 4e-3 / MIN_ALPHA)
            torch.testing.assert_close(seen.inside, expected.inside, rtol=0, atol=2e-6 if exact else INSIDE_HARDWARE)
            assert float((seen.pixels - seen.pixels[:, :1]).abs().max()) <= (2e-6 if exact else 4e-3), "a tint"


def assert_conforms(unit: TextureUnit, twin: TextureUnit, planes: Planes, plan: SamplePlan, quality: Quality) -> None:
    with unit.pyramid(planes, builder="exact") as ours, twin.pyramid(planes) as theirs:
        seen = unit.sample(ours, plan, quality=quality)
        expected = twin.sample(theirs, plan, quality=quality, dtype=torch.float64)
        rgba = twin._rgba(theirs.held(), plan.to(dtype=torch.float64), quality)  # type: ignore[attr-defined]
    weight = rgba[:, 3:].clamp(min=MIN_ALPHA)
    assert float(((seen.pixels.cpu() - expected.pixels) * weight).abs().max()) <= tolerance(unit)["nv12"]
    inside = float((seen.inside.cpu() - expected.inside).abs().max())
    assert inside <= (INSIDE if is_software(unit) else INSIDE_HARDWARE)


@pytest.mark.gl
@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
def test_every_size_and_quality_agrees_with_the_twin(
    unit: TextureUnit, twin: TextureUnit, size: tuple[int, int]
) -> None:
    matrix, range_ = CODINGS[SIZES.index(size) % 4]
    planes = noise(size, 1, matrix, range_, "left" if size[1] % 2 else "centre")
    for quality in QUALITIES:
        plan = aligned(size) if quality == "exact" else random_footprints(16, size)
        assert_conforms(unit, twin, planes, plan, quality)


@pytest.mark.gl
@pytest.mark.slow
@pytest.mark.parametrize("max_level", [0, 8])
def test_other_numbers_of_levels_agree_with_the_twin(unit: TextureUnit, twin: TextureUnit, max_level: int) -> None:
    planes, plan = noise((129, 75)), random_footprints(8, (129, 75))
    rows = plan.footprints.clone()
    rows[:, 2:6] /= 16
    rows[:, 7] = torch.linspace(-2, 2, len(rows))
    with unit.pyramid(planes, max_level=max_level) as ours, twin.pyramid(planes, max_level=max_level) as theirs:
        seen, expected = (one.sample(held, SamplePlan(rows, 8)) for one, held in ((unit, ours), (twin, theirs)))
        # above level 6 a mean of rounded means, whose step the matrix stretches
        assert float((seen.pixels.cpu() - expected.pixels).abs().max()) <= (2 if max_level > 6 else 1) * 2 / 255
        for level in range(max_level + 1):
            difference = (ours.level(level).cpu() - theirs.level(level)).abs().max()
            assert float(difference) <= (2 / 255 if level > 6 else 1e-6), level


@pytest.mark.gl
@pytest.mark.slow
def test_warped_plans_and_layers(unit: TextureUnit, twin: TextureUnit) -> None:
    several = [noise((90, 130), seed) for seed in range(3)]
    plan = layouts.cortical((90, 130), (60, 40), budget=30, patch_size=4).on_layer(2)
    with unit.pyramid(several) as ours, twin.pyramid(several) as theirs, twin.pyramid(several[2]) as alone:
        seen, expected = unit.sample(ours, plan).pixels.cpu(), twin.sample(theirs, plan).pixels
        assert torch.equal(expected, twin.sample(alone, plan.on_layer(0)).pixels)
        assert float((seen - expected).abs().max()) <= tolerance(unit)["nv12"] / MIN_ALPHA


@pytest.mark.gl
@pytest.mark.slow
def test_levels_are_the_means_of_the_picture(unit: TextureUnit) -> None:
    """Of a picture within RGB: the box mean of its own RGB, but for rounding luma and chroma to bytes; chroma between its samples at
    level 0."""
    planes = Planes.of_rgb(hm.read_image(PHOTOGRAPH)[:192, :320] // 2 + 64)
    shown = planes.rgb().double()[None].permute(0, 3, 1, 2)
    with unit.pyramid(planes) as pyramid:
        for level in range(1, 7):
            own = pyramid.level(level).cpu().double()
            assert bool((own[..., 3] == 1).all())
            chroma = torch.nn.functional.avg_pool2d(planes.chroma.double().permute(2, 0, 1)[None], 1 << level - 1)
            luma = torch.nn.functional.avg_pool2d(planes.luma.double()[None, None], 1 << level)
            expected = itu_rgb(luma[0, 0].numpy(), *chroma[0].numpy(), "601", "full")
            assert float(np.abs(own[0, ..., :3].numpy() - expected).max()) <= (0.5 + 0.5 * 1.772) / 255 + 1e-6
        assert float((pyramid.level(0).cpu()[0, ..., :3] - shown[0].permute(1, 2, 0) / 255).abs().max()) <= 0.51 / 255
        assert abs(pyramid.overview(100).float().mean() - planes.rgb().float().mean()) < 1


@pytest.mark.gl
def test_what_is_stored_and_uploaded(gl_unit: GLUnit) -> None:
    planes = noise((768, 1024))
    before = gl_unit.stats.bytes_to_device
    with gl_unit.pyramid(planes) as pyramid:
        assert isinstance(pyramid, GLPlanes)
        pixels = 768 * 1024
        assert gl_unit.stats.bytes_to_device - before == 1.5 * pixels
        stored = 0
        for texture, channels in ((pyramid.held, 1), (pyramid.chroma, 2)):
            height, width, layers, levels, _ = texture.extent
            stored += sum(channels * layers * (height >> k) * (width >> k) for k in range(levels))
        assert stored <= 2.0 * pixels
        assert pyramid.format == "nv12"


def psnr(picture: np.ndarray, planes: Planes, unit: TextureUnit, quality: Quality) -> float:
    size = picture.shape[:2]
    plan = layouts.log_polar(size, fixation=(0.4 * size[1], 0.4 * size[0]), budget=273)
    with unit.pyramid(picture) as rgba, unit.pyramid(planes) as ours:
        expected, seen = unit.sample(rgba, plan, quality=quality), unit.sample(ours, plan, quality=quality)
    weight = expected.inside[:, None, None, None]
    square = ((expected.pixels - seen.pixels) ** 2 * weight).sum() / (weight.sum() * expected.pixels[0].numel())
    return float(-10 * torch.log10(square))


@pytest.mark.gl
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "fast", "others"),
    [("astronaut", 49, 46.5), ("coffee", 49, 46.5), ("chelsea", 49, 49), ("retina", 49, 49), ("photograph", 49, 49)],
)
def test_photographs_keep_their_tokens(gl_unit: TextureUnit, name: str, fast: float, others: float) -> None:
    """Against the tokens of the photograph itself as rgba8. Where most tokens are native, as they are of small pictures, the sharper
    qualities show what halving chroma costs."""
    if name == "photograph":
        picture = hm.read_image(PHOTOGRAPH)
    else:
        picture = np.ascontiguousarray(getattr(pytest.importorskip("skimage.data"), name)())[:800, :800]
    planes = Planes.of_rgb(picture)
    found = {quality: psnr(picture, planes, gl_unit, quality) for quality in ("fast", "sharp", "high")}
    assert found["fast"] >= fast, found
    assert min(found.values()) >= others, found


def test_left_siting_reads_samples_where_they_lie(twin: TextureUnit) -> None:
    """Chroma that rises along x: read at a pixel, it is the ramp there, wherever the samples are said to lie."""
    for siting, first_px in (("centre", 1.0), ("left", 0.5)):
        places = 2 * np.arange(60) + first_px
        chroma = np.full((8, 60, 2), 128, np.uint8)
        chroma[..., 0] = 68 + places  # Cb at x px is 68 + x
        planes = Planes(torch.full((16, 120), 128, dtype=torch.uint8), torch.from_numpy(chroma), "601", "full", siting)  # type: ignore[arg-type]
        plan = SamplePlan.squares(torch.tensor([[60.0, 8.0]]), torch.tensor([8.0]), patch_size=8)
        with twin.pyramid(planes) as pyramid:
            blue = twin.sample(pyramid, plan, quality="fast").pixels[0, 2, 4].double()
        at = 60 - 4 + 0.5 + torch.arange(8)
        floor = 0.5 if siting == "left" else 0.0  # bytes of a ramp at half pixels are rounded down
        expected = (128 + 1.772 * (68 + at - 128 - floor)) / 255
        torch.testing.assert_close(blue, expected.double(), rtol=0, atol=1e-5)
        assert float((planes.rgb()[8, 56:64, 2] / 255 - expected).abs().max()) <= 0.51 / 255


@pytest.mark.parametrize("size", [(64, 48), (33, 47), (5, 7), (1, 1)])
def test_a_jpeg_gives_its_own_planes(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "picture.jpg"
    picture = hm.read_image(PHOTOGRAPH)[: size[0], : size[1]]
    Image.fromarray(picture).save(path, quality=90, subsampling="4:2:0")
    planes = Planes.of_jpeg(path)
    assert (planes.size, planes.matrix, planes.range, planes.siting) == (size, "601", "full", "centre")
    # libjpeg's own RGB: the same matrix in whole numbers, chroma between its samples by whole sixteenths
    assert int((planes.rgb().int() - torch.from_numpy(hm.read_image(path)).int()).abs().max()) <= 2
    Image.fromarray(picture).convert("L").save(path)
    grey = Planes.of_jpeg(path)
    assert torch.equal(grey.luma, torch.from_numpy(hm.read_image(path))[..., 0])
    assert bool((grey.chroma == 128).all())


def test_files_that_have_no_planes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    Image.new("RGB", (8, 8)).save(path, "PNG")
    with pytest.raises(ImageReadError, match="is PNG, which has no luma and chroma; read it by read_image"):
        Planes.of_jpeg(path)
    Image.new("CMYK", (8, 8)).save(path, "JPEG")
    with pytest.raises(ImageReadError, match="is a JPEG in CMYK"):
        Planes.of_jpeg(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (8, 8)).save(path, "JPEG", exif=exif)
    with pytest.raises(ImageReadError, match="is turned by its orientation tag"):
        Planes.of_jpeg(path)
    path.write_bytes(PHOTOGRAPH.read_bytes()[:4000])
    with pytest.raises(ImageReadError, match="cannot be read"):
        Planes.of_jpeg(path)


def test_frames_of_pyav_are_taken_as_they_are() -> None:
    av = pytest.importorskip("av")
    picture = hm.read_image(PHOTOGRAPH)[:35, :47]
    rgb = av.VideoFrame.from_ndarray(picture, format="rgb24")
    for name in ("yuv420p", "yuvj420p", "nv12"):
        frame = rgb.reformat(format=name)
        planes = Planes.of_av(frame)
        of_jpeg = name == "yuvj420p"
        assert (planes.size, planes.matrix) == ((35, 47), "601")
        assert (planes.range, planes.siting) == (("full", "centre") if of_jpeg else ("limited", "left"))
        y = np.frombuffer(frame.planes[0], np.uint8).reshape(35, -1)[:, :47]
        assert np.array_equal(planes.luma.numpy(), y)
    chroma = np.frombuffer(frame.planes[1], np.uint8).reshape(18, -1)[:, :48].reshape(18, 24, 2)
    assert np.array_equal(planes.chroma.numpy(), chroma)
    tall = av.VideoFrame(16, 720, "yuv420p")
    assert Planes.of_av(tall).matrix == "709"
    tall.colorspace, tall.color_range = 6, 2
    assert (Planes.of_av(tall).matrix, Planes.of_av(tall).range) == ("601", "full")
    tall.colorspace = 9
    with pytest.raises(ImageError, match="matrix is FFmpeg's number 9"):
        Planes.of_av(tall)
    with pytest.raises(ImageError, match=r"the frame is rgb24; planes come from yuv420p.*reformat"):
        Planes.of_av(rgb)


def aligned(size: tuple[int, int]) -> SamplePlan:
    """Every fourth of them."""
    return SamplePlan(aligned_footprints(size).footprints[::4], 8)


def luma(*size: int) -> torch.Tensor:
    return torch.zeros(size, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (lambda: Planes(luma(4, 4).float(), luma(2, 2, 2)), "luma is torch.float32; planes are uint8"),
        (lambda: Planes(luma(4, 0), luma(2, 0, 2)), r"luma has shape \(4, 0\)"),
        (lambda: Planes(luma(5, 4), luma(2, 2, 2)), r"luma of \(5, 4\) needs \[3, 2, 2\]"),
        (lambda: Planes(luma(4, 4), luma(2, 2, 2), "2020"), "matrix"),  # type: ignore[arg-type]
        (lambda: Planes(luma(4, 4), luma(2, 2, 2), range="tv"), "range"),  # type: ignore[arg-type]
        (lambda: Planes(luma(4, 4), luma(2, 2, 2), siting="top"), "siting"),  # type: ignore[arg-type]
        (lambda: Planes.of_rgb(luma(4, 4)), r"give uint8 \[H, W, 3\]"),
    ],
)
def test_what_are_no_planes_is_refused(made: Callable[[], Planes], told: str) -> None:
    with pytest.raises(ImageError, match=told):
        made()


def test_unlike_planes_and_other_formats_are_refused(any_unit: TextureUnit) -> None:
    planes = noise((20, 30))
    for other in (noise((20, 30), matrix="709"), noise((20, 30), range_="limited"), noise((22, 30))):
        with pytest.raises(ImageError, match="of one size, matrix, range and siting"):
            any_unit.pyramid([planes, other])
        with any_unit.pyramid([planes, planes]) as pyramid, pytest.raises(ImageError, match="build another"):
            pyramid.write(1, other)
    with pytest.raises(ImageError, match=r"another ndarray; give all of them as Planes, or planes.rgb\(\)"):
        any_unit.pyramid([planes, white_noise(20, 30)])
    with pytest.raises(ImageError, match=r"has format nv12 alone, and format is 'rgba8'.*planes.rgb\(\)"):
        any_unit.pyramid(planes, format="rgba8")
    with pytest.raises(ImageError, match=r"the picture is none of Planes.*Planes.of_rgb"):
        any_unit.pyramid(white_noise(20, 30), format="nv12")


@pytest.mark.gl
def test_what_reads_rgba_says_so(gl_unit: GLUnit) -> None:
    from homunculus.bridge.cuda.shared import shared

    planes, plan = noise((40, 60)), random_footprints(5, (40, 60))
    with gl_unit.pyramid(planes) as pyramid:
        rows = plan.footprints.clone().requires_grad_()
        with pytest.raises(GradientError, match=r"none through luma and chroma.*planes.rgb\(\)"):
            gl_unit.sample(pyramid, SamplePlan(rows, 8))
        with pytest.raises(ImageError, match=r"CUDA reads RGBA.*planes.rgb\(\)"), shared(None, pyramid):  # type: ignore[arg-type]
            pass
    for builder in ("driver", "sparse"):
        with pytest.raises(ImageError, match=f"'{builder}' makes RGBA; planes are built by 'exact' or 'simd'"):
            gl_unit.pyramid(planes, builder=builder)  # type: ignore[arg-type]


@pytest.mark.slow
def test_gradients_reach_the_plan_through_the_twin(twin: TextureUnit) -> None:
    """Against central differences; by the op as by itself."""
    planes = Planes.of_rgb(hm.read_image(PHOTOGRAPH)[:96, :96])
    with twin.pyramid(planes) as pyramid:
        row = torch.tensor([[40.3, 50.2, 2.3, 0.2, -0.1, 2.6, 0, 0]], dtype=torch.float64)

        def total(rows: torch.Tensor) -> torch.Tensor:
            return twin.sample(pyramid, SamplePlan(rows, 4), dtype=torch.float64).pixels.sum()

        leaf = row.clone().requires_grad_()
        total(leaf).backward()
        own = leaf.grad
        leaf = row.clone().requires_grad_()
        filtering = Filtering("high", torch.float64)
        sample_by_op(twin.key, pyramid, SamplePlan(leaf, 4), filtering, True).pixels.sum().backward()
        assert own is not None
        torch.testing.assert_close(leaf.grad, own)
        for column in range(6):
            step = torch.zeros_like(row)
            step[0, column] = 1e-6
            slope = (total(row + step) - total(row - step)) / 2e-6
            assert float(abs(own[0, column] - slope)) <= 1e-4 * max(1.0, float(abs(slope))), column


@pytest.mark.gl
@pytest.mark.slow
def test_statistics_are_those_of_the_picture_shown(unit: TextureUnit) -> None:
    planes = Planes.of_rgb(hm.read_image(PHOTOGRAPH)[:128, :192])
    with (
        unit.pyramid(planes) as ours,
        unit.pyramid(planes.rgb()) as rgba,
        unit.statistics(ours, 1) as measured,
        unit.statistics(rgba, 1) as expected,
    ):
        assert measured.size == expected.size
        for level in (0, 3):
            difference = (measured.level(level) - expected.level(level)).abs().mean()
            assert float(difference) < 2 / 255, level


@pytest.mark.gl
@pytest.mark.slow
def test_a_layer_is_written_again(unit: TextureUnit) -> None:
    first, second, third = (noise((50, 70), seed, "709", "limited") for seed in (1, 4, 7))
    plan = random_footprints(20, (50, 70))
    with unit.pyramid([first, second]) as written, unit.pyramid([first, third]) as built:
        written.write(1, third)
        for layer in (0, 1):
            seen = unit.sample(written, plan.on_layer(layer)).pixels
            assert torch.equal(seen, unit.sample(built, plan.on_layer(layer)).pixels)


@pytest.mark.gl
@pytest.mark.slow
def test_a_clip_of_planes(unit: TextureUnit) -> None:
    assert_clip(unit)


@pytest.mark.slow
def test_a_clip_of_planes_on_the_twin(twin: TextureUnit) -> None:
    assert_clip(twin)


def assert_clip(unit: TextureUnit) -> None:
    """Means are those of luma and of chroma, rounded once, ties to even; before the first frame all is black."""
    size, around = (40, 60), 100
    frames = [noise(size, 3 * k, "709", "limited", "left") for k in range(4)]
    frames = [Planes(f.luma // 8 + around, f.chroma // 8 + around, "709", "limited", "left") for f in frames]
    plan = random_footprints(10, size)
    with unit.clip(size, frames=4, format="nv12") as clip:
        assert clip.format == "nv12"
        for number, frame in enumerate(frames):
            clip.push(frame)
            if number < 3:
                unseen = unit.sample(clip, plan.on_layer(3)).pixels
                assert float(unseen.abs().max()) <= 1e-6
        four = clip.timeline.layer(clip.timeline.spans[0])
        assert clip.timeline.spans[0].frames == 4
        mean = [
            torch.stack([getattr(f, name) for f in frames]).double().mean(0).round().to(torch.uint8)
            for name in ("luma", "chroma")
        ]
        with unit.pyramid([frames[3], Planes(*mean, "709", "limited", "left")]) as expected:
            for layer, other in ((3, 0), (four, 1)):
                seen = unit.sample(clip, plan.on_layer(layer)).pixels
                assert torch.equal(seen, unit.sample(expected, plan.on_layer(other)).pixels)
        assert torch.equal(clip.newest, frames[3].rgb())
        with pytest.raises(ImageError, match="build another"):
            clip.push(noise(size))
        with pytest.raises(ImageError, match="none of Planes"):
            clip.push(white_noise(*size))
    with unit.clip(size, frames=2) as clip:
        clip.push(frames[0])
        assert torch.equal((clip.level(0)[0, :40, :60, :3] * 255).round().cpu(), frames[0].rgb())


@pytest.mark.gl
@pytest.mark.slow
def test_both_builders_give_the_same_bytes(gl_unit: GLUnit) -> None:
    planes = noise((333, 517))
    with gl_unit.pyramid(planes, builder="exact") as exact, gl_unit.pyramid(planes, builder="simd") as simd:
        assert gl_unit.pyramid(planes).builder == gl_unit.default_builder("nv12")
        for level in range(7):
            assert torch.equal(exact.level(level), simd.level(level)), level


@pytest.mark.gl
def test_nothing_is_left_of_what_is_closed(gl_unit: GLUnit) -> None:
    """`gl_unit` proves it of the textures."""
    pyramid = gl_unit.pyramid(noise((40, 60)))
    pyramid.close()
    pyramid.close()
    with pytest.raises(hm.ClosedError):
        pyramid.level(0)
    with pytest.raises(hm.ClosedError):
        gl_unit.sample(pyramid, random_footprints(2, (40, 60)))


def test_the_twins_planes_can_be_sent(twin: TextureUnit) -> None:
    with twin.pyramid(noise((40, 60), siting="left")) as pyramid:
        other = pickle.loads(pickle.dumps(pyramid))
        assert other.coding == pyramid.coding
        plan = random_footprints(5, (40, 60))
        assert torch.equal(twin.sample(other, plan).pixels, twin.sample(pyramid, plan).pixels)


def test_kernels_take_what_their_variant_reads() -> None:
    """A kernel of RGBA is given no second texture."""
    defines: dict[str, int | float | str] = {"QUALITY": 2, "ELEMENT": 0, "WARPED": 0, "GROUP": 256}
    plain, planar, paged = (
        {argument.name for argument in as_cuda(source("sample.comp", **defines, **kind)).arguments}
        for kind in ({}, {"PLANAR": 1}, {"PAGED": 1, "NARROW": 0, "STAND_INS": 0})
    )
    assert planar - plain == {"chroma", "picture_px", "padded_px", "chroma_shift", "luma_code", "chroma_code"}
    assert plain < planar
    assert {"table", "resident", "origin"} <= paged - plain
