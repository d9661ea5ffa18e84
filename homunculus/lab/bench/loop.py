"""The whole loop, from image to tokens, beside encoding every patch of the image with the same model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from homunculus import layouts
from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import check_writable
from homunculus.bridge.open import Backend
from homunculus.encoder import FoveatedViT
from homunculus.lab.bench import machine
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import synchronise
from homunculus.lab.tables import in_terminal, publish
from homunculus.loop import Homunculus
from homunculus.relevance.query import Query

WORDS = "red, top left"
DIM = 768


@dataclass(frozen=True)
class LoopTimes:
    """Medians over rounds in which both took turns. parts_ms: of the loop, in order; they add up to it but for rounding."""

    size_px: int
    tokens: int
    full_tokens: int
    loop_ms: float
    full_ms: float
    parts_ms: dict[str, float]
    rounds: int

    @property
    def times_faster(self) -> float:
        return self.full_ms / self.loop_ms


def run(
    size: int = 1024,
    *,
    model: str | Path | None = None,
    budget: int = 273,
    backend: Backend | None = None,
    rounds: int = 5,
    out: Path | None = None,
) -> LoopTimes:
    """Times one look with a query, coarse pass included, and all native patches through the same encoder; prints both.

    model: a folder or hub name with a text space; by default a ViT-B/16 as CLIP has it, with random weights, which costs what trained
    ones do. The loop starts from the image on the host; the full grid from its patches, cut and normalised before.
    """
    if out is not None:
        check_writable(out)
    encoder = random_vit_b16() if model is None else FoveatedViT.from_pretrained(model)
    with Homunculus(None, encoder, budget=budget, backend=backend) as eye, torch.no_grad():
        times = _timed(eye, encoder, size, rounds)
        unit = {"backend": eye.unit.backend, "renderer": eye.unit.renderer}
    facts = machine.describe()
    told = f"{facts['processor']}, {facts['torch_threads']} threads; {unit['renderer']}; torch {torch.__version__}"
    told += f"; medians of {rounds}; commit {facts['commit']}"
    record = {
        "machine": facts,
        **unit,
        **asdict(times),
        "times_faster": round(times.times_faster, 2),
        "model": str(model or "ViT-B/16, random"),
    }
    publish(table(times, encoder.family.name, unit["backend"]), told, out, "loop.json", record)
    return times


def _timed(eye: Homunculus, encoder: FoveatedViT, size: int, rounds: int) -> LoopTimes:
    """A look and an encode of all patches in turns, after one of each that warms up."""
    image, side = smooth_noise(size), encoder.patch_size
    ones = torch.ones(joint_width(encoder), dtype=torch.float32, device="cpu")
    query = Query(WORDS, embedding=torch.nn.functional.normalize(ones, dim=0))
    rows, columns = size // side, size // side
    native = layouts.grid((rows * side, columns * side), None, rows * columns, side)
    pixels = native_patches(image, encoder)
    loops: list[float] = []
    fulls: list[float] = []
    parts: list[Mapping[str, float]] = []

    def lap(call: Callable[[], Any], laps: list[float]) -> Any:
        start = perf_counter()
        found = call()
        synchronise()
        laps.append(1000 * (perf_counter() - start))
        return found

    for turn in track(range(rounds + 1), "timing", console=Console(stderr=True), transient=True):
        parts.append(lap(lambda: eye.look(image, query), loops).timings_ms)
        lap(lambda: encoder(pixels, native, (rows * side, columns * side)), fulls)
        if not turn:
            for laps in (loops, fulls, parts):
                laps.clear()
    shares = {name: round(statistics.median(times.get(name, 0.0) for times in parts), 3) for name in parts[0]}
    return LoopTimes(size, eye.options.budget, rows * columns, _median(loops), _median(fulls), shares, rounds)


def table(times: LoopTimes, family: str, backend: str) -> Table:
    loop, full = f"the loop, {times.tokens} tokens", f"all {times.full_tokens} patches"
    lines = [
        *([name, f"{ms:.1f}", f"{ms / times.loop_ms:.0%}"] for name, ms in times.parts_ms.items()),
        [loop, f"{times.loop_ms:.1f}", "100%"],
        [full, f"{times.full_ms:.1f}", f"{times.times_faster:.1f} times"],
    ]
    title = f"{times.size_px} x {times.size_px} px, {family}, backend {backend}"
    return in_terminal(title, ("part", "ms", "share"), lines, {loop})


def random_vit_b16() -> FoveatedViT:
    """The vision tower of CLIP ViT-B/16 (Radford et al. 2021), with its projection and without its weights."""
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    except ImportError as error:
        raise ModelError("transformers is not installed; pip install transformers") from error
    config = CLIPVisionConfig(
        hidden_size=DIM, intermediate_size=4 * DIM, num_hidden_layers=12, num_attention_heads=12, patch_size=16
    )
    torch.manual_seed(0)
    model: Any = CLIPVisionModelWithProjection(config)
    return FoveatedViT(model.eval())


def joint_width(encoder: FoveatedViT) -> int:
    """Of the space that texts share. Raises ModelError for a model without one."""
    with torch.no_grad():
        return int(encoder.family.joint(torch.zeros(1, 1, encoder.dim, dtype=torch.float32, device="cpu")).shape[-1])


def native_patches(image: Tensor, encoder: FoveatedViT) -> Tensor:
    """[rows * columns, 3, P, P], normalised, of an image uint8 [H, W, 3]."""
    side = encoder.patch_size
    rows, columns = image.shape[0] // side, image.shape[1] // side
    cut = image[: rows * side, : columns * side].reshape(rows, side, columns, side, 3).permute(0, 2, 4, 1, 3)
    mean, std = (
        torch.tensor(value, dtype=torch.float32, device="cpu")[:, None, None] for value in (encoder.mean, encoder.std)
    )
    return ((cut.reshape(-1, 3, side, side).float() / 255) - mean) / std


def _median(values: list[float]) -> float:
    return round(statistics.median(values), 3)
