"""The same 273 tokens, spent in different ways.

Every layout looks at the same point of the same picture. You should see `layouts.png`: for each layout where its
footprints lie, coloured by level of detail, and below it what they alone would let one see. The uniform grid sees
everything and nothing well; the foveated ones trade the far field for the point they look at; grey was not looked at.
"""

import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.report import draw_footprints, reconstruct, to_picture

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
image = hm.read_image(Path(__file__).parent / "data/photograph.jpg")
height, width = image.shape[:2]
sheet = Image.new("RGB", (len(hm.layouts.registry) * width, 40 + 2 * height), "white")
draw = ImageDraw.Draw(sheet)

with hm.open_unit() as unit, unit.pyramid(image) as pyramid:
    fixation = pyramid.at(0.43, 0.22)
    for column, (name, layout) in enumerate(hm.layouts.registry.items()):
        plan = layout(pyramid.size, fixation, budget=273)
        seen = reconstruct(unit.sample(pyramid, plan).pixels, plan, pyramid.size)
        left = column * width
        draw.text((left + width / 2, 20), f"{name}, {len(plan)} tokens", "black", ImageFont.load_default(26), "mm")
        sheet.paste(draw_footprints(image, plan, [fixation]), (left, 40))
        sheet.paste(to_picture(seen.pixels), (left, 40 + height))
        print(f"{name:10s} covers {seen.covered.float().mean():.1%}, LOD {plan.lod.min():.2f} to {plan.lod.max():.2f}")

sheet.save(out / "layouts.png")
print(out / "layouts.png")
