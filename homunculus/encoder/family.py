"""What differs between vision models: data, an `Anatomy`, and where data does not do, a subclass of `Family`."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.encoder.anatomy import Anatomy, Position, part, side, tower_of
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.positions import rotate

Method = Literal["value", "maskclip", "gem", "joint", "map", "tokens"]


@dataclass(frozen=True, eq=False)
class LayerContext:
    """What every layer of one forward is told beside its input.

    bias: [B, 1, 1, S] added to the logits of the keys, or None. rotation: cos and sin [B, 1, N, head] of the patches' tokens, for rotary
    models.
    window: bool [B, 1, S, S], for layers that attend within windows. segment: bool [B, 1, S, S], tokens that see one another in any layer;
    None where all do.
    """

    bias: Tensor | None = None
    rotation: tuple[Tensor, Tensor] | None = None
    window: Tensor | None = None
    segment: Tensor | None = None


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
    """A vision model as it is fed: how its tokens are made, what its layers are told, how its output is read, by its own modules.

    merge: cells along a side of a footprint, each a patch of the tower; what it is given, and what it gives unless it says otherwise, are
    cells, one footprint after the other. tower: the vision part; model: the whole of what was given.
    Raises ModelError for a model without square patches.
    """

    texts: ClassVar[bool] = False  # whether `joint` may lead to a space that texts share
    dense: Method = "value"  # how its tokens are best compared with a text
    unit_features = True  # whether they are so as unit vectors
    cells = 1  # along a side of a token, each with features of its own in the space of texts
    special = 0  # tokens before the patch tokens; the first of them is the class token
    native_grid: tuple[int, int] | None = None  # rows, columns of the training image in patches of the tower
    frames: int = 1  # of one token: 2 of a kind that reads clips, or as many as its projection takes
    merge: int = 1

    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        self.anatomy, self.model = anatomy, model
        self.tower = tower_of(model, anatomy)
        self.config = self.tower.config
        self.cell_px = self.cell_side()
        self.merge = merge
        self.dim = int(self.config.hidden_size)
        told = inspect.signature(type(self.layers[0]).forward).parameters if len(self.layers) else {}
        self._told = {"attention_mask", "position_embeddings"} & set(told)

    def cell_side(self) -> int:
        """Texels along a side of a patch of the tower. Raises ModelError for one that is no square."""
        return side(self.config.patch_size, "patch_size")

    @property
    def name(self) -> str:
        return self.anatomy.name

    @property
    def patch_size(self) -> int:
        """Texels along a side of a footprint."""
        return self.cell_px * self.merge

    @property
    def layers(self) -> Sequence[Any]:
        """The transformer layers in order."""
        return part(self.tower, self.anatomy.layers)  # type: ignore[no-any-return]

    @property
    def penultimate(self) -> int:
        """The layer before the last, or the only one, whose class attention pruning methods read."""
        return max(0, len(self.layers) - 2)

    @property
    def projection(self) -> Any:
        return part(self.tower, self.anatomy.projection)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the patch projection's weights."""
        return self.projection.weight.dtype  # type: ignore[no-any-return]

    @abstractmethod
    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        """[B, special + N, D] what enters the first layer, from pixels [B, N, 3, P, P] of cells, or of a clip
        [B, N, frames, 3, P, P], and where they are."""

    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        """last_hidden_state as the model gives it, the patch tokens [B, N, D], and the pooled output [B, D] or None."""
        x = part(self.tower, self.anatomy.norm)(x) if self.anatomy.norm else x
        return x, self.footprints(x[:, self.special :]), self.pooled(x, context)

    def areas(self, at: Coordinates) -> Tensor:
        """[B, N] the area of each cell in patches of the training image, or of the image where the model knows no size of its own;
        of a clip, times how long it lasts."""
        patches = math.prod(self.native_grid) if self.native_grid else at.size_px.prod(-1) / self.cell_px**2
        return at.share * patches if at.span is None else at.share * patches * at.span[..., 1]

    def footprints(self, x: Tensor) -> Tensor:
        """[B, N, D] of the cells' [B, N * merge**2, D]: the mean of each footprint's."""
        return x if self.merge == 1 else x.reshape(len(x), -1, self.merge**2, x.shape[-1]).mean(2)

    def pooled(self, x: Tensor, context: LayerContext) -> Tensor | None:
        """What the model pools of its last hidden state."""
        match self.anatomy.pooled:
            case "class":
                return x[:, 0]
            case "normed class":
                return self.tower.post_layernorm(x[:, 0])  # type: ignore[no-any-return]
            case "mean of special":
                return x[:, : self.special].mean(1)
            case "pooler":
                return self.tower.pooler(x) if self.tower.pooler is not None else None
            case "tokens":
                return self.footprints(x[:, self.special :])
        return None

    def context(self, at: Coordinates, position: Position, bias: Tensor | None) -> LayerContext:
        """What the layers are told. bias: [B, N] log-areas of the cells, or None."""
        told = bias if bias is None else F.pad(bias, (self.special, 0))[:, None, None, :]
        return LayerContext(told, self.rotation(at, position))

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor] | None:
        """cos and sin [B, 1, N, head] of a rotary family."""
        return None

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        """The layer's output; by its parts where it takes no mask and is to be told one."""
        if context.bias is not None and "attention_mask" not in self._told:
            return self.feed(index, self.mix(index, x, context))
        told = {"attention_mask": context.bias, "position_embeddings": self.rotation_told(context)}
        out = self.layers[index](x, **{name: told[name] for name in self._told})
        return out[0] if isinstance(out, tuple) else out  # type: ignore[no-any-return]

    def rotation_told(self, context: LayerContext) -> Any:
        """The rotation as the model's own layers take it."""
        return context.rotation

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
            raise ModelError(f"{self.name} has no class token whose attention could be read; ask for layers instead")
        block = self.attention(index)
        x = block.norm(x)
        keys = heads_of(block.key(x), block.heads)
        query = block.query(x[:, 0]).reshape(len(x), block.heads, -1, 1)
        logits = (self.rotated(keys, context) @ query)[..., 0] * keys.shape[-1] ** -0.5
        logits = logits if context.bias is None else logits + context.bias[:, 0]
        return torch.softmax(logits, -1)

    def attention(self, index: int) -> Attention:
        """The parts of a layer, scales included. Raises ModelError for a family whose layers are not made of these."""
        if not self.anatomy.block:
            raise ModelError(
                f"{self.name} has layers of a kind of its own, whose parts cannot be used alone; "
                "load a ViT, CLIP, SigLIP or DINO model"
            )
        parts = [part(self.layers[index], path) for path in self.anatomy.block]
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
        raise ModelError(f"{self.name} has no text space; load a CLIP or SigLIP model to compare with a text")

    def local(self, x: Tensor) -> Tensor:
        """[..., cells ** 2, D'] the same for each cell of a token, row by row."""
        return self.joint(x)[..., None, :]


def heads_of(x: Tensor, heads: int) -> Tensor:
    """[B, heads, S, head] of [B, S, D]."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)
