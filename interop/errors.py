"""The errors of the lowest package that raises any; `bridge.errors` names all."""


class HomunculusError(Exception):
    """Base of every error that this library raises on purpose, so that a caller can catch its own refusals and nothing else.

    >>> try:
    ...     hm.look("no such file.png")
    ... except hm.HomunculusError as error:
    ...     type(error).__name__
    'ImageReadError'
    """


class ClosedError(HomunculusError, RuntimeError):
    """A unit, pyramid, buffer or lent tensor was used after it was closed.

    >>> unit = hm.open_unit("torch")
    >>> unit.close()
    >>> unit.pyramid(torch.zeros(8, 8, 3, dtype=torch.uint8))
    Traceback (most recent call last):
        ...
    homunculus.interop.errors.ClosedError: ...
    """


class CudaError(HomunculusError, RuntimeError):
    """A CUDA call failed, or CUDA cannot be used here. `remedy` is what to do about it, empty where nothing is known."""

    def __init__(self, text: str, remedy: str = "") -> None:
        super().__init__(f"{text}. {remedy[0].upper()}{remedy[1:]}" if remedy else text)
        self.text, self.remedy = text, remedy
