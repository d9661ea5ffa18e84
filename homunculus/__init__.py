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
from homunculus import allocators, cortex, layouts, relevance
from homunculus.budget import TokenBank
from homunculus.compare import Comparison, compare
from homunculus.encoder import FoveatedViT
from homunculus.errors import ModelError, QueryError
from homunculus.image import read_image
from homunculus.look import Glimpse, Look, look
from homunculus.loop import Homunculus
from homunculus.maps import read_relevance
from homunculus.metrics import PlanMetrics, measure
from homunculus.query import Query
from homunculus.relevance import Evidence, Relevance
from homunculus.report import Reconstruction, draw_footprints, reconstruct
from homunculus.scene import Scene

__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "Comparison",
    "Evidence",
    "ForkedContextError",
    "FoveatedViT",
    "GLError",
    "Glimpse",
    "Homunculus",
    "HomunculusError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "Look",
    "ModelError",
    "Patches",
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
