"""What a page is to a model: 2480 x 3508 pixels, of which a few words matter.

Sets two public-domain texts as an A4 page at 300 dpi: body text of 10 pt, a passage of 8.5 pt, and at the foot a table
of 5.5 pt that can only be read near native resolution. You should see one full page, `page.png`; scaled to the 448
pixels that many models take, the table is grey mist. The other examples look at this page.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT, MARGIN, DPI = 2480, 3508, 260, 300
DATA = Path(__file__).parent / "data"


def font(points: float) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size=points / 72 * DPI)


def centred(draw: ImageDraw.ImageDraw, y: float, text: str, points: float) -> None:
    draw.text((WIDTH / 2, y), text, "black", font(points), anchor="ms")


def justified(draw: ImageDraw.ImageDraw, y: float, text: str, points: float, inset: float = 0) -> float:
    """Sets paragraphs from the baseline y, the first line of each indented; returns the next baseline."""
    face, left, right = font(points), MARGIN + inset, WIDTH - MARGIN - inset
    for paragraph in text.strip().split("\n\n"):
        words, x = paragraph.split(), left + 1.5 * face.size
        while words:
            count = 1
            while count < len(words) and face.getlength(" ".join(words[: count + 1])) <= right - x:
                count += 1
            line, words = words[:count], words[count:]
            slack = right - x - sum(face.getlength(word) for word in line)
            space = slack / max(1, len(line) - 1) if words else face.getlength(" ")
            for word in line:
                draw.text((x, y), word, "black", face, anchor="ls")
                x += face.getlength(word) + space
            x, y = left, y + 1.33 * face.size
    return y


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
page = Image.new("RGB", (WIDTH, HEIGHT), "white")
draw = ImageDraw.Draw(page)

centred(draw, 200, "Alice’s Adventures in Wonderland", 11)
draw.line((MARGIN, 240, WIDTH - MARGIN, 240), "black", 3)
centred(draw, 370, "CHAPTER I.  Down the Rabbit-Hole", 18)
y = justified(draw, 480, (DATA / "alice.txt").read_text("utf-8"), 10)
centred(draw, y + 60, "William James on attention (1890)", 12)
y = justified(draw, y + 140, (DATA / "james.txt").read_text("utf-8"), 8.5, inset=100)

draw.line((MARGIN, y + 10, MARGIN + 500, y + 10), "black", 2)
for row in (DATA / "editions.txt").read_text("utf-8").splitlines():
    y += 31
    for column, cell in zip((0, 120, 330, 760), row.split("|"), strict=True):
        draw.text((MARGIN + column, y + 30), cell.strip(), "black", font(5.5), anchor="ls")
centred(draw, HEIGHT - 110, "11", 9)
page.save(out / "page.png", dpi=(DPI, DPI))
print(out / "page.png")
