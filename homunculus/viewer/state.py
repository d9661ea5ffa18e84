"""What the viewer shows, as one immutable value, and every way in which it changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from homunculus import allocators
from homunculus.bridge.errors import PlanError
from homunculus.bridge.law import Quality
from homunculus.viewer import screen
from homunculus.viewer.view import registry as views

QUALITY_CYCLE: tuple[Quality, ...] = ("fast", "sharp", "high")
BUDGETS = (16, 32, 64, 91, 128, 196, 273, 400, 576, 784, 1024, 1536, 2048)
E0_STEP = 2**0.25
E0_RANGE_PX = (1.0, 1e6)
ZOOM_RANGE = (1.0, 256.0)
PX_PER_DEGREE_RANGE = (0.1, 1e4)
Point = tuple[float, float]


@dataclass(frozen=True)
class ViewState:
    """One moment of the viewer.

    size: (height, width) of the picture. fixations: (x, y) in its pixels, the gaze last. held: the gaze does not follow the mouse.
    zoom: 1 fits the picture into its area; center: the picture's point in the middle of the area, None for its own middle.
    e0_px: the law's constant; None fits it to the budget. channel: which relevance map is shown, 0 their sum. px_per_degree: canvas
    pixels of a degree of visual angle, by default of a 24-inch screen at 60 cm.
    """

    size: tuple[int, int]
    fixations: tuple[Point, ...]
    held: bool = False
    view: str = "footprints"
    side_by_side: bool = False
    channel: int = 0
    zoom: float = 1.0
    center: Point | None = None
    budget: int = 273
    patch_size: int = 16
    e0_px: float | None = None
    allocator: str = "quadtree"
    quality: Quality = "high"
    grid: bool = False
    help: bool = False
    query: str = ""
    typing: bool = False
    px_per_degree: float = screen.px_per_degree()

    def __post_init__(self) -> None:
        views.get(self.view)
        allocators.get(self.allocator)
        if self.budget < 1:
            raise PlanError(f"budget is {self.budget}; it must be at least 1")
        if self.patch_size < 1:
            raise PlanError(f"patch_size is {self.patch_size}; it must be at least 1")
        low, high = E0_RANGE_PX
        if self.e0_px is not None and not low <= self.e0_px <= high:
            raise PlanError(
                f"e0 is {self.e0_px} px; it must lie in {low:g}..{high:g}, or be left out to fit the budget"
            )
        low, high = PX_PER_DEGREE_RANGE
        if not low <= self.px_per_degree <= high:
            raise PlanError(
                f"px_per_degree is {self.px_per_degree:g}; it must lie in {low:g}..{high:g}. Give --distance-cm, how far the eye is "
                "from the screen, and --screen-cm, how wide that is"
            )

    @property
    def gaze(self) -> Point:
        return self.fixations[-1]


def start(size: tuple[int, int]) -> ViewState:
    """The gaze in the middle of a picture of (height, width)."""
    return ViewState(size, ((size[1] / 2, size[0] / 2),))


def show(state: ViewState, view: str) -> ViewState:
    """That view, alone; asked for again, the next map where it shows one of several."""
    if view == state.view and views[view].again and not state.side_by_side:
        return replace(state, channel=state.channel + 1)
    return replace(state, view=view, side_by_side=False)


def look_at(state: ViewState, point: Point) -> ViewState:
    """The gaze goes there, or to the nearest point of the picture; other fixations stay."""
    return replace(state, fixations=(*state.fixations[:-1], inside(state, point)))


def fix(state: ViewState, point: Point) -> ViewState:
    """One fixation, there; it stays."""
    return replace(state, fixations=(inside(state, point),), held=True)


def free(state: ViewState) -> ViewState:
    """The gaze follows the mouse again."""
    return replace(state, fixations=(state.gaze,), held=False)


def add_fixation(state: ViewState, point: Point) -> ViewState:
    """One more fixation; they all stay."""
    others = state.fixations if state.held else ()
    return replace(state, fixations=(*others, inside(state, point)), held=True)


def inside(state: ViewState, point: Point) -> Point:
    height, width = state.size
    return min(max(point[0], 0.0), float(width)), min(max(point[1], 0.0), float(height))


def zoomed(state: ViewState, zoom: float, center: Point) -> ViewState:
    """That zoom, within bounds; a zoom of 1 shows the whole picture."""
    zoom = min(max(zoom, ZOOM_RANGE[0]), ZOOM_RANGE[1])
    return replace(state, zoom=zoom, center=None if zoom == 1 else inside(state, center))


def change_e0(state: ViewState, steps: int, fitted_px: float) -> ViewState:
    """A quarter octave a step, from what the budget asks for where none was chosen."""
    e0_px = (state.e0_px or fitted_px) * E0_STEP**steps
    return replace(state, e0_px=min(max(e0_px, E0_RANGE_PX[0]), E0_RANGE_PX[1]))


def change_budget(state: ViewState, steps: int) -> ViewState:
    """The next larger or smaller of BUDGETS."""
    others = [b for b in BUDGETS if (b > state.budget if steps > 0 else b < state.budget)]
    return replace(state, budget=(min(others) if steps > 0 else max(others)) if others else state.budget)


def next_allocator(state: ViewState) -> ViewState:
    names = list(allocators.registry)
    return replace(state, allocator=names[(names.index(state.allocator) + 1) % len(names)])


def next_quality(state: ViewState) -> ViewState:
    place = QUALITY_CYCLE.index(state.quality) + 1 if state.quality in QUALITY_CYCLE else 0
    return replace(state, quality=QUALITY_CYCLE[place % len(QUALITY_CYCLE)])


def reset(state: ViewState, first: ViewState) -> ViewState:
    """As at the start, but for the view and the query."""
    gaze = first.fixations if first.size == state.size else start(state.size).fixations
    return replace(first, size=state.size, fixations=gaze, view=state.view, query=state.query)


def resized(state: ViewState, size: tuple[int, int]) -> ViewState:
    """The same on a picture of another size: the gaze keeps its place relative to it."""
    if size == state.size:
        return state
    scale_x, scale_y = size[1] / state.size[1], size[0] / state.size[0]
    moved = tuple((x * scale_x, y * scale_y) for x, y in state.fixations)
    return replace(state, size=size, fixations=moved, zoom=1.0, center=None)
