"""Which backend: the fastest that works on this machine, or the one asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import torch

from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import BackendUnavailableError, CudaError, ForkedContextError, GLError, ShaderError
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.race import Racer, image_to_patches_us
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import shown
from homunculus.interop.cuda import cuda_ordinal

Backend = Literal["auto", "gl-cuda", "cuda", "gl", "torch"]
BACKENDS: dict[str, Callable[..., TextureUnit]] = {
    "gl-cuda": GLCudaUnit,
    "cuda": CudaUnit,
    "gl": GLUnit,
    "torch": TwinUnit,
}
# What each backend's unit takes; `auto` hands on what applies and lets the rest be.
OPTIONS = {
    "gl-cuda": {"device", "device_index"},
    "cuda": {"device"},
    "gl": {"device_index"},
    "torch": {"device", "dtype"},
}
REFUSALS = (BackendUnavailableError, ForkedContextError, CudaError, GLError, ShaderError)
_faster: dict[int, tuple[str, str]] = {}  # by CUDA device: the backend that won, and the reason


def open_unit(backend: Backend | None = None, **options: Any) -> TextureUnit:
    """Opens a texture unit: `gl-cuda` (OpenGL whose memory is CUDA's), `cuda` (no OpenGL), `gl` (OpenGL 4.3 through EGL), `torch`
    (the twin), or `auto`: of the first two the faster, tried once a process, else the next that works.

    The argument wins over the environment variable HOMUNCULUS_BACKEND; without both it is `auto`. `unit.reason` tells why.
    options: device (a CUDA device; for `torch` any), device_index (EGL's number), for `torch` dtype (torch.float32 or torch.float64).
    Raises BackendUnavailableError, with the remedy, for a backend that does not work here or does not exist.
    """
    asked = "argument" if backend is not None else "HOMUNCULUS_BACKEND"
    if backend is not None and not isinstance(backend, str):
        raise BackendUnavailableError(f"backend is {shown(backend)}; choose one of auto, {', '.join(BACKENDS)}")
    name = backend or os.environ.get("HOMUNCULUS_BACKEND") or "auto"
    if name == "auto":
        return _first_that_works(options)
    if name not in BACKENDS:
        raise BackendUnavailableError(f"backend is {name!r} (by {asked}); choose one of auto, {', '.join(BACKENDS)}")
    return BACKENDS[name](reason=f"asked for by {asked}", **options)


def _first_that_works(options: dict[str, Any]) -> TextureUnit:
    if options.get("dtype") == torch.float64:
        return _opened("torch", "texture units filter in float32, float64 was asked for", options)
    refusals: dict[str, str] = {}
    unit = _on_cuda(options, refusals)
    if unit is not None:
        return unit
    try:
        return _opened("gl", "; ".join(["OpenGL 4.3 through EGL works here", *_told(refusals)]), options)
    except REFUSALS as error:
        refusals = {"gl": str(error), **refusals}
    return _opened("torch", "; ".join(_told(refusals)), options)


def _on_cuda(options: dict[str, Any], refusals: dict[str, str]) -> TextureUnit | None:
    """The faster of `gl-cuda` and `cuda`, or the one that works."""
    device = options.get("device")
    if device is not None and not isinstance(device, int) and torch.device(device).type != "cuda":
        refusals["gl-cuda, cuda"] = f"device is {device}"
        return None
    if not torch.cuda.is_available():
        refusals["gl-cuda, cuda"] = f"torch {torch.__version__} sees no CUDA device"
        return None
    try:
        ordinal = cuda_ordinal(device)
    except CudaError as error:
        refusals["gl-cuda, cuda"] = str(error)
        return None
    if ordinal in _faster:
        name, reason = _faster[ordinal]
        return _opened(name, reason, options)
    units: list[Racer] = []
    for name in ("gl-cuda", "cuda"):
        try:
            units.append(_opened(name, "", options))  # type: ignore[arg-type]
        except REFUSALS as error:
            refusals[name] = str(error)
    try:
        return _winner(ordinal, units, refusals) if units else None
    except REFUSALS as error:  # one opened and then failed at its work
        refusals["gl-cuda, cuda"] = str(error)
        for unit in units:
            unit.close()
        return None


def _winner(ordinal: int, units: list[Racer], refusals: dict[str, str]) -> TextureUnit:
    if len(units) == 1:
        winner, reason = units[0], "; ".join(["works here", *_told(refusals)])
    else:
        times = image_to_patches_us(units)
        winner, loser = units if times[0] <= times[1] else reversed(units)
        best, other = sorted(times)
        reason = f"the faster here: 1024 x 1024 px to 273 patches in {best:.0f} us, {loser.backend} in {other:.0f} us"
        loser.close()
    winner.reason = reason
    _faster[ordinal] = winner.backend, reason
    return winner


def _opened(name: str, reason: str, options: dict[str, Any]) -> TextureUnit:
    return BACKENDS[name](reason=reason, **{key: value for key, value in options.items() if key in OPTIONS[name]})


def _told(refusals: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in refusals.items()]
