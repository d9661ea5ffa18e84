"""Texture units: images become pyramids, sample plans become patches. Knows nothing of vision science."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from homunculus.bridge.errors import (
    BackendUnavailableError,
    ClosedError,
    CudaError,
    ForkedContextError,
    GLError,
    GradientError,
    HomunculusError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
    PlanError,
    ShaderError,
)

if TYPE_CHECKING:
    from homunculus.bridge.open import open_unit
    from homunculus.bridge.patches import Patches, Stats
    from homunculus.bridge.plan import PlanProgram, SamplePlan
    from homunculus.bridge.pyramid import Pyramid
    from homunculus.bridge.unit import TextureUnit

__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "CudaError",
    "ForkedContextError",
    "GLError",
    "GradientError",
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

_HOMES = {
    "open": ["open_unit"],
    "patches": ["Patches", "Stats"],
    "plan": ["PlanProgram", "SamplePlan"],
    "pyramid": ["Pyramid"],
    "unit": ["TextureUnit"],
}


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is first asked for: an error's type alone costs nothing (PEP 562)."""
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
