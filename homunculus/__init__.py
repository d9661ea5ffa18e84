"""An eye for a PyTorch vision model. Users write `import homunculus as hm`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from homunculus import allocators, layouts, relevance
    from homunculus.allocators.budget import TokenBank
    from homunculus.allocators.scene import Scene
    from homunculus.bridge import (
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
    from homunculus.bridge.errors import DataError, ModelError, QueryError, WriteError
    from homunculus.bridge.pictures.files import PictureFile, read_image
    from homunculus.encoder import FoveatedViT
    from homunculus.layouts import cortex
    from homunculus.layouts.metrics import PlanMetrics, measure
    from homunculus.loop import Homunculus
    from homunculus.loop.compare import Comparison, compare
    from homunculus.loop.look import Glimpse, Look, look
    from homunculus.relevance import Evidence, Relevance
    from homunculus.relevance.maps import read_relevance
    from homunculus.relevance.query import Query
    from homunculus.report import Reconstruction, draw_footprints, reconstruct

__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "Comparison",
    "CudaError",
    "DataError",
    "Evidence",
    "ForkedContextError",
    "FoveatedViT",
    "GLError",
    "Glimpse",
    "GradientError",
    "Homunculus",
    "HomunculusError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "Look",
    "ModelError",
    "Patches",
    "PictureFile",
    "PlanError",
    "PlanMetrics",
    "PlanProgram",
    "Pyramid",
    "Query",
    "QueryError",
    "Reconstruction",
    "Relevance",
    "SamplePlan",
    "Scene",
    "ShaderError",
    "Stats",
    "TextureUnit",
    "TokenBank",
    "WriteError",
    "allocators",
    "compare",
    "cortex",
    "draw_footprints",
    "layouts",
    "look",
    "measure",
    "open_unit",
    "read_image",
    "read_relevance",
    "reconstruct",
    "relevance",
]

_HOMES = {
    "cortex": "homunculus.layouts.cortex",
    "BackendUnavailableError": "homunculus.bridge",
    "ClosedError": "homunculus.bridge",
    "CudaError": "homunculus.bridge",
    "ForkedContextError": "homunculus.bridge",
    "GLError": "homunculus.bridge",
    "GradientError": "homunculus.bridge",
    "HomunculusError": "homunculus.bridge",
    "ImageError": "homunculus.bridge",
    "ImageReadError": "homunculus.bridge",
    "ImageTooLargeError": "homunculus.bridge",
    "Patches": "homunculus.bridge",
    "PlanError": "homunculus.bridge",
    "PlanProgram": "homunculus.bridge",
    "Pyramid": "homunculus.bridge",
    "SamplePlan": "homunculus.bridge",
    "ShaderError": "homunculus.bridge",
    "Stats": "homunculus.bridge",
    "TextureUnit": "homunculus.bridge",
    "open_unit": "homunculus.bridge",
    "TokenBank": "homunculus.allocators.budget",
    "Comparison": "homunculus.loop.compare",
    "compare": "homunculus.loop.compare",
    "FoveatedViT": "homunculus.encoder",
    "DataError": "homunculus.bridge.errors",
    "ModelError": "homunculus.bridge.errors",
    "QueryError": "homunculus.bridge.errors",
    "WriteError": "homunculus.bridge.errors",
    "PictureFile": "homunculus.bridge.pictures.files",
    "read_image": "homunculus.bridge.pictures.files",
    "Glimpse": "homunculus.loop.look",
    "Look": "homunculus.loop.look",
    "look": "homunculus.loop.look",
    "Homunculus": "homunculus.loop",
    "read_relevance": "homunculus.relevance.maps",
    "PlanMetrics": "homunculus.layouts.metrics",
    "measure": "homunculus.layouts.metrics",
    "Query": "homunculus.relevance.query",
    "Evidence": "homunculus.relevance",
    "Relevance": "homunculus.relevance",
    "Reconstruction": "homunculus.report",
    "draw_footprints": "homunculus.report",
    "reconstruct": "homunculus.report",
    "Scene": "homunculus.allocators.scene",
}


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first asked for, so that the package itself costs nothing (PEP 562)."""
    if name in _HOMES:
        home = import_module(_HOMES[name])
        value = home if _HOMES[name].endswith(f".{name}") and not hasattr(home, name) else getattr(home, name)
    elif name in __all__:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
