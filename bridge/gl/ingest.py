"""Images that torch holds on the device become level 0 without a visit to the host: one copy into a shared buffer, one dispatch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ImageTooLargeError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.builders import reduce
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import BEYOND, CHANNEL_BITS, INTERNAL_FORMATS, Texture
from homunculus.bridge.images import as_bytes
from homunculus.bridge.patches import Stats
from homunculus.bridge.pyramid import Builder
from homunculus.interop.buffer import SharedBuffer

IMAGES = 0
GROUP_WIDTH, GROUP_HEIGHT = 32, 8


class Ingest:
    """Owns the buffer that every image passes through; it grows to the largest seen. Used on the context's thread."""

    def __init__(self, context: Context, stats: Stats) -> None:
        self._context, self._stats = context, stats
        self._buffer: SharedBuffer | None = None

    def build(self, texture: Texture, batch: Tensor, max_level: int, builder: Builder, first: int) -> None:
        """Level 0 of the layers from `first` on, from images [B, H, W, 3], or planes [B, H, W, 1 or 2], on the device, or pinned or plain
        on the host, and the levels above by that builder."""
        context = self._context
        format = texture.extent.format
        if format == "rgba8":
            batch = as_bytes(batch)
        elif batch.dtype != torch.uint8:
            batch = batch.float()
        layers, height, width, channels = batch.shape
        row_bytes = width * channels * batch.element_size()
        most = context.limits.storage_bytes // row_bytes  # rows that fit in one buffer
        if most < 1:
            raise ImageTooLargeError(
                f"one row of the image takes {row_bytes} bytes; this device allows {context.limits.storage_bytes}. Cut it into tiles"
            )
        defines = {"FORMAT": format, "BYTES": int(batch.dtype == torch.uint8), "STORED": CHANNEL_BITS[format]}
        if format in BEYOND:
            defines |= {"PLANE": channels, "BEYOND": BEYOND[format]}
        program = context.program("ingest.comp", defines)
        context.gl.glBindImageTexture(0, texture.name, 0, 1, 0, gl.WRITE_ONLY, INTERNAL_FORMATS[format])
        program["size"] = (width, height)
        if layers * height <= most:
            self._stripe(program, texture, batch, first, 0, height)
        else:
            for layer in range(layers):
                for top in range(0, height, most):
                    stripe = batch[layer : layer + 1, top : top + most]
                    self._stripe(program, texture, stripe, first + layer, top, height)
        if builder == "driver":
            texture.use()
            context.gl.glGenerateMipmap(gl.TEXTURE_2D_ARRAY)
        else:
            self._stats.dispatches += reduce(context, texture, max_level, range(first, first + layers))

    def _stripe(self, program: Any, texture: Texture, images: Tensor, layer: int, top: int, image_height: int) -> None:
        """Some rows of some images; with the last of them the padding below."""
        context = self._context
        height, width = texture.extent[:2]
        layers, rows = images.shape[:2]
        bottom = height if top + rows == image_height else top + rows
        buffer = self._room(images.numel() * images.element_size())
        buffer.write(images)
        buffer.bind(IMAGES)
        for name, value in (("first_layer", layer), ("first_row", top), ("last_row", bottom), ("rows", rows)):
            program[name] = value
        program.run(-(-width // GROUP_WIDTH), -(-(bottom - top) // GROUP_HEIGHT), layers)
        context.moderngl.memory_barrier()
        self._stats.dispatches += 1

    def _room(self, size_bytes: int) -> SharedBuffer:
        size_bytes = -(-size_bytes // 4) * 4
        if self._buffer is None or self._buffer.size_bytes < size_bytes:
            self.release()
            self._buffer = self._context.buffer(size_bytes, self._stats)
        return self._buffer

    def release(self) -> None:
        if self._buffer is not None:
            self._context.release(self._buffer)
            self._buffer = None
