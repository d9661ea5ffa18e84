"""Allocators that cut a tree: against an exact dynamic programme, and by the relevance that a plan resolves."""

import itertools
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from maps import true_map
from pictures import dead_leaves, pink_noise

from homunculus import allocators, layouts
from homunculus.allocators import FoveatedPyramid, GridTopK, LearnedSplit, PyramidTopK, TokenDag, hysteresis
from homunculus.allocators.budget import split
from homunculus.allocators.cuts import lagrange_cut, threshold_cut
from homunculus.allocators.detail import detail
from homunculus.allocators.hierarchy import Request, Tree, relevance_mass
from homunculus.allocators.scene import Allocator, Scene
from homunculus.allocators.token_dag import gains
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.dyadic import best_first
from homunculus.layouts.frame import Frame

CPU = torch.device("cpu")
CUTS = "lagrange", "greedy", "threshold"


# --- The exact optimum -------------------------------------------------------------------------------------------------


def least_errors(tree: Tree, error: torch.Tensor, budget: int) -> np.ndarray:
    """[budget + 1] least error of any cut of exactly k leaves, infinite where there is none: the tree knapsack.

    f(v, 1) = e(v), f(v, k) = the least sum of f(child, k_child) over all k_child that sum to k.
    """
    levels = [level.numpy() for level in tree.levels(error)]
    below = [[np.array([np.inf, value]) for value in row] for row in levels[0]]
    for own in levels[1:]:
        here = []
        for row in range(own.shape[0]):
            here.append([])
            for column in range(own.shape[1]):
                total = np.zeros(1)
                for y, x in itertools.product((2 * row, 2 * row + 1), (2 * column, 2 * column + 1)):
                    if y < len(below) and x < len(below[0]):
                        total = min_plus(total, below[y][x], budget)
                best = np.full(max(len(total), 2), np.inf)
                best[: len(total)] = total
                best[1] = min(best[1], own[row, column])
                here[-1].append(best)
        below = here
    return np.concatenate([below[0][0], np.full(budget + 1, np.inf)])[: budget + 1]


def min_plus(a: np.ndarray, b: np.ndarray, budget: int) -> np.ndarray:
    result = np.full(min(len(a) + len(b) - 1, budget + 1), np.inf)
    for k, value in enumerate(a):
        if np.isfinite(value):
            part = b[: len(result) - k]
            np.minimum(result[k : k + len(part)], value + part, out=result[k : k + len(part)])
    return result


def hull(least: np.ndarray) -> list[int]:
    """Numbers of leaves at the vertices of the lower convex hull, down to the least error."""
    vertices: list[int] = []
    for k in np.flatnonzero(np.isfinite(least)):
        while len(vertices) > 1:
            i, j = vertices[-2:]
            if (least[j] - least[i]) * (k - i) < (least[k] - least[i]) * (j - i):
                break
            vertices.pop()
        if not vertices or least[k] < least[vertices[-1]] - 1e-12:
            vertices.append(int(k))
    return vertices


def greedy_cut(tree: Tree, error: torch.Tensor, budget: int) -> torch.Tensor:
    frame = Frame.of(tree.size, None, budget, tree.patch_size)
    leaves = torch.zeros_like(error, dtype=torch.bool)
    levels = tree.levels(leaves)
    for level, column, row in best_first(frame, tree.lookup(gains(tree, error)[tree.natives :]), fill=True):
        levels[level][row, column] = True
    return leaves


def gain_threshold_cut(tree: Tree, error: torch.Tensor, budget: int) -> torch.Tensor:
    return threshold_cut(tree, gains(tree, error), budget)


ALL_CUTS = {"lagrange": lagrange_cut, "greedy": greedy_cut, "threshold": gain_threshold_cut}


def covered_once(tree: Tree, leaves: torch.Tensor) -> bool:
    """Whether every native patch has exactly one leaf at or above it."""
    levels = tree.levels(leaves.long())
    count = levels[-1]
    for level, shape in zip(levels[-2::-1], tree.shapes[-2::-1], strict=True):
        count = count.repeat_interleave(2, 0).repeat_interleave(2, 1)[: shape[0], : shape[1]] + level
    return bool((count == 1).all())


def random_tree(seed: int) -> tuple[Tree, torch.Tensor]:
    """Errors without any order between a node and its quarters."""
    rng = np.random.default_rng(seed)
    tree = Tree.of((int(rng.integers(8, 65)), int(rng.integers(8, 65))), 8, CPU)
    levels = [rng.random(shape) * 4.0**level for level, shape in enumerate(tree.shapes)]
    levels[0] *= rng.integers(0, 2)
    return tree, torch.from_numpy(np.concatenate([level.ravel() for level in levels]))


def diminishing_tree(seed: int) -> tuple[Tree, torch.Tensor]:
    """Errors whose gains never grow towards the leaves: each is at most its parent's."""
    rng = np.random.default_rng(seed)
    tree = Tree.of((64, 64), 8, CPU)
    gain, error = [rng.random((1, 1)) * 100], [np.zeros((8, 8))]
    for _ in range(2):
        gain.append(np.kron(gain[-1], np.ones((2, 2))) * rng.random((2 * len(gain[-1]), 2 * len(gain[-1]))))
    for own in gain[::-1]:
        n = len(own)
        error.append(own + error[-1].reshape(n, 2, n, 2).sum((1, 3)))
    return tree, torch.from_numpy(np.concatenate([level.ravel() for level in error]))


@pytest.mark.slow
def test_the_lagrangian_cut_is_the_exact_optimum_on_every_vertex_of_the_hull_of_50_random_trees() -> None:
    # In between, no price gives the optimum, and the cut is the vertex below it, split further while that fits.
    tested, ratios = 0, []
    for seed in range(50):
        tree, error = random_tree(seed)
        least = least_errors(tree, error, tree.natives)
        vertices = hull(least)
        for budget in range(1, tree.natives + 1):
            leaves = lagrange_cut(tree, error, budget)
            assert covered_once(tree, leaves)
            assert int(leaves.sum()) <= budget
            found, best = float(error[leaves].sum()), least[: budget + 1].min()
            if budget in vertices:
                assert found == pytest.approx(best, rel=1e-12, abs=1e-12), (seed, budget)
                tested += 1
            elif best > 1e-9 and np.isfinite(best):
                ratios.append(found / best)
    assert tested > 150
    print(
        f"\n{tested} vertices exact; between them error / optimum: mean {np.mean(ratios):.4f}, worst {max(ratios):.3f}"
    )


@pytest.mark.slow
def test_all_cuts_are_the_optimum_where_gains_never_grow() -> None:
    for seed in range(20):
        tree, error = diminishing_tree(seed)
        least = least_errors(tree, error, 64)
        for budget in (1, 4, 7, 22, 31, 50, 64):
            best = least[: budget + 1].min()
            for name in ALL_CUTS:
                found = float(error[ALL_CUTS[name](tree, error, budget)].sum())
                assert found == pytest.approx(best, rel=1e-9, abs=1e-9), (name, seed, budget)


def blob(side: int = 64) -> torch.Tensor:
    y, x = np.mgrid[:side, :side] + 0.5
    return torch.from_numpy(np.exp(-((x - side / 3) ** 2 + (y - side / 1.6) ** 2) / (side * 3)) + 0.1)


def uint8(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy((picture * 255).round().astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize("picture", [dead_leaves, pink_noise])
@pytest.mark.parametrize("size", [512, 1024])
@pytest.mark.parametrize("relevance", [None, blob()], ids=["even", "blob"])
def test_cuts_of_generated_images_are_the_optimum(picture, size, relevance) -> None:  # type: ignore[no-untyped-def]
    scene = Scene((size, size), relevance=relevance, image=uint8(picture(size)))
    tree = Tree.of((size, size), 16, CPU)
    error = TokenDag().error(scene, tree)
    best = least_errors(tree, error, 273)[271]
    ratio = {name: float(error[cut(tree, error, 273)].sum()) / best for name, cut in ALL_CUTS.items()}
    assert ratio["lagrange"] == pytest.approx(1, abs=1e-9)
    assert ratio["greedy"] == pytest.approx(1, abs=1e-9)
    assert ratio["threshold"] < 1.1
    uniform = next(level for level in tree.levels(error) if level.numel() <= 273).sum() / best
    assert uniform > 1
    plan = TokenDag().allocate(scene, 273)
    assert Request.of(scene, 273).cut(lagrange_cut(tree, error, 273)).footprints.equal(plan.footprints)
    assert float(plan.area_px[:271].sum()) == size**2


def hidden_checkerboard() -> torch.Tensor:
    """uint8 [1024, 1024, 3]: a board of single pixels on the left, which no token but a native one can see, and faint
    stripes, which every split brings out, on the right.
    """
    y, x = np.mgrid[:1024, :1024]
    board = np.where((y >= 384) & (y < 512) & (x < 128), (x + y) % 2, 0.5)
    stripes = np.where(x >= 512, 0.5 + 0.02 * np.sign(np.sin(x / 20)), board)
    return uint8(np.repeat(stripes[..., None], 3, -1))


def test_a_hidden_checkerboard_deceives_the_greedy_cut_alone() -> None:
    image = hidden_checkerboard()
    tree = Tree.of((1024, 1024), 16, CPU)
    error = detail(image, tree)
    best = least_errors(tree, error, 273).min()
    ratio = {name: float(error[cut(tree, error, 273)].sum() / best) for name, cut in ALL_CUTS.items()}
    print("\nhidden checkerboard, squared error over the optimum:", {k: round(v, 3) for k, v in ratio.items()})
    assert ratio["lagrange"] == pytest.approx(1, abs=1e-9)
    assert ratio["threshold"] < 1.1
    assert ratio["greedy"] > 10


def test_detail_is_the_squared_error_of_exact_box_means() -> None:
    generator = torch.Generator().manual_seed(1)
    for size, patch in (((64, 64), 4), ((37, 91), 4), ((50, 20), 7), ((5, 5), 8)):
        noise = torch.rand(*size, 3, generator=generator)
        for image, unit in ((noise, 1.0), ((noise * 255).byte(), 255.0)):
            tree = Tree.of(size, patch, CPU)
            x, expected = image.double().numpy() / unit, []
            for left, top, side in tree.squares.long().tolist():
                node, texel = x[top : top + side, left : left + side], side // patch
                total = 0.0
                for i, j in itertools.product(range(0, node.shape[0], texel), range(0, node.shape[1], texel)):
                    part = node[i : i + texel, j : j + texel]
                    total += ((part - part.mean((0, 1))) ** 2).sum()
                expected.append(total)
            np.testing.assert_allclose(detail(image, tree), expected, rtol=1e-9, atol=1e-9)
    flat = torch.full((300, 500, 3), 77, dtype=torch.uint8)
    assert float(detail(flat, Tree.of((300, 500), 16, CPU)).abs().max()) == 0


def test_relevance_mass_is_the_maps_integral_over_each_node() -> None:
    size, map_ = (90, 140), torch.rand(9, 7, generator=torch.Generator().manual_seed(2))
    tree = Tree.of(size, 16, CPU)
    fine = map_.double().repeat_interleave(10, 0).repeat_interleave(20, 1)
    expected = [fine[top : top + side, left : left + side].sum() for left, top, side in tree.squares.long().tolist()]
    mass = relevance_mass(Scene(size, relevance=map_), tree)
    torch.testing.assert_close(mass, torch.stack(expected) / fine.sum(), rtol=1e-12, atol=0)
    even = relevance_mass(Scene(size, relevance=torch.zeros(3, 3)), tree)
    torch.testing.assert_close(even, tree.area_share, rtol=1e-12, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("allocator", [TokenDag("lagrange"), TokenDag("threshold"), FoveatedPyramid()], ids=repr)
def test_cuts_on_a_device_never_read_back(allocator: Allocator) -> None:
    # A meta tensor has shapes and no values: whatever would read one back raises.
    relevance, image = torch.rand(64, 64, device="meta"), torch.zeros(1000, 700, 3, dtype=torch.uint8, device="meta")
    for fixations in ((), torch.zeros(3, 2, device="meta")):
        scene = Scene((1000, 700), fixations, relevance=relevance, image=image)
        for budget in (1, 64, 273, 4000):
            plan = allocator.allocate(scene, budget)
            assert plan.footprints.shape == (budget, 8)
            assert plan.footprints.device.type == "meta"
    with pytest.raises(RuntimeError, match="meta tensor"):
        TokenDag("greedy").allocate(Scene((1000, 700), relevance=relevance, image=image), 64)


# --- Resolved relevance ------------------------------------------------------------------------------------------------


def estimate_of(true: np.ndarray, block: int, noise: float, seed: int) -> np.ndarray:
    """Means over blocks of cells, each times exp(noise * N(0, 1))."""
    n = 64 // block
    means = true.reshape(n, block, n, block).mean((1, 3))
    means = means * np.exp(noise * np.random.default_rng(10_000 + seed).standard_normal((n, n)))
    return np.kron(means, np.ones((block, block)))


@cache
def candidate_fields() -> tuple[list[tuple[float, float]], np.ndarray]:
    """Points (x, y), and v [N, 64, 64] of each."""
    axis = np.arange(64) * 16 + 8.0
    candidates = [(x, y) for y in axis[::2] for x in axis[::2]]
    return candidates, np.stack([1 / (1 + np.hypot(axis - x, (axis - y)[:, None]) / 104.2) for x, y in candidates])


def two_fixations(estimate: np.ndarray) -> list[tuple[float, float]]:
    """Greedy by the gain in sum of R max v(|x - f|), v(e) = 1 / (1 + e / a), a that of 273 tokens on 1024 px."""
    seen, chosen, (candidates, fields) = np.zeros((64, 64)), [], candidate_fields()
    for _ in range(2):
        best = int(np.argmax([(np.maximum(field - seen, 0) * estimate).sum() for field in fields]))
        seen = np.maximum(seen, fields[best])
        chosen.append(candidates[best])
    return chosen


def resolved(plan: SamplePlan, true: np.ndarray) -> float:
    """Share of relevance resolved: sum of R min(1, 1 / s), s the finest texel side (px) that sees each cell."""
    finest = np.full((64, 64), np.inf)
    corners = (plan.corners / 16).round().long().numpy()
    for (left, top), (right, bottom), side in zip(corners[:, 0], corners[:, 2], plan.side_px.numpy(), strict=True):
        window = finest[max(0, top) : bottom, max(0, left) : right]
        np.minimum(window, side / 16, out=window)
    return float((true * np.minimum(1, 1 / finest)).sum() / true.sum())


ESTIMATES = {"exact": (1, 0.0), "4/0.5": (4, 0.5), "4/1.0": (4, 1.0), "4/1.5": (4, 1.5), "8/1.5": (8, 1.5)}


def resolved_table(seeds: range) -> dict[str, dict[str, float]]:
    """Mean over maps: way -> estimate (block in cells / log-noise) -> resolved relevance, 273 tokens on 1024 px."""
    size, even = (1024, 1024), FoveatedPyramid(a_px=1e9, prior=0)
    ways = {
        "foveated_pyramid": lambda scene: FoveatedPyramid().allocate(scene, 273),
        "grid_top_k": lambda scene: GridTopK().allocate(scene, 273),
        "pyramid": lambda scene: PyramidTopK().allocate(scene, 273),
        "foveation only": lambda scene: layouts.quadtree(size, scene.fixations),
        "foveation only, a = 32 px": lambda scene: layouts.quadtree(size, scene.fixations, a_px=32),
        "relevance only": lambda scene: even.allocate(scene, 273),
        "foveated_pyramid, 1 fixation": lambda scene: FoveatedPyramid().allocate(
            Scene(size, relevance=scene.relevance), 273
        ),
    }
    table: dict[str, dict[str, float]] = {way: {} for way in ways}
    for label, (block, noise) in ESTIMATES.items():
        found: dict[str, list[float]] = {way: [] for way in ways}
        for seed in seeds:
            true = true_map(seed)
            estimate = estimate_of(true, block, noise, seed) if noise else true
            scene = Scene(size, two_fixations(estimate), torch.from_numpy(estimate))
            for way, allocate in ways.items():
                found[way].append(resolved(allocate(scene), true))
        for way, values in found.items():
            table[way][label] = float(np.mean(values))
    return table


@pytest.mark.slow
def test_foveation_and_relevance_together_resolve_more_than_either() -> None:
    table = resolved_table(range(25))
    print("\nresolved relevance, 25 maps" + " " * 5, *(f"{label:>7}" for label in ESTIMATES))
    for way, row in table.items():
        print(f"{way:32}", *(f"{value:7.3f}" for value in row.values()))
    ours, top_k = table["foveated_pyramid"], table["grid_top_k"]
    foveation = [table["foveation only"], table["foveation only, a = 32 px"]]
    assert ours["exact"] >= 1.03 * top_k["exact"]
    assert ours["exact"] >= 1.12 * max(row["exact"] for row in foveation)
    assert ours["4/1.5"] >= 1.3 * top_k["4/1.5"]
    assert ours["4/1.5"] >= max(row["4/1.5"] for row in [*foveation, table["relevance only"]])


def test_foveated_pyramid_without_relevance_is_the_quadtree_layout() -> None:
    for size, fixations in (((1024, 1024), [(300, 500)]), ((1024, 1024), [(256, 384), (900, 100)])):
        for scene, prior in ((Scene(size, fixations), 0.25), (Scene(size, fixations, torch.rand(64, 64)), 1.0)):
            plan = FoveatedPyramid(prior=prior, floor=0).allocate(scene, 273)
            assert torch.equal(plan.footprints, layouts.quadtree(size, fixations).footprints)


def test_grid_top_k_keeps_the_best_and_breaks_ties_in_raster_order() -> None:
    map_ = torch.ones(4, 5)
    map_[2, 3], map_[0, 4] = 3.0, 2.0
    plan = GridTopK().allocate(Scene((64, 80), relevance=map_), 5)
    assert (plan.centers / 16).floor().tolist() == [[0, 0], [1, 0], [2, 0], [4, 0], [3, 2]]
    assert plan.side_px.tolist() == [16] * 5


def test_a_small_image_keeps_every_native_patch_then_an_overview_then_repeats_at_the_fixation() -> None:
    for name in ("grid_top_k", "foveated_pyramid", "token_dag"):
        image = torch.zeros(48, 64, 3, dtype=torch.uint8)
        plan = allocators.get(name).allocate(Scene((48, 64), [(40, 20)], torch.rand(4, 4), image=image), 20)
        corners = plan.corners[:, 0]
        assert {tuple(c) for c in corners[:12].tolist()} == {(x * 16.0, y * 16.0) for x in range(4) for y in range(3)}
        assert plan.side_px.tolist() == [16] * 12 + [64] + [16] * 7
        assert corners[12].tolist() == [0, 0]
        assert corners[13].tolist() == [32, 12]
        assert plan.note == (
            "the image of 48 x 64 px holds 12 patches of 16 px, fewer than the budget of 20: all of them, then an "
            "overview, then native patches around the fixation that repeat what is seen"
        )


def test_pyramid_ranks_all_levels_and_tells_positions() -> None:
    generator = torch.Generator().manual_seed(0)
    map_ = torch.rand(64, 64, generator=generator) ** 2
    scene = Scene((1024, 1024), relevance=map_)
    plan = PyramidTopK(weights=(1, 1.6, 2.6, 4)).allocate(scene, 273)
    level, x, y = PyramidTopK.positions(plan).T
    torch.testing.assert_close(plan.side_px, 16.0 * 2**level)
    torch.testing.assert_close(plan.corners[:, 0], torch.stack([x, y], -1) * plan.side_px[:, None])
    scores = []
    for depth, weight in enumerate((1, 1.6, 2.6, 4)):
        mean = torch.nn.functional.avg_pool2d(map_[None].double(), 2**depth)[0]
        scores += [(float(v) * weight, depth, c, r) for (r, c), v in np.ndenumerate(mean.numpy())]
    best = {tuple(s[1:]) for s in sorted(scores, reverse=True)[:273]}
    assert {tuple(row) for row in torch.stack([level, x, y], -1).tolist()} == best
    assert len(set(level.tolist())) == 4
    assert bool((level.diff() <= 0).all())


def test_pyramid_divides_the_budget_as_told() -> None:
    scene = Scene((1024, 1024), relevance=torch.rand(64, 64, generator=torch.Generator().manual_seed(0)))
    told = PyramidTopK(split=(64, 128, 64, 17))
    counts = [PyramidTopK.positions(told.allocate(scene, n))[:, 0].bincount(minlength=4).tolist() for n in (273, 91)]
    assert counts == [[64, 128, 64, 17], [21, 43, 21, 6]]
    assert split(273, (64, 128, 64, 17), ceiling=(1024, 256, 64, 16)) == [64, 129, 64, 16]
    assert split(10, (0, 0, 1, 0), ceiling=(99, 99, 4, 1)) == [3, 2, 4, 1]
    small = PyramidTopK(split=(64, 128, 64, 17)).allocate(Scene((100, 50)), 60)
    assert len(small) == 60
    with pytest.raises(PlanError, match=r"split are \(1, 2\); expected 4 finite numbers of at least 0, one above 0"):
        PyramidTopK(split=(1, 2))
    with pytest.raises(PlanError, match=r"weights are \(0, 0, 0, 0\); expected 4"):
        PyramidTopK(weights=(0, 0, 0, 0))


def test_token_dag_and_foveated_pyramid_refuse_what_they_cannot_use() -> None:
    with pytest.raises(
        PlanError, match=r"token_dag measures detail and this scene has no image; give Scene\(\.\.\., image"
    ):
        TokenDag().allocate(Scene((64, 64)), 8)
    with pytest.raises(PlanError, match="cut is 'best'; choose one of lagrange, greedy, threshold"):
        TokenDag("best")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match=r"prior is 1\.5; it is a share"):
        FoveatedPyramid(prior=1.5)


@pytest.mark.parametrize("name", ["grid_top_k", "pyramid", "foveated_pyramid"])
def test_hysteresis_keeps_tokens_until_others_are_clearly_better(name: str) -> None:
    generator, size = torch.Generator().manual_seed(4), (1024, 1024)
    map_ = torch.rand(64, 64, generator=generator) ** 4
    allocator = allocators.get(name)
    before = allocator.allocate(Scene(size, [(500, 500)], map_), 273)
    trembling = Scene(size, [(500, 500)], map_ * (1 + 0.5 * torch.rand(64, 64, generator=generator)))
    after = allocator.allocate(trembling, 273)
    if isinstance(allocator, FoveatedPyramid):
        trembling = allocator.weighted(trembling, 273)
    moved = []
    for threshold in (0.0, 0.05, 0.1, 1.0):
        kept = hysteresis(before, after, trembling, threshold)
        assert len(kept.plan) == 273
        held = {tuple(row) for row in before.footprints.tolist()}
        assert kept.moved == sum(tuple(row) not in held for row in kept.plan.footprints.tolist())
        if name == "foveated_pyramid":
            assert float(kept.plan.area_px.sum()) == float(before.area_px.sum())
        moved.append(kept.moved)
    assert moved == sorted(moved, reverse=True)
    assert 0 == moved[-1] < moved[0] <= kept.proposed
    same = hysteresis(before, before, trembling)
    assert (same.moved, same.proposed) == (0, 0)
    elsewhere = Scene(size, [(100, 900)], map_.flip(0, 1) ** 2)
    proposed = allocator.allocate(elsewhere, 273)
    if isinstance(allocator, FoveatedPyramid):
        elsewhere = allocator.weighted(elsewhere, 273)
    jump = hysteresis(before, proposed, elsewhere)
    assert jump.moved > 0.5 * jump.proposed


def test_hysteresis_lets_the_fovea_follow_the_eye() -> None:
    allocator, size = FoveatedPyramid(), (1024, 1024)
    here, there = (allocator.allocate(Scene(size, [point]), 273) for point in ((200, 300), (800, 700)))
    kept = hysteresis(here, there, allocator.weighted(Scene(size, [(800, 700)]), 273))
    assert kept.moved > 0.9 * kept.proposed > 50


def test_hysteresis_refuses_plans_that_cannot_be_compared() -> None:
    scene = Scene((512, 512))
    plans = {n: layouts.grid((512, 512), budget=n) for n in (20, 21)}
    with pytest.raises(PlanError, match="plans differ: 20 and 21 tokens of 16 and 16 texels; allocate both with one"):
        hysteresis(plans[20], plans[21], scene)
    with pytest.raises(PlanError, match=r"threshold is -0\.1; it is a share of at least 0"):
        hysteresis(plans[20], plans[20], scene, -0.1)
    cortical = layouts.cortical((512, 512), budget=20)
    with pytest.raises(PlanError, match="a warped plan's patches cannot be exchanged one by one"):
        hysteresis(plans[20], cortical, scene)


def test_a_learned_split_moves_the_budget_to_where_it_resolves_more(tmp_path: Path) -> None:
    relevance = (
        torch.rand(64, 64, generator=torch.Generator().manual_seed(3)) ** 8
    )  # many small peaks: native patches pay
    scene, learned = Scene((1024, 1024), [], relevance), LearnedSplit()
    assert learned() == pytest.approx([share / 273 for share in (64, 128, 64, 17)])
    first = float(learned.loss(scene, 273).detach())
    optimiser = torch.optim.Adam(learned.parameters(), 0.1)
    for _ in range(40):
        optimiser.zero_grad()
        loss = learned.loss(scene, 273)
        loss.backward()
        optimiser.step()
    print(f"loss {first:.3f} to {float(loss.detach()):.3f}, shares {[round(share, 2) for share in learned()]}")
    assert float(loss.detach()) < 0.95 * first
    assert learned()[0] > 64 / 273
    learned.save(tmp_path / "split.safetensors")
    assert LearnedSplit.load(tmp_path / "split.safetensors")() == learned()
    assert len(PyramidTopK(split=learned()).allocate(scene, 273)) == 273
