"""A picture read smaller than it is: halved as the levels of a pyramid are, a JPEG as it is decoded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import white_noise
from PIL import Image

import homunculus as hm
from homunculus.bridge.errors import ImageError, ImageReadError, ImageTooLargeError
from homunculus.bridge.twin.unit import TwinUnit

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "data" / "photograph.jpg"


def box(picture: np.ndarray, halvings: int) -> np.ndarray:
    """Means of blocks, of what of each there is."""
    side = 1 << halvings
    padded = np.full([-(-length // side) * side for length in picture.shape[:2]] + [3], np.nan)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side, 3)
    return np.nanmean(blocks, (1, 3))


@pytest.mark.parametrize("halvings", [0, 1, 2, 3, 4, 6])
@pytest.mark.parametrize("name", ["picture.png", "picture.jpg"])
def test_it_is_the_box_mean_of_what_is_read_whole(tmp_path: Path, name: str, halvings: int) -> None:
    path = tmp_path / name
    Image.fromarray(hm.read_image(PHOTOGRAPH)[:333, :477]).save(path, quality=92)
    whole = hm.read_image(path)
    seen = hm.read_image(path, longest_px=-(-477 >> halvings))
    with TwinUnit() as unit, unit.pyramid(whole) as pyramid:
        assert seen.shape[:2] == pyramid.size_at(halvings)
    error = seen.astype(float) - box(whole, halvings)
    if name == "picture.png":
        assert np.abs(error).max() <= 0.5 + 1e-9
    elif halvings:
        inner = error[: 333 >> halvings, : 477 >> halvings]  # the last blocks of a JPEG reach out of the picture
        assert 10 * np.log10(255**2 / np.square(inner).mean()) >= 45
        assert abs(inner.mean()) < 0.5


def test_a_limit_that_is_no_power_of_two_and_one_that_is_large(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    Image.fromarray(white_noise(60, 100)).save(path)
    sizes = {px: hm.read_image(path, longest_px=px).shape[:2] for px in (1, 13, 26, 49, 50, 99, 100, 1000)}
    assert sizes == {
        1: (1, 1),
        13: (8, 13),
        26: (15, 25),
        49: (15, 25),
        50: (30, 50),
        99: (30, 50),
        100: (60, 100),
        1000: (60, 100),
    }


def test_turned_files_and_pages_are_halved_as_they_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(hm.read_image(PHOTOGRAPH)[:64, :128]).save(path, exif=exif, quality=95)
    assert hm.read_image(path, longest_px=32).shape == (32, 16, 3)
    assert hm.read_image(path, longest_px=32, upright=False).shape == (16, 32, 3)
    error = hm.read_image(path, longest_px=32).astype(float) - box(hm.read_image(path), 2)
    assert np.abs(error).mean() < 2
    tiff = tmp_path / "pages.tif"
    first, second = (Image.fromarray(white_noise(40, 50, seed)) for seed in range(2))
    first.save(tiff, save_all=True, append_images=[second])
    error = hm.read_image(tiff, page=1, longest_px=25) - box(np.asarray(second), 1)
    assert np.abs(error).max() <= 0.5 + 1e-9


def test_grey_pictures_and_looks(tmp_path: Path) -> None:
    path = tmp_path / "grey.jpg"
    Image.fromarray(hm.read_image(PHOTOGRAPH)).convert("L").save(path)
    seen = hm.read_image(path, longest_px=128)
    assert seen.shape == (128, 128, 3)
    assert np.array_equal(seen[..., 0], seen[..., 2])
    with TwinUnit() as unit, unit.pyramid(hm.PictureFile(path, longest_px=128)) as pyramid:
        assert torch.equal((pyramid.level(0)[0, ..., :3] * 255).round(), torch.from_numpy(seen).float())


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    for wrong in (0, -5, 2.5, True):
        with pytest.raises(ImageError, match="longest_px is"):
            hm.read_image(PHOTOGRAPH, longest_px=wrong)  # type: ignore[arg-type]
    with pytest.raises(ImageTooLargeError, match="the limit is 1000 pixels"):
        hm.read_image(PHOTOGRAPH, longest_px=64, max_pixels=1000)
    path = tmp_path / "cut.jpg"
    path.write_bytes(PHOTOGRAPH.read_bytes()[:9000])
    with pytest.raises(ImageReadError, match="cannot be read"):
        hm.read_image(path, longest_px=64)
