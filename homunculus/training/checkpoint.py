"""A training that was stopped anywhere goes on from its last checkpoint, and ends as if it had not been stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from homunculus.errors import DataError

FILE = "checkpoint.safetensors"


@dataclass
class Progress:
    """Steps done, and the loss of each."""

    step: int = 0
    losses: list[float] = field(default_factory=list)


def save(
    folder: Path,
    module: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Progress,
    task: Mapping[str, Any],
) -> None:
    """Replaces the checkpoint in one move, so that a kill leaves the old one or the new one. task: what must be the same to go on."""
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = torch.as_tensor(value)
    metadata = {"step": str(progress.step), "losses": json.dumps(progress.losses), "task": json.dumps(dict(task))}
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f".{FILE}"
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, partial, metadata)
    os.replace(partial, folder / FILE)


def load(
    folder: Path, module: nn.Module, optimizers: Sequence[torch.optim.Optimizer], task: Mapping[str, Any]
) -> Progress:
    """Restores what `save` wrote, in place; a fresh start where there is nothing. optimizers: each parameter is one's.

    Raises DataError for a checkpoint that cannot be read, or of another task.
    """
    path = folder / FILE
    if not path.is_file():
        return Progress()
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        before = json.loads(metadata["task"])
        progress = Progress(int(metadata["step"]), json.loads(metadata["losses"]))
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}; delete it to start again") from error
    task = json.loads(json.dumps(dict(task)))  # as it was written: lists for tuples
    changed = [
        f"{name} was {before.get(name)!r} and is {value!r}" for name, value in task.items() if before.get(name) != value
    ]
    if changed:
        raise DataError(
            f"{path} is of another training: {'; '.join(changed)}; give another folder, or delete it to start again"
        )
    module.load_state_dict(
        {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
    )
    names = {parameter: name for name, parameter in module.named_parameters()}
    for optimizer in optimizers:
        for parameter in (value for group in optimizer.param_groups for value in group["params"]):
            start = f"optimizer.{names[parameter]}."
            state = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            if state:
                optimizer.state[parameter] = state
    return progress
