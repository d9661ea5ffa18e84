"""What a call costs whatever it is asked: one token of one texel, beside 273 of 16 x 16 of a picture of 1024 px."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from homunculus import layouts
from homunculus.bridge.files import check_writable
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.lab.bench import machine
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import Timing, time_all_ms
from homunculus.lab.tables import in_terminal, publish

SIDE_PX, TOKENS = 1024, 273
ROUNDS = 20  # short calls, many of them


@dataclass(frozen=True)
class CallRow:
    """timing: of one `unit.sample` of a plan that it has sampled before, or of one that it has not."""

    call: str
    timing: Timing


def run(
    *, backend: Backend = "auto", quality: Quality = "fast", repeats: int = 15, out: Path | None = None
) -> list[CallRow]:
    """Times `unit.sample` on a pyramid that is there; prints a table, and writes call.json to `out`."""
    if out is not None:
        check_writable(out)
    with open_unit(backend) as unit:
        works = _works(unit, quality)
        timings = time_all_ms(list(works.values()), repeats=repeats, rounds=ROUNDS)
        rows = [CallRow(name, timing) for name, timing in zip(works, timings, strict=True)]
        renderer = f"{unit.backend}: {unit.renderer}"
    facts = {"renderer": renderer, "quality": quality, **machine.describe()}
    told = f"{renderer}; {facts['processor']}, {facts['cores']} cores; commit {facts['commit']}"
    cells = [[row.call, f"{row.timing.median_ms:.3f}", row.timing.quartiles(3)] for row in rows]
    table = in_terminal(f"A call of `sample`, {quality}", ("call", "ms", "quartiles"), cells)
    publish(table, told, out, "call.json", {"machine": facts, "rows": [asdict(row) for row in rows]})
    return rows


def _works(unit: TextureUnit, quality: Quality) -> dict[str, Callable[[], object]]:
    pyramid = unit.pyramid(smooth_noise(SIDE_PX))
    middle = torch.tensor([[SIDE_PX / 2, SIDE_PX / 2]], dtype=torch.float32, device="cpu")
    one = SamplePlan.squares(middle, torch.ones_like(middle[:, 0]), patch_size=1)
    plans = [layouts.quadtree(pyramid.size, fixation=(x, 400), budget=TOKENS) for x in range(300, 308)]
    turn = iter(range(2**62))
    return {
        "1 token of 1 texel": partial(unit.sample, pyramid, one, quality=quality),
        f"{TOKENS} tokens, the same plan": partial(unit.sample, pyramid, plans[0], quality=quality),
        f"{TOKENS} tokens, plans in turn": lambda: unit.sample(pyramid, plans[next(turn) % 8], quality=quality),
    }
