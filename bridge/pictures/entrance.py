"""The one entrance: whatever a picture comes as, a file, a PIL image or an array, becomes RGB here, or is refused here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.errors import HomunculusError, ImageError, ImageReadError
from homunculus.bridge.pictures.arrays import as_rgb, check_light
from homunculus.bridge.pictures.decode import decoded
from homunculus.bridge.pictures.files import PictureFile
from homunculus.bridge.pictures.planes import Planes
from homunculus.bridge.pictures.quiet import quiet

# What one picture, and what several, may come as.
Picture: TypeAlias = "str | os.PathLike[str] | Image.Image | np.ndarray[Any, Any] | Tensor | Planes"
Pictures: TypeAlias = "Picture | Sequence[Picture]"


def picture(image: Picture) -> Tensor:
    """One picture as [H, W, 3], uint8 or the floats' own type in 0..1, where it lives.

    image: a path or `PictureFile`; a PIL image, as `read_image` of its file; an array, numpy or torch, of any stride and float width:
    [H, W] grey, [H, W, C] with 1 (grey), 2 (grey and alpha), 3 or 4 channels (RGBA), [C, H, W] where it cannot be meant otherwise,
    uint8, bool, uint16 (scaled to 8 bits), or floats in 0..1; or Planes, which become RGB. Raises ImageError with the remedy, and
    what `read_image` raises.
    """
    if isinstance(image, list | tuple):
        raise ImageError(
            f"one picture is wanted and a {type(image).__name__} of {len(image)} is given; looks takes several"
        )
    tensor = _rgb(image)
    return check_light(tensor)


def pictures(images: Pictures) -> list[Tensor]:
    """Several, of any sizes: a list of what `picture` takes, one of them, or a batch of arrays with one axis more in front."""
    if isinstance(images, list | tuple):
        if not images:
            raise ImageError("no picture is given; a list needs at least one")
        return [picture(image) for image in images]
    return list(check_light(batch(images)))


def batch(images: Pictures) -> Tensor:
    """[B, H, W, 3] of what `pictures` takes, floats as they are. Raises ImageError where sizes or types differ."""
    if not isinstance(images, list | tuple):
        tensor = _rgb(images, several=True)
        return tensor[None] if tensor.ndim == 3 else tensor
    if not images:
        raise ImageError("no picture is given; a list needs at least one")
    found = [_rgb(image) for image in images]
    kinds = sorted({f"{tensor.dtype} {tuple(tensor.shape)} on {tensor.device}" for tensor in found})
    if len(kinds) > 1:
        raise ImageError(
            f"the pictures of one pyramid must be of one size and type, and these are {', '.join(kinds)}; build one pyramid for "
            "each, or give them to looks, which takes different ones"
        )
    return torch.stack(found)


def _rgb(image: Any, several: bool = False) -> Tensor:
    if isinstance(image, Planes):
        return image.rgb()
    if isinstance(image, PictureFile):
        return torch.from_numpy(image.read())
    if isinstance(image, str | os.PathLike):
        return torch.from_numpy(PictureFile(image).read())
    if isinstance(image, Image.Image):
        return torch.from_numpy(_of_pil(image))
    if isinstance(image, Tensor | np.ndarray) or hasattr(image, "__array__"):
        return as_rgb(image, several)
    raise ImageError(
        f"the image is a {type(image).__name__}; give a path, a PIL image, or an array [H, W, 3] of numpy or torch"
    )


def _of_pil(image: Image.Image) -> np.ndarray[Any, Any]:
    if 0 in image.size:
        raise ImageError(f"the PIL image is {image.width} x {image.height} px; every side must be at least 1")
    told = str(getattr(image, "filename", "") or "the PIL image")
    try:
        with quiet():
            return decoded(image, told)
    except HomunculusError:
        raise
    except Exception as error:  # as `read_image`: decoders raise anything
        raise ImageReadError(
            f"{told} cannot be read: {error or type(error).__name__}; its file may be closed or damaged: give its path"
        ) from error
