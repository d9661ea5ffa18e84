"""How long a video's file says it is: what a copy that was broken off lacks, which decoders pass over in silence.

Sources: ISO/IEC 14496-12, 4.2 (boxes); RFC 9559 and 8794 (Matroska's segment, EBML's sizes); RIFF's first chunk.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

_SEGMENT = b"\x18\x53\x80\x67"
_BOXES = frozenset(
    {b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"styp", b"moof", b"mfra", b"sidx", b"ssix", b"uuid", b"meta", b"udta",
     b"emsg", b"prft", b"pnot"}
)  # fmt: skip
_HEAD_BYTES = 4096  # in which a Matroska segment begins
_MOST_BOXES = 4096


def missing_bytes(path: Path) -> int:
    """How many bytes lie behind the end of the file by what it says itself; 0 where it says nothing. Raises OSError."""
    held = os.path.getsize(path)
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        if head[:4] == b"RIFF":
            end = 8 + int.from_bytes(head[4:8], "little")
        elif head[4:8] in _BOXES:
            end = _end_of_boxes(file, held)
        else:
            end = _end_of_segment(head)
    return max(0, end - held)


def _end_of_boxes(file: IO[bytes], held: int) -> int:
    """Of the last box that begins in the file."""
    end = 0
    for _ in range(_MOST_BOXES):
        file.seek(end)
        head = file.read(16)
        if len(head) < 8:
            return end
        if head[4:8] not in _BOXES:  # what others have put behind it
            return held
        size = int.from_bytes(head[:4], "big")
        if size == 1:  # then 64 bits say it
            size = int.from_bytes(head[8:16], "big")
        if size < 8:  # 0: to the end of the file; less: no box
            return held
        end += size
    return held


def _end_of_segment(head: bytes) -> int:
    place = head.find(_SEGMENT) + len(_SEGMENT)
    if place < len(_SEGMENT) or place >= len(head):
        return 0
    width = 9 - head[place].bit_length()  # leading zeros of the first byte, and one
    if not 1 <= width <= 8:
        return 0
    size = int.from_bytes(head[place : place + width], "big") & ((1 << 7 * width) - 1)
    unknown = (1 << 7 * width) - 1  # of one that was sent while it was made
    return 0 if size == unknown else place + width + size
