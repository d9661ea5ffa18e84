"""A gaze that is live: an eye tracker sends, and the eye looks where the person looks.

A reader's gaze goes along four lines of a page, 120 times a second, sent by another process over the Lab Streaming Layer as trackers do
(`pip install pylsl`). `LslGaze` keeps the newest sample and tells of each what the eye does. Here 60 tokens are planned at each newest
sample, but not during a saccade, when nobody sees. You should see `live_gaze.png`: what the tokens saw at four moments, the line that
was read sharp and the others blurred, and on each picture the gaze until then, green in fixations and red in saccades. Printed is how
old samples were when their patches were there: a few milliseconds, and what planning and sampling take.
"""

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.relevance.gaze.lsl import LslGaze
from homunculus.report import to_picture

SIZE, LINES, WORDS, STOP_S, RATE_HZ = (480, 960), 4, 4, 0.14, 120
LINE = int(WORDS * STOP_S * RATE_HZ)  # samples
# The stream stays on this machine.
CONFIG = (
    "[ports]\nIPv6 = disable\n[multicast]\nResolveScope = machine\n[lab]\nKnownPeers = {127.0.0.1}\n[log]\nlevel = -3\n"
)
here, out = Path(__file__).parent, Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
(out / "lsl.cfg").write_text(CONFIG, "utf-8")
os.environ.setdefault("LSLAPICFG", str(out / "lsl.cfg"))
text = textwrap.wrap((here / "data/alice.txt").read_text("utf-8"), 62)
page = Image.new("RGB", SIZE[::-1], "white")
for row in range(12):  # of which the second, the fifth, the eighth and the eleventh are read
    ImageDraw.Draw(page).text((20, 40 * row + 20), text[row], "black", ImageFont.load_default(30), anchor="lm")

gaze = LslGaze("reader", lambda space, point: (point[0] * SIZE[1], point[1] * SIZE[0]))
heard, ages_ms, moments, used = [], [], [], None
gaze.on_sample = heard.append
command = [sys.executable, here / "data/reader.py", *map(str, (LINES, WORDS, STOP_S, RATE_HZ))]
with hm.open_unit() as unit, unit.pyramid(np.asarray(page)) as pyramid, subprocess.Popen(command) as sender:
    while sender.poll() is None:
        newest = gaze.latest(time.perf_counter())
        if newest is None or newest is used or newest.movement == "saccade":
            time.sleep(0.001)
            continue
        used, plan = newest, hm.layouts.quadtree(SIZE, newest.point_px, budget=60)
        pixels = unit.sample(pyramid, plan, quality="fast").pixels
        ages_ms.append(1000 * (time.perf_counter() - newest.time_s))
        if len(heard) > (len(moments) + 0.6) * LINE:  # amid the next
            moments.append((len(heard), hm.reconstruct(pixels, plan, SIZE).pixels))
print(f"{gaze.remark}\n{len(heard)} samples, {len(ages_ms)} of them sampled at, when {np.median(ages_ms):.0f} ms old")
gaze.close()
sheet = Image.new("RGB", (2 * SIZE[1] + 10, 2 * SIZE[0] + 10), "black")
for number, (count, seen) in enumerate(moments):
    picture = to_picture(seen)
    for sample in heard[:count]:
        color = "red" if sample.movement == "saccade" else "green"
        ImageDraw.Draw(picture).circle(sample.point_px, 3, color)
    sheet.paste(picture, (number % 2 * (SIZE[1] + 10), number // 2 * (SIZE[0] + 10)))
sheet.save(out / "live_gaze.png")
print(out / "live_gaze.png")
