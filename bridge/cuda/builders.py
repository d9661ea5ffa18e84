"""How the levels are filled: one launch reads every pixel once and writes levels 0 to 6; another writes what is above."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Kernels, address, int_, ints
from homunculus.bridge.cuda.pyramid import LEVELS_PER_LAUNCH, PLANES, Levels, stored
from homunculus.bridge.images import as_bytes

TILE_PX = 64
THREADS = 256


def ingest(kernels: Kernels, levels: Levels, batch: Tensor, first: int = 0) -> int:
    """Every level of the layers from `first` on, from images [B, H, W, 3], or planes [B, H, W, 1 or 2], on the device, each texel the mean
    of its block; returns the number of launches."""
    height, width, _, count, format = levels.extent
    if format == "rgba8":
        batch = as_bytes(batch)
    elif batch.dtype != torch.uint8:
        batch = batch.float()
    batch = batch.contiguous()
    defines = {"BYTES": int(batch.dtype == torch.uint8), **stored(format)}
    if format in PLANES:
        defines["BEYOND"] = PLANES[format][1]
    kernel = kernels.get("ingest", "ingest", defines)
    above = min(count - 1, LEVELS_PER_LAUNCH)
    arguments = (
        address(batch),
        ints(batch.shape[2], batch.shape[1]),
        ints(width, height),
        int_(above),
        int_(first),
        levels.pack(0),
    )
    kernels.launch(kernel, _tiles(height, width, len(batch)), (THREADS,), arguments)
    return 1 + reduce(kernels, levels, above, range(first, first + len(batch)))


def reduce(kernels: Kernels, levels: Levels, base: int, layers: range | None = None) -> int:
    """The levels above `base` from it, of all layers or of those, up to six a launch; returns the number of launches."""
    height, width, every, count, format = levels.extent
    layers = range(every) if layers is None else layers
    launches = 0
    while base < count - 1:
        above = min(count - 1 - base, LEVELS_PER_LAUNCH)
        kernel = kernels.get("reduce", "reduce", stored(format))
        arguments = (ints(width >> base, height >> base), int_(above), int_(layers.start), levels.pack(base))
        kernels.launch(kernel, _tiles(height >> base, width >> base, len(layers)), (THREADS,), arguments)
        base += above
        launches += 1
    return launches


def _tiles(height: int, width: int, layers: int) -> tuple[int, int, int]:
    return -(-width // TILE_PX), -(-height // TILE_PX), layers
