"""Batches for the reader: first to read on small windows, then to find on whole pages, then both on plans of every allocator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from homunculus import allocators, layouts
from homunculus.allocators.scene import Scene
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder.marks import DIGITS, MARKS
from homunculus.lab.needle.clutter import Picture, clutter
from homunculus.lab.needle.loss import Batch
from homunculus.lab.needle.needle import ITEMS, Item, put_items
from homunculus.layouts.grid import native_square

P = 16
SHEETS, SHEET_PX = 16, 2304  # of clutter, at a time
SHEET_STEPS = 2  # until the oldest is replaced: text seen again and again is learned by heart
NUMBERS = 0.3  # of the words: what is most easily taken for a value is one of the text's
# Lessons and how often each is given while reading is learned, and after it. Tokens a batch are about the same in all.
READING = {"strips": 0.6, "windows": 0.4}
MIXED = {"strips": 0.12, "windows": 0.1, "grids": 0.42, "coarse": 0.12, "plans": 0.24}
UPRIGHT = (
    "foveated_pyramid",
    "pyramid",
    "grid_top_k",
    "log_polar",
    "stratified",
    "adaptive_stratified",
    "coverage_top_k",
)


class Lessons(Dataset[Batch]):
    """The batch of every step, the same for the same seed whatever process makes it.

    reading_steps: how many at the start are for reading alone. scale: of the batches, 1 for about 4000 tokens.
    """

    def __init__(self, steps: int, reading_steps: int, seed: int = 0, scale: float = 1.0) -> None:
        self.steps, self.reading_steps, self.seed, self.scale = steps, reading_steps, seed, scale
        self._sheets: dict[int, Picture] = {}
        self._unit: TextureUnit | None = None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch:
        first = step // SHEET_STEPS
        self._sheets = {number: self._sheet(number) for number in range(first, first + SHEETS)}
        rng = np.random.default_rng([self.seed, step, 11])
        shares = READING if step < self.reading_steps else MIXED
        name = list(shares)[int(rng.choice(len(shares), p=list(shares.values())))]
        batch: Batch = getattr(self, name)(rng)
        return batch

    def _sheet(self, number: int) -> Picture:
        if number in self._sheets:
            return self._sheets[number]
        return clutter(np.random.default_rng([self.seed, number, 7]), (SHEET_PX, SHEET_PX), "train", NUMBERS)

    def strips(self, rng: np.random.Generator) -> Batch:
        """Small windows at native resolution with an item or two of a small page."""
        return self._windows(rng, 96, (6, 7), (512, 600), 2)

    def windows(self, rng: np.random.Generator) -> Batch:
        """Larger ones, of larger pages, so that a mark covers many tokens."""
        side = int(rng.integers(9, 13))
        return self._windows(rng, 4000 // side**2, (side, side), (512, 900), 3)

    def grids(self, rng: np.random.Generator) -> Batch:
        """Whole pages, or windows of large ones, at native resolution."""
        side = int(rng.choice([20, 32, 48, 64, 96], p=[0.1, 0.48, 0.22, 0.17, 0.03]))
        most = min(side * P * 4, 4096)
        return self._windows(rng, max(4600 // side**2, 1), (side, side), (512, most), len(MARKS))

    def coarse(self, rng: np.random.Generator) -> Batch:
        """Whole pages in a coarse grid. At 4096 px the texels of a page of half the size stand for it."""
        size = int(rng.choice([512, 1024, 2048, 4096], p=[0.3, 0.4, 0.2, 0.1]))
        drawn = min(size, 2048)
        cells = int(rng.choice([8, 12, 16, 16, 16]))
        step = drawn / (cells * P)
        pages = [self._whole_page(rng, drawn) for _ in range(max(int(self.scale * 3600) // cells**2, 1))]
        plan = layouts.grid((drawn, drawn), None, cells**2, P)
        if step == int(step):
            pixels = np.stack([_patches(_shrunk(image, int(step))) for image, _ in pages])
            shown = torch.from_numpy(pixels)
        else:
            shown = torch.stack([self._sampled(image, [plan])[0] for image, _ in pages])
        rows = plan.footprints.expand(len(pages), -1, -1).clone()
        factor = size // drawn
        rows[..., :6] *= factor
        return _batch(shown, rows, (size, size), [items for _, items in pages], rng, factor)

    def plans(self, rng: np.random.Generator) -> Batch:
        """Pages as the allocators and layouts show them."""
        size = int(rng.choice([512, 768, 1024, 2048], p=[0.2, 0.2, 0.3, 0.3]))
        budget = int(rng.choice([64, 91, 150, 273, 273, 273]))
        each = 4
        pages = [self._whole_page(rng, size) for _ in range(max(int(self.scale * 3800) // (budget * each), 1))]
        pixels, rows, items = [], [], []
        for image, found in pages:
            plans = [self._plan(rng, image, found, budget) for _ in range(each)]
            pixels += self._sampled(image, plans)
            rows += [plan.footprints for plan in plans]
            items += [found] * each
        return _batch(torch.stack(pixels), torch.stack(rows), (size, size), items, rng)

    def _plan(self, rng: np.random.Generator, image: Picture, items: Sequence[Item], budget: int) -> SamplePlan:
        size = image.shape[0], image.shape[1]
        count = int(rng.choice([1, 1, 2, 3]))
        targets = [items[int(place)].center for place in rng.choice(len(items), min(count, len(items)), replace=False)]
        fixations = [
            tuple(
                float(np.clip(value + rng.normal(0, 12), 1, side - 2))
                for value, side in zip(point, (size[1], size[0]), strict=True)
            )
            for point in targets
        ]
        kind = rng.random()
        if kind < 0.4:
            name = "foveated_pyramid"
        elif kind < 0.75:
            name = UPRIGHT[int(rng.integers(len(UPRIGHT)))]
        else:
            laws = ("log_polar", "quadtree", "rings", "two_views")
            name = laws[int(rng.integers(len(laws)))]
        x, y = fixations[0]
        if name == "two_views":
            return two_views(size, (x, y), budget)
        if name in ("log_polar", "quadtree", "rings"):
            law = getattr(layouts, name)
            plan: SamplePlan = law(size, fixation=(x, y), budget=budget, patch_size=P)
            return plan
        relevance = _relevance(rng, size, fixations)
        scene = Scene(size, fixations, relevance, P, image=torch.from_numpy(image))
        return allocators.get(name).allocate(scene, budget)

    def _windows(
        self, rng: np.random.Generator, count: int, cells: tuple[int, int], page_px: tuple[int, int], items: int
    ) -> Batch:
        size = cells[0] * P, cells[1] * P
        pages = [
            self._page(rng, size, page_px, int(rng.integers(max(items // 3, 1), items + 1)))
            for _ in range(max(int(self.scale * count), 1))
        ]
        pixels = torch.from_numpy(np.stack([_patches(image) for image, _ in pages]))
        plan = layouts.grid(size, None, cells[0] * cells[1], P)
        rows = plan.footprints.expand(len(pages), -1, -1)
        return _batch(pixels, rows, size, [found for _, found in pages], rng)

    def _whole_page(self, rng: np.random.Generator, side: int) -> tuple[Picture, tuple[Item, ...]]:
        return self._page(rng, (side, side), (side, side), int(rng.integers(ITEMS // 2, len(MARKS) + 1)))

    def _page(
        self, rng: np.random.Generator, size: tuple[int, int], page_px: tuple[int, int], items: int
    ) -> tuple[Picture, tuple[Item, ...]]:
        sheet = list(self._sheets.values())[int(rng.integers(SHEETS))]
        y, x = (int(rng.integers(SHEET_PX - side + 1)) for side in size)
        image = sheet[y : y + size[0], x : x + size[1]].copy()
        low, high = page_px
        return image, put_items(rng, image, "train", items, int(rng.integers(low, high + 1)))

    def _sampled(self, image: Picture, plans: Sequence[SamplePlan]) -> list[Tensor]:
        """uint8 [N, 3, P, P] of each plan."""
        self._unit = self._unit or open_unit()
        with self._unit.pyramid(image) as pyramid:
            found = self._unit.sample(pyramid, SamplePlan.concatenate(plans), quality="fast").pixels
        return list(torch.split((found * 255 + 0.5).clamp(0, 255).to(torch.uint8), [len(plan) for plan in plans]))


def two_views(size: tuple[int, int], fixation: tuple[float, float], budget: int) -> SamplePlan:
    """Half of the budget a thumbnail of the page, half a crop at native resolution around a fixation."""
    side = int((budget // 2) ** 0.5)
    thumbnail = layouts.grid(size, None, budget - side * side, P)
    return SamplePlan.concatenate([thumbnail, native_square(size, fixation, side, P)])


def _relevance(rng: np.random.Generator, size: tuple[int, int], fixations: Sequence[tuple[float, ...]]) -> Tensor:
    """[64, 64] bumps at the fixations, over noise."""
    y, x = (torch.arange(64, dtype=torch.float32, device="cpu") + 0.5 for _ in range(2))
    found = torch.from_numpy(rng.random((64, 64), np.float32)) * float(rng.uniform(0, 0.3))
    for px, py in fixations:
        width = float(rng.uniform(0.6, 3))
        squared = (x[None] - px / size[1] * 64) ** 2 + (y[:, None] - py / size[0] * 64) ** 2
        found += torch.exp(-squared / (2 * width**2))
    return found


def _patches(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """[N, 3, P, P] of an image whose sides are multiples of P."""
    height, width = image.shape[:2]
    return image.reshape(height // P, P, width // P, P, 3).transpose(0, 2, 4, 1, 3).reshape(-1, 3, P, P)


def _shrunk(image: Picture, step: int) -> NDArray[np.uint8]:
    """Means of step x step pixels."""
    if step == 1:
        return image
    height, width = image.shape[:2]
    sums = image.reshape(height, width // step, step, 3).sum(2, dtype=np.uint32)
    sums = sums.reshape(height // step, step, width // step, 3).sum(1, dtype=np.uint32)
    means: NDArray[np.uint32] = (sums + step * step // 2) // (step * step)
    return means.astype(np.uint8)


def _batch(
    pixels: Tensor,
    rows: Tensor,
    size: tuple[int, int],
    items: Sequence[Sequence[Item]],
    rng: np.random.Generator,
    factor: int = 1,
) -> Batch:
    most = max(max(len(found) for found in items), 1)
    marks = torch.full((len(items), most), -1, dtype=torch.int64, device="cpu")
    digits = torch.zeros(len(items), most, DIGITS, dtype=torch.long, device="cpu")
    mark_boxes, value_boxes = torch.zeros(2, len(items), most, 4, dtype=torch.float32, device="cpu")
    for row, found in enumerate(items):
        for column, item in enumerate(found):
            marks[row, column] = item.mark
            digits[row, column] = torch.tensor([int(digit) for digit in item.value], dtype=torch.int64, device="cpu")
            mark_boxes[row, column] = torch.tensor(item.mark_box, dtype=torch.float32, device="cpu") * factor
            value_boxes[row, column] = torch.tensor(item.value_box, dtype=torch.float32, device="cpu") * factor
    return Batch(pixels, rows, size, marks, digits, mark_boxes, value_boxes, bool(rng.random() < 0.1))
