"""The files of one look, written all together or not at all."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import Patches
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
    All replace older ones together: a failure leaves the folder as it was. Raises OSError.
    """
    maps = maps or {}
    with replaced_together(Path(out_dir)) as folder:
        timings_ms = dict(details.get("timings_ms", {}))
        start = perf_counter()
        draw_footprints(image, plan, fixations).save(folder / FILES[0], compress_level=1)
        timings_ms["footprints"] = round(1000 * (perf_counter() - start), 3)

        start = perf_counter()
        seen = reconstruct(patches.pixels, plan, image.shape[:2])
        to_picture(seen.pixels).save(folder / FILES[1], compress_level=1)
        timings_ms["reconstruction"] = round(1000 * (perf_counter() - start), 3)

        if maps:
            draw_relevance(image, maps, fixations).save(folder / MAPS, compress_level=1)
        tensors = {"pixels": patches.pixels, "inside": patches.inside, "footprints": plan.footprints}
        if plan.texels is not None:
            tensors["texels"] = plan.texels
        if tokens is not None:
            tensors["tokens"] = tokens
        tensors.update({f"relevance.{name}": map_ for name, map_ in maps.items()})
        metadata = {key: value if isinstance(value, str) else json.dumps(value) for key, value in details.items()}
        tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        (folder / FILES[2]).write_bytes(save(tensors, metadata))
        text = json.dumps({**details, "timings_ms": timings_ms}, indent=2, allow_nan=False)
        (folder / FILES[3]).write_text(text + "\n", "utf-8")
    return [Path(out_dir) / name for name in (*FILES, *([MAPS] if maps else []))]


def to_picture(pixels: Tensor) -> Image.Image:
    """The 8-bit picture of [3, H, W] in 0..1."""
    return Image.fromarray((pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy())


@contextmanager
def replaced_together(out_dir: Path) -> Iterator[Path]:
    """Gives an empty folder whose files move to `out_dir` at the end, all of them or, on any failure, none."""
    created = [folder for folder in (out_dir, *out_dir.parents) if not folder.exists()]
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        # Inside `out_dir`, since a folder beside it may lie on another file system.
        with tempfile.TemporaryDirectory(prefix=".look-", dir=out_dir) as staging:
            new, old = Path(staging, "new"), Path(staging, "old")
            new.mkdir()
            old.mkdir()
            yield new
            _exchange(new, old, out_dir)
    except BaseException:
        for folder in created:
            with suppress(OSError):  # someone else has put something there meanwhile
                folder.rmdir()
        raise


def _exchange(new: Path, old: Path, target: Path) -> None:
    """Moves the files of `new` to `target`, those they replace to `old`; on failure everything goes back."""
    names = sorted(path.name for path in new.iterdir())
    for name in names:
        if (target / name).is_dir():
            raise IsADirectoryError(
                f"{target / name} is a folder where a file is to be written; move it or write elsewhere"
            )
    try:
        for name in names:
            with suppress(FileNotFoundError):
                os.replace(target / name, old / name)
            os.replace(new / name, target / name)
    except BaseException:
        for name in names:
            if not (new / name).exists():
                os.replace(target / name, new / name)
            if (old / name).exists():
                os.replace(old / name, target / name)
        raise
