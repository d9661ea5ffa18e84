"""What is to be done: which pages, in an order in which kinds and sizes stay balanced wherever it stops."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from homunculus.lab.pages.document import A4_KINDS, LARGE, LARGE_PX, SIZES_PX

PAGES = 120
PAGES_A_LARGE = 5  # pages of A4 for each large one


@dataclass(frozen=True)
class PageWork:
    """A page, and the rows asked of it, by name."""

    kind: str
    height_px: int
    seed: int
    rows: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        return f"{self.kind}/{self.height_px}/{self.seed}"


def works(pages: int = PAGES, first_seed: int = 0) -> list[PageWork]:
    """So many pages of A4, and a large one after every five."""
    found, large = [], 0
    for place in range(pages):
        turn, kind = divmod(place, len(A4_KINDS))
        found.append(PageWork(A4_KINDS[kind], SIZES_PX[turn % len(SIZES_PX)], first_seed + turn))
        if place % PAGES_A_LARGE == PAGES_A_LARGE - 1:
            turn, kind = divmod(large, len(LARGE))
            found.append(PageWork(list(LARGE)[kind], LARGE_PX, first_seed + turn))
            large += 1
    return found


def left(work: PageWork, names: Iterable[str], known: Container[int | str]) -> PageWork | None:
    """The page with those of some rows that are not known; None where nothing is left."""
    rows = tuple(name for name in names if f"{work.id}/{name}" not in known)
    return PageWork(work.kind, work.height_px, work.seed, rows) if rows else None
