"""What is to be done: which rows on which pages, in pieces that can be done one by one."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

from homunculus.lab.experiment.rows import PRIMARY, Condition, rows

QUESTIONS = 3  # a page
PIECE = 16  # rows asked of one page at a time
# Pages of these sizes are asked only of what the sizes are about: whether the task separates, and the primary allocator.
SIZED = (
    "full grid",
    "resize-grid",
    PRIMARY,
    f"{PRIMARY}, oracle fixation",
    "two-view crop",
    "two-view crop, oracle fixation",
)
LARGEST_FULL_PX = 2048


@dataclass(frozen=True)
class PageCounts:
    """How many test pages: of the main size, and of each other."""

    size_px: int
    pages: int
    other_sizes_px: tuple[int, ...]
    other_pages: int


PRESETS = {
    "quick": PageCounts(512, 2, (), 0),
    "cpu": PageCounts(2048, 30, (512, 1024, 4096), 12),
    "gpu": PageCounts(2048, 400, (512, 1024, 4096), 100),
}


@dataclass(frozen=True)
class Work:
    """One page, and the rows asked of it."""

    size_px: int
    seed: int
    rows: tuple[Condition, ...]

    def without(self, done: Container[int | str]) -> Work:
        return Work(self.size_px, self.seed, tuple(row for row in self.rows if self.id(row) not in done))

    def parts(self) -> Iterator[Work]:
        """Pieces that take some seconds each; rows that share an encode of the full grid stay together."""
        shared = tuple(row for row in self.rows if row.gaze == "none")
        looking = [row for row in self.rows if row.gaze != "none"]
        pieces = [tuple(looking[first : first + PIECE]) for first in range(0, len(looking), PIECE)]
        yield from (Work(self.size_px, self.seed, piece) for piece in (shared, *pieces) if piece)

    def id(self, row: Condition) -> str:
        return f"{self.size_px}/{self.seed}/{row.name}"


def works(preset: PageCounts) -> list[Work]:
    """Pages of all sizes in turn, so that what is stopped has seen some of each."""
    every = tuple(rows())
    found = [Work(preset.size_px, seed, every) for seed in range(preset.pages)]
    for size in preset.other_sizes_px:
        some = tuple(row for row in every if row.name in SIZED and (row.budget is not None or size <= LARGEST_FULL_PX))
        found += [Work(size, seed, some) for seed in range(preset.other_pages)]
    return found
