"""What a glimpse of a slide costs: 273 tokens by pages, beside OpenSlide's read_region token by token and a whole level in memory.

Tiles are those that were read from the file; OpenSlide keeps its own count. rms: of what patches are off those of pages, in 1/255.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus import layouts
from homunculus.bridge.errors import DataError
from homunculus.bridge.files import check_writable
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.slides.open import open_tiles
from homunculus.bridge.tiles.arrays import ArraySource
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.source import grid
from homunculus.bridge.unit import TextureUnit
from homunculus.lab.bench import machine
from homunculus.lab.bench.libraries import refusal
from homunculus.lab.bench.subject import smooth_noise
from homunculus.lab.bench.timing import Timing, summary
from homunculus.lab.tables import in_terminal, publish

TOKENS, PATCH_SIZE = 273, 16
NOISE_PX = 4096  # of the picture that is sampled in both ways
WHOLE_LEVEL_PX = 12_000  # the finest level that is no longer is loaded whole


@dataclass(frozen=True)
class SlideRow:
    """wall, cpu: of a call, cpu of all its threads. tiles: of the file, that a call read, in the middle. rms: of what its patches are off
    those of pages, in 1/255."""

    way: str
    wall: Timing
    cpu: Timing
    tiles: float | None
    rms: float | None


class Laps:
    """Wall and processor time of the calls of one way."""

    def __init__(self, way: str) -> None:
        self.way = way
        self.wall_ms: list[float] = []
        self.cpu_ms: list[float] = []
        self.tiles: list[int] = []
        self.off: list[float] = []

    def take(self, work: Callable[[], Any]) -> Any:
        cpu, wall = process_time(), perf_counter()
        result = work()
        self.wall_ms.append(1000 * (perf_counter() - wall))
        self.cpu_ms.append(1000 * (process_time() - cpu))
        return result

    def row(self) -> SlideRow:
        tiles = float(np.median(self.tiles)) if self.tiles else None
        off = round(float(np.median(self.off)), 2) if self.off else None
        return SlideRow(self.way, summary(self.wall_ms), summary(self.cpu_ms), tiles, off)


def run(
    slide: Path,
    *,
    backend: Backend | None = None,
    quality: Quality = "high",
    repeats: int = 15,
    out: Path | None = None,
) -> list[SlideRow]:
    """Times every way at `repeats` fixations, each way at each in turn; prints a table, and writes slide.json to `out`.

    Raises DataError where OpenSlide is missing, ImageReadError for a file that is no slide.
    """
    if out is not None:
        check_writable(out)
    if why := refusal("openslide", "OpenSlide"):
        raise DataError(f"{why}, and pages are measured beside it; run: pip install openslide-python openslide-bin")
    with open_unit(backend or "auto") as unit:
        rows = list(_rows(unit, slide, quality, repeats))
        renderer = unit.renderer
    facts = {"renderer": renderer, "quality": quality, "slide": slide.name, "tokens": TOKENS, **machine.describe()}
    told = f"{renderer}; {facts['processor']}, {facts['cores']} cores, load {facts['load_average']}; commit {facts['commit']}"
    headings = ("", "ms", "quartiles", "CPU ms", "tiles", "rms")
    table = in_terminal(f"{TOKENS} tokens of {slide.name}, {quality}, median of {repeats}", headings, map(_cells, rows))
    publish(table, told, out, "slide.json", {"machine": facts, "rows": [asdict(row) for row in rows]})
    return rows


def _cells(row: SlideRow) -> list[str]:
    tiles, rms = ("" if value is None else f"{value:g}" for value in (row.tiles, row.rms))
    return [row.way, f"{row.wall.median_ms:.1f}", row.wall.quartiles(1), f"{row.cpu.median_ms:.1f}", tiles, rms]


def _rows(unit: TextureUnit, slide: Path, quality: Quality, repeats: int) -> Iterator[SlideRow]:
    openslide = import_module("openslide")
    opening, cold, warm = Laps("open, overview"), Laps("pages, new place"), Laps("pages, again")
    peer, peer_warm = Laps("OpenSlide, new place"), Laps("OpenSlide, again")

    sources = ExitStack()

    def opened() -> PagedPyramid:
        source = open_tiles(slide)
        sources.callback(source.close)
        pyramid = unit.pyramid(source)
        assert isinstance(pyramid, PagedPyramid)
        pyramid.overview()
        return pyramid

    for _ in range(2):  # the first loads the libraries
        pyramid = opening.take(opened)
        unit.sample(pyramid, _plan(pyramid.size, 0), quality=quality)
        pyramid.close()
    with sources, openslide.OpenSlide(str(slide)) as theirs:
        pyramid = opening.take(opened)
        with pyramid:
            unit.sample(pyramid, _plan(pyramid.size, 0), quality=quality)
            token_by_token(theirs, _plan(pyramid.size, 0))
            for index in range(1, repeats + 1):
                plan = _plan(pyramid.size, index)
                before = pyramid.tree.reads
                ours = cold.take(partial(unit.sample, pyramid, plan, quality=quality)).pixels
                cold.tiles.append(pyramid.tree.reads - before)
                warm.take(partial(unit.sample, pyramid, plan, quality=quality))
                warm.tiles.append(0)
                found = peer.take(partial(token_by_token, theirs, plan))
                peer.off.append(float((found - ours.cpu()).square().mean().sqrt()) * 255)
                peer_warm.take(partial(token_by_token, theirs, plan))
    opening.wall_ms, opening.cpu_ms = opening.wall_ms[1:], opening.cpu_ms[1:]
    yield from (laps.row() for laps in (opening, cold, warm, peer, peer_warm))
    yield _whole_level(unit, slide, quality)
    yield from _beside_plain(unit, quality, repeats)


def _beside_plain(unit: TextureUnit, quality: Quality, repeats: int) -> Iterator[SlideRow]:
    """The same samples of one picture, whole on the device and in pages, all of them resident."""
    image = smooth_noise(NOISE_PX)[:, : NOISE_PX * 3 // 4].contiguous()
    plan = _plan((image.shape[0], image.shape[1]), 1)
    ways = [Laps("sample, all levels"), Laps("sample, pages")]
    with unit.pyramid(image, builder="exact", max_level=8) as plain, unit.pyramid(ArraySource(image.numpy())) as pages:
        for _ in range(2):
            first = [unit.sample(pyramid, plan, quality=quality).pixels for pyramid in (plain, pages)]
        for _ in range(3 * repeats):
            for laps, pyramid in zip(ways, (plain, pages), strict=True):
                laps.take(partial(unit.sample, pyramid, plan, quality=quality))
    ways[0].off.append(float((first[1] - first[0]).square().mean().sqrt()) * 255)
    yield from (laps.row() for laps in ways)


def _plan(size: tuple[int, int], index: int) -> SamplePlan:
    """A log-polar one, at places that wander over the slide, the same on every run."""
    x, y = ((0.3 + step * index) % 1 * 0.9 + 0.05 for step in (0.618, 0.414))
    return layouts.log_polar(size, (x * size[1], y * size[0]), TOKENS, PATCH_SIZE)


def token_by_token(slide: Any, plan: SamplePlan) -> Tensor:
    """[N, 3, P, P]: each token's box read from the best level, to whole pixels, and box-filtered by Pillow."""
    box = import_module("PIL.Image").Resampling.BOX
    corners = plan.corners
    patches = np.empty((len(plan), PATCH_SIZE, PATCH_SIZE, 3), np.uint8)
    for patch, (left, top), (right, _) in zip(patches, corners.amin(1).tolist(), corners.amax(1).tolist(), strict=True):
        level = slide.get_best_level_for_downsample(max((right - left) / PATCH_SIZE, 1))
        side = max(round((right - left) / slide.level_downsamples[level]), 1)
        crop = slide.read_region((round(left), round(top)), level, (side, side)).convert("RGB")
        patch[:] = np.asarray(crop.resize((PATCH_SIZE, PATCH_SIZE), box))
    return torch.from_numpy(patches).permute(0, 3, 1, 2).float() / 255


def _whole_level(unit: TextureUnit, slide: Path, quality: Quality) -> SlideRow:
    """Once: the finest level that memory may hold, read tile by tile, as a pyramid of its own."""
    laps = Laps("a level whole")
    source = open_tiles(slide)
    try:
        index = next(at for at, level in enumerate(source.levels) if max(level.size) <= WHOLE_LEVEL_PX)
        level = source.levels[index]
        scale = level.scale[0]
        laps.way = f"{level.size[1]} x {level.size[0]} px whole"
        plan = _plan(source.levels[0].size, 1)
        smaller = SamplePlan.squares(plan.centers / scale, plan.side_px / scale, PATCH_SIZE)

        def work() -> None:
            image = np.empty((*level.size, 3), np.uint8)
            rows, columns = grid(level)
            for row in range(rows):
                for column in range(columns):
                    pixels = source.read(index, row, column)
                    top, left = row * level.tile[0], column * level.tile[1]
                    if pixels is not None:
                        image[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
            with unit.pyramid(image) as pyramid:
                unit.sample(pyramid, smaller, quality=quality)
            laps.tiles.append(rows * columns)

        laps.take(work)
    finally:
        source.close()
    return laps.row()
