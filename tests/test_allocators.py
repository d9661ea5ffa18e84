"""What every allocator in the registry promises: exact counts, repeatability, sane footprints, degenerate maps, refusals."""

import math

import pytest
import torch
from pictures import white_noise

from homunculus import allocators
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import PlanError

every_allocator = pytest.mark.parametrize("name", allocators.registry)
BUDGETS = 64, 91, 196, 273, 1024
SIZES = (512, 512), (1024, 768), (513, 1027), (2048, 600), (4096, 4096), (600, 4096)
DEGENERATE = {
    "zero": torch.zeros(64, 64, dtype=torch.float32, device="cpu"),
    "equal": torch.full((64, 64), 0.3, dtype=torch.float32, device="cpu"),
    "spike": torch.zeros(64, 64, dtype=torch.float32, device="cpu").index_put(
        (torch.tensor(40, dtype=torch.int64, device="cpu"), torch.tensor(9, dtype=torch.int64, device="cpu")),
        torch.tensor(1.0, dtype=torch.float32, device="cpu"),
    ),
    "spike on nothing": torch.zeros(64, 64, dtype=torch.float32, device="cpu").index_put(
        (torch.tensor(40, dtype=torch.int64, device="cpu"), torch.tensor(9, dtype=torch.int64, device="cpu")),
        torch.tensor(1e-30, dtype=torch.float32, device="cpu"),
    ),
    "huge": torch.full((64, 64), 1e38, dtype=torch.float32, device="cpu"),
}
# A shift by this many pixels of image, map and fixation moves the tokens that lie in what was shifted, and nothing else.
# Cuts of a tree and pyramids stand on nodes, and move with shifts by whole nodes: here those of 256 px, the block's side.
# Allocators of other names are fitted to the image's border, or have a test of their own.
# The cells of a log-polar image partition the disc; next to the fixation they are smaller than a pixel, and documented to be.
MAGNIFIES = {"cortical"}
SHIFTS_PX = {"grid_top_k": 64, "pyramid": 128, "foveated_pyramid": 256, "token_dag": 256}


def scene(size: tuple[int, int], seed: int = 0, relevance: torch.Tensor | None = None) -> Scene:
    """A scene with all that an allocator may ask for."""
    height, width = size
    generator = torch.Generator().manual_seed(seed)
    if relevance is None:
        relevance = torch.rand(64, 64, generator=generator, dtype=torch.float32, device="cpu") ** 4
    image = torch.from_numpy(white_noise(height // 8 + 1, width // 8 + 1, seed))
    image = image.repeat_interleave(8, 0).repeat_interleave(8, 1)[:height, :width].contiguous()
    y, x = torch.meshgrid(
        torch.arange(32, dtype=torch.int64, device="cpu"),
        torch.arange(48, dtype=torch.int64, device="cpu"),
        indexing="ij",
    )
    regions = (y // 12) * 4 + x // 13
    return Scene(size, [(0.62 * width, 0.31 * height)], relevance, image=image, regions=regions)


@pytest.mark.slow
@every_allocator
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_budget_is_met_exactly_twice_bit_for_bit(name: str, size: tuple[int, int]) -> None:
    allocator, whole, another = allocators.get(name), scene(size), scene(size)
    assert allocator.name == name
    for budget in BUDGETS:
        plan = allocator.allocate(whole, budget)
        assert len(plan) == budget
        assert plan.footprints.dtype == torch.float32
        assert bool(torch.isfinite(plan.footprints).all())
        assert float(plan.lod.min()) >= 0
        if name not in MAGNIFIES:
            assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6
            assert float(plan.down.norm(dim=1).min()) >= 1 - 1e-6
        again = allocator.allocate(another, budget)
        assert torch.equal(plan.footprints, again.footprints)
        assert plan.note == again.note


@pytest.mark.slow
@every_allocator
@pytest.mark.parametrize("size", [(1, 1), (16, 16), (40, 300), (224, 224), (271, 272)], ids=str)
def test_an_image_smaller_than_the_budget_is_filled_and_not_magnified(name: str, size: tuple[int, int]) -> None:
    for budget in (1, 2, 273):
        plan = allocators.get(name).allocate(scene(size), budget)
        assert len(plan) == budget
        assert float(plan.lod.min()) >= 0
        if name not in MAGNIFIES:
            assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6
    natives = math.ceil(size[0] / 16) * math.ceil(size[1] / 16)
    assert bool(plan.note) == (natives < 273)


@pytest.mark.slow
@every_allocator
@pytest.mark.parametrize("kind", DEGENERATE)
def test_degenerate_relevance_is_spent_all_the_same(name: str, kind: str) -> None:
    for size in ((1024, 1024), (700, 1300)):
        plan = allocators.get(name).allocate(scene(size, relevance=DEGENERATE[kind]), 273)
        assert len(plan) == 273
        assert bool(torch.isfinite(plan.footprints).all())


@every_allocator
def test_a_scene_without_fixation_is_spent_where_relevance_is_highest(name: str) -> None:
    given = scene((700, 900))
    plan = allocators.get(name).allocate(Scene(given.size, (), given.relevance, 14, given.image, given.regions), 91)
    assert len(plan) == 91
    assert plan.patch_size == 14


def test_relevance_that_is_no_relevance_is_refused() -> None:
    for value, text in ((math.nan, "nan to nan"), (math.inf, "to inf"), (-1.0, "from -1 to")):
        bad = torch.rand(8, 8, dtype=torch.float32, device="cpu").index_put(
            (torch.tensor(3, dtype=torch.int64, device="cpu"), torch.tensor(5, dtype=torch.int64, device="cpu")),
            torch.tensor(value, dtype=torch.float32, device="cpu"),
        )
        with pytest.raises(PlanError, match=f"relevance runs .*{text}.*it must be finite and not negative"):
            Scene((64, 64), relevance=bad)


@every_allocator
@pytest.mark.parametrize("budget", [0, -1, 2.5, math.nan])
def test_a_budget_that_is_no_number_of_tokens_is_refused(name: str, budget: float) -> None:
    with pytest.raises(PlanError, match=f"budget is {budget}; it must be a whole number of at least 1"):
        allocators.get(name).allocate(scene((64, 64)), budget)  # type: ignore[arg-type]


@every_allocator
def test_every_row_reads_the_scenes_layer(name: str) -> None:
    given = scene((300, 400))
    plan = allocators.get(name).allocate(
        Scene(given.size, given.fixations, given.relevance, 16, given.image, given.regions, layer=3), 64
    )
    assert set(plan.layers.tolist()) == {3}


@pytest.mark.parametrize("name", SHIFTS_PX)
def test_tokens_move_with_the_image_the_map_and_the_fixation(name: str) -> None:
    # Relevance and detail stand in one block of 256 px; all else is empty.
    shift, block, side = SHIFTS_PX[name], 256, 1024
    generator = torch.Generator().manual_seed(5)
    relevance = torch.rand(16, 16, generator=generator, dtype=torch.float32, device="cpu") + 0.1
    pixels = torch.from_numpy(white_noise(block // 4, block // 4)).repeat_interleave(4, 0).repeat_interleave(4, 1)

    def inside(x: int, y: int) -> set[tuple[float, ...]]:
        map_, image = (
            torch.zeros(64, 64, dtype=torch.float32, device="cpu"),
            torch.full((side, side, 3), 90, dtype=torch.uint8, device="cpu"),
        )
        map_[y // 16 : y // 16 + 16, x // 16 : x // 16 + 16] = relevance
        image[y : y + block, x : x + block] = pixels
        plan = allocators.get(name).allocate(Scene((side, side), [(x + 100, y + 60)], map_, image=image), 91)
        low, high = (
            plan.corners[:, 0] - torch.tensor([x, y], dtype=torch.float32, device="cpu"),
            plan.corners[:, 2] - torch.tensor([x, y], dtype=torch.float32, device="cpu"),
        )
        held = ((low >= 0) & (high <= block)).all(1)
        rows = torch.cat([low[held], plan.right[held]], 1)
        return {tuple(row) for row in rows.tolist()}

    here = inside(256, 256)
    assert len(here) >= 48
    for x, y in ((256 + shift, 256), (256, 256 + shift), (256 + shift, 256 + shift)):
        assert inside(x, y) == here


def test_unknown_names_are_refused_with_those_that_exist() -> None:
    with pytest.raises(PlanError, match=r"allocator 'nanite' is unknown; choose one of .*foveated_pyramid"):
        allocators.get("nanite")
