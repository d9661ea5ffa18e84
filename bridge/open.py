"""Which backend: the first that works on this machine, or the one asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import torch

from bridge.errors import BackendUnavailableError, ForkedContextError
from bridge.gl.unit import GLUnit
from bridge.twin.unit import TwinUnit
from bridge.unit import TextureUnit

Backend = Literal["auto", "gl", "torch"]


def open_unit(backend: Backend | None = None, **options: Any) -> TextureUnit:
    """Opens a texture unit: `gl` (OpenGL 4.3 through EGL), `torch` (the twin), or `auto`, the first of these that works.

    The argument wins over the environment variable HOMUNCULUS_BACKEND; without both it is `auto`. `unit.reason` tells why.
    options: for `gl` device_index (EGL's number); for `torch` device and dtype (torch.float32 or torch.float64).
    Raises BackendUnavailableError, with the remedy, for a backend that does not work here or does not exist.
    """
    asked = "argument" if backend is not None else "HOMUNCULUS_BACKEND"
    name = backend or os.environ.get("HOMUNCULUS_BACKEND") or "auto"
    if name == "auto":
        return _first_that_works(options)
    if name not in BACKENDS:
        raise BackendUnavailableError(f"backend is {name!r} (by {asked}); choose one of auto, {', '.join(BACKENDS)}")
    return BACKENDS[name](reason=f"asked for by {asked}", **options)


def _first_that_works(options: dict[str, Any]) -> TextureUnit:
    refusals = []
    if options.get("dtype") == torch.float64:
        refusals.append("gl: filters in float32, float64 was asked for")
    else:
        try:
            return GLUnit(options.get("device_index"), reason="OpenGL 4.3 through EGL works here")
        except (BackendUnavailableError, ForkedContextError) as error:
            refusals.append(f"gl: {error}")
    kept = {key: value for key, value in options.items() if key != "device_index"}
    return TwinUnit(reason="; ".join(refusals), **kept)


BACKENDS: dict[str, Callable[..., TextureUnit]] = {"gl": GLUnit, "torch": TwinUnit}
