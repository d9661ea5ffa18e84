"""What differs between vision models. One subclass of `Family` in one file adds a model type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.positions import Filter, rotate, table_position

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

    heads: int
    norm: nn.Module
    query: nn.Module
    key: nn.Module
    value: nn.Module
    out: nn.Module
    norm_mlp: nn.Module
    mlp: nn.Module


class Family(ABC):
    """One kind of vision model: how its tokens are made, what its layers are told, how its output is read.

    Subclasses run the model's own modules; `tower` is its vision part, `model` the whole of what was given. Most of a family is where the
    tower keeps its modules: dotted paths below the tower, and in `block` below a layer, the parts of `Attention` but the heads. `a | b`
    is what b makes of what a gives.
    """

    model_types: ClassVar[tuple[str, ...]]
    inside: ClassVar[tuple[str, ...]] = ()  # attributes under which a whole model keeps its vision tower
    normalisation: ClassVar[tuple[tuple[float, float, float], tuple[float, float, float]]] = HALF
    position: Position = "center"
    optional: ClassVar[tuple[str, ...]] = ()  # modules of the tower that a checkpoint may lack
    special = 0  # tokens before the patch tokens; the first of them is the class token, the others are registers
    texts: ClassVar[bool] = False  # whether `joint` may lead to a space that texts share
    dense: Method = "value"  # how its tokens are best compared with a text
    unit_features = True  # whether they are so as unit vectors
    cells = 1  # along a side of a token, each with features of its own in the space of texts
    patch_size: int
    dim: int
    native_grid: tuple[int, int] | None = None  # rows, columns of the training image in patches
    layers_path: ClassVar[str] = "encoder.layers"
    projection_path: ClassVar[str]  # the convolution or linear map that makes a token of a patch
    norm_path: ClassVar[str] = "layernorm"  # behind the last layer
    block: ClassVar[tuple[str, ...]] = ()

    def __init__(self, model: Any) -> None:
        self.model = model
        self.tower = tower_of(model, self.inside)
        self.config = self.tower.config
        self.patch_size = side(self.config.patch_size, "patch_size")
        self.dim = int(self.config.hidden_size)
        self.special += int(getattr(self.config, "num_register_tokens", 0))

    @property
    def layers(self) -> Sequence[Any]:
        """The transformer layers in order."""
        return part(self.tower, self.layers_path)  # type: ignore[no-any-return]

    @property
    def projection(self) -> Any:
        return part(self.tower, self.projection_path)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the patch projection's weights."""
        return self.projection.weight.dtype  # type: ignore[no-any-return]

    @abstractmethod
    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        """[B, special + N, D] what enters the first layer, from pixels [B, N, 3, P, P]."""

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        """last_hidden_state as the model gives it, the patch tokens [B, N, D], and the pooled output [B, D] or None."""
        x = part(self.tower, self.norm_path)(x)
        return x, x[:, self.special :], self.pooled(x, context)

    def pooled(self, x: Tensor, context: LayerContext) -> Tensor | None:
        """What the model pools of its last hidden state."""
        return x[:, 0]

    def context(self, at: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        """What the layers are told. bias: [B, N] log-areas of the patch tokens, or None."""
        told = bias if bias is None else F.pad(bias, (self.special, 0))[:, None, None, :]
        return LayerContext(told, self.rotation(at, position))

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor] | None:
        """cos and sin [B, 1, N, head] of a rotary family."""
        return None

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """The layer's output."""
        return self.layers[index](x, context.bias)  # type: ignore[no-any-return]

    def rotated(self, keys: Tensor, context: LayerContext) -> Tensor:
        """Keys [B, heads, S, head] as attention compares them."""
        if context.rotation is None:
            return keys
        return torch.cat([keys[:, :, : self.special], rotate(keys[:, :, self.special :], *context.rotation)], 2)

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
        if not self.block:
            raise ModelError(
                f"{self.model_types[0]} has layers of a kind of its own, whose parts cannot be used alone; "
                "load a ViT, CLIP, SigLIP or DINO model"
            )
        parts = [part(self.layers[index], path) for path in self.block]
        return Attention(int(self.config.num_attention_heads), *parts)

    def keys(self, index: int, x: Tensor) -> Tensor:
        """[B, heads, special + N, head] keys of a layer, before any rotation, from the layer's input."""
        block = self.attention(index)
        return heads_of(block.key(block.norm(x)), block.heads)

    def mix(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """The first half of a layer, its attention; `feed` after it gives what `layer` gives, without training's dropout."""
        block = self.attention(index)
        normed = block.norm(x)
        query, key = (self.rotated(heads_of(each(normed), block.heads), context) for each in (block.query, block.key))
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


class PatchFamily(Family):
    """A family that projects patches, adds positions from a learned table if it has one, and puts its special tokens before them."""

    table_path: ClassVar[str] = ""  # [special with a position + rows * columns, D] learned positions
    class_path: ClassVar[str] = "embeddings.cls_token"
    then_path: ClassVar[str] = ""  # what all tokens go through before the first layer
    antialias: ClassVar[Filter | None] = None  # the filter with which the model's own code resizes its table

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        if self.table_path:
            cells = self.table.shape[0] - min(self.special, 1)
            rows = round(cells**0.5)
            if rows * rows != cells:
                raise ModelError(
                    f"the position table has {cells} cells, which is no square; give a model trained on square images"
                )
            self.native_grid = (rows, rows)

    @property
    def table(self) -> Tensor:
        return part(self.tower, self.table_path).flatten(0, -2)  # type: ignore[no-any-return]

    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        tokens = self.project(pixels)
        first = min(self.special, 1)
        if self.table_path:
            tokens = tokens + self.positions(at, position, first)
        if self.special:
            token = part(self.tower, self.class_path).flatten()
            before = [token + self.table[0] if self.table_path else token]
            before += list(self.tower.embeddings.register_tokens[0]) if self.special > 1 else []
            tokens = torch.cat([torch.stack(before).expand(len(tokens), -1, -1), tokens], 1)
        return part(self.tower, self.then_path)(tokens) if self.then_path else tokens

    def project(self, pixels: Tensor) -> Tensor:
        """[B, N, D] of patches [B, N, 3, P, P]: a convolution whose stride is its kernel is a linear map of each patch."""
        weight = self.projection.weight
        return F.linear(pixels.to(weight.dtype).flatten(2), weight.flatten(1), self.projection.bias)

    def positions(self, at: Coordinates, position: Position, first: int) -> Tensor:
        """[B, N, D] positions of the patch tokens; the table's first rows belong to special tokens."""
        assert self.native_grid is not None
        table = self.table[first:].reshape(*self.native_grid, -1)
        return table_position(table, at, footprint=position == "footprint", antialias=self.antialias).to(self.dtype)


def part(root: Any, path: str) -> Any:
    """The module at a dotted path, or the sequence of those that `|` divides."""
    found = [attrgetter(each)(root) for each in path.split(" | ")]
    return found[0] if len(found) == 1 else nn.Sequential(*found)


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
