"""A folder of pages, and what of it was kept.

Six crops of the photograph stand for a folder of scans, and one of them is broken. One call looks at each for one question and keeps
its patches in files; stopped anywhere and called again, it goes on. You should see `kept.png`, drawn from those files alone: above
every picture with the places it was looked at, below what the 60 patches kept of it let one see, sharp where it is orange, or nearly
so, as hair and skin; grey where the file is broken. Printed are that one error, and that the second call had nothing left to do.
`pages/kept/report.html` tells the same to whoever finds the folder later.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw

import homunculus as hm
from homunculus.report import to_picture

SIDE = 256
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
pages, kept = out / "pages", out / "pages" / "kept"
pages.mkdir(parents=True, exist_ok=True)
photograph = Image.open(Path(__file__).parent / "data/photograph.jpg")
for number in range(6):
    left, top = number % 3 * 128, number // 3 * 256
    photograph.crop((left, top, left + SIDE, top + SIDE)).save(pages / f"page-{number}.png")
(pages / "page-4.png").write_bytes(b"not a picture")

for _ in range(2):
    result = hm.run(str(pages / "*.png"), kept, query="orange", budget=60, workers=0, values="uint8")
    print(f"{result.rows} rows, looked at {result.looked}, {len(result.errors)} error")
for error in result.errors:
    print(f"{Path(error['source']).name}: {error['kind']}")

sheet = Image.new("RGB", (6 * SIDE, 2 * SIDE), "grey")
for row in hm.read_tokens(kept):
    place = int(Path(row.source).stem[-1]) * SIDE
    sheet.paste(Image.open(row.source), (place, 0))
    seen = hm.reconstruct(row.patches.pixels / 255, row.plan, row.size)
    sheet.paste(to_picture(seen.pixels), (place, SIDE))
    for x, y in row.fixations:
        ImageDraw.Draw(sheet).ellipse((place + x - 7, y - 7, place + x + 7, y + 7), outline="cyan", width=3)
sheet.save(out / "kept.png")
print(out / "kept.png")
