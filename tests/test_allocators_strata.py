"""Strata, coverage and log-polar allocators: exact counts, no blind stratum, learned parts that learn, shares kept or refused."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from homunculus import Scene, allocators, layouts
from homunculus.allocators import Allocator
from homunculus.allocators.adaptive_stratified import (
    AdaptiveStratified,
    StrataHead,
    concentration,
    features,
    query_aspect,
)
from homunculus.allocators.blind_spots import empty_strata, sight, step_px
from homunculus.allocators.coverage_top_k import CoverageTopK
from homunculus.allocators.fixation import fixations_of
from homunculus.allocators.laid_out import Cortical, LogPolar
from homunculus.allocators.lattice import Lattice
from homunculus.allocators.pseudo_log_polar import PseudoLogPolar
from homunculus.allocators.soft_top_k import soft_top_k, straight_through
from homunculus.allocators.stratified import Stratified
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.layouts.frame import Frame
from homunculus.layouts.log_polar import FOVEAL_OVERLAP

OWN = ["log_polar", "cortical", "stratified", "adaptive_stratified", "coverage_top_k", "pseudo_log_polar"]
SIZES = [(512, 512), (1024, 768), (600, 2000), (4096, 512), (4096, 4096)]
every_own = pytest.mark.parametrize("name", OWN)


def blobs(*places: tuple[float, float, float], shape: tuple[int, int] = (64, 64), width: float = 0.1) -> Tensor:
    """Gaussians of a standard deviation of `width` at (x, y) in fractions, with a height."""
    y = (torch.arange(shape[0]) + 0.5)[:, None] / shape[0]
    x = (torch.arange(shape[1]) + 0.5) / shape[1]
    return sum(
        (height * torch.exp(-((x - px) ** 2 + (y - py) ** 2) / (2 * width**2)) for px, py, height in places),
        torch.zeros(shape),
    )


def spike(row: int = 40, column: int = 9) -> Tensor:
    relevance = torch.zeros(64, 64)
    relevance[row, column] = 1
    return relevance


MAPS = {
    "blobs": blobs((0.7, 0.3, 1.0), (0.2, 0.8, 0.5), width=0.05),
    "zero": torch.zeros(64, 64),
    "equal": torch.full((64, 64), 0.3),
    "spike": spike(),
    "huge": blobs((0.5, 0.5, 1e30)),
    "tiny": blobs((0.5, 0.5, 1e-30)),
    "one cell": torch.ones(1, 1),
    "wide": torch.linspace(0, 1, 300)[None].repeat(3, 1),
}


def check(plan: SamplePlan, scene: Scene, budget: int, name: str) -> None:
    assert len(plan) == budget
    assert plan.footprints.dtype == torch.float32
    height, width = scene.size
    if name == "cortical":  # partitions a disc, and its innermost texels are finer than a pixel
        return
    assert float(plan.lod.min()) >= 0
    assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6
    assert float(plan.down.norm(dim=1).min()) >= 1 - 1e-6
    extent = torch.tensor([width, height])
    places = plan.centers[:, None] if name == "pseudo_log_polar" else plan.corners
    # Only a patch longer than the image may stick out.
    excess = (plan.side_px[:, None, None] - extent).clamp(min=0) / 2 + 0.01
    assert bool((places >= -excess).all())
    assert bool((places <= extent + excess).all())


@pytest.mark.slow
@every_own
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("budget", [64, 91, 196, 273, 1024])
def test_the_budget_is_spent_exactly_and_repeatably(name: str, size: tuple[int, int], budget: int) -> None:
    scene = Scene(size, relevance=MAPS["blobs"])
    plan = allocators.get(name).allocate(scene, budget)
    check(plan, scene, budget, name)
    assert torch.equal(plan.footprints, allocators.get(name).allocate(scene, budget).footprints)


@pytest.mark.slow
@every_own
@pytest.mark.parametrize("kind", MAPS)
def test_degenerate_relevance_is_spent_all_the_same(name: str, kind: str) -> None:
    scene = Scene((1024, 768), relevance=MAPS[kind])
    check(allocators.get(name).allocate(scene, 273), scene, 273, name)
    alone = Scene((1024, 768))
    check(allocators.get(name).allocate(alone, 273), alone, 273, name)


@pytest.mark.slow
@every_own
@pytest.mark.parametrize("budget", [1, 2, 3, 7])
@pytest.mark.parametrize("size", [(512, 512), (64, 64), (20, 1000), (8, 8)], ids=str)
def test_small_budgets_and_small_images(name: str, budget: int, size: tuple[int, int]) -> None:
    scene = Scene(size, relevance=MAPS["blobs"])
    plan = allocators.get(name).allocate(scene, budget)
    assert len(plan) == budget
    assert bool(torch.isfinite(plan.footprints).all())
    crowded = allocators.get(name).allocate(scene, 100)
    assert len(crowded) == 100
    if size[0] * size[1] < 100 * 256:
        assert "fewer than the budget of 100" in crowded.note


@every_own
def test_a_budget_below_one_is_refused_and_layers_are_kept(name: str) -> None:
    with pytest.raises(PlanError, match=r"^budget is 0; it must be a whole number of at least 1$"):
        allocators.get(name).allocate(Scene((512, 512)), 0)
    assert allocators.get(name).name == name
    assert allocators.get(name).allocate(Scene((512, 512), layer=3), 20).layers.unique().tolist() == [3]


@every_own
def test_several_fixations(name: str) -> None:
    scene = Scene((1024, 1024), fixations=[(200, 300), (800, 700)])
    if name == "cortical":
        with pytest.raises(PlanError, match=r"cortical was given 2 fixations and takes 1"):
            allocators.get(name).allocate(scene, 273)
    else:
        assert len(allocators.get(name).allocate(scene, 273)) == 273


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_own
def test_plans_are_made_where_the_relevance_is(name: str) -> None:
    host = Scene((1024, 768), relevance=MAPS["blobs"])
    scene = Scene((1024, 768), relevance=MAPS["blobs"].cuda())
    allocator = allocators.get(name)
    plan = allocator.allocate(scene, 273)
    assert plan.footprints.is_cuda
    assert torch.equal(plan.footprints, allocator.allocate(scene, 273).footprints)
    # Where two candidates are equal to within rounding, the devices may choose either.
    same = (plan.footprints.cpu() - allocators.get(name).allocate(host, 273).footprints).abs().amax(1) < 0.1
    assert float(same.float().mean()) > 0.9


# Strata


def top_k(scene: Scene, budget: int) -> SamplePlan:
    """Plain top-K: the most relevant native patches, whatever they leave out."""
    lattice = Lattice.of(scene, budget)
    scores = lattice.mean_relevance(scene.relevance).reshape(-1)
    return lattice.plan(torch.argsort(scores, descending=True, stable=True)[:budget])


@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize("overview", [True, False])
def test_stratified_leaves_no_stratum_empty_where_top_k_does(kind: str, overview: bool) -> None:
    scene = Scene((1024, 1024), relevance=MAPS[kind])
    assert empty_strata(Stratified((8, 8), overview).allocate(scene, 273), scene.size) == 0
    if kind in ("blobs", "spike", "huge"):
        assert empty_strata(top_k(scene, 273), scene.size) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("budget", [64, 91, 196, 273, 1024])
@pytest.mark.parametrize("adaptive", [False, True])
def test_no_stratum_of_its_own_is_empty_and_overviews_cover_the_image(
    size: tuple[int, int], budget: int, adaptive: bool
) -> None:
    scene = Scene(size, relevance=MAPS["spike"], query="read the text")
    allocator = AdaptiveStratified() if adaptive else Stratified()
    plan = allocator.allocate(scene, budget)
    seen = sight(plan, size, landmarks={"corner": (1.0, 1.0), "middle": (size[1] / 2, size[0] / 2)})
    assert None not in seen.step_px.values()
    pure = allocator.__class__(overview=False).allocate(scene, budget)
    assert bool((pure.side_px == 16).all()) or pure.note


def test_the_rest_of_the_budget_follows_relevance() -> None:
    relevance = torch.ones(8, 8)
    relevance[:, 4:] = 3
    plan = Stratified((1, 2), overview=False).allocate(Scene((1024, 1024), relevance=relevance), 202)
    assert int((plan.centers[:, 0] < 512).sum()) == 51
    scene = Scene((1024, 1024), relevance=spike(20, 30))
    plan = Stratified((4, 4), overview=False).allocate(scene, 32)
    assert [488.0, 328.0] in plan.centers.tolist()


def test_equal_relevance_spreads_within_the_strata() -> None:
    plan = Stratified((1, 1), overview=False).allocate(Scene((1024, 1024)), 64)
    assert empty_strata(plan, (1024, 1024)) <= 16, "the first 64 patches in row-major order would leave 56 empty"


@pytest.mark.parametrize(
    ("strata", "budget", "text"),
    [
        ((9, 9), 64, "9 x 9 strata need 81 tokens and the budget is 64; give more tokens or fewer strata"),
        ((2, 40), 100, "2 x 40 strata are finer than the image's 32 x 32 patches of 16 px; give fewer strata"),
        ((0, 4), 64, "strata rows is 0; it must be a whole number of at least 1"),
    ],
)
def test_impossible_strata_are_refused(strata: tuple[int, int], budget: int, text: str) -> None:
    with pytest.raises(PlanError) as caught:
        Stratified(strata).allocate(Scene((512, 512)), budget)
    assert str(caught.value) == text


def test_the_adaptive_grid_follows_concentration_and_query() -> None:
    def grid(relevance: Tensor | None, query: str = "", size: tuple[int, int] = (1024, 1024)) -> tuple[int, int]:
        scene = Scene(size, relevance=relevance, query=query)
        return AdaptiveStratified().grid(scene, Lattice.of(scene, 273))

    def count(relevance: Tensor | None) -> int:
        rows, columns = grid(relevance)
        return rows * columns

    assert count(None) > count(MAPS["blobs"]) > count(MAPS["spike"])
    rows, columns = grid(None, "what does the text say?")
    assert rows >= 3 * columns, "strata as wide as lines are"
    rows, columns = grid(None, size=(512, 2048))
    assert 3 <= columns / rows <= 5
    assert (concentration(MAPS["equal"]), concentration(MAPS["zero"])) == (pytest.approx(0, abs=1e-9), 0)
    assert concentration(MAPS["spike"]) == pytest.approx(1)
    assert query_aspect("Lines of text?") == pytest.approx(4)
    assert query_aspect("where is the dog") == 1


def test_the_head_corrects_nothing_until_it_is_trained_towards_better_grids(tmp_path: Path) -> None:
    head = StrataHead()
    scenes = [
        Scene((1024, 1024), relevance=blobs((x, 0.5, 1.0), width=width)) for x in (0.3, 0.6) for width in (0.03, 0.2)
    ]
    for scene in scenes:
        lattice = Lattice.of(scene, 91)
        assert AdaptiveStratified(head).grid(scene, lattice) == AdaptiveStratified().grid(scene, lattice)
    inputs = torch.tensor([features(scene, Lattice.of(scene, 91)) for scene in scenes])
    # As if trying grids had shown that half as many strata, twice as wide, were best.
    best = torch.tensor([-0.7, 0.7]).expand(len(scenes), 2)
    optimizer = torch.optim.Adam(head.parameters(), 0.03)
    losses = []
    for _ in range(60):
        loss = (head(inputs) - best).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]
    scene, lattice = scenes[1], Lattice.of(scenes[1], 91)
    before, after = AdaptiveStratified().grid(scene, lattice), AdaptiveStratified(head).grid(scene, lattice)
    assert after[0] * after[1] < 0.7 * before[0] * before[1]
    head.save(tmp_path / "head.safetensors")
    assert AdaptiveStratified(StrataHead.load(tmp_path / "head.safetensors")).grid(scene, lattice) == after


# Learned selection


@pytest.mark.parametrize("temperature", [0.01, 0.3, 1.0, 10.0])
def test_soft_shares_sum_to_k_and_become_top_k_when_cold(temperature: float) -> None:
    scores = torch.randn(500, generator=torch.Generator().manual_seed(0)) * 3
    shares = soft_top_k(scores, 60, temperature)
    assert float(shares.sum()) == pytest.approx(60, abs=1e-2)
    assert bool(((shares >= 0) & (shares <= 1)).all())
    if temperature == 0.01:
        assert int((shares > 0.5).sum()) == 60
    assert bool((soft_top_k(scores, 500, temperature) == 1).all())


def test_gradients_of_soft_shares_are_those_of_finite_differences() -> None:
    scores = torch.randn(40, dtype=torch.float64, generator=torch.Generator().manual_seed(1), requires_grad=True)
    temperature = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s, t: soft_top_k(s, 9, t), (scores, temperature), atol=1e-4)
    (gradient,) = torch.autograd.grad(straight_through(torch.ones(40), soft_top_k(scores, 9)).sum(), scores)
    assert float(gradient.abs().max()) < 1e-6, "the sum is always k"


def lessons() -> list[tuple[Scene, Tensor]]:
    """Relevance in a ring around the fixation, where the law spends little; for each the noisy estimate and the truth."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="ij")
    found = []
    for radius in (18.0, 22.0):
        relevance = torch.exp(-((torch.hypot(x - 32, y - 32) - radius) ** 2) / 8)
        estimate = (relevance + 0.02) * torch.exp(1.5 * torch.randn(64, 64, generator=random))
        found.append((Scene((1024, 1024), fixations=[(512, 512)], relevance=estimate), relevance))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", [CoverageTopK, PseudoLogPolar])
def test_training_lowers_the_loss_and_raises_the_coverage(
    kind: type[CoverageTopK] | type[PseudoLogPolar], tmp_path: Path
) -> None:
    allocator, taught = kind(), lessons()

    def coverage() -> float:
        """Of the true relevance, by the plans that the estimates give."""
        plans = [(allocator.allocate(scene, 91), target) for scene, target in taught]
        return sum(sight(plan, (1024, 1024), target).relevance_coverage for plan, target in plans) / len(plans)

    before, losses = coverage(), []
    optimizer = torch.optim.Adam(allocator.parameters(), 0.03)
    for _ in range(30):
        loss = torch.stack([allocator.loss(scene, 91, target) for scene, target in taught]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    after = coverage()
    print(f"{allocator.name}: loss {losses[0]:.4f} to {losses[-1]:.4f}, coverage {before:.4f} to {after:.4f}")
    assert losses[-1] < 0.99 * losses[0]
    assert after > 1.05 * before
    plan = allocator.allocate(taught[0][0], 91)
    assert len(plan) == 91
    allocator.save(tmp_path / "weights.safetensors")
    assert torch.equal(
        kind.load(tmp_path / "weights.safetensors").allocate(taught[0][0], 91).footprints, plan.footprints
    )


def test_coverage_top_k_covers_what_native_patches_leave_out() -> None:
    scene = Scene((1024, 1024), relevance=MAPS["blobs"])
    grown, native = (sight(CoverageTopK(grow).allocate(scene, 273), scene.size) for grow in (True, False))
    assert native.relevance_coverage < 0.07 < 0.13 < grown.relevance_coverage
    even = CoverageTopK().allocate(Scene((1024, 1024)), 256)
    assert float(even.side_px.min()) == pytest.approx(1.25 * 64, rel=1e-3)
    assert empty_strata(even, (1024, 1024)) == 0


def test_untrained_pseudo_log_polar_follows_the_cortical_law() -> None:
    plan = PseudoLogPolar().allocate(Scene((1024, 1024), fixations=[(512, 512)]), 273)
    a_px = Frame.of((1024, 1024), None, 273, 16).constant_px()
    law = layouts.log_polar((1024, 1024), (512, 512), 273, a_px=a_px)
    for radius in (150, 250, 350):
        ours, theirs = (int((p.eccentricity_px((512, 512)) < radius).sum()) for p in (plan, law))
        assert ours == pytest.approx(theirs, rel=0.2)
    with pytest.raises(PlanError, match="bins is 0"):
        PseudoLogPolar(0)


# Fixations and foveas


def test_the_fixation_is_the_scenes_else_the_refined_maximum_else_the_centre() -> None:
    assert fixations_of(Scene((100, 200), fixations=[(3, 4)], relevance=spike())) == [(3, 4)]
    assert fixations_of(Scene((100, 200))) == [(100, 50)]
    assert fixations_of(Scene((100, 200), relevance=torch.ones(4, 4))) == [(100, 50)]
    assert fixations_of(Scene((640, 640), relevance=spike(40, 9))) == [(95, 405)]
    peak = blobs((0.6137, 0.3491, 1.0), width=0.05)
    ((x, y),) = fixations_of(Scene((1000, 1000), relevance=peak))
    assert (x, y) == (pytest.approx(613.7, abs=0.5), pytest.approx(349.1, abs=0.5))
    assert fixations_of(Scene((640, 640), relevance=spike(0, 63))) == [(635, 5)]
    plan = allocators.get("log_polar").allocate(Scene((1000, 1000), relevance=peak), 273)
    assert torch.equal(plan.footprints, layouts.log_polar((1000, 1000), (x, y), 273).footprints)


@pytest.mark.slow
@pytest.mark.parametrize("fixation", [(1024, 1024), (300, 1500), (60, 60)])
@pytest.mark.parametrize("share", [0.1, 0.15, 0.2])
def test_a_foveal_share_is_kept_to_one_token(fixation: tuple[float, float], share: float) -> None:
    scene = Scene((2048, 2048), fixations=[fixation])
    plan = LogPolar(foveal_share=share, fovea_px=300).allocate(scene, 273)
    assert len(plan) == 273
    assert float((plan.eccentricity_px(fixation) <= 300).sum()) == pytest.approx(share * 273, abs=1)
    assert float(plan.lod.min()) >= 0
    polar = Cortical(foveal_share=0.35, fovea_px=300).allocate(scene, 273)
    assert polar.texels is not None
    inside = torch.hypot(*(polar.texels[..., :2] - torch.tensor(fixation)).unbind(-1)) <= 300
    assert float(inside.float().mean()) == pytest.approx(0.35, abs=1 / (13 * 16))


def refusal(allocator: Allocator, scene: Scene) -> str:
    with pytest.raises(PlanError) as caught:
        allocator.allocate(scene, 273)
    return str(caught.value)


def test_a_share_that_would_magnify_is_refused_with_the_reason() -> None:
    scene = Scene((1024, 1024))
    text = refusal(LogPolar(foveal_share=0.3, fovea_px=50), scene)
    assert text.startswith("foveal_share 0.3 within 50 px asks for 81.9 of 273 tokens; without magnifying at most ")
    assert text.endswith(": lower the share or widen fovea_px, or set magnify=True")
    limit = float(text.split("at most ")[1].split()[0])
    assert 10 < limit < FOVEAL_OVERLAP["areal"] ** 2 * math.pi * 50**2 / 256
    plan = LogPolar(foveal_share=0.3, fovea_px=50, magnify=True).allocate(scene, 273)
    assert int((plan.eccentricity_px((512, 512)) <= 50).sum()) == pytest.approx(82, abs=1)
    assert float(plan.side_px.min()) < 16


def test_other_shares_out_of_reach_are_refused() -> None:
    scene = Scene((1024, 1024))
    text = refusal(LogPolar(foveal_share=0.1, fovea_px=400), scene)
    assert "evenly spread tokens already put " in text
    assert text.endswith("there: raise the share or narrow fovea_px")
    assert refusal(LogPolar(foveal_share=0.9999, fovea_px=5, magnify=True), scene).count("the law's limit is")
    for share in (0.0, -1.0, 1.5, math.nan):
        text = f"foveal_share is {share}; it must be a finite number, above 0 and at most 1, or None for the law's own"
        assert refusal(LogPolar(foveal_share=share), scene) == text
    text = "fovea_px is 0; it must be a finite number, above 0, or None for a tenth of half the diagonal"
    assert refusal(LogPolar(foveal_share=0.1, fovea_px=0), scene) == text


# Blind spots


def test_how_sharply_a_place_is_seen() -> None:
    plan = SamplePlan.squares(
        torch.tensor([[50.0, 50.0], [50.0, 50.0], [100.0, 20.0]]), torch.tensor([64.0, 32.0, 16.0])
    )
    assert step_px(plan, (50, 50)) == pytest.approx(2)
    assert step_px(plan, (75, 75)) == pytest.approx(4)
    assert step_px(plan, (100, 20)) == pytest.approx(1)
    assert step_px(plan, (100, 90)) is None
    seen = sight(SamplePlan.boxes(torch.tensor([[0.0, 0.0, 64.0, 128.0]]), 64), (128, 128), torch.eye(2))
    assert seen.relevance_coverage == pytest.approx(0.5 / math.sqrt(2))
    assert seen.empty_strata == 63
    cortical = layouts.cortical((1024, 1024), (512, 512), 273)
    near, far = (step_px(cortical, (512 + e, 512)) for e in (10, 400))
    assert near is not None
    assert far is not None
    assert near < 1 < far
