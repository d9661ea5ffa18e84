"""ICC profiles written by hand (ICC.1:2001-04), so that what they say is known without a library that reads them."""

from __future__ import annotations

import struct

import numpy as np

# sRGB's primaries adapted to D50, columns of the matrix to XYZ (IEC 61966-2-1, Bradford).
PRIMARIES = {b"rXYZ": (0.4360, 0.2225, 0.0139), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.1431, 0.0606, 0.7141)}
WHITE = (0.9642, 1.0, 0.8249)


def xyz(values: tuple[float, ...]) -> bytes:
    return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


def profile(space: bytes, tags: dict[bytes, bytes], pcs: bytes = b"XYZ ", kind: bytes = b"mntr") -> bytes:
    tags = {b"wtpt": xyz(WHITE), **tags}
    body, table = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"\0" * 4, 0x02100000, kind, space, pcs) + b"\0" * 12
    header += b"acsp" + b"\0" * 28 + xyz(WHITE)[8:]
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def rgb(gamma: float, swapped: bool = False) -> bytes:
    """sRGB's primaries under a power law; red and green exchanged for `swapped`."""
    names = {b"rXYZ": b"gXYZ", b"gXYZ": b"rXYZ"} if swapped else {}
    tags = {names.get(name, name): xyz(value) for name, value in PRIMARIES.items()}
    return profile(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve(gamma)))


def grey(gamma: float) -> bytes:
    return profile(b"GRAY", {b"kTRC": curve(gamma)})


def cmyk() -> bytes:
    """Paper is white, any black ink is black, and cyan ink without black is as dark as it is full: L* = 100 (1 - C) (1 - K)."""
    ramp = bytes(range(256))
    lightness = np.zeros((2, 2, 2, 2, 3), np.uint8) + np.array([0, 128, 128], np.uint8)
    lightness[0, :, :, 0, 0] = 255
    matrix = struct.pack(">9i", *(65536 if i % 4 == 0 else 0 for i in range(9)))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + matrix + ramp * 4 + lightness.tobytes() + ramp * 3
    return profile(b"CMYK", {b"A2B0": lut}, b"Lab ", b"prtr")


def srgb_of(light: np.ndarray) -> np.ndarray:
    """sRGB code values 0..1 of linear light (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-12) ** (1 / 2.4) - 0.055)
