"""What was looked at beside what was seen.

A look at `page.png`, the page of the first example, as `homunculus look` does it: a plan, its patches, their metrics.
You should see `overview.jpg`: on the left 273 footprints on the page, coloured by level of detail; on the right the page as these
273 tokens alone tell it. The line at the fixation can be read, the paragraph around it guessed, the rest is grey texture.
"""

import runpy
import sys
from pathlib import Path

from PIL import Image

import homunculus as hm

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
page = out / "page.png"
if not page.exists():
    runpy.run_path(str(Path(__file__).with_name("01_make_page.py")))

seen = hm.look(page, at=(0.62, 0.31), budget=273)
print(f"{len(seen.plan)} tokens see {seen.metrics.coverage:.1%} of {seen.image.shape[1]} x {seen.image.shape[0]} px")
seen.save(out / "overview")

top, bottom = 250, 1950
sheet = Image.new("RGB", (2 * seen.image.shape[1] + 40, bottom - top), "white")
for column, name in enumerate(("footprints", "reconstruction")):
    picture = Image.open(out / "overview" / f"{name}.png").convert("RGB").crop((0, top, seen.image.shape[1], bottom))
    sheet.paste(picture, (column * (seen.image.shape[1] + 40), 0))
sheet.resize((sheet.width // 3, sheet.height // 3), Image.Resampling.LANCZOS).save(out / "overview.jpg", quality=85)
print(out / "overview.jpg")
