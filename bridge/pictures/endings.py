"""Which files are pictures, by the ends of their names, and the format that Pillow reads by a package of its own."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path

HEIC = frozenset({".heic", ".heif"})  # where Pillow has a plugin for them
PICTURES = frozenset(
    {
        ".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".gif", ".bmp", ".dib", ".webp", ".ppm", ".pgm", ".pbm",
        ".pnm", ".jp2", ".j2k", ".jpx", ".avif",
    }
)  # fmt: skip
VIDEOS = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv"})
_BOX, _AVIF = b"ftyp", (b"avif", b"avis")  # ISO/IEC 14496-12, 4.3: a file's type; the brands that Pillow reads itself


def admit_heic(name: str, head: bytes = b"") -> None:
    """Registers pillow-heif with Pillow, where it is installed, for a file of that name, or one that begins so."""
    told = head[4:8] == _BOX and head[8:12] not in _AVIF
    if told or Path(name).suffix.lower() in HEIC:
        with suppress(ImportError):
            import_module("pillow_heif").register_heif_opener()
