"""A pyramid in planes: what its two textures hold, and RGBA of what they hold. The law of its taps stands in shaders/planes.glsl."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.law import Quality
from homunculus.bridge.pictures.planes import NEUTRAL, Coding
from homunculus.bridge.pyramid import Extent, Pyramid

LEAST_KNOWN = 0.25  # of alpha: where less of the chroma lies inside, beyond an edge, its colour fades


def coding_of(pyramid: Pyramid) -> Coding:
    """Of one that is kept in planes."""
    assert pyramid.coding is not None
    return pyramid.coding


def luma_extent(extent: Extent) -> Extent:
    """Of the texture of luma, zero beyond the picture."""
    return extent._replace(format="r8")


def chroma_extent(extent: Extent) -> Extent:
    """Of the texture of chroma, whose level l goes with level l + 1 of luma; neutral beyond the picture."""
    return Extent(extent.height // 2, extent.width // 2, extent.layers, max(extent.levels - 1, 1), "rg8")


def half_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the chroma of a picture."""
    return -(-size[0] // 2), -(-size[1] // 2)


def uniforms(pyramid: Pyramid) -> dict[str, Any]:
    """What planes.glsl asks for beside the textures."""
    coding = coding_of(pyramid)
    height, width = pyramid.padded_size
    return {
        "picture_px": (float(pyramid.size[1]), float(pyramid.size[0])),
        "padded_px": (float(width), float(height)),
        "chroma_shift": (coding.shift_px / width, 0.0),
        "luma_code": coding.luma,
        "chroma_code": coding.chroma,
    }


def chroma_spread(lod: Tensor, quality: Quality) -> Tensor:
    """How far apart the two chroma taps of a step are, of what those of luma are: chroma has no level finer than its own, whose texels are
    2 px wide, and taps of them make up by so much less of the step. lod: of luma, not clamped. `law.pair_offset` for both, of an
    upright square.
    """
    if quality == "exact":
        return (lod >= 0).to(lod.dtype)
    texel: Tensor = 4 ** lod.clamp(0, 1)  # its area, in pixels
    share: Tensor = (4 * texel - 7) / (2 * texel + 1)
    return share.clamp(0, 1).sqrt()


def covered(size: tuple[int, int], padded: tuple[int, int], level: int) -> Tensor:
    """float64 [h, w] on the host: how much of each texel of a level lies inside a picture of that size."""
    shares = [
        (side / 2**level - torch.arange(whole >> level, dtype=torch.float64, device="cpu")).clamp(0, 1)
        for side, whole in zip(size, padded, strict=True)
    ]
    alpha: Tensor = shares[0][:, None] * shares[1]
    return alpha


def rgba_level(luma: Tensor, chroma: Tensor, level: int, pyramid: Pyramid) -> Tensor:
    """Premultiplied RGBA [B, h, w, 4] of one level, of its luma [B, h, w] and of the chroma [B, h', w', 2] of the level below it (of
    level 0 at 0), both in 0..1."""
    size, padded, coding = pyramid.size, pyramid.padded_size, coding_of(pyramid)
    halves = (half_size(size), half_size(padded))
    finer = max(level - 1, 0)
    known = covered(*halves, finer).to(luma)[..., None]
    weighed = torch.cat([chroma - NEUTRAL / 255, known.expand(*chroma.shape[:3], 1)], -1)
    steps = 2.0**level  # pixels a texel
    for axis, shift_px in ((1, 0.0), (2, coding.shift_px)):
        pixels = (torch.arange(luma.shape[axis], dtype=luma.dtype, device=luma.device) + 0.5) * steps + shift_px
        weighed = _at(weighed, axis, pixels / 2 ** (finer + 1) - 0.5)
    alpha = (covered(size, padded, level) * 255).round().to(luma)[None] / 255
    return rgba_of(luma[..., None], alpha[..., None].expand(*luma.shape, 1), weighed[..., :2], weighed[..., 2:], coding)


def rgba_of(luma: Tensor, alpha: Tensor, colour: Tensor, known: Tensor, coding: Coding) -> Tensor:
    """Premultiplied RGBA [..., 4] of filtered luma [..., 1] and its alpha, and of how far chroma is from neutral [..., 2] and how much of
    that lies inside."""
    rgb = coding.rgb(
        luma[..., 0], colour * (alpha / known.maximum(LEAST_KNOWN * alpha).clamp(min=1e-30)), alpha[..., 0]
    )
    return torch.cat([rgb.clamp(min=0).minimum(alpha), alpha], -1)


def _at(values: Tensor, axis: int, place: Tensor) -> Tensor:
    """Linear between texels along that axis, at places counted from the first one's centre; beyond the texels 0."""
    corner = place.floor()
    found: Tensor = values.new_zeros(())
    for step in (0, 1):
        index = corner.long() + step
        share = (place - corner if step else 1 - place + corner) * ((index >= 0) & (index < values.shape[axis]))
        shape = [-1 if k == axis else 1 for k in range(values.ndim)]
        found = found + values.index_select(axis, index.clamp(0, values.shape[axis] - 1)) * share.to(values).view(shape)
    return found


def colours_of(pyramid: Pyramid, level: int) -> Tensor:
    """[B, h, w, 3] in 0..1 of the texels of a level that hold some of the picture, where they lie."""
    height, width = pyramid.size_at(level)
    texels = pyramid.level(level)[:, :height, :width]
    return (texels[..., :3] / texels[..., 3:]).clamp(0, 1)


def no_planes(pyramid: Pyramid, what: str) -> ImageError:
    """What refuses a pyramid in planes. what: that needs RGBA."""
    return ImageError(f"{what} reads RGBA, and {pyramid!r} is kept as luma and chroma; build it of planes.rgb()")
