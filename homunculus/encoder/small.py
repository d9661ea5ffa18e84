"""A small vision transformer of our own: positions are pixels, so a page of any size and any plan are the same to it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.encoder.positions import rotate


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


class Block(nn.Module):
    """Attention and a two-layer network, each behind a norm and beside an identity."""

    def __init__(self, config: SmallConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.num_attention_heads
        self.norm1 = nn.LayerNorm(width, dtype=torch.float32, device="cpu")
        self.q_proj, self.k_proj, self.v_proj = (
            nn.Linear(width, width, dtype=torch.float32, device="cpu") for _ in range(3)
        )
        self.out_proj = nn.Linear(width, width, dtype=torch.float32, device="cpu")
        self.norm2 = nn.LayerNorm(width, dtype=torch.float32, device="cpu")
        self.mlp = nn.Sequential(
            nn.Linear(width, config.mlp_ratio * width, dtype=torch.float32, device="cpu"),
            nn.GELU(),
            nn.Linear(config.mlp_ratio * width, width, dtype=torch.float32, device="cpu"),
        )

    def forward(self, x: Tensor, bias: Tensor | None, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """[B, 1 + N, D]. bias: added to the keys' logits. rotation: cos and sin [B, 1, N, head] of the patch tokens."""
        y = self.norm1(x)
        q, k, v = (self.split(part(y)) for part in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(turned(q, rotation), turned(k, rotation), v, bias)
        x = x + self.out_proj(mixed.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))  # type: ignore[no-any-return]

    def split(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)


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
            nn.Linear(second * (config.patch_size // 4) ** 2, width, dtype=torch.float32, device="cpu"),
        )
        self.scale = nn.Linear(self.SCALES, width, bias=False, dtype=torch.float32, device="cpu")
        self.class_token = nn.Parameter(torch.randn(width, dtype=torch.float32, device="cpu") * 0.02)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width, dtype=torch.float32, device="cpu")
        self.joint = nn.Linear(width, config.cells**2 * config.text_dim, dtype=torch.float32, device="cpu")
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


def turned(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys [B, heads, 1 + N, head] with rotary positions; the class token has none."""
    return torch.cat([x[:, :, :1], rotate(x[:, :, 1:], *rotation)], 2)


def focus(tokens: int) -> float:
    """What logits of attention are multiplied by among many tokens, so that what is attended to is not drowned (Chiang & Cholak,
    ACL 2022, "Overcoming a theoretical limitation of self-attention"): log N / log 256, at least 1.
    """
    return max(1.0, math.log(max(tokens, 1)) / math.log(256))
