"""Where a vision transformer keeps its parts: most models are told from one another by a row of such data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.encoder.positions import Reading

Position = Literal["center", "footprint"]
Pooling = Literal["", "class", "normed class", "mean of special", "pooler", "tokens"]
Values = tuple[tuple[float, float, float], tuple[float, float, float]]
IMAGENET: Values = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP: Values = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
HALF: Values = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Anatomy:
    """One kind of vision transformer, as data.

    Paths are dotted, below the tower, and in `block` below a layer; `a | b` is what b makes of what a gives, `a[1]` the second third of
    the output of a linear map that gives queries, keys and values.
    types: `model_type` of its configurations, the first of which names it.
    projection: the convolution or linear map that makes a token of a patch; behind_projection: what follows it, before positions.
    special: learned tokens before the patches', in order; the first is the class token.
    table: learned positions [tokens of the first `placed` paths of `special` + rows * columns, D]; reading: how it is read elsewhere.
    before_layers: what all tokens go through before the first layer. norm: behind the last one.
    block: the parts of `Attention` but the heads, for features and rivals that read a layer in another way.
    pooled: what the model pools of its last hidden state; `pooler` is its own module of that name.
    optional: modules of the tower that a checkpoint may lack. normalisation: mean and std where a folder tells none.
    """

    types: tuple[str, ...]
    projection: str
    behind_projection: str = ""
    special: tuple[str, ...] = ()
    table: str = ""
    placed: int = 1
    reading: Reading = "bicubic"
    position: Position = "center"
    before_layers: str = ""
    layers: str = "encoder.layers"
    block: tuple[str, ...] = ()
    norm: str = ""
    pooled: Pooling = "class"
    optional: tuple[str, ...] = ()
    normalisation: Values = HALF

    @property
    def name(self) -> str:
        return self.types[0]


class Scaled(nn.Module):
    """A learned scale of each channel, as the module that a path runs through."""

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale


class Third(nn.Module):
    """One of three maps that a model keeps in one."""

    def __init__(self, fused: nn.Linear, index: int) -> None:
        super().__init__()
        self.fused, self.index = fused, index

    def forward(self, x: Tensor) -> Tensor:
        weight = self.fused.weight.chunk(3)[self.index]
        return F.linear(x, weight, None if self.fused.bias is None else self.fused.bias.chunk(3)[self.index])


def part(root: Any, path: str) -> Any:
    """The module or tensor at a dotted path, or the sequence of modules that `|` divides, of which tensors are scales."""
    found = [one_part(root, each) for each in path.split(" | ")]
    if len(found) == 1:
        return found[0]
    return nn.Sequential(*(Scaled(each) if isinstance(each, Tensor) else each for each in found))


def one_part(root: Any, path: str) -> Any:
    if not path.endswith("]"):
        return attrgetter(path)(root)
    fused, index = path[:-1].split("[")
    return Third(attrgetter(fused)(root), int(index))


def tower_of(model: nn.Module, anatomy: Anatomy) -> Any:
    """The vision tower in a model: the first of its modules, itself among them, that has the parts. Raises ModelError where none has."""
    for module in model.modules():
        if all(has_part(module, path) for path in (anatomy.projection, anatomy.layers)):
            return module
    raise ModelError(
        f"{type(model).__name__} has no {anatomy.projection}, so no vision tower of a {anatomy.name}; give the model that has it"
    )


def has_part(root: Any, path: str) -> bool:
    try:
        attrgetter(path)(root)
    except AttributeError:
        return False
    return True


def side(value: Any, name: str) -> int:
    """The side of a square given as a number or a pair."""
    sides = {int(part) for part in value} if isinstance(value, Sequence) else {int(value)}
    if len(sides) != 1:
        raise ModelError(f"{name} is {value}; patches must be square for this library, give a model with square ones")
    return sides.pop()
