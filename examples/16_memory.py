"""Memory between glimpses: what three looks saw, handed on together within the budget of one and a half.

An eye of 100 tokens looks at the face, at a badge and at the helmet, one after the other. What it hands on is what
it sees now; `eye.remember` hands on all three looks within a budget, here 150 of their 300 tokens: the coarsest that cover the
picture, then the finest, and none that finer ones cover. Nothing is sampled again. Each token knows from where it sees, by its
place in units of its own size and by its size: the same numbers for the picture at any resolution.
You should see `memory.png` (what the last look shows, what is remembered of the three, and the footprints of that: all three places
sharp) and, printed, how far each is off at the three places.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import homunculus as hm
from homunculus.encoder.viewpoint import viewpoints
from homunculus.report import draw_footprints, to_picture

PLACES = {"face": (0.43, 0.22), "badge": (0.34, 0.75), "helmet": (0.75, 0.85)}
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
photograph = Path(__file__).parent / "data/photograph.jpg"
truth = torch.from_numpy(hm.read_image(photograph)).movedim(-1, 0) / 255

with hm.Homunculus(budget=100, backend=sys.argv[2] if len(sys.argv) > 2 else None) as eye:
    looks = [eye.look(photograph, at=place) for place in PLACES.values()]
    kept = eye.remember(looks, budget=150)
print(kept.notes[-1])
row, column, log_scale = viewpoints(kept.plan, kept.size)[-1].tolist()
print(f"the last token sees from row {row:.1f}, column {column:.1f} of its own half sides, log scale {log_scale:.2f}")

pictures = []
for name, seen in (("the last look", looks[-1]), ("remembered", kept)):
    shown = hm.reconstruct(seen.patches.pixels, seen.plan, seen.size).pixels
    pictures.append(np.asarray(to_picture(shown)))
    off = []
    for x, y in PLACES.values():
        rows, columns = (slice(int(512 * at) - 32, int(512 * at) + 32) for at in (y, x))
        off.append(255 * (shown - truth)[:, rows, columns].square().mean().sqrt())
    print(
        f"{name}:", ", ".join(f"{place} {rms:.1f}" for place, rms in zip(PLACES, off, strict=True)), "of 255 off, rms"
    )
pictures.append(np.asarray(draw_footprints(kept.image, kept.plan, kept.fixations)))
Image.fromarray(np.concatenate(pictures, 1)).save(out / "memory.png")
print(out / "memory.png")
