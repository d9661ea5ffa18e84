"""Draws docs/viewer.jpg: the window itself, on whatever screen DISPLAY names. Needs the extra `viewer`.

xvfb-run -s '-screen 0 1400x900x24' python docs/viewer/picture.py
"""

import os
from dataclasses import replace
from pathlib import Path

import torch
from PIL import ImageGrab

from homunculus.bridge.pictures.files import read_image
from homunculus.viewer import MapGuide
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session
from homunculus.viewer.window import Window

ROOT = Path(__file__).parents[2]
SIZE = (800, 1280)
PHOTOGRAPH = ROOT / "examples/data/photograph.jpg"

grey = torch.from_numpy(read_image(PHOTOGRAPH)).float().mean(-1) / 255
contrast = grey.reshape(32, 16, 32, 16).transpose(1, 2).flatten(2).std(-1)  # what a cell of 16 px varies by


def make(unit, size):
    session = Session(unit, Playlist([PHOTOGRAPH]), size, guide=MapGuide(contrast))
    session.show_channels([("local contrast", contrast)])
    return session


window = Window(make, SIZE)
session = window.session
session.follow((0.43 * 512, 0.22 * 512))
session.change(replace(session.state, side_by_side=True, held=True))
for _ in range(60):
    window.step(0.02)
screen = ImageGrab.grab(xdisplay=os.environ["DISPLAY"]).convert("RGB")
screen.crop((0, 0, SIZE[1], SIZE[0])).save(ROOT / "docs/viewer.jpg", quality=88, optimize=True)
window.close()
