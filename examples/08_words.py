"""Words become fixations: a page that says where its invoice number stands, and an eye that is asked for it.

Draws a page, `invoice.png`. Where the extra `ocr` is installed the eye spends up to two budgets on what is inked, reads that, goes to
the words that were asked for and to what stands beside them, and reads there again: you should see `words.png`, what the tokens of
that one glimpse show, sharp around the invoice number and nowhere else, and a line with the number, how sure it is, and what it
cost. Without the extra nothing is read, the eye looks as it would at any picture, and the line says what to install.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.encoder.ocr import TextReader, missing

FIELDS = {
    "Customer": "Ada Lovelace",
    "Address": "12 St James's Square",
    "Invoice number": "2024-118",
    "Date of issue": "12 March 2024",
    "Order number": "77-0412",
    "Amount due": "1,204.50",
}

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
page = Image.new("RGB", (1240, 1754), "white")
draw = ImageDraw.Draw(page)
draw.text((120, 120), "Analytical Engines Ltd", "black", ImageFont.load_default(size=44))
for row, (key, value) in enumerate(FIELDS.items()):
    draw.text((120, 320 + 60 * row), f"{key}:", "black", ImageFont.load_default(size=21))
    draw.text((480, 320 + 60 * row), value, "black", ImageFont.load_default(size=21))
for row in range(24):
    draw.text(
        (120, 800 + 34 * row), "Payable within thirty days, and not later.", "black", ImageFont.load_default(size=17)
    )
page.save(out / "invoice.png")
print(out / "invoice.png")

reader = None if missing() else TextReader()
with hm.Homunculus(budget=128, reader=reader) as eye:
    seen = eye.look(np.asarray(page), "invoice number")
if seen.words is not None and seen.words.best is not None:
    best, spent = seen.words.best, seen.spent
    print(f"read: {best.key.text} {seen.answer} ({best.confidence:.2f}), for {spent['in_all']} tokens in all: {spent}")
else:
    print(seen.reading, missing())
shown = hm.reconstruct(seen.patches.pixels, seen.plan, (1754, 1240)).pixels
Image.fromarray((shown.clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy()).save(out / "words.png")
print(out / "words.png")
