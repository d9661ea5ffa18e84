"""One entrance: a picture gives the same pixels, or the same typed refusal, whatever it comes as and wherever it goes in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import homunculus as hm
from homunculus.bridge.errors import ImageError, ImageReadError, PlanError
from homunculus.bridge.pictures.arrays import as_rgb, over_white
from homunculus.bridge.pictures.entrance import picture, pictures
from homunculus.bridge.pictures.files import PictureFile, read_image
from homunculus.loop.compare import compare
from homunculus.viewer.playlist import Playlist

SIZE = (24, 32)
RGB = np.random.default_rng(0).integers(0, 256, (*SIZE, 4), dtype=np.uint8)
GREY16 = np.random.default_rng(1).integers(0, 65536, SIZE, dtype=np.uint16)
BITS = RGB[..., 0] > 127


def stored(folder: Path, image: Image.Image, **options: Any) -> Path:
    image.save(path := folder / "stored.png", **options)
    return path


def of(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(values))


def read_only(values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values.flags.writeable = False
    return values


GREY_ALPHA = Image.merge("LA", [of(RGB[..., 0]), of(RGB[..., 3])])
# Each kind: the image whose file says what is right, and what the entrance is given instead of that file.
KINDS: dict[str, tuple[Image.Image, Callable[[Path], Any]]] = {
    "path": (of(RGB[..., :3]), lambda path: path),
    "text": (of(RGB[..., :3]), str),
    "picture file": (of(RGB[..., :3]), PictureFile),
    "pil": (of(RGB), lambda path: Image.open(path)),
    "pil in memory": (of(RGB), lambda path: of(RGB)),
    "pil palette": (of(RGB[..., :3]).convert("P"), lambda path: Image.open(path)),
    "pil 16 bits": (of(GREY16), lambda path: Image.open(path)),
    "numpy": (of(RGB[..., :3]), lambda path: RGB[..., :3]),
    "backwards": (of(RGB[:, ::-1, :3]), lambda path: RGB[:, ::-1, :3]),
    "bgr": (of(RGB[..., 2::-1]), lambda path: RGB[..., 2::-1]),
    "every other": (of(RGB[::2, ::2, :3]), lambda path: RGB[::2, ::2, :3]),
    "fortran": (of(RGB[..., :3]), lambda path: np.asfortranarray(RGB[..., :3])),
    "read-only": (of(RGB[..., :3]), lambda path: read_only(RGB[..., :3])),
    "grey": (of(RGB[..., 0]), lambda path: RGB[..., 0]),
    "grey with its channel": (of(RGB[..., 0]), lambda path: RGB[..., :1]),
    "grey and alpha": (GREY_ALPHA, lambda path: RGB[..., [0, 3]]),
    "rgba": (of(RGB), lambda path: RGB),
    "bits": (of(BITS), lambda path: BITS),
    "16 bits": (of(GREY16), lambda path: GREY16),
    "16 bits, big-endian": (of(GREY16), lambda path: GREY16.astype(">u2")),
    "channels first": (of(RGB[..., :3]), lambda path: RGB[..., :3].transpose(2, 0, 1)),
    "rgba, channels first": (of(RGB), lambda path: torch.from_numpy(RGB).permute(2, 0, 1)),
    "grey, channels first": (of(RGB[..., 0]), lambda path: torch.from_numpy(RGB[None, ..., 0].copy())),
    "torch": (of(RGB[..., :3]), lambda path: torch.from_numpy(RGB)[..., :3]),
    "torch, 16 bits": (of(GREY16), lambda path: torch.from_numpy(GREY16)),
    **{
        f"floats, {dtype.str}": (
            of(RGB[..., :3]),
            lambda path, dtype=dtype: (RGB[..., :3].astype(np.float64) / 255).astype(dtype),
        )
        for dtype in map(np.dtype, ("<f2", "<f4", ">f4", "<f8", ">f8", np.longdouble))
    },
    "floats off by rounding": (of(BITS), lambda path: np.where(BITS, np.float32(1 + 1e-7), np.float32(-1e-7))),
}  # fmt: skip


@pytest.fixture(scope="module")
def unit() -> Any:
    with hm.open_unit("torch") as opened:
        yield opened


@pytest.fixture(scope="module")
def eye(unit: hm.TextureUnit) -> Any:
    return hm.Homunculus(unit, budget=40)


def level_0(unit: hm.TextureUnit, given: Any) -> np.ndarray:
    with unit.pyramid(given) as pyramid:
        height, width = pyramid.size
        return np.rint(255 * pyramid.level(0)[0, :height, :width, :3].detach().double().numpy()).astype(np.uint8)


def opened(given: Any) -> np.ndarray:
    return Playlist([given]).open()


# A search takes longer than all else here, and goes through the same entrance.
SEARCHED = ("path", "pil", "backwards", "read-only", "rgba", "channels first", "floats, >f4")
ENTRANCES: dict[str, Callable[[Any, hm.TextureUnit, hm.Homunculus], np.ndarray]] = {
    "pyramid": lambda given, unit, eye: level_0(unit, given),
    "look": lambda given, unit, eye: hm.look(given, budget=20, unit=unit).image,
    "Homunculus.look": lambda given, unit, eye: eye.look(given, "red", 1).image,
    "viewer": lambda given, unit, eye: opened(given),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_every_entrance_takes_every_kind(tmp_path: Path, unit: hm.TextureUnit, eye: hm.Homunculus, kind: str) -> None:
    image, made = KINDS[kind]
    expected = read_image(path := stored(tmp_path, image))
    for name, entrance in ENTRANCES.items():
        if name == "Homunculus.look" and kind not in SEARCHED:
            continue
        np.testing.assert_array_equal(entrance(made(path), unit, eye), expected, err_msg=name)


@pytest.mark.slow
def test_the_other_entrances_are_the_same_one(tmp_path: Path, unit: hm.TextureUnit, eye: hm.Homunculus) -> None:
    path = stored(tmp_path, of(RGB))
    expected, at = read_image(path), (0.5, 0.5)
    sheet = compare(expected, at, budget=20, unit=unit, progress=lambda names: names[:1]).sheet  # type: ignore[index]
    for given in (Image.open(path), RGB.transpose(2, 0, 1)):
        seen = eye.looks([given, expected[:20]], ["red", "top left"], 1)
        assert [one.image.shape[0] for one in seen] == [24, 20]
        np.testing.assert_array_equal(seen[0].image, expected)
        told = compare(given, at, budget=20, unit=unit, progress=lambda names: names[:1])  # type: ignore[index]
        assert told.sheet.tobytes() == sheet.tobytes()


def test_an_answer_needs_no_array(tmp_path: Path) -> None:
    from test_language import answerer
    from tiny_language import tiny_llava

    from homunculus.language.llava import LlavaConnector

    pixels = RGB[..., :3]
    path = stored(tmp_path, of(pixels))
    with answerer(LlavaConnector(tiny_llava()), budget=9) as eye:
        given = (path, Image.open(path), pixels[::-1].copy()[::-1])
        told = [eye.answer(image, "what is it?", limit=2) for image in given]
    assert len({(answer.text, tuple(answer.fixations)) for answer in told}) == 1


@pytest.mark.parametrize("made", [lambda a: a[:, ::-1].copy()[:, ::-1], read_only, Image.fromarray, lambda a: a / 255])
def test_an_example_crop_comes_through_it_too(made: Callable[[np.ndarray], Any]) -> None:
    crop = RGB[:9, :9, :3].copy()
    assert hm.Query.of(made(crop)).example.tolist() == crop.tolist()  # type: ignore[union-attr]
    with pytest.raises(hm.QueryError, match=r"the example is no picture: image has shape \(5,\)"):
        hm.Query.of(np.zeros(5, np.uint8))


def test_floats_of_16_bits_are_as_in_32(unit: hm.TextureUnit, eye: hm.Homunculus) -> None:
    for dtype in (torch.bfloat16, torch.float16):
        half = (torch.from_numpy(RGB[..., :3].copy()) / 255).to(dtype).requires_grad_()
        for entrance in ENTRANCES.values():
            np.testing.assert_array_equal(
                entrance(half, unit, eye), entrance(half.detach().float(), unit, eye), err_msg=str(dtype)
            )


def test_lists_of_one_size_make_a_batch_and_of_several_one_look_each(unit: hm.TextureUnit, eye: hm.Homunculus) -> None:
    images = [RGB[..., :3], RGB[:, ::-1, :3]]
    with unit.pyramid(images) as pyramid, unit.pyramid(np.stack(images)) as stacked:
        assert torch.equal(pyramid.level(0), stacked.level(0))
    seen = eye.looks([RGB[..., :3], RGB[:20, :, :3], Image.fromarray(RGB[..., 0])], ["red", "blue", None], 1)
    for one, given, query in zip(
        seen, (RGB[..., :3], RGB[:20, :, :3], RGB[..., 0]), ("red", "blue", None), strict=True
    ):
        alone = eye.look(given, query, 1)
        assert torch.equal(one.plan.footprints, alone.plan.footprints)
        np.testing.assert_array_equal(one.image, alone.image)
    with pytest.raises(
        ImageError, match=r"one size and type.*\(20, 32, 3\).*\(24, 32, 3\).*build one pyramid for each"
    ):
        unit.pyramid([RGB[..., :3], RGB[:20, :, :3]])
    for given in ([], ()):
        with pytest.raises(ImageError, match="a list needs at least one"):
            eye.looks(given)


REFUSED = {
    "two layouts": (np.zeros((3, 40, 4), np.uint8), r"3 or 4 may be its channels.*permute\(1, 2, 0\)"),
    "two greys": (np.zeros((2, 40, 50), np.uint8), r"two grey pictures, or grey and alpha.*permute\(1, 2, 0\)"),
    "five channels": (np.zeros((40, 50, 5), np.uint8), r"expected \[H, W\] grey"),
    "0..255 as floats": (RGB[..., :3].astype(np.float32), r"0 to 255; floats are light in 0..1. Scale them \(0\.\.255 by 255\)"),
    "normalised": (np.full((9, 9, 3), -1, np.float32), "run from -1 to -1; floats are light"),
    "not finite": (np.full((9, 9, 3), np.nan), "243 values that are not finite"),
    "int64": (torch.zeros(9, 9, 3, dtype=torch.int64), r"int64; expected uint8.*\.to\(torch\.uint8\)"),
    "int16": (np.zeros((9, 9, 3), np.int16), r"int16; expected uint8.*astype\('uint8'\)"),
    "complex": (np.zeros((9, 9, 3), complex), "complex128; expected uint8"),
    "sparse": (torch.zeros(9, 9, 3).to_sparse(), "sparse_coo tensor; call to_dense"),
    "empty": (np.zeros((0, 9, 3), np.uint8), "every side must be at least 1"),
    "empty pil": (Image.new("RGB", (0, 9)), "0 x 9 px; every side must be at least 1"),
    "bytes": (b"\x89PNG", "is a bytes; give a path, a PIL image, or an array"),
    "nothing": (None, "is a NoneType; give a path"),
    "numbers": ([[1, 2], [3, 4]], "one picture is wanted|is a list|is a int"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_every_entrance_refuses_in_the_same_words(unit: hm.TextureUnit, eye: hm.Homunculus, name: str) -> None:
    given, text = REFUSED[name]
    for entrance in ENTRANCES.values():
        with pytest.raises(ImageError, match=text):
            entrance(given, unit, eye)


def test_a_float_format_that_is_asked_for_holds_any_value(unit: hm.TextureUnit) -> None:
    values = RGB[..., :3].astype(np.float32) - 100
    with unit.pyramid(values, format="rgba32f") as pyramid:
        assert float(pyramid.level(0)[0, 5, 5, 1]) == values[5, 5, 1]


def test_a_closed_picture_is_a_typed_refusal(tmp_path: Path) -> None:
    with Image.open(stored(tmp_path, of(RGB))) as image:
        pass
    with pytest.raises(
        ImageReadError, match=r"stored\.png cannot be read: .*its file may be closed or damaged: give its path"
    ):
        picture(image)


def test_alpha_is_composited_as_pillow_does() -> None:
    values, alpha = np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8))
    given = np.stack([values, values[:, ::-1], values, alpha], -1)
    page = Image.new("RGBA", (256, 256), "white")
    expected = np.asarray(Image.alpha_composite(page, Image.fromarray(given)).convert("RGB"))
    np.testing.assert_array_equal(over_white(torch.from_numpy(given)).numpy(), expected)
    floats = over_white(torch.from_numpy(given).double() / 255)
    assert float((255 * floats - torch.from_numpy(expected.copy())).abs().max()) < 1


def test_gradients_pass_the_entrance() -> None:
    given = torch.rand(4, 9, 11, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(as_rgb, (given,))
    assert [tuple(one.shape) for one in pictures(given.detach())] == [(9, 11, 3)]


# Relevance maps


MAP = np.random.default_rng(2).random((6, 8))


@pytest.mark.slow
@pytest.mark.parametrize(
    "made",
    [
        lambda map_: map_.copy(),
        lambda map_: np.repeat(map_, 2, 1)[:, ::2],
        lambda map_: map_[::-1, ::-1].copy()[::-1, ::-1],
        lambda map_: map_.astype(">f8"),
        read_only,
        lambda map_: map_[None, None],
        lambda map_: torch.from_numpy(map_)[None],
    ],
)
def test_maps_are_taken_as_numpy_too(unit: hm.TextureUnit, made: Callable[[np.ndarray], Any]) -> None:
    expected = hm.look(RGB, allocator="grid_top_k", relevance=torch.from_numpy(MAP), budget=20, unit=unit)
    seen = hm.look(RGB, allocator="grid_top_k", relevance=made(MAP), budget=20, unit=unit)
    assert torch.equal(seen.plan.footprints, expected.plan.footprints)
    assert torch.equal(hm.Scene(SIZE, relevance=made(MAP)).relevance, torch.from_numpy(MAP))  # type: ignore[arg-type]


def test_what_resampling_leaves_below_zero_is_zero() -> None:
    scene = hm.Scene(SIZE, relevance=torch.from_numpy(MAP - MAP.min() - 1e-7))
    assert scene.relevance is not None
    assert float(scene.relevance.min()) == 0
    for map_, text in (
        (MAP - 0.1, "finite and not negative"),
        (MAP * np.nan, "from nan to nan"),
        (MAP.astype(int), r"int64 \(6, 8\); expected floats"),
        (MAP[0], r"expected floats \[h, w\]"),
        ([["a"]], "expected floats"),
    ):
        with pytest.raises(PlanError, match=text):
            hm.Scene(SIZE, relevance=map_)  # type: ignore[arg-type]
