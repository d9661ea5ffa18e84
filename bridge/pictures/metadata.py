"""A picture file without what stands beside its pixels: text, thumbnails and tags that are damaged or too large to be read."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress

PNG = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT = (b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"eXIf", b"iCCP", b"acTL", b"fcTL", b"fdAT")
# What Pillow unpacks of one compressed chunk; a profile beyond it is left out too.
_UNPACKED_BYTES = 1 << 20
_LEAST = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"acTL": 8}
# JFIF, EXIF, the ICC profile and what Adobe says of the channels: how each begins, and its least length.
_JPEG_KEPT = {0xE0: (b"JFIF\0", 14), 0xE1: (b"Exif\0\0", 14), 0xE2: (b"ICC_PROFILE\0", 15), 0xEE: (b"Adobe", 12)}


def without_metadata(content: bytes) -> bytes | None:
    """The same pixels in a file of the same format, of which only what changes them is kept; None for other formats.

    Of a PNG the critical chunks and the whole ones of transparency, colour, orientation and animation; of a JPEG all but its
    comments and application segments other than whole ones of JFIF, the first EXIF, the ICC profile and Adobe.
    """
    if content.startswith(PNG):
        return PNG + b"".join(_png_chunks(content))
    if content.startswith(b"\xff\xd8"):
        return _bare_jpeg(content)
    return None


def _png_chunks(content: bytes) -> Iterator[bytes]:
    place = len(PNG)
    while place + 8 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        chunk = content[place : place + 12 + length]
        name = chunk[4:8]
        critical = not name[0] & 0x20
        if critical or (name in _PNG_KEPT and _whole(chunk)):
            yield chunk
        place += 12 + length


def _whole(chunk: bytes) -> bool:
    if int.from_bytes(chunk[-4:], "big") != zlib.crc32(chunk[4:-4]):
        return False
    if chunk[4:8] != b"iCCP":
        return len(chunk) - 12 >= _LEAST.get(chunk[4:8], 0)
    unpacking = zlib.decompressobj()
    with suppress(zlib.error):
        unpacking.decompress(chunk[8:-4].partition(b"\0")[2][1:], _UNPACKED_BYTES)
        return not unpacking.unconsumed_tail
    return False


def _bare_jpeg(content: bytes) -> bytes:
    kept, place, exif = [b"\xff\xd8"], 2, False
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != 0xDA:
        marker = content[place + 1]
        end = place + 2 + int.from_bytes(content[place + 2 : place + 4], "big")
        application = 0xE0 <= marker <= 0xEF or marker == 0xFE
        begins, least = _JPEG_KEPT.get(marker, (b"", 1 << 16))
        whole = content.startswith(begins, place + 4) and end - place - 4 >= least
        if not application or (whole and not (marker == 0xE1 and exif)):
            kept.append(content[place:end])
            exif = exif or marker == 0xE1
        place = end
    return b"".join([*kept, content[place:]])
