"""Texture units: images become pyramids, sample plans become patches. Knows nothing of vision science."""

from homunculus.bridge.errors import (
    BackendUnavailableError,
    ClosedError,
    CudaError,
    ForkedContextError,
    GLError,
    HomunculusError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
    PlanError,
    ShaderError,
)
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import Patches, PlanProgram, Pyramid, Stats, TextureUnit

__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "CudaError",
    "ForkedContextError",
    "GLError",
    "HomunculusError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "Patches",
    "PlanError",
    "PlanProgram",
    "Pyramid",
    "SamplePlan",
    "ShaderError",
    "Stats",
    "TextureUnit",
    "open_unit",
]
