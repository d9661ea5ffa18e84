"""What decoding may cost: at most four times the bytes of the picture it gives."""

from __future__ import annotations

import math
import struct
from typing import IO, Any

from PIL import Image

RESULT_BYTES = 3  # a pixel of uint8 [H, W, 3]
MOST_BYTES = 4 * RESULT_BYTES
_PILLOW_BYTES = 4  # a pixel of what Pillow decodes into
# OpenJPEG holds one tile at a time: each sample as 32-bit, and once more as it is handed over.
_SAMPLE_BYTES = 4 + 1
_CODESTREAM = b"\xff\x4f\xff\x51"  # ISO/IEC 15444-1, A.4.1 and A.5.1: start of codestream, image and tile size
_SEARCHED_BYTES = 1 << 20


def bytes_of(file: IO[bytes], image: Any) -> int:
    """What decoding takes, where that may be more than 12 bytes a pixel: a JPEG 2000 whose tile is the whole picture."""
    width, height = image.size
    size = int(width * height)
    if image.format != "JPEG2000":
        return MOST_BYTES * size
    file.seek(0)
    content = file.read(_SEARCHED_BYTES)
    start = content.find(_CODESTREAM)
    if start < 0 or len(content) < start + 42:
        return MOST_BYTES * size
    columns, rows = struct.unpack(">II", content[start + 24 : start + 32])
    (samples,) = struct.unpack(">H", content[start + 40 : start + 42])
    tile = int(min(columns, width) * min(rows, height))
    return tile * int(samples) * _SAMPLE_BYTES + size * (_PILLOW_BYTES + RESULT_BYTES)


def loaded(image: Any, page: int) -> Any:
    """The same image; of a WebP one that lets go of its decoder, which holds two more canvases, before pixels are copied."""
    if image.format != "WEBP" or not hasattr(image, "_decoder"):
        return image
    image._seek(page)
    data = image._get_next()[0]
    del image._decoder
    still = Image.frombuffer(image.rawmode, image.size, data, "raw", image.rawmode, 0, 1)
    still.info.update(image.info)
    return still


def pixels_allowed(cost_bytes: int) -> int:
    """The least limit on pixels that allows this cost."""
    return math.ceil(cost_bytes / MOST_BYTES)
