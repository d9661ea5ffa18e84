"""Fits the reader: read first, then find and point, then all together."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import append, check_writable, end_of_lines
from homunculus.encoder.reader import Reader
from homunculus.encoder.small import SmallConfig
from homunculus.lab.needle.lessons import Lessons
from homunculus.lab.needle.loss import Batch, loss
from homunculus.lab.training import checkpoint

SAVE_EVERY = 200
WEIGHTS_FILE, LOG_FILE = "needle.safetensors", "log.jsonl"
ABOUT = (
    "the built-in model was trained on generated pages alone: it finds circles, squares, triangles, diamonds, stars and crosses in six "
    "colours, and the three digits beside them"
)
CLIP, WARM_UP = 1.0, 200


@dataclass(frozen=True)
class Preset:
    """How long and how wide. reading: the share of the steps that teaches reading alone. scale: of a batch, 1 is 4000 tokens. goes_on:
    needs weights to begin with.
    """

    steps: int
    reading: float
    scale: float
    rate: float
    config: SmallConfig
    workers: int = 1
    device: str = "cpu"
    goes_on: bool = False


PRESETS = {
    "cpu": Preset(8000, 0.33, 1.0, 3e-3, SmallConfig()),
    "longer": Preset(4000, 0.0, 1.0, 1.5e-3, SmallConfig(), goes_on=True),
    "gpu": Preset(8000, 0.33, 4.0, 3e-3, SmallConfig(), workers=12, device="cuda"),
}


def train(
    out: Path,
    *,
    preset: str = "cpu",
    steps: int | None = None,
    seed: int = 0,
    start: Path | None = None,
    device: str | None = None,
    track: checkpoint.Track | None = None,
    log: Callable[[dict[str, float]], None] | None = None,
) -> Reader:
    """Trains a reader, and leaves a checkpoint and its weights in `out`. Stopped anywhere and called again it goes on.

    preset: `cpu`, `gpu`, or `longer`, which goes on from `start` at half the rate. steps: fewer than the preset's, for a trial. start:
    weights to begin with, as a training left them; give another seed then, or it sees the same lessons again. Raises DataError for what
    does not fit and ModelError for weights that cannot be read, before anything is written.
    """
    chosen = _checked(preset, steps, start, device)
    steps = chosen.steps
    task = {"preset": preset, **asdict(chosen), "seed": seed}
    for name in ("workers", "device", "goes_on"):
        task.pop(name)
    torch.manual_seed(seed)
    reader = (Reader(chosen.config) if start is None else Reader.load(start).train()).to(chosen.device)
    check_writable(out)
    task["start"] = {name: value for name, value in reader.notes.items() if name != "about"}
    training = checkpoint.Training(out, reader, optimizers_of(reader, chosen.rate), task, SAVE_EVERY)
    began = time.monotonic()
    for batch in training.over(_batches(chosen, training.progress.step, seed), steps, track):
        for group in (group for optimizer in training.optimizers for group in optimizer.param_groups):
            group["lr"] = chosen.rate * schedule(training.progress.step, steps)
        total, parts = loss(reader, moved(batch, chosen.device))
        training.learn(total, CLIP)
        if log is not None:
            told = {"step": training.progress.step + 1, "s": time.monotonic() - began}
            log(told | {name: float(part.detach()) for name, part in parts.items()})
    reader.notes = {"about": ABOUT, "preset": preset, "steps": steps, "seed": seed, "start": task["start"]}
    reader.save(out / WEIGHTS_FILE)
    return reader.eval()


def _checked(preset: str, steps: int | None, start: Path | None, device: str | None) -> Preset:
    """The preset with what was asked for otherwise. Raises DataError for what does not fit."""
    if preset not in PRESETS:
        raise DataError(f"preset is {preset!r}; expected one of {', '.join(PRESETS)}")
    chosen = PRESETS[preset]
    chosen = replace(
        chosen,
        steps=chosen.steps if steps is None else steps,
        device=chosen.device if device is None else device,
    )
    if chosen.device.startswith("cuda") and not torch.cuda.is_available():
        raise DataError(f"device is {chosen.device!r} and torch sees no GPU; use the preset cpu, or --device cpu")
    if chosen.steps < 1:
        raise DataError(f"steps is {steps}; expected at least 1")
    if chosen.goes_on and start is None:
        raise DataError(
            f"preset is {preset!r} and there are no weights to go on from; give --start WEIGHTS, or use the preset cpu"
        )
    return chosen


def _batches(chosen: Preset, first: int, seed: int) -> DataLoader[Batch]:
    lessons = Lessons(chosen.steps, round(chosen.reading * chosen.steps), seed, chosen.scale)
    return DataLoader(
        lessons,
        batch_size=None,
        sampler=range(first, chosen.steps),
        num_workers=chosen.workers,
        multiprocessing_context="spawn" if chosen.workers else None,  # a forked child cannot open a texture unit
        prefetch_factor=4 if chosen.workers else None,
    )


def optimizers_of(reader: Reader, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the matrices of the blocks, AdamW for the rest: on this task a few hundred steps of it do what
    AdamW alone does in two or three times as many.
    """
    matrices = [value for value in reader.vit.layers.parameters() if value.ndim == 2]
    known = {id(value) for value in matrices}
    rest = [value for value in reader.parameters() if id(value) not in known]
    return [
        torch.optim.Muon(matrices, rate, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, rate, betas=(0.9, 0.98), weight_decay=0.01),
    ]


def schedule(step: int, steps: int) -> float:
    """A linear warm-up, then half a cosine down to 2 %."""
    warm = min(WARM_UP, max(steps // 10, 1))
    if step < warm:
        return (step + 1) / warm
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))


def moved(batch: Batch, device: str) -> Batch:
    parts: dict[str, Any] = {
        name: value.to(device) if isinstance(value, Tensor) else value for name, value in vars(batch).items()
    }
    return Batch(**parts)


def lines(path: Path) -> Callable[[dict[str, float]], None]:
    """Appends one JSON line a step."""

    def log(row: dict[str, float]) -> None:
        told = {name: round(value, 4) if math.isfinite(value) else None for name, value in row.items()}
        append(path, (json.dumps(told) + "\n").encode(), end_of_lines(path))

    return log
