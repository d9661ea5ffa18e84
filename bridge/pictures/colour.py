"""What a file says its values mean: an ICC profile or a gamma, turned into sRGB."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
GREY = ("L", "LA", "La", "I", "F")
SRGB_GAMMA = 1 / 2.2
# libpng's threshold: exponents nearer to 1 change nothing that is seen.
_GAMMA_THRESHOLD = 0.05
# What two writings of sRGB, and the rounding of a conversion to itself, may differ by.
_SAME = 2
_RAMP = np.arange(256, dtype=np.uint8)


@dataclass(frozen=True)
class Colours:
    """curve: float64 [256], what each level of a channel becomes, in 0..1. transform: Pillow's, from the image's mode to RGB.

    At most one of both; neither where the values are sRGB already, or the file does not say what they are.
    """

    curve: Array | None = None
    transform: Any = None

    def levels(self, pixels: Array) -> Array:
        """uint8 of uint8 channels."""
        return pixels if self.curve is None else np.rint(self.curve * 255).astype(np.uint8)[pixels]

    def fractions(self, values: Array) -> Array:
        """0..1 of values in 0..1."""
        return values if self.curve is None else np.interp(values, _RAMP / 255, self.curve)


def colours_of(image: Any) -> Colours:
    """Of an opened PIL image: its ICC profile, or without one the gamma of a PNG.

    A profile that is damaged or is of another kind than the pixels (one of RGB on a grey picture) says nothing, nor does
    one that moves no colour by more than two levels: that is sRGB, and its pixels stay as they are.
    """
    if image.info.get("icc_profile"):
        try:
            return _of_profile(image.info["icc_profile"], _kind(image.mode))
        except Exception:  # littlecms is missing, or refuses the profile in one of several ways
            return Colours()
    gamma = image.info.get("gamma")
    if "srgb" not in image.info and isinstance(gamma, float) and gamma > 0:
        exponent = (
            SRGB_GAMMA / gamma
        )  # PNG specification (3rd edition), 12.2: the decoding exponent for a display of 2.2
        if abs(exponent - 1) > _GAMMA_THRESHOLD:
            return Colours(np.power(_RAMP / 255, exponent))
    return Colours()


def _kind(mode: str) -> str:
    if mode == "CMYK":
        return "CMYK"
    return "L" if mode in GREY or mode.startswith("I;16") else "RGB"


def _of_profile(data: bytes, kind: str) -> Colours:
    from PIL import Image, ImageCms

    profile = ImageCms.ImageCmsProfile(BytesIO(data))
    if profile.profile.xcolor_space.strip() != {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}[kind]:
        return Colours()
    # Of a grey ramp littlecms's tables for speed are up to ten levels off in the dark, and it is asked for 256 values alone.
    flags = ImageCms.Flags.NOOPTIMIZE if kind == "L" else ImageCms.Flags.NONE
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), kind, "RGB", flags=flags)
    if kind == "CMYK":
        return Colours(transform=transform)
    stored = _RAMP[None] if kind == "L" else np.stack(np.meshgrid(*[_RAMP[::15]] * 3), -1).reshape(1, -1, 3)
    shown = np.asarray(ImageCms.applyTransform(Image.fromarray(stored), transform))
    if kind == "L":
        curve = shown[0, :, 1]
        return Colours() if _close(curve, stored[0]) else Colours(curve / 255)
    return Colours() if _close(shown, stored) else Colours(transform=transform)


def _close(one: Array, other: Array) -> bool:
    return int(np.abs(one.astype(int) - other).max()) <= _SAME
