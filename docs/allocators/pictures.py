"""Draws the pictures of these pages: python examples/01_make_page.py out/demo && python docs/allocators/pictures.py out/demo/page.png"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from homunculus.allocators.frequency import Frequency
from homunculus.report import draw_footprints
from homunculus.scene import Scene

HERE = Path(__file__).parent
PHOTOGRAPH = HERE.parents[1] / "examples/data/photograph.jpg"


def side_by_side(name: str, pictures: list[Image.Image], height_px: int = 420, quality: int = 70) -> None:
    pictures = [picture.resize((round(picture.width * height_px / picture.height), height_px)) for picture in pictures]
    sheet = Image.new("RGB", (sum(picture.width + 8 for picture in pictures) - 8, height_px), "white")
    left = 0
    for picture in pictures:
        sheet.paste(picture, (left, 0))
        left += picture.width + 8
    sheet.save(HERE / f"{name}.jpg", quality=quality, optimize=True)
    print(HERE / f"{name}.jpg", (HERE / f"{name}.jpg").stat().st_size, "bytes")


def reduced(path: Path, longer_px: int) -> np.ndarray:
    with Image.open(path) as file:
        picture = file.convert("RGB")
    picture.thumbnail((longer_px, longer_px), Image.Resampling.BOX)
    return np.asarray(picture)


def frequency(page: np.ndarray) -> None:
    drawn = []
    for image, query in ((page, ""), (page, "text"), (reduced(PHOTOGRAPH, 1024), "")):
        scene = Scene(size=image.shape[:2], image=torch.from_numpy(image.copy()), query=query)
        drawn.append(draw_footprints(image, Frequency().allocate(scene, 273)))
    side_by_side("frequency", drawn)


if __name__ == "__main__":
    page = reduced(Path(sys.argv[1]), 1024)
    frequency(page)
