"""Photographs, and pairs of pictures of one thing in which it is known what is where."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from homunculus.bridge.errors import DataError
from homunculus.bridge.pictures.files import expanded, read_image
from homunculus.lab.baselines.full import native_shape

Array = NDArray[Any]
Point = tuple[float, float]
SIDE_PX: Final = 560  # the longer side of what is looked at: 40 patches of 14 px
ZOOM: Final = 1.6  # of a closer view
NAMES: Final = ("astronaut", "camera", "chelsea", "coffee", "coins", "hubble_deep_field", "rocket")  # of scikit-image
STEREO: Final = "motorcycle"
SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".webp")
MARGIN_PX: Final = 14.0  # from the border, of what is asked for
POINTS: Final = 24  # asked for in each pair
WITHOUT: Final = "photographs come with scikit-image ({error}); run: pip install scikit-image"


@dataclass(frozen=True, eq=False)
class Photograph:
    """uint8 [h, w, 3], larger than what is looked at where the file is. disparity: [h, w] to `right`, of a stereo pair."""

    name: str
    image: Array
    right: Array | None = None
    disparity: Array | None = None


@dataclass(frozen=True, eq=False)
class TwoViews:
    """Two pictures of one thing. points: places (x, y) in the first, and the same in the second."""

    name: str
    first: Array
    second: Array
    points: list[tuple[Point, Point]]


def photographs(folder: Path | None = None) -> list[Photograph]:
    """Those that scikit-image's wheel carries, then those in a folder by name. Raises DataError where either cannot be read."""
    try:
        from skimage import data as carried
    except ImportError as error:
        raise DataError(WITHOUT.format(error=error)) from None
    data: Any = carried
    left, right, disparity = data.stereo_motorcycle()
    found = [Photograph(STEREO, left, right, disparity)]
    found += [Photograph(name, _rgb(getattr(data, name)())) for name in NAMES]
    if folder is not None:
        paths = sorted(path for path in expanded(folder).iterdir() if path.suffix.lower() in SUFFIXES)
        if not paths:
            raise DataError(f"{folder} holds no {', '.join(SUFFIXES)}; give a folder of photographs")
        found += [Photograph(path.stem, read_image(path)) for path in paths]
    return found


def _rgb(image: Array) -> Array:
    return np.ascontiguousarray(image[..., :3] if image.ndim == 3 else np.stack([image] * 3, -1))


def plain(photograph: Photograph) -> Array:
    """The whole photograph, its longer side at most `SIDE_PX`."""
    return seen(photograph.image, whole(photograph.image), size_of(photograph.image))


def size_of(image: Array) -> tuple[int, int]:
    """(height, width) of what is looked at."""
    scale = min(1.0, SIDE_PX / max(image.shape[:2]))
    return round(image.shape[0] * scale), round(image.shape[1] * scale)


def whole(image: Array) -> Array:
    """[3, 3] that takes points of the plain view to points of the image."""
    height, width = size_of(image)
    return np.diag([image.shape[1] / width, image.shape[0] / height, 1.0])


def seen(image: Array, view: Array, size: tuple[int, int]) -> Array:
    """A view of (height, width): [3, 3] takes its points to those of the image, which is averaged first where the view is coarser."""
    step = max(1.0, float(np.sqrt(abs(np.linalg.det(view[:2, :2] / view[2, 2])))))
    smaller = round(image.shape[1] / step), round(image.shape[0] / step)
    source = Image.fromarray(image).resize(smaller, Image.Resampling.BOX, reducing_gap=None)
    there = np.diag([smaller[0] / image.shape[1], smaller[1] / image.shape[0], 1.0]) @ view
    coefficients = (there / there[2, 2]).ravel()[:8].tolist()
    shown = source.transform(size[::-1], Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BICUBIC)
    return np.asarray(shown)


def moved(view: Array, points: Array) -> Array:
    """[n, 2] points through a homography."""
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ view.T
    there: Array = homogeneous[:, :2] / homogeneous[:, 2:]
    return there


def pairs(photograph: Photograph) -> Iterator[TwoViews]:
    """Turned and in perspective; closer, in another light; farther, blurred, from a JPEG; and the stereo pair where there is one."""
    rng = np.random.default_rng([*photograph.name.encode()])
    image, base, size = photograph.image, whole(photograph.image), size_of(photograph.image)
    straight = seen(image, base, size)
    turn, close, far = base @ turned(rng, size), base @ closer(rng, size), base @ closer(rng, size)
    changes = [
        ("turned", base, turn, straight, seen(image, turn, size)),
        ("closer", base, close, straight, relit(seen(image, close, size))),
        ("farther", far, base, jpeg(seen(image, far, size)), blurred(straight)),
    ]
    for name, one, other, first, second in changes:
        places = textured(first, rng)
        there = moved(np.linalg.inv(other) @ one, places)
        yield TwoViews(name, first, second, chosen(places, there, size, POINTS))
    if photograph.right is not None and photograph.disparity is not None:
        yield stereo(photograph, rng)


def turned(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Within the plain view: by 6 to 12 degrees about its middle, magnified so that it stays inside, and in perspective."""
    height, width = size
    angle = np.deg2rad(rng.uniform(6, 12) * rng.choice([-1, 1]))
    zoom = np.cos(angle) + max(size) / min(size) * abs(np.sin(angle)) + 0.1
    middle = np.array([[1, 0, width / 2], [0, 1, height / 2], [0, 0, 1.0]])
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, zoom]])
    tilt = np.eye(3)
    tilt[2, :2] = rng.uniform(-0.15, 0.15, 2) / max(size)
    view: Array = middle @ rotation @ tilt @ np.linalg.inv(middle)
    return view


def closer(rng: np.random.Generator, size: tuple[int, int]) -> Array:
    """Within the plain view: a window 1 / `ZOOM` as wide and high, anywhere."""
    left, top = (rng.uniform(0, side * (1 - 1 / ZOOM)) for side in (size[1], size[0]))
    return np.array([[1 / ZOOM, 0, left], [0, 1 / ZOOM, top], [0, 0, 1.0]])


def stereo(photograph: Photograph, rng: np.random.Generator) -> TwoViews:
    """Left and right, by the true disparity."""
    assert photograph.right is not None
    assert photograph.disparity is not None
    base, size = whole(photograph.image), size_of(photograph.image)
    first, second = (seen(image, base, size) for image in (photograph.image, photograph.right))
    places = textured(first, rng)
    at = moved(base, places)
    disparity = photograph.disparity[at[:, 1].astype(int), at[:, 0].astype(int)]
    known = np.isfinite(disparity) & (disparity > 0)
    there = (at - np.column_stack([np.where(known, disparity, 1e9), np.zeros(len(at))])) / np.diag(base)[:2]
    return TwoViews("stereo", first, second, chosen(places, there, size, POINTS))


def textured(image: Array, rng: np.random.Generator) -> Array:
    """[n, 2] the middles of native patches whose grey varies more than that of half of them, in random order."""
    rows, columns = native_shape(image.shape[:2], 14)
    grey = np.asarray(Image.fromarray(image).convert("L").resize((4 * columns, 4 * rows)), np.float64)
    spread = grey.reshape(rows, 4, columns, 4).std((1, 3))
    row, column = np.nonzero(spread >= np.median(spread))
    order = rng.permutation(len(row))
    return np.column_stack([(column + 0.5) * image.shape[1] / columns, (row + 0.5) * image.shape[0] / rows])[order]


def chosen(places: Array, there: Array, size: tuple[int, int], count: int) -> list[tuple[Point, Point]]:
    """The first of them that lie well within the other picture."""
    inside = ((there > MARGIN_PX) & (there < np.array(size[::-1]) - MARGIN_PX)).all(1)
    found = zip(places[inside][:count].tolist(), there[inside][:count].tolist(), strict=True)
    return [((one[0], one[1]), (other[0], other[1])) for one, other in found]


def relit(image: Array) -> Array:
    """Darker, flatter and warmer."""
    darker = ImageEnhance.Brightness(ImageEnhance.Contrast(Image.fromarray(image)).enhance(0.8)).enhance(0.7)
    warm = np.asarray(darker, np.float64) * (1.1, 1.0, 0.85)
    return np.clip(np.rint(warm), 0, 255).astype(np.uint8)


def blurred(image: Array, sigma_px: float = 1.2) -> Array:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(sigma_px)))


def jpeg(image: Array, quality: int = 25) -> Array:
    packed = io.BytesIO()
    Image.fromarray(image).save(packed, "JPEG", quality=quality)
    return np.asarray(Image.open(packed).convert("RGB"))


def smaller(image: Array, scale: float = 0.7) -> Array:
    size = round(image.shape[1] * scale), round(image.shape[0] * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))


def crops(photograph: Photograph, count: int, side_px: int) -> Sequence[tuple[Point, Array]]:
    """Squares out of the plain view, each with its middle (x, y)."""
    rng = np.random.default_rng([*photograph.name.encode(), 1])
    image = plain(photograph)
    found = []
    for _ in range(count):
        left, top = (int(rng.integers(0, side - side_px + 1)) for side in (image.shape[1], image.shape[0]))
        window = np.ascontiguousarray(image[top : top + side_px, left : left + side_px])
        found.append(((left + side_px / 2, top + side_px / 2), window))
    return found
