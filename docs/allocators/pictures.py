"""Draws the pictures of these pages: python examples/01_make_page.py out/demo && python docs/allocators/pictures.py out/demo/page.png"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from homunculus.allocators.frequency import Frequency
from homunculus.allocators.hybrid_atlas import HybridAtlas
from homunculus.allocators.scene import Scene
from homunculus.allocators.segments import segment_colors
from homunculus.report import draw_footprints

HERE = Path(__file__).parent
PHOTOGRAPH = HERE.parents[1] / "examples/data/photograph.jpg"


def side_by_side(name: str, pictures: list[Image.Image], height_px: int = 400, quality: int = 60) -> None:
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


def frequency(page: np.ndarray, photograph: np.ndarray) -> None:
    """A page with the query "text", and a photograph without query."""
    drawn = []
    for image, query in ((page, "text"), (photograph, "")):
        scene = Scene(size=image.shape[:2], image=torch.from_numpy(image.copy()), query=query)
        drawn.append(draw_footprints(image, Frequency().allocate(scene, 273)))
    side_by_side("frequency", drawn)


def hybrid_atlas(photograph: np.ndarray) -> None:
    """The regions that colour gives, and the tokens they get where the face is relevant."""
    image = torch.from_numpy(photograph.copy())
    labels = segment_colors(image)
    y, x = torch.meshgrid(torch.arange(64) / 64, torch.arange(64) / 64, indexing="ij")
    relevance = 0.05 + torch.exp(-((x - 0.43) ** 2 + (y - 0.22) ** 2) / (2 * 0.1**2))
    plan = HybridAtlas().allocate(Scene(size=photograph.shape[:2], regions=labels, relevance=relevance), 273)
    colors = np.random.default_rng(1).integers(60, 256, (int(labels.max()) + 1, 3), dtype=np.uint8)
    colors[0] = 0
    regions = Image.fromarray(colors[labels.numpy()]).resize(photograph.shape[1::-1], Image.Resampling.NEAREST)
    side_by_side("hybrid_atlas", [regions, draw_footprints(photograph, plan)])


if __name__ == "__main__":
    astronaut = reduced(PHOTOGRAPH, 1024)
    frequency(reduced(Path(sys.argv[1]), 1024), astronaut)
    hybrid_atlas(astronaut)
