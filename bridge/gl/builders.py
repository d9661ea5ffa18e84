"""How level 0 gets into a texture, and the levels above it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import CHANNEL_BITS, INTERNAL_FORMATS, Texture
from homunculus.bridge.gl.simd import build_simd
from homunculus.bridge.images import as_bytes


def build_exact(context: Context, texture: Texture, batch: Tensor, max_level: int, first: int) -> None:
    """Every level by compute shader, each the mean of its block of level 0 (of level 6 above that), rounded to nearest."""
    with context.clock.part("upload"):
        upload(texture, batch, first)
    with context.clock.part("pyramid"):
        reduce(context, texture, max_level, range(first, first + len(batch)))


def reduce(context: Context, texture: Texture, max_level: int, layers: range) -> int:
    """Levels 1 to `max_level` of some layers from level 0, up to six a dispatch; returns the number of dispatches."""
    format = texture.extent.format
    base = dispatches = 0
    while base < max_level:
        count = min(6, max_level - base)
        defines = {"FORMAT": format, "STORED": CHANNEL_BITS[format], "LEVELS": count}
        program = context.program("reduce.comp", defines)
        texture.use()
        for unit in range(count):
            context.gl.glBindImageTexture(
                unit, texture.name, base + 1 + unit, 1, 0, gl.WRITE_ONLY, INTERNAL_FORMATS[format]
            )
        program["base"], program["first_layer"] = base, layers.start
        height, width = texture.extent.height >> base, texture.extent.width >> base
        program.run(-(-width // 64), -(-height // 64), len(layers))
        context.moderngl.memory_barrier()
        base += count
        dispatches += 1
    return dispatches


def build_driver(context: Context, texture: Texture, batch: Tensor, max_level: int, first: int) -> None:
    """The levels by glGenerateMipmap, whose filter is the driver's own; of other layers once more, as they were."""
    with context.clock.part("upload"):
        upload(texture, batch, first)
    with context.clock.part("pyramid"):
        context.gl.glGenerateMipmap(gl.TEXTURE_2D_ARRAY)


def upload(texture: Texture, batch: Tensor, first: int) -> None:
    """Level 0 of the layers from `first` on, from images [B, H, W, 3], with alpha 1 inside and zeros in the padding."""
    texture.use()
    height, width = batch.shape[1:3]
    padded_height, padded_width = texture.extent[:2]
    right = torch.zeros((height, padded_width - width, 4), dtype=batch.dtype, device="cpu")
    bottom = torch.zeros((padded_height - height, padded_width, 4), dtype=batch.dtype, device="cpu")
    for layer, image in enumerate(batch, first):
        texture.write(0, layer, 0, 0, image)
        if right.numel():
            texture.write(0, layer, width, 0, right)
        if bottom.numel():
            texture.write(0, layer, 0, height, bottom)


BUILDERS: dict[str, Callable[[Context, Texture, Tensor, int, int], None]] = {
    "exact": build_exact,
    "driver": build_driver,
    "simd": build_simd,
}


def as_upload(batch: Tensor, format: str) -> Tensor:
    """The batch in a type that uploads without loss to that format: bytes, or float32."""
    batch = batch.detach().cpu()
    if format == "rgba8":
        return as_bytes(batch)
    return batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
