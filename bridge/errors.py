"""Every error this library raises on purpose. Each message gives the value, the limit and the remedy."""

from homunculus.interop.errors import ClosedError, CudaError, HomunculusError

__all__ = [
    "BackendUnavailableError",
    "ClosedError",
    "CudaError",
    "DataError",
    "ForkedContextError",
    "GLError",
    "GradientError",
    "HomunculusError",
    "ImageError",
    "ImageReadError",
    "ImageTooLargeError",
    "ModelError",
    "PlanError",
    "QueryError",
    "ShaderError",
    "WriteError",
]


class PlanError(HomunculusError, ValueError):
    """A sample plan, a layout's arguments, a fixation or a budget that cannot be honoured."""


class ImageError(HomunculusError, ValueError):
    """An image that cannot be sampled: wrong shape or type, empty, or with values that are not finite."""


class ImageReadError(ImageError):
    """A file that is missing, unreadable, truncated or not an image."""


class ImageTooLargeError(ImageError):
    """An image beyond what the device or the reader allows."""


class BackendUnavailableError(HomunculusError, RuntimeError):
    """A backend was asked for that does not work on this machine. `text` says why, `remedy` what helps, where it stands apart."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(f"{text}. {remedy[0].upper()}{remedy[1:]}" if remedy else text)
        self.text, self.remedy = text, remedy


class GLError(HomunculusError, RuntimeError):
    """OpenGL reported an error; the message names the call."""


class GradientError(HomunculusError, RuntimeError):
    """A gradient was asked of a backend that has none to give: texture units filter outside of autograd."""


class ShaderError(HomunculusError, RuntimeError):
    """A shader does not compile; the message names the author's file and line."""


class ForkedContextError(HomunculusError, RuntimeError):
    """An OpenGL context was used in a forked child of the process that opened it."""


class ModelError(HomunculusError, ValueError):
    """A model that cannot be loaded or fed: no such folder, an unknown family, missing weights, patches of another size."""


class QueryError(HomunculusError, ValueError):
    """A query that says nothing, or that cannot be read or encoded."""


class DataError(HomunculusError, ValueError):
    """A data file that does not say what it should, or does not fit what it is used with."""


class WriteError(HomunculusError, OSError):
    """A file or folder that cannot be written: no room, no permission, a name that cannot be. What was there before is still there."""
