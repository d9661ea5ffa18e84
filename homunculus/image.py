"""Reading a picture file into the array that a pyramid is built from."""

from homunculus.bridge.pictures.arrays import as_bytes
from homunculus.bridge.pictures.entrance import picture, pictures
from homunculus.bridge.pictures.files import (
    FORMATS,
    PictureFile,
    expanded,
    formats,
    read_image,
    upright_boxes,
)
from homunculus.bridge.pictures.turning import Array, turned

__all__ = [
    "FORMATS",
    "Array",
    "PictureFile",
    "as_bytes",
    "expanded",
    "formats",
    "picture",
    "pictures",
    "read_image",
    "turned",
    "upright_boxes",
]
