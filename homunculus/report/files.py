"""The files of one look, written all together or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import Patches
from homunculus.files import replaced_together
from homunculus.report.footprints import draw_footprints
from homunculus.report.heat import draw_relevance
from homunculus.report.reconstruction import reconstruct

FILES = ("footprints.png", "reconstruction.png", "tokens.safetensors", "look.json")
MAPS = "relevance.png"


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
) -> list[Path]:
    """Writes footprints.png, reconstruction.png, tokens.safetensors and look.json, and relevance.png where there are maps;
    returns their paths in this order.

    image: uint8 [H, W, 3]; patches: pixels [N, 3, P, P] in 0..1; fixations: (x, y) in pixels; details: what look.json
    says, JSON types only; the time that these files took is added to its `timings_ms`. maps: relevance [h, w] by channel;
    tokens: [N, D] from an encoder; both go into tokens.safetensors too, maps as `relevance.NAME`.
    All replace an earlier look's together: a failure leaves the folder as it was, and a relevance.png that an earlier look left and
    this one has not goes. Raises WriteError.
    """
    maps = maps or {}
    names = [*FILES, *([MAPS] if maps else [])]
    with replaced_together(out_dir, FILES[3]) as staging:
        timings_ms = dict(details.get("timings_ms", {}))
        start = perf_counter()
        staging.picture(FILES[0], draw_footprints(image, plan, fixations), compress_level=1)
        timings_ms["footprints"] = round(1000 * (perf_counter() - start), 3)

        start = perf_counter()
        seen = reconstruct(patches.pixels, plan, image.shape[:2])
        staging.picture(FILES[1], to_picture(seen.pixels), compress_level=1)
        timings_ms["reconstruction"] = round(1000 * (perf_counter() - start), 3)

        if maps:
            staging.picture(MAPS, draw_relevance(image, maps, fixations), compress_level=1)
        tensors = {"pixels": patches.pixels, "inside": patches.inside, "footprints": plan.footprints}
        if plan.texels is not None:
            tensors["texels"] = plan.texels
        if tokens is not None:
            tensors["tokens"] = tokens
        tensors.update({f"relevance.{name}": map_ for name, map_ in maps.items()})
        metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in details.items()}
        staging.tensors(FILES[2], tensors, metadata)
        staging.json(FILES[3], {**details, "timings_ms": timings_ms, "files": names})
    return [Path(out_dir) / name for name in names]


def to_picture(pixels: Tensor) -> Image.Image:
    """The 8-bit picture of [3, H, W] in 0..1."""
    return Image.fromarray((pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy())
