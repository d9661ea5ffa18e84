"""The files of one look, written all together or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.files import replaced_together
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.report.footprints import draw_footprints
from homunculus.report.heat import draw_relevance
from homunculus.report.png import Picture, write_png
from homunculus.report.reconstruction import reconstructed_picture
from homunculus.report.scaled import scaled

FILES = ("footprints.png", "reconstruction.png", "tokens.safetensors", "look.json")
MAPS = "relevance.png"
ROWS_AT_ONCE = 32  # of a picture, which stay in the cache while their channels are put together


def write_look(
    out_dir: str | os.PathLike[str],
    image: np.ndarray[Any, Any],
    plan: SamplePlan,
    patches: Patches,
    fixations: Sequence[Sequence[float]],
    details: Mapping[str, Any],
    *,
    maps: Mapping[str, Tensor] | None = None,
    tokens: Tensor | None = None,
    scale: float = 1.0,
) -> list[Path]:
    """Writes footprints.png, reconstruction.png, tokens.safetensors and look.json, and relevance.png where there are maps;
    returns their paths in this order.

    image: uint8 [H, W, 3]; patches: pixels [N, 3, P, P] in 0..1; fixations: (x, y) in pixels; details: what look.json
    says, JSON types only; the time that these files took is added to its `timings_ms`. maps: relevance [h, w] by channel;
    tokens: [N, D] from an encoder; both go into tokens.safetensors too, maps as `relevance.NAME`. scale: pixels of the image over the
    plan's, where it is a smaller picture of what was looked at: all pictures are then as small.
    All replace an earlier look's together: a failure leaves the folder as it was, and a relevance.png that an earlier look left and
    this one has not goes. Raises WriteError.
    """
    maps = maps or {}
    names = [*FILES, *([MAPS] if maps else [])]
    size = (image.shape[0], image.shape[1])
    shown = plan if scale == 1 else scaled(plan, scale, size)
    places = [(x * scale, y * scale) for x, y in fixations]
    with replaced_together(out_dir, FILES[3]) as staging:
        timings_ms = dict(details.get("timings_ms", {}))
        drawn: list[tuple[str, Path, Callable[[], Picture]]] = [
            ("footprints", staging.path(FILES[0]), lambda: draw_footprints(image, plan, fixations, scale=scale)),
            (
                "reconstruction",
                staging.path(FILES[1]),
                lambda: reconstructed_picture(patches.pixels, shown, size),
            ),
        ]
        if maps:
            drawn.append(("relevance", staging.path(MAPS), lambda: draw_relevance(image, maps, places)))
        with ThreadPoolExecutor(len(drawn)) as pool:
            times_ms = pool.map(lambda part: _write(*part[1:]), drawn)
            timings_ms.update(zip((name for name, *_ in drawn), times_ms, strict=True))
        tensors = {"pixels": patches.pixels, "inside": patches.inside, "footprints": plan.footprints}
        if plan.texels is not None:
            tensors["texels"] = plan.texels
        if plan.origin != (0, 0):
            tensors["origin"] = torch.tensor(plan.origin, dtype=torch.int64, device="cpu")
        if patches.resident is not None:
            tensors["resident"] = patches.resident
        if tokens is not None:
            tensors["tokens"] = tokens
        tensors.update({f"relevance.{name}": map_ for name, map_ in maps.items()})
        metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in details.items()}
        staging.tensors(FILES[2], tensors, metadata)
        staging.json(FILES[3], {**details, "timings_ms": timings_ms, "files": names})
    return [Path(out_dir) / name for name in names]


def _write(path: Path, draw: Callable[[], Picture]) -> float:
    """Milliseconds that it took."""
    start = perf_counter()
    write_png(path, draw())
    return round(1000 * (perf_counter() - start), 3)


def to_picture(pixels: Tensor) -> Image.Image:
    """The 8-bit picture of [3, H, W] in 0..1."""
    pixels = pixels.detach().cpu()
    _, height, width = pixels.shape
    picture = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, ROWS_AT_ONCE):
        planes = (pixels[:, top : top + ROWS_AT_ONCE].clamp(0, 1) * 255).round().byte().numpy()
        for channel, plane in enumerate(planes):
            picture[top : top + ROWS_AT_ONCE, :, channel] = plane
    return Image.fromarray(picture)
