"""Which backend: the fastest that works on this machine, or the one asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import groupby
from typing import Any

import torch

from homunculus.bridge.backends import BACKENDS, REFERENCE, choices
from homunculus.bridge.errors import BackendUnavailableError, CudaError, ForkedContextError, GLError, ShaderError
from homunculus.bridge.fastest import image_to_patches_us
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import shown
from homunculus.interop.cuda import cuda_ordinal

Backend = str  # a name in the registry of backends, or auto
REFUSALS = (BackendUnavailableError, ForkedContextError, CudaError, GLError, ShaderError)
_faster: dict[int, tuple[str, str]] = {}  # by CUDA device: the backend that won, and the reason


def open_unit(backend: Backend | None = None, **options: Any) -> TextureUnit:
    """Opens a texture unit: `gl-cuda` (OpenGL whose memory is CUDA's), `cuda` (no OpenGL), `gl` (OpenGL 4.3 through EGL), `torch`
    (the twin), or `auto`: of the first two the faster, tried once a process, else the next that works.

    The argument wins over the environment variable HOMUNCULUS_BACKEND; without both it is `auto`. `unit.reason` tells why.
    options: device (a CUDA device; for `torch` any), device_index (EGL's number), for `torch` dtype (torch.float32 or torch.float64).
    Raises BackendUnavailableError, with the remedy, for a backend that does not work here or does not exist.

    >>> with hm.open_unit("torch") as unit:
    ...     unit.backend, unit.reason
    ('torch', 'asked for by argument')
    """
    asked = "argument" if backend is not None else "HOMUNCULUS_BACKEND"
    if backend is not None and not isinstance(backend, str):
        raise BackendUnavailableError(f"backend is {shown(backend)}; choose one of {choices()}")
    name = backend or os.environ.get("HOMUNCULUS_BACKEND") or "auto"
    if name == "auto":
        return _first_that_works(options)
    if name not in BACKENDS:
        raise BackendUnavailableError(f"backend is {name!r} (by {asked}); choose one of {choices()}")
    unit: TextureUnit = BACKENDS[name].load()(reason=f"asked for by {asked}", **options)
    return unit


def _first_that_works(options: Mapping[str, Any]) -> TextureUnit:
    unit: TextureUnit | None
    if options.get("dtype") == torch.float64:
        unit = BACKENDS[REFERENCE].opened("texture units filter in float32, float64 was asked for", options)
        return unit
    refusals: list[str] = []  # the latest first
    for cuda, group in groupby(BACKENDS, key=lambda name: BACKENDS[name].cuda):
        unit, refused = (_fastest if cuda else _first)(list(group), options, refusals)
        if unit is not None:
            return unit
        refusals = refused + refusals
    raise BackendUnavailableError("; ".join(refusals))


def _first(names: list[str], options: Mapping[str, Any], earlier: list[str]) -> tuple[TextureUnit | None, list[str]]:
    """The first that works, and why those before it do not, the latest first. earlier: the same of backends before these."""
    refusals: list[str] = []
    for name in names:
        reason = "; ".join(filter(None, [BACKENDS[name].works, *refusals, *earlier]))
        try:
            return BACKENDS[name].opened(reason, options), refusals
        except REFUSALS as error:
            refusals = [f"{name}: {error}", *refusals]
    return None, refusals


def _fastest(names: list[str], options: Mapping[str, Any], earlier: list[str]) -> tuple[TextureUnit | None, list[str]]:
    """The fastest of the backends of an NVIDIA GPU, or the one that works, and why the others do not."""
    together = ", ".join(names)
    device = options.get("device")
    if device is not None and not isinstance(device, int) and torch.device(device).type != "cuda":
        return None, [f"{together}: device is {device}"]
    if not torch.cuda.is_available():
        return None, [f"{together}: torch {torch.__version__} sees no CUDA device"]
    try:
        ordinal = cuda_ordinal(device)
    except CudaError as error:
        return None, [f"{together}: {error}"]
    if ordinal in _faster:
        name, reason = _faster[ordinal]
        return BACKENDS[name].opened(reason, options), []
    units: list[TextureUnit] = []
    refusals: list[str] = []
    for name in names:
        try:
            units.append(BACKENDS[name].opened("", options))
        except REFUSALS as error:
            refusals.append(f"{name}: {error}")
    try:
        return _winner(ordinal, units, refusals + earlier) if units else None, refusals
    except REFUSALS as error:  # one opened and then failed at its work
        for unit in units:
            unit.close()
        return None, [*refusals, f"{together}: {error}"]


def _winner(ordinal: int, units: list[TextureUnit], refusals: list[str]) -> TextureUnit:
    if len(units) == 1:
        winner = units[0]
        reason = "; ".join([BACKENDS[winner.backend].works, *refusals])
    else:
        times = image_to_patches_us(units)
        ranked = sorted(zip(times, units, strict=True), key=lambda timed: timed[0])
        winner = ranked[0][1]
        others = ", ".join(f"{unit.backend} in {time:.0f} us" for time, unit in ranked[1:])
        reason = f"the faster here: 1024 x 1024 px to 273 patches in {ranked[0][0]:.0f} us, {others}"
        for _, loser in ranked[1:]:
            loser.close()
    winner.reason = reason
    _faster[ordinal] = winner.backend, reason
    return winner
