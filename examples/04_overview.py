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
from homunculus.report import to_picture

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
page = out / "page.png"
if not page.exists():
    runpy.run_path(str(Path(__file__).with_name("01_make_page.py")))

seen = hm.look(page, at=(0.62, 0.31), budget=273)
print(f"{len(seen.plan)} tokens see {seen.metrics.coverage:.1%} of {seen.image.shape[1]} x {seen.image.shape[0]} px")
looked_at = hm.draw_footprints(seen.image, seen.plan, seen.fixations)
told = to_picture(hm.reconstruct(seen.patches.pixels, seen.plan, seen.image.shape[:2]).pixels)

width, top, bottom = seen.image.shape[1], 250, 1950
sheet = Image.new("RGB", (2 * width + 40, bottom - top), "white")
for column, picture in enumerate((looked_at, told)):
    sheet.paste(picture.crop((0, top, width, bottom)), (column * (width + 40), 0))
sheet.resize((sheet.width // 3, sheet.height // 3), Image.Resampling.LANCZOS).save(out / "overview.jpg", quality=85)
print(out / "overview.jpg")
