"""Times the allocators of these pages, 273 tokens with a 64 x 64 relevance map: OMP_NUM_THREADS=1 python docs/allocators/bench.py

Median and quartiles of 50 runs, in milliseconds on the CPU.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from homunculus.allocators.frequency import Frequency
from homunculus.allocators.frequency_energies import measure
from homunculus.allocators.hybrid_atlas import HybridAtlas
from homunculus.allocators.scene import Scene
from homunculus.allocators.segments import segment_colors
from homunculus.lab.bench.timing import time_all_ms

PHOTOGRAPH = Path(__file__).parents[2] / "examples/data/photograph.jpg"


def report(what: str, work: Callable[[], object], runs: int = 50) -> None:
    (timing,) = time_all_ms([work], repeats=runs, rounds=1)
    quartiles = f"{timing.lower_quartile_ms:.2f} to {timing.upper_quartile_ms:.2f}"
    print(f"| {what} | {timing.median_ms:.2f} | {quartiles} |")


def main() -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    print("| what | median ms | quartiles |\n|---|---|---|")
    relevance = torch.rand(64, 64, generator=torch.Generator().manual_seed(0))
    with Image.open(PHOTOGRAPH) as file:
        photograph = file.convert("RGB")
    for side in (512, 1024):
        image = torch.from_numpy(np.asarray(photograph.resize((side, side))).copy())
        new_scene = partial(Scene, size=(side, side), image=image, relevance=relevance)
        scene = new_scene()
        energies = measure(image)
        report(f"frequency, {side} px: measure the image", lambda image=image: measure(image), 15)
        report(f"frequency, {side} px: allocate", lambda s=scene, e=energies: Frequency().allocate(s, 273, e))
        report(f"frequency, {side} px: both", lambda new=new_scene: Frequency().allocate(new(), 273), 15)
    labels = segment_colors(image)
    report("hybrid_atlas, 1024 px: segment by colour", lambda: segment_colors(image), 15)
    scene = Scene(size=(1024, 1024), regions=labels, relevance=relevance)
    report(
        f"hybrid_atlas, {int(labels.max())} regions of 192 x 192: allocate", lambda: HybridAtlas().allocate(scene, 273)
    )
    blocks = torch.arange(64).reshape(8, 8).repeat_interleave(8, 0).repeat_interleave(8, 1)
    coarse = Scene(size=(1024, 1024), regions=blocks, relevance=relevance)
    report("hybrid_atlas, 63 regions of 64 x 64: allocate", lambda: HybridAtlas().allocate(coarse, 273))


if __name__ == "__main__":
    main()
