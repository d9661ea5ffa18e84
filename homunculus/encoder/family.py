"""What differs between vision models. One subclass of `Family` in one file adds a model type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.positions import Filter, table_position

Position = Literal["center", "footprint"]
Method = Literal["value", "maskclip", "gem", "joint", "map", "tokens"]
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True, eq=False)
class LayerContext:
    """What every layer of one forward is told beside its input.

    bias: [B, 1, 1, S] added to the logits of the keys, or None. rotation: cos and sin [B, 1, N, head], for rotary models.
    window: bool [B, 1, S, S], for layers that attend within windows.
    """

    bias: Tensor | None = None
    rotation: tuple[Tensor, Tensor] | None = None
    window: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Attention:
    """The parts of one attention block, for features that read it in another way."""

    norm: nn.Module
    query: nn.Module
    key: nn.Module
    value: nn.Module
    out: nn.Module
    norm_mlp: nn.Module
    mlp: nn.Module
    heads: int


class Family(ABC):
    """One kind of vision model: how its tokens are made, what its layers are told, how its output is read.

    Subclasses run the model's own modules; `tower` is its vision part, `model` the whole of what was given.
    """

    model_types: ClassVar[tuple[str, ...]]
    inside: ClassVar[tuple[str, ...]] = ()  # attributes under which a whole model keeps its vision tower
    normalisation: ClassVar[tuple[tuple[float, float, float], tuple[float, float, float]]] = HALF
    position: Position = "center"
    optional: ClassVar[tuple[str, ...]] = ()  # modules of the tower that a checkpoint may lack
    special = 0  # tokens before the patch tokens; the first of them is the class token
    texts: ClassVar[bool] = False  # whether `joint` may lead to a space that texts share
    dense: Method = "value"  # how its tokens are best compared with a text
    unit_features = True  # whether they are so as unit vectors
    cells = 1  # along a side of a token, each with features of its own in the space of texts
    patch_size: int
    dim: int
    native_grid: tuple[int, int] | None = None  # rows, columns of the training image in patches

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tower = tower_of(model, self.inside)
        self.config = self.tower.config
        self.patch_size = side(self.config.patch_size, "patch_size")
        self.dim = int(self.config.hidden_size)

    @property
    @abstractmethod
    def layers(self) -> Sequence[Any]:
        """The transformer layers in order."""

    @property
    @abstractmethod
    def dtype(self) -> torch.dtype:
        """The type of the patch projection's weights."""

    @abstractmethod
    def embed(self, pixels: Tensor, coordinates: Coordinates, position: Position) -> Tensor:
        """[B, special + N, D] what enters the first layer, from pixels [B, N, 3, P, P]."""

    @abstractmethod
    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        """last_hidden_state as the model gives it, the patch tokens [B, N, D], and the pooled output [B, D] or None."""

    def context(self, coordinates: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        """What the layers are told. bias: [B, N] log-areas of the patch tokens, or None."""
        return LayerContext(bias if bias is None else F.pad(bias, (self.special, 0))[:, None, None, :])

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """The layer's output."""
        return self.layers[index](x, context.bias)  # type: ignore[no-any-return]

    def rotated(self, keys: Tensor, context: LayerContext) -> Tensor:
        """Keys [B, heads, S, head] as attention compares them."""
        return keys

    def class_attention(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """[B, heads, special + N] what the class token attends to in a layer, from the layer's input.

        Raises ModelError for a family without a class token.
        """
        if not self.special:
            raise ModelError(
                f"{self.model_types[0]} has no class token whose attention could be read; ask for layers instead"
            )
        block = self.attention(index)
        x = block.norm(x)
        keys = heads_of(block.key(x), block.heads)
        query = block.query(x[:, 0]).reshape(len(x), block.heads, -1, 1)
        logits = (self.rotated(keys, context) @ query)[..., 0] * keys.shape[-1] ** -0.5
        logits = logits if context.bias is None else logits + context.bias[:, 0]
        return torch.softmax(logits, -1)

    def attention(self, index: int) -> Attention:
        """The parts of a layer, scales included. Raises ModelError for a family whose layers are not made of these."""
        raise ModelError(
            f"{self.model_types[0]} has layers of a kind of its own, whose parts cannot be used alone; "
            "load a ViT, CLIP, SigLIP or DINO model"
        )

    def keys(self, index: int, x: Tensor) -> Tensor:
        """[B, heads, special + N, head] keys of a layer, before any rotation, from the layer's input."""
        block = self.attention(index)
        return heads_of(block.key(block.norm(x)), block.heads)

    def mix(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """The first half of a layer, its attention; `feed` after it gives what `layer` gives, without training's dropout."""
        block = self.attention(index)
        normed = block.norm(x)
        query, key = (self.rotated(heads_of(part(normed), block.heads), context) for part in (block.query, block.key))
        seen = F.scaled_dot_product_attention(query, key, heads_of(block.value(normed), block.heads), context.bias)
        return x + block.out(seen.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def feed(self, index: int, x: Tensor) -> Tensor:
        """The second half of a layer, each token for itself."""
        block = self.attention(index)
        return x + block.mlp(block.norm_mlp(x))  # type: ignore[no-any-return]

    def joint(self, x: Tensor) -> Tensor:
        """Layer outputs [..., D] in the space that texts share. Raises ModelError where there is none."""
        raise ModelError(f"{self.model_types[0]} has no text space; load a CLIP or SigLIP model to compare with a text")

    def local(self, x: Tensor) -> Tensor:
        """[..., cells ** 2, D'] the same for each cell of a token, row by row."""
        return self.joint(x)[..., None, :]


class TableFamily(Family):
    """A family with a patch projection and a learned table of positions, with or without a class token before it."""

    antialias: ClassVar[Filter | None] = None  # the filter with which the model's own code resizes its table

    @property
    @abstractmethod
    def projection(self) -> Any:
        """The convolution or linear map that makes a token of a patch."""

    @property
    @abstractmethod
    def table(self) -> Tensor:
        """[special with a position + rows * columns, D] learned positions."""

    def grid_of_table(self, first: int) -> tuple[int, int]:
        cells = self.table.shape[0] - first
        rows = round(cells**0.5)
        if rows * rows != cells:
            raise ModelError(
                f"the position table has {cells} cells, which is no square; give a model trained on square images"
            )
        return rows, rows

    @property
    def dtype(self) -> torch.dtype:
        return self.projection.weight.dtype  # type: ignore[no-any-return]

    def project(self, pixels: Tensor) -> Tensor:
        return project(pixels, self.projection)

    def positions(self, coordinates: Coordinates, position: Position, first: int) -> Tensor:
        """[B, N, D] positions of the patch tokens; the table's first rows belong to special tokens."""
        assert self.native_grid is not None
        table = self.table[first:].reshape(*self.native_grid, -1)
        read = table_position(table, coordinates, footprint=position == "footprint", antialias=self.antialias)
        return read.to(self.dtype)

    def with_class_token(self, pixels: Tensor, coordinates: Coordinates, position: Position, token: Tensor) -> Tensor:
        """Patch tokens with their positions, behind the class token [D] with its own, the table's first row."""
        tokens = self.project(pixels) + self.positions(coordinates, position, first=1)
        return torch.cat([(token + self.table[0]).expand(len(tokens), 1, -1), tokens], 1)


def project(pixels: Tensor, convolution: Any) -> Tensor:
    """[B, N, D] of patches [B, N, 3, P, P]: a convolution whose stride is its kernel is a linear map of each patch."""
    weight = convolution.weight
    return F.linear(pixels.to(weight.dtype).flatten(2), weight.flatten(1), convolution.bias)


def heads_of(x: Tensor, heads: int) -> Tensor:
    """[B, heads, S, head] of [B, S, D]."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def tower_of(model: Any, inside: Sequence[str]) -> Any:
    """The vision tower in a model, found through the attributes under which models keep it."""
    while (name := next((name for name in inside if hasattr(model, name)), None)) is not None:
        model = getattr(model, name)
    return model


def side(value: Any, name: str) -> int:
    """The side of a square given as a number or a pair."""
    sides = {int(part) for part in value} if isinstance(value, Sequence) else {int(value)}
    if len(sides) != 1:
        raise ModelError(f"{name} is {value}; patches must be square for this library, give a model with square ones")
    return sides.pop()
