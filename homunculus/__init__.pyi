from . import allocators, layouts, relevance
from .allocators.scene import Scene
from .bridge.clips.video import read_video
from .bridge.errors import (
    BackendUnavailableError,
    ClosedError,
    CudaError,
    DataError,
    ForkedContextError,
    GLError,
    GradientError,
    HomunculusError,
    ImageError,
    ImageReadError,
    ImageTooLargeError,
    ModelError,
    PlanError,
    ProcessError,
    QueryError,
    ShaderError,
    TileError,
    WriteError,
)
from .bridge.open import open_unit
from .bridge.patches import Patches
from .bridge.pictures.files import PictureFile, read_image
from .bridge.plan import SamplePlan
from .bridge.slides.open import open_tiles
from .bridge.unit import TextureUnit
from .encoder import FoveatedViT
from .loop import Homunculus
from .loop.compare import compare
from .loop.look import look
from .loop.record import Look
from .loop.run.driver import run
from .loop.run.tokens import read_tokens
from .loop.run.training import PatchDataset
from .relevance.maps import read_relevance
from .relevance.query import Query
from .report import draw_footprints, reconstruct
from .viewer.serving.notebook import view

__version__: str
__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "CudaError",
    "DataError",
    "ForkedContextError",
    "FoveatedViT",
    "GLError",
    "GradientError",
    "Homunculus",
    "HomunculusError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "Look",
    "ModelError",
    "PatchDataset",
    "Patches",
    "PictureFile",
    "PlanError",
    "ProcessError",
    "Query",
    "QueryError",
    "SamplePlan",
    "Scene",
    "ShaderError",
    "TextureUnit",
    "TileError",
    "WriteError",
    "allocators",
    "compare",
    "draw_footprints",
    "layouts",
    "look",
    "open_tiles",
    "open_unit",
    "read_image",
    "read_relevance",
    "read_tokens",
    "read_video",
    "reconstruct",
    "relevance",
    "run",
    "view",
]
