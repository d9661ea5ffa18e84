"""A shard of a video: what was seen of some frames in a row, and the state that the next frame starts from, in one whole file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.fields import value
from homunculus.bridge.files.reading import parsed, read_tensors, refusing
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.loop.watched import Watched, WatchedMoment, WatchState

NAME = "frames-{first:07d}.safetensors"
AGAIN = "it is no whole shard of a video: delete it and watch again"
KEPT, STATE = "homunculus", "state."


@dataclass(frozen=True, eq=False)
class WatchedFrame(WatchedMoment):
    """What is kept of one frame, all of it on the host. tokens: [N, D] of the model. patches: pixels [N, 3, P, P] in 0..1, or 0..255 as
    uint8."""

    tokens: Tensor | None = None
    patches: Patches | None = None

    @classmethod
    def of(cls, seen: Watched, kept: str, values: str) -> WatchedFrame:
        """kept, values: as of `RunSettings`."""
        tokens = patches = None
        if kept != "patches" and seen.tokens is not None:
            tokens = seen.tokens.detach().cpu()
        if kept != "tokens":
            pixels = seen.patches.pixels.detach().cpu()
            if values == "uint8":
                pixels = (pixels.clamp(0, 1) * 255).round().to(torch.uint8)
            patches = Patches(pixels.half() if values == "float16" else pixels, seen.patches.inside.detach().cpu())
        plan, times = seen.plan.to("cpu"), seen.times.cpu()
        fixations = seen.fixations_px.detach().to("cpu", torch.float32)
        facts = seen.moved, seen.cut, seen.jumped
        return cls(seen.number, seen.time_s, plan, times, fixations, *facts, tokens, patches)


def write_frames(path: Path, rows: Sequence[WatchedFrame], state: WatchState, about: Mapping[str, Any]) -> None:
    """about: what is said of all of them, in JSON types. Raises WriteError, and leaves nothing."""
    tensors = {
        "number": _whole([row.number for row in rows]),
        "time_s": torch.tensor([row.time_s for row in rows], dtype=torch.float64, device="cpu"),
        "footprints": torch.stack([row.plan.footprints for row in rows]),
        "times": torch.stack([row.times for row in rows]),
        "fixations_px": torch.cat([row.fixations_px for row in rows]),
        "fixations": _whole([len(row.fixations_px) for row in rows]),
        "moved": _whole([row.moved for row in rows]),
        "cut": _whole([row.cut for row in rows]),
        "jumped": _whole([row.jumped for row in rows]),
    }
    tokens = [row.tokens for row in rows if row.tokens is not None]
    patches = [row.patches for row in rows if row.patches is not None]
    if tokens:
        tensors["tokens"] = torch.stack(tokens)
    if patches:
        tensors["pixels"] = torch.stack([one.pixels for one in patches])
        tensors["inside"] = torch.stack([one.inside for one in patches])
    tensors |= {STATE + name: tensor for name, tensor in state.to_tensors().items()}
    # One key: safetensors would write several in any order, and the same frames as other bytes.
    write_tensors(path, tensors, {KEPT: json.dumps({**about, "patch_size": rows[0].plan.patch_size}, sort_keys=True)})


def read_frames(path: Path) -> Iterator[WatchedFrame]:
    """Its frames, in order. Raises DataError for what is no whole shard."""
    tensors, patch_size = _read(path)
    with refusing(str(path), remedy=AGAIN):
        places = torch.split(tensors["fixations_px"], tensors["fixations"].tolist())
        facts = [tensors[name].tolist() for name in ("number", "time_s", "moved", "cut", "jumped")]
        plans = [SamplePlan(rows, patch_size) for rows in tensors["footprints"]]
    for place, (number, time_s, moved, cut, jumped) in enumerate(zip(*facts, strict=True)):
        with refusing(str(path), remedy=AGAIN):
            times = tensors["times"][place]
            tokens = tensors["tokens"][place] if "tokens" in tensors else None
            seen = Patches(tensors["pixels"][place], tensors["inside"][place]) if "pixels" in tensors else None
            told = moved, bool(cut), bool(jumped)
            row = WatchedFrame(number, time_s, plans[place], times, places[place], *told, tokens, seen)
        yield row


def read_state(path: Path) -> WatchState:
    """What the frame after its last one starts from. Raises DataError for what is no whole shard."""
    tensors = _read(path)[0]
    with refusing(str(path), remedy=AGAIN):
        return WatchState.of_tensors(
            {name.removeprefix(STATE): tensor for name, tensor in tensors.items() if name.startswith(STATE)}
        )


def _read(path: Path) -> tuple[dict[str, Tensor], int]:
    """Its tensors, and the side of a patch in texels."""
    tensors, metadata = read_tensors(path, remedy=AGAIN)
    if KEPT not in metadata:
        raise DataError(f"{path} does not say what was kept; {AGAIN}")
    return tensors, value(parsed(metadata[KEPT], f"{path}: {KEPT}", remedy=AGAIN), "patch_size", int, str(path))


def _whole(values: Sequence[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.int64, device="cpu")
