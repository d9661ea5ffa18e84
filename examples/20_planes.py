"""Luma and chroma as a decoder has them: two bytes a pixel instead of five, and hardly a token that shows it.

A JPEG file is stored as luma, and chroma half as large along each side. Given as `Planes` they become two textures as they are, and every
tap becomes RGB. You should see `planes.png`: what 200 tokens show of the photograph, from RGB on the left, from its planes in the middle,
and on the right what they differ by, eight times as strong. Printed are the bytes uploaded for a pixel, those stored for one, and
the decibels between the tokens of both.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import homunculus as hm
from homunculus.bridge.pictures.planes import Planes
from homunculus.report import to_picture

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
path = Path(__file__).parent / "data/photograph.jpg"

pictures = {"RGB": hm.read_image(path), "planes": Planes.of_jpeg(path)}
size = pictures["RGB"].shape[:2]
plan = hm.layouts.quadtree(size, fixation=(220, 110), budget=200)
seen = {}
with hm.open_unit() as unit:
    for name, picture in pictures.items():
        before = unit.stats.bytes_to_device
        with unit.pyramid(picture) as pyramid:
            seen[name] = unit.sample(pyramid, plan).pixels
        uploaded = (unit.stats.bytes_to_device - before) / (size[0] * size[1])
        stored = (1 + 2 / 4 if pyramid.format == "nv12" else 4) * 4 / 3
        print(f"{name}: {uploaded:.1f} uploaded, {stored:.2f} stored")
error = (seen["RGB"] - seen["planes"]).square().mean()
print(f"tokens: {-10 * torch.log10(error):.1f} dB")

shown = [np.asarray(to_picture(hm.reconstruct(pixels, plan, size).pixels)) for pixels in seen.values()]
difference = np.clip(128 + 8 * (shown[0].astype(int) - shown[1]), 0, 255).astype(np.uint8)
Image.fromarray(np.hstack([*shown, difference])).save(out / "planes.png")
print(out / "planes.png")
