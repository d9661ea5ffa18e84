"""A token with a duration: what lasts is seen as well by one token of sixteen frames as by sixteen of one.

A clip holds the last sixteen frames and the means of two, four, eight and all of them; a footprint's layer says how long a token lasts.
The same 200 footprints are sampled for one, four and sixteen frames, of a photograph that stands still and of one that moves by 6 px a
frame. You should see `still.png`: the still clip above, the moving one below, and from left to right the tokens of one, four and sixteen
frames. Above all three are alike; below, who lasts longer sees more blur. Printed is how far tokens of each duration are from those of
one frame, in 255ths: above within the rounding of a mean to bytes, 0.51, below far from it.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.report import to_picture

FRAMES, SIDE, SPEED_PX = 16, 384, 6
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
photograph = hm.read_image(Path(__file__).parent / "data/photograph.jpg")

sheet = Image.new("RGB", (3 * SIDE, 2 * SIDE), "white")
draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(20)
plan = hm.layouts.quadtree((SIDE, SIDE), fixation=(190, 150), budget=200)
with hm.open_unit() as unit:
    for row, (name, speed) in enumerate((("still", 0), ("moving", SPEED_PX))):
        with unit.clip((SIDE, SIDE), FRAMES) as clip:
            for number in range(FRAMES):
                left = number * speed
                clip.push(np.ascontiguousarray(photograph[:SIDE, left : left + SIDE]))
            span = clip.timeline.spans[-1]  # the longest that ends now
            seen = {}
            while True:
                seen[span.frames] = unit.sample(clip, clip.timeline.on(plan, span)).pixels
                if span.frames == 1:
                    break
                span = span.halves[1]  # its second half, which ends now too
        for frames, pixels in sorted(seen.items()):
            print(f"{name}, {frames} frames: {255 * float((pixels - seen[1]).abs().max()):.2f}")
        for column, frames in enumerate((1, 4, FRAMES)):
            picture = to_picture(hm.reconstruct(seen[frames], plan, (SIDE, SIDE)).pixels)
            sheet.paste(picture, (column * SIDE, row * SIDE))
            draw.text(
                (column * SIDE + 8, row * SIDE + 6),
                f"{name}, {frames} frames",
                "white",
                font,
                stroke_width=2,
                stroke_fill="black",
            )
sheet.save(out / "still.png")
print(out / "still.png")
