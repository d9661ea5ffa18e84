"""What the weights of a folder hold, from the headers of its safetensors files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import safe_open

from homunculus.bridge.errors import ModelError
from homunculus.encoder.folder import Folder
from homunculus.encoder.guard import refusing

SPARE = 2  # weights that share their numbers are counted once in a file, and again in a model that is not yet tied


@dataclass(frozen=True)
class Held:
    """How many tensors, and how many numbers in all of them."""

    tensors: int
    numbers: int


def held(folder: Folder) -> Held:
    """Raises ModelError where there are no weights, or their headers cannot be read."""
    tensors = numbers = 0
    for shard in folder.shards():
        with refusing(folder.path), safe_open(shard, "pt") as file:
            names = file.keys()
            tensors += len(names)
            numbers += sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    return Held(tensors, numbers)


def tensor_names(folder: Folder) -> list[str]:
    """The names of all tensors. Raises ModelError as `held`."""
    names: list[str] = []
    for shard in folder.shards():
        with refusing(folder.path), safe_open(shard, "pt") as file:
            names += file.keys()
    return names


def check_layers(folder: Folder, config: dict[str, Any], weights: Held) -> None:
    """Raises ModelError where any part of a configuration asks for more layers than there are tensors."""
    for part in (config, *(value for value in config.values() if isinstance(value, dict))):
        for key in ("num_hidden_layers", "depth"):
            if part.get(key) is not None and part[key] > weights.tensors:
                raise ModelError(
                    f"{folder.name} asks for {part[key]} layers ({key}) and its weights hold {weights.tensors} tensors in all; "
                    "copy the folder again, whole"
                )


def check_numbers(folder: Folder, model: Any, config: Any, weights: Held) -> None:
    """Raises ModelError where a class of transformers would make far more numbers of a configuration than the weights hold."""
    with torch.device("meta"):
        built = model._from_config(config) if hasattr(model, "_from_config") else model.from_config(config)
    needed = sum(value.numel() for value in built.parameters())
    if needed > SPARE * weights.numbers:
        raise ModelError(
            f"{folder.name} asks for {needed} numbers in its config.json and its weights hold {weights.numbers}; "
            "copy the folder again, whole, or give the configuration that the weights were saved with"
        )


def check_whole(folder: Folder, missing: Sequence[str]) -> None:
    """Raises ModelError where tensors are missing from a checkpoint: transformers would make them up."""
    if missing:
        raise ModelError(
            f"{folder.name} lacks {len(missing)} of the tensors its config.json asks for, such as {', '.join(missing[:3])}; they would "
            "be random numbers: copy the folder again, whole, or load a model whose weights match its configuration"
        )
