"""Fresh memory of OpenGL's full of NaN and 0xFF. A driver gives back what others left there; Mesa's llvmpipe gives zeros, and hides it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import moderngl
import numpy as np
import pytest
import torch

from homunculus.bridge.gl.pyramid import Texture
from homunculus.bridge.pool import Pool

POISON = {"f1": np.uint8(255), "f2": np.float16("nan"), "f4": np.float32("nan")}


@contextmanager
def poisoned() -> Iterator[None]:
    """Meanwhile every buffer, texture and depth buffer is made full of it, and a pyramid's texture at each new use as well."""
    with pytest.MonkeyPatch.context() as patch:
        make_buffer, make_texture = moderngl.Context.buffer, moderngl.Context.texture
        make_framebuffer, take = moderngl.Context.framebuffer, Pool.take

        def buffer(context: Any, data: Any = None, reserve: int = 0, dynamic: bool = False) -> Any:
            made = make_buffer(context, data, reserve, dynamic)
            if data is None:
                made.write(b"\xff" * made.size)  # as float16 and float32 NaN
            return made

        def texture(context: Any, size: tuple[int, int], components: int, data: Any = None, **options: Any) -> Any:
            if data is None:
                data = np.full((size[1], size[0], components), POISON[options.get("dtype", "f1")])
                options["alignment"] = 1
            return make_texture(context, size, components, data, **options)

        def framebuffer(context: Any, colors: Any = (), depth: Any = None) -> Any:
            made = make_framebuffer(context, colors, depth)
            if depth is not None:
                made.clear(1.0, 0.0, 1.0, 1.0, depth=0.0)  # nearer than anything drawn
            return made

        def take_poisoned(pool: Any, extent: Any) -> Any:
            taken = take(pool, extent)
            if isinstance(taken, Texture):
                fill(taken)
            return taken

        patch.setattr(moderngl.Context, "buffer", buffer)
        patch.setattr(moderngl.Context, "texture", texture)
        patch.setattr(moderngl.Context, "framebuffer", framebuffer)
        patch.setattr(Pool, "take", take_poisoned)
        yield


def fill(texture: Texture) -> None:
    height, width, layers, levels, format = texture.extent
    texture.use()
    for level in range(levels):
        shape = (height >> level, width >> level, 4)
        pixels = torch.full(shape, 255, dtype=torch.uint8) if format.endswith("8") else torch.full(shape, torch.nan)
        for layer in range(layers):
            texture.write(level, layer, 0, 0, pixels)
