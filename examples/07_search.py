"""Finding what is asked for: words with a place, a colour word, and an example crop, without any weights.

A mission patch is cut out of the photograph and the eye is asked to find what looks like it; then for orange in the bottom left;
then for nothing, so that it goes where something stands out by itself. One pyramid and one set of statistics serve all of
them. You should see `search.png`: for each the relevance it made, with the fixations numbered. The first has its fixation on
the sleeve, where the crop came from; the printed line tells by how many pixels it missed the patch's middle.
"""

import math
import sys
from pathlib import Path

import torch
from PIL import Image

import homunculus as hm
from homunculus.report.heat import draw_relevance

PATCH = (128, 344, 208, 416)  # left, top, right, bottom in pixels

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
photograph = torch.from_numpy(hm.read_image(Path(__file__).parent / "data/photograph.jpg").copy())
left, top, right, bottom = PATCH
crop = photograph[top:bottom, left:right].clone()

queries = {"like the crop": hm.Query(example=crop), "orange, bottom left": "orange, bottom left", "nothing asked": None}
with hm.Homunculus(budget=273) as eye:
    found = eye.looks(photograph[None], list(queries.values()), fixations=3)

sheets = []
for name, seen in zip(queries, found, strict=True):
    sheets.append(draw_relevance(seen.image, {name: seen.relevance.total[0]}, seen.fixations))
    print(f"{name:20s} {', '.join(f'({x:.0f}, {y:.0f})' for x, y in seen.fixations)}  {'; '.join(seen.notes)}")
x, y = found[0].fixations[0]
print(f"the crop was missed by {math.hypot(x - (left + right) / 2, y - (top + bottom) / 2):.0f} px")

sheet = Image.new("RGB", (sum(part.width + 10 for part in sheets) - 10, sheets[0].height), "white")
for number, part in enumerate(sheets):
    sheet.paste(part, (number * (part.width + 10), 0))
sheet.save(out / "search.png")
print(out / "search.png")
