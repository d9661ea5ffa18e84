"""An eye for a PyTorch vision model. Users write `import homunculus as hm`."""

from bridge import (
    BackendUnavailableError,
    ClosedError,
    ForkedContextError,
    GLError,
    HomunculusError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
    Patches,
    PlanError,
    PlanProgram,
    Pyramid,
    SamplePlan,
    ShaderError,
    Stats,
    TextureUnit,
    open_unit,
)
from homunculus import layouts
from homunculus.image import read_image
from homunculus.look import Look, look

__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "ForkedContextError",
    "GLError",
    "HomunculusError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "Look",
    "Patches",
    "PlanError",
    "PlanProgram",
    "Pyramid",
    "SamplePlan",
    "ShaderError",
    "Stats",
    "TextureUnit",
    "layouts",
    "look",
    "open_unit",
    "read_image",
]
