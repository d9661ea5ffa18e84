"""From a picture to 273 patches in fifteen lines.

A picture becomes a pyramid on the device, a fixation becomes a plan, and one dispatch filters every footprint of the
plan into a tensor [273, 3, 16, 16]. You should see `patches.png`, the patches as a model gets them, from the fixation
outwards: an eye and a smile in the first rows; sleeves, stars and half a helmet, no larger, in the last.
"""

import sys
from pathlib import Path

from PIL import Image

import homunculus as hm

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
image = hm.read_image(Path(__file__).parent / "data/photograph.jpg")

with hm.open_unit(backend="auto") as unit, unit.pyramid(image) as pyramid:
    fixation = pyramid.at(0.43, 0.22)
    plan = hm.layouts.quadtree(pyramid.size, fixation, budget=273, patch_size=16)
    patches = unit.sample(pyramid, plan, quality="high")
    print(f"{unit.backend} on {unit.renderer}: patches {list(patches.pixels.shape)}")
    print(f"{unit.stats.bytes_to_host} bytes over the host")

outwards = plan.eccentricity_px(fixation).argsort()
rows = patches.pixels[outwards].reshape(13, 21, 3, 16, 16).permute(0, 3, 1, 4, 2).reshape(13 * 16, 21 * 16, 3)
sheet = Image.fromarray((rows * 255).round().byte().cpu().numpy())
sheet.resize((21 * 48, 13 * 48), Image.Resampling.NEAREST).save(out / "patches.png")
print(out / "patches.png")
