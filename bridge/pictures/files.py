"""Reading a picture file into the array that a pyramid is built from."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import IO, Any, TypeVar

import numpy as np
from PIL import Image, UnidentifiedImageError

from homunculus.bridge.errors import HomunculusError, ImageError, ImageReadError, ImageTooLargeError
from homunculus.bridge.files.reading import check_file
from homunculus.bridge.pictures.decode import decoded, drafted
from homunculus.bridge.pictures.endings import HEIC, VIDEOS
from homunculus.bridge.pictures.memory import MOST_BYTES, bytes_of, loaded, pixels_allowed
from homunculus.bridge.pictures.metadata import without_metadata
from homunculus.bridge.pictures.quiet import quiet
from homunculus.bridge.pictures.turning import SIDEWAYS, Array, orientation_of, turned_box
from homunculus.bridge.values import shown

# Only formats that are decoded in this process: others that Pillow knows start programs (EPS: Ghostscript).
FORMATS = ("PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "PPM", "JPEG2000", "AVIF")
# Formats of plugins, read where somebody registered one.
_OF_PLUGINS = ("HEIF",)
REMEDY = "fetch or export it again"
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)

T = TypeVar("T")


@dataclass(frozen=True)
class PictureFile:
    """A picture file and how it is read, wherever a path is taken: `hm.look(hm.PictureFile("scan.tif", page=2))`.

    page: which page or frame, from 0. max_pixels: the limit on width times height, by default Pillow's. icc: an ICC profile or
    a PNG's gamma is honoured, values become sRGB; else they come as stored. upright: turned as the orientation tag says; else in
    the stored raster, which is what published boxes and fixations are measured in. longest_px: halved until its longer side is
    no more, for a first look. Raises ImageError for a page or a limit that is no whole number of 0 and 1 or more.

    >>> hm.PictureFile("examples/data/photograph.jpg", page=0).read().shape
    (512, 512, 3)
    """

    path: str | os.PathLike[str]
    page: int = 0
    max_pixels: int | None = None
    icc: bool = True
    upright: bool = True
    longest_px: int | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("page", self.page, 0),
            ("max_pixels", self.max_pixels, 1),
            ("longest_px", self.longest_px, 1),
        ):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ImageError(f"{name} is {value!r}; give a whole number of at least {least}")

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def read(self) -> Array:
        """uint8 [H, W, 3]. Raises what `read_image` raises."""
        return self.opened(self._read)

    def _read(self, image: Any, path: Path) -> Array:
        halvings = 0 if self.longest_px is None else (-(-max(image.size) // self.longest_px) - 1).bit_length()
        left = halvings - drafted(image, halvings)
        pixels = decoded(loaded(image, self.page), str(path), icc=self.icc, upright=self.upright)
        return np.asarray(Image.fromarray(pixels).reduce(1 << left)) if left else pixels

    def frame(self) -> tuple[int, tuple[int, int]]:
        """The orientation tag, 1 to 8, and (height, width) of the stored raster, from the header alone."""
        return self.opened(lambda image, _: _frame(image))

    @contextmanager
    def _content(self, path: Path) -> Iterator[IO[bytes]]:
        check_file(path, "picture file", ImageReadError, REMEDY)
        with path.open("rb") as file:
            yield file

    def opened(self, use: Callable[[Any, Path], T]) -> T:
        """What `use` makes of the opened PIL image, whose pixels are not read yet, and its path. Raises what `read_image` raises."""
        path = expanded(self.path)
        try:
            with self._content(path) as file, quiet(), _allowed(self.max_pixels) as limit:
                try:
                    return use(self._page(path, file, limit), path)
                except (HomunculusError, *_TOO_LARGE, MemoryError):
                    raise
                except Exception as error:  # as below
                    file.seek(0)
                    bare = without_metadata(file.read())
                    if bare is None:
                        raise
                    with _blaming(error):
                        return use(self._page(path, BytesIO(bare), limit), path)
        except HomunculusError:
            raise
        except (*_TOO_LARGE, MemoryError) as error:
            raise _too_large(path, str(error) or "it does not fit into memory", self.max_pixels) from error
        except UnidentifiedImageError as error:
            raise ImageReadError(
                f"{path} is not a picture in one of the formats {', '.join(formats())}, or has no pixels; {_instead(path)}"
            ) from error
        except Exception as error:  # decoders raise anything from struct.error to KeyError for malformed files
            reason = str(error) or type(error).__name__
            raise ImageReadError(
                f"{path} cannot be read: {reason}; it may be truncated or damaged: {REMEDY}"
            ) from error

    def _page(self, path: Path, file: IO[bytes], limit: int | None) -> Any:
        image = _open(file)
        _check_size(path, image.size, limit)
        if limit is not None and (cost := bytes_of(file, image)) > MOST_BYTES * limit:
            raise _too_large(
                path,
                f"decoding takes {cost} bytes, its tile at once, as much as {pixels_allowed(cost)} pixels of another format",
                limit,
            )
        if self.page:
            try:
                image.seek(self.page)
            except EOFError:
                pages = getattr(
                    _open(file), "n_frames", 1
                )  # asked of a fresh one: TIFF miscounts after a seek beyond the last
                raise ImageReadError(
                    f"{path} has no page {self.page}; it has {pages}, counted from 0: give 0 to {pages - 1}"
                ) from None
            _check_size(path, image.size, limit)
        return image


@dataclass(frozen=True)
class PictureBytes(PictureFile):
    """The same of a file's bytes, which stand in a table. path: what refusals call it."""

    content: bytes = field(default=b"", repr=False)

    @contextmanager
    def _content(self, path: Path) -> Iterator[IO[bytes]]:
        if not self.content:
            raise ImageReadError(f"{path} is empty (0 bytes); {REMEDY}")
        yield BytesIO(self.content)


def read_image(
    path: str | os.PathLike[str],
    *,
    page: int = 0,
    max_pixels: int | None = None,
    icc: bool = True,
    upright: bool = True,
    longest_px: int | None = None,
) -> Array:
    """Reads one picture as uint8 [H, W, 3], RGB, sRGB-coded.

    page: of an animation or a file of many pages, which, counted from 0. max_pixels: the limit on width times height; by default
    Pillow's, `PIL.Image.MAX_IMAGE_PIXELS`. icc: an ICC profile, or a PNG's gamma where it has no profile, is honoured through
    Pillow's ImageCms; False gives the values as stored. upright: the EXIF orientation is applied; False gives the stored raster.
    longest_px: the picture is halved, sides rounded up, until its longer side is no more, as the levels of a pyramid are. A JPEG is
    decoded at 1/2, 1/4 or 1/8 of its size then, in a third of the time or less from 1/4 on, and is its own box mean to about 50 dB.

    Grey and 1-bit pictures repeat their value three times. 12- and 16-bit grey is scaled to 8 bits, rounded to nearest; 16-bit
    colour comes as Pillow decodes it, the upper byte. 32-bit integers must lie in 0..65535 and are taken as 16-bit; floats must
    lie in 0..1. A TIFF whose zero is white is inverted. Transparency (alpha, a palette's, a key colour) is composited over white,
    the colour of a page. CMYK without a profile, YCbCr and LAB are converted as Pillow does. Text, thumbnails and tags that are
    damaged or too large are left out. HEIC is read where its Pillow plugin is registered. `~` is the home folder.

    Raises ImageReadError for a file that is missing, unreadable, empty, truncated, without pixels or that page, or not a picture;
    ImageTooLargeError beyond the limit; ImageError for values beyond these ranges.

    >>> hm.read_image("examples/data/photograph.jpg").shape
    (512, 512, 3)
    """
    return PictureFile(path, page, max_pixels, icc, upright, longest_px).read()


def upright_boxes(
    path: str | os.PathLike[str], boxes: Sequence[Sequence[float]]
) -> list[tuple[float, float, float, float]]:
    """Boxes left, top, right, bottom in the stored raster of a file, in pixels of the picture as `read_image` gives it.

    Published boxes are in the stored raster: who labelled them, or trains on them, reads pixels and no tags. Raises what `read_image`
    raises for the file's header.
    """
    orientation, size = PictureFile(path).frame()
    return [turned_box(box, orientation, size) for box in boxes]


def formats() -> tuple[str, ...]:
    """The formats that are read now: those of `FORMATS`, and of plugins that are registered with Pillow."""
    return (*FORMATS, *(name for name in _OF_PLUGINS if name in Image.OPEN))


def expanded(path: str | os.PathLike[str]) -> Path:
    """The path with `~` as the home folder, or as it is where nobody has that name. Raises ImageReadError for what is no path."""
    if not isinstance(path, str | os.PathLike):
        raise ImageReadError(f"the path is {shown(path)}; give the path of a file")
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _open(file: IO[bytes]) -> Any:
    """As `PIL.Image.open`, which also judges the size by its own limit, and warns."""
    file.seek(0)
    prefix = file.read(16)
    if any(name not in Image.OPEN for name in FORMATS):
        Image.init()
    for name in formats():
        factory, accept = Image.OPEN[name]
        if accept is not None and accept(prefix) is not True:
            continue
        try:
            file.seek(0)
            return factory(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    raise UnidentifiedImageError


@contextmanager
def _blaming(first: Exception) -> Iterator[None]:
    """What is still wrong with a file without its metadata is what was wrong with it at first."""
    try:
        yield
    except (HomunculusError, MemoryError):
        raise
    except Exception:  # as when it is read
        raise first from None


def _frame(image: Any) -> tuple[int, tuple[int, int]]:
    orientation, (width, height) = orientation_of(image), image.size
    if image.format == "TIFF" and orientation in SIDEWAYS:  # Pillow gives the size it will have when it is turned
        width, height = height, width
    return orientation, (height, width)


class _Raised:
    """Pillow's own limit while one reader has raised it: its decoders ask it again."""

    lock = threading.Lock()
    own: tuple[int | None, ...] = ()


@contextmanager
def _allowed(max_pixels: int | None) -> Iterator[int | None]:
    """The limit; where it is above Pillow's, one reader at a time."""
    own = (*_Raised.own, Image.MAX_IMAGE_PIXELS)[0]
    if max_pixels is None or own is None or max_pixels <= own:
        yield own if max_pixels is None else max_pixels
        return
    with _Raised.lock:
        own = Image.MAX_IMAGE_PIXELS
        _Raised.own = (own,)
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield max_pixels
        finally:
            Image.MAX_IMAGE_PIXELS = own
            _Raised.own = ()


def _check_size(path: Path, size: tuple[int, int], limit: int | None) -> None:
    width, height = size
    if limit is not None and width * height > limit:
        raise _too_large(path, f"{width} x {height} px are {width * height} pixels", limit)


def _too_large(path: Path, reason: str, limit: int | None) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{path} is too large: {reason}; the limit is {limit or Image.MAX_IMAGE_PIXELS} pixels. Crop or downscale it, or, if you "
        "trust the file, raise the limit: max_pixels of read_image, --max-pixels, or PIL.Image.MAX_IMAGE_PIXELS for all"
    )


def _instead(path: Path) -> str:
    """What to do about a file that is no picture that is read."""
    kind = path.suffix.lower()
    if kind in VIDEOS:
        return "a video is read by read_video, and watched by: homunculus watch VIDEO"
    if kind not in HEIC or "HEIF" in formats():
        return "convert it to PNG"
    return "convert it to PNG, or pip install pillow-heif and call pillow_heif.register_heif_opener() first"
