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
    "ProcessError",
    "QueryError",
    "ShaderError",
    "TileError",
    "WriteError",
]


class PlanError(HomunculusError, ValueError):
    """A sample plan, a layout's arguments, a fixation or a budget that cannot be honoured.

    >>> hm.layouts.quadtree((480, 640), fixation=(700, 100), budget=273)
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.PlanError: ...
    """


class ImageError(HomunculusError, ValueError):
    """An image that cannot be sampled: wrong shape or type, empty, or with values that are not finite.

    >>> hm.look(torch.full((8, 8, 3), float("nan")), backend="torch")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.ImageError: ...
    """


class ImageReadError(ImageError):
    """A file that is missing, unreadable, truncated or not an image.

    >>> hm.read_image("no such file.png")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.ImageReadError: ...
    """


class ImageTooLargeError(ImageError):
    """An image beyond what the device or the reader allows.

    >>> hm.PictureFile("examples/data/photograph.jpg", max_pixels=1000).read()
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.ImageTooLargeError: ...
    """


class TileError(ImageReadError):
    """A tile of a picture that is damaged, or a level that the file does not hold: what is read instead is the coarser level.

    >>> from PIL import Image
    >>> Image.new("RGB", (300, 200)).save("page.tif")
    >>> hm.open_tiles("page.tif").read(1, 0, 0)
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.TileError: ...
    """


class BackendUnavailableError(HomunculusError, RuntimeError):
    """A backend was asked for that does not work on this machine. `text` says why, `remedy` what helps, where it stands apart.

    >>> hm.open_unit("abacus")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.BackendUnavailableError: ...
    """

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
    """A model that cannot be loaded or fed: no such folder, an unknown family, missing weights, patches of another size.

    >>> hm.Homunculus.from_pretrained("no/such folder", local_files_only=True)
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.ModelError: ...
    """


class QueryError(HomunculusError, ValueError):
    """A query that says nothing, or that cannot be read or encoded.

    >>> hm.Query("")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.QueryError: ...
    """


class DataError(HomunculusError, ValueError):
    """A data file that does not say what it should, or does not fit what it is used with.

    >>> from homunculus.bridge.files.reading import read_json
    >>> read_json("no such file.json")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.DataError: ...
    """


class WriteError(HomunculusError, OSError):
    """A file or folder that cannot be written: no room, no permission, a name that cannot be. What was there before is still there.

    >>> seen = hm.look("examples/data/photograph.jpg", budget=20, backend="torch")
    >>> seen.save("examples/data/photograph.jpg/out")
    Traceback (most recent call last):
        ...
    homunculus.bridge.errors.WriteError: ...
    """


class ProcessError(HomunculusError, RuntimeError):
    """A process that shares work died, could not be started, or has no room to start in."""
