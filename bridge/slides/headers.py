"""What an encoded tile says of its own size, read before a decoder makes room for it."""

from __future__ import annotations

import struct

_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # ISO/IEC 10918-1, B.1.1.3: start of frame
_BARE = {0x01, 0xFF, *range(0xD0, 0xD9)}  # markers without a length
_CODESTREAM = b"\xff\x4f\xff\x51"  # ISO/IEC 15444-1, A.4.1 and A.5.1
_SEARCHED_BYTES = 1 << 12
_TAIL_BYTES = 64  # an encoder may pad what follows the end


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(height, width); None where there is no frame. Raises ValueError for a stream without its end: libjpeg fills it up with grey."""
    if not data.startswith(b"\xff\xd8"):
        raise ValueError("it is no JPEG")
    if b"\xff\xd9" not in data[-_TAIL_BYTES:]:
        raise ValueError("the JPEG breaks off before its end")
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in _BARE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", data[place + 5 : place + 9])
            return height, width
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def jpeg2000_size(data: bytes) -> tuple[int, int] | None:
    """(height, width) of the canvas."""
    start = data.find(_CODESTREAM, 0, _SEARCHED_BYTES)
    if start < 0 or len(data) < start + 24:
        return None
    right, lower, left, upper = struct.unpack(">4I", data[start + 8 : start + 24])
    return lower - upper, right - left


def webp_size(data: bytes) -> tuple[int, int] | None:
    """(height, width). Source: RFC 9649, sections 2.5 to 2.7."""
    kind, body = data[12:16], data[20:30]
    if data[:4] != b"RIFF" or len(body) < 10:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[7:10], "little"), 1 + int.from_bytes(body[4:7], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits >> 14 & 0x3FFF), 1 + (bits & 0x3FFF)
    width, height = struct.unpack("<HH", body[6:10])
    return height & 0x3FFF, width & 0x3FFF
