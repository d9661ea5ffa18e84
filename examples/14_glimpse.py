"""A glimpse as CanViT takes it, with and without a filter: what point sampling makes of a whole scene.

CanViT (arXiv 2603.22570, `canvit-pytorch`) looks at one square of the scene at a time, always as 128 x 128 px, which its sampler reads
bilinearly off the full picture: from far away it meets only four pixels around each point, and what lies between them aliases. Here
the glimpse is a plan of one grid, 8 x 8 patches of 16 px, which `unit.sample` filters; the truth is the mean over each texel's own
box. You should see `glimpse.png` (above a photograph, below a letter: the mean over boxes, read by points, sampled by the plan, and
how far each of the two is off, four times as strong) and, printed, that the plan is right to the rounding of bytes where points
are off by several levels of grey, and by tens of them on print.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.report import to_picture

SIDE, HERE = 128, Path(__file__).parent


def letter(side: int) -> torch.Tensor:
    """[side, side, 3] a page of print."""
    page = Image.new("RGB", (side, side), "white")
    text = 3 * (HERE / "data/alice.txt").read_text("utf-8").replace("\n", " ")
    lines = "\n".join(text[first : first + 120] for first in range(0, len(text), 120))
    ImageDraw.Draw(page).multiline_text((100, 100), lines, "black", ImageFont.load_default(32))
    return torch.from_numpy(np.array(page))


def by_points(scene: torch.Tensor) -> torch.Tensor:
    """[3, SIDE, SIDE] the whole scene as `grid_sample` reads it: at the middle of each texel, from the four pixels around it."""
    place = (2 * torch.arange(SIDE) + 1) / SIDE - 1
    grid = torch.stack(torch.meshgrid(place, place, indexing="xy"), -1)
    pixels = scene.movedim(-1, 0)[None].float() / 255
    return torch.nn.functional.grid_sample(pixels, grid[None], align_corners=False)[0]


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
scenes = {"photograph": torch.from_numpy(hm.read_image(HERE / "data/photograph.jpg")), "letter": letter(2048)}
sheet = Image.new("RGB", (5 * (SIDE + 4) - 4, 2 * (SIDE + 4) - 4), "white")
with hm.open_unit(sys.argv[2] if len(sys.argv) > 2 else "auto") as unit:
    for row, (name, scene) in enumerate(scenes.items()):
        step = len(scene) // SIDE
        exact = scene.reshape(SIDE, step, SIDE, step, 3).float().mean((1, 3)).movedim(-1, 0) / 255
        plan = hm.layouts.grid(tuple(scene.shape[:2]), budget=64, patch_size=16)
        patches = unit.sample(unit.pyramid(scene), plan).pixels.cpu()
        sampled = patches.reshape(8, 8, 3, 16, 16).permute(2, 0, 3, 1, 4).reshape(3, SIDE, SIDE)
        pointed = by_points(scene)
        off = [(seen - exact) for seen in (pointed, sampled)]
        rms = [255 * float(error.square().mean().sqrt()) for error in off]
        print(f"{name}, {len(scene)} px: by points {rms[0]:.2f}, by the plan {rms[1]:.2f} of 255 off, rms")
        for column, values in enumerate((exact, pointed, sampled, *((0.5 + 4 * error).clamp(0, 1) for error in off))):
            sheet.paste(to_picture(values), (column * (SIDE + 4), row * (SIDE + 4)))
sheet = sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST)
sheet.save(out / "glimpse.png")
print(out / "glimpse.png")
