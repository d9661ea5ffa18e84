"""A small vision transformer of our own: positions are pixels, so a page of any size and any plan are the same to it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class SmallConfig:
    """Sizes of a SmallViT. shortest_px, longest_px: wavelengths of its rotary positions, spaced evenly in the logarithm.

    cells: along a side of a token, each with features of its own in the space of texts, whose dimension is text_dim.
    """

    hidden_size: int = 128
    layers: int = 6
    num_attention_heads: int = 4
    patch_size: int = 16
    stem: tuple[int, int] = (32, 64)
    mlp_ratio: int = 4
    cells: int = 4
    text_dim: int = 32
    shortest_px: float = 24.0
    longest_px: float = 8192.0
    model_type: ClassVar[str] = "homunculus_small"

    @property
    def head(self) -> int:
        return self.hidden_size // self.num_attention_heads

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def linear(inputs: int, outputs: int, *, bias: bool = True) -> nn.Linear:
    """In single precision on the CPU, whatever the program's defaults are."""
    return nn.Linear(inputs, outputs, bias, dtype=torch.float32, device="cpu")


def norm(width: int) -> nn.LayerNorm:
    return nn.LayerNorm(width, dtype=torch.float32, device="cpu")


class Block(nn.Module):
    """Attention and a two-layer network, each behind a norm and beside an identity: the parts that `Family.mix` and `feed` run."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm1 = norm(width)
        self.q_proj, self.k_proj, self.v_proj = (linear(width, width) for _ in range(3))
        self.out_proj = linear(width, width)
        self.norm2 = norm(width)
        wide = config.mlp_ratio * width
        self.mlp = nn.Sequential(linear(width, wide), nn.GELU(), linear(wide, width))


class SmallViT(nn.Module):
    """The modules that `FoveatedViT` runs: a network over each patch, a class token, blocks, a norm, a map to the space of texts.

    The first is convolutional, so the parts of a digit are the same wherever they lie in a patch. A token's scale is told as the logarithm
    of its side in native patches.
    """

    SCALES: ClassVar[int] = 8

    def __init__(self, config: SmallConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SmallConfig()
        width = config.hidden_size
        first, second = config.stem
        self.patch = nn.Sequential(
            nn.Conv2d(3, first, 5, stride=2, padding=2, dtype=torch.float32, device="cpu"),
            nn.GELU(),
            nn.Conv2d(first, second, 3, stride=2, padding=1, dtype=torch.float32, device="cpu"),
            nn.GELU(),
            nn.Flatten(),
            linear(second * (config.patch_size // 4) ** 2, width),
        )
        self.scale = linear(self.SCALES, width, bias=False)
        self.class_token = nn.Parameter(torch.randn(width, dtype=torch.float32, device="cpu") * 0.02)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = norm(width)
        self.joint = linear(width, config.cells**2 * config.text_dim)
        axis = config.head // 4
        steps = torch.linspace(0, 1, axis, dtype=torch.float32, device="cpu")
        wavelengths = config.shortest_px * (config.longest_px / config.shortest_px) ** steps
        self.register_buffer("frequencies", 2 * torch.pi / wavelengths, persistent=False)

    def embed(self, pixels: Tensor, octaves: Tensor) -> Tensor:
        """[B, 1 + N, D] from pixels [B, N, 3, P, P] and log2 of each side in native patches [B, N]."""
        near = (
            1 - (octaves[..., None] - torch.arange(self.SCALES, device=octaves.device, dtype=torch.int64)).abs()
        ).clamp(min=0)
        tokens = self.patch(pixels.flatten(0, 1)).unflatten(0, pixels.shape[:2]) + self.scale(near.to(pixels.dtype))
        return torch.cat([self.class_token.expand(len(tokens), 1, -1), tokens], 1)


def focus(tokens: int) -> float:
    """What logits of attention are multiplied by among many tokens, so that what is attended to is not drowned (Chiang & Cholak,
    ACL 2022, "Overcoming a theoretical limitation of self-attention"): log N / log 256, at least 1.
    """
    return max(1.0, math.log(max(tokens, 1)) / math.log(256))
