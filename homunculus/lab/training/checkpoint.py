"""A training that was stopped anywhere goes on from its last checkpoint, and ends as if it had not been stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.fields import finite
from homunculus.bridge.files.reading import fill, parsed, read_tensors, shown
from homunculus.bridge.tensors import tensor_of

FILE = "checkpoint.safetensors"
DIGITS = 18
Track = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass
class Progress:
    """Steps done, and the loss of each."""

    step: int = 0
    losses: list[float] = field(default_factory=list)


class Training:
    """Steps of one module, from the last checkpoint in a folder. Arguments as `load` takes them; every: steps between checkpoints."""

    def __init__(
        self,
        folder: Path,
        module: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        task: Mapping[str, Any],
        every: int,
    ) -> None:
        self.folder, self.module, self.optimizers, self.task, self.every = folder, module, optimizers, task, every
        self.progress = load(folder, module, optimizers, task)

    def over(self, batches: Iterable[Any], steps: int, track: Track | None) -> Iterator[Any]:
        """The batches of the steps that are left, of `steps` in all. What is done with one is a step; then it is counted and saved."""
        for batch in batches if track is None else track(batches, "training"):
            yield batch
            self.progress.step += 1
            if self.progress.step % self.every == 0 or self.progress.step == steps:
                save(self.folder, self.module, self.optimizers, self.progress, self.task)

    def learn(self, loss: Tensor, clip: float | None = None) -> None:
        """One step down the gradient, whose norm is cut to `clip`."""
        self.module.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), clip)
        for optimizer in self.optimizers:
            optimizer.step()


def save(
    folder: Path,
    module: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    progress: Progress,
    task: Mapping[str, Any],
) -> None:
    """Replaces the checkpoint in one move, so that a kill leaves the old one or the new one. task: what must be the same to go on.

    Raises WriteError.
    """
    tensors = {f"module.{name}": value for name, value in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for optimizer in optimizers:
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{key}"] = (
                    value if isinstance(value, Tensor) else tensor_of(value, torch.float32)
                )
    metadata = {"step": str(progress.step), "losses": json.dumps(progress.losses), "task": json.dumps(dict(task))}
    write_tensors(folder / FILE, tensors, metadata)


def load(
    folder: Path, module: nn.Module, optimizers: Sequence[torch.optim.Optimizer], task: Mapping[str, Any]
) -> Progress:
    """Restores what `save` wrote, in place; a fresh start where there is nothing. optimizers: each parameter is one's.

    Raises DataError for a checkpoint that cannot be read, or of another task.
    """
    path = folder / FILE
    if not os.path.isfile(path):
        return Progress()
    remedy = "delete it to start again"
    tensors, metadata = read_tensors(path, remedy=remedy)
    before, losses = (parsed(metadata.get(name, ""), f"{path}: {name}", remedy=remedy) for name in ("task", "losses"))
    steps = metadata.get("step", "")
    sound = isinstance(before, dict) and isinstance(losses, list) and all(map(finite, losses))
    if not sound or not steps.isdecimal() or len(steps) > DIGITS:
        raise DataError(f"{path} holds no step, losses and task, as a training writes them; {remedy}")
    progress = Progress(int(steps), losses)
    task = json.loads(json.dumps(dict(task)))  # as it was written: lists for tuples
    changed = [
        f"{name} was {shown(before.get(name))} and is {shown(value)}"
        for name, value in task.items()
        if before.get(name) != value
    ]
    if changed:
        raise DataError(
            f"{path} is of another training: {'; '.join(changed)}; give another folder, or delete it to start again"
        )
    weights = {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
    names = {parameter: name for name, parameter in module.named_parameters()}
    states: list[tuple[torch.optim.Optimizer, nn.Parameter, dict[str, Tensor]]] = []
    for optimizer in optimizers:
        for parameter in (value for group in optimizer.param_groups for value in group["params"]):
            start = f"optimizer.{names[parameter]}."
            state = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            wrong = [key for key, value in state.items() if value.ndim and value.shape != parameter.shape]
            if wrong or not all(bool(value.isfinite().all()) for value in state.values()):
                raise DataError(f"{path}: {start}{', '.join(wrong)} does not fit; {remedy}")
            states.append((optimizer, parameter, state))
    fill(module, weights, path, error=DataError, remedy=remedy)
    for optimizer, parameter, state in states:
        if state:
            optimizer.state[parameter] = state
    return progress
