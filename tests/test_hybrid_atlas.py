"""Regions in the foreground: a token each at least, finer where relevant, exact budgets; and where regions come from."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from homunculus import layouts
from homunculus.allocators.hybrid_atlas import HybridAtlas, merge_smallest
from homunculus.allocators.scene import Scene
from homunculus.allocators.segments import segment_colors
from homunculus.bridge.errors import BackendUnavailableError, ImageError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.segment_anything import SegmentAnything

SIZES = [(512, 512), (513, 1021), (768, 2048), (2047, 640)]


def discs(rows: int = 64, columns: int = 64) -> Tensor:
    """Three discs on background."""
    y, x = torch.meshgrid(torch.arange(rows) / rows, torch.arange(columns) / columns, indexing="ij")
    labels = torch.zeros(rows, columns, dtype=torch.int64)
    for label, (center_x, center_y, radius) in enumerate(
        [(0.25, 0.3, 0.15), (0.7, 0.25, 0.2), (0.6, 0.75, 0.1)], start=1
    ):
        labels[(x - center_x) ** 2 + (y - center_y) ** 2 < radius**2] = label
    return labels


def touching(plan: SamplePlan, left: float, top: float, right: float, bottom: float) -> Tensor:
    """Which patches lie wholly inside a rectangle."""
    low, high = plan.corners.amin(1), plan.corners.amax(1)
    return (low[:, 0] >= left) & (low[:, 1] >= top) & (high[:, 0] <= right) & (high[:, 1] <= bottom)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("budget", [1, 2, 64, 91, 196, 273, 1024])
def test_exactly_the_budget_inside_never_magnified_and_repeatable(size: tuple[int, int], budget: int) -> None:
    relevance = torch.rand(64, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    scene = Scene(size=size, regions=discs(50, 77), relevance=relevance)
    plan = HybridAtlas().allocate(scene, budget)
    assert len(plan) == budget
    assert plan.footprints.dtype == torch.float32
    assert torch.equal(plan.footprints, HybridAtlas().allocate(scene, budget).footprints)
    extent = torch.tensor([size[1], size[0]])
    assert bool((plan.corners.amin(1) >= -1e-2).all())
    assert bool((plan.corners.amax(1) <= extent + 1e-2).all())
    assert float(plan.right.norm(dim=1).min()) >= 1 - 1e-6
    assert float(plan.down.norm(dim=1).min()) >= 1 - 1e-6


def test_every_region_gets_a_token_and_its_tokens_cover_it() -> None:
    labels = discs(128, 128)
    relevance = torch.zeros(64, 64)
    relevance[:32, :32] = 1.0  # only the first disc
    plan = HybridAtlas().allocate(Scene(size=(1024, 1024), regions=labels, relevance=relevance), 273)
    cells = (torch.nonzero(labels).flip(1) + 0.5) * 8
    regions = plan.footprints[plan.side_px < 0.99 * 1024]
    low, high = plan.corners.amin(1), plan.corners.amax(1)
    assert len(regions) == 273
    inside = ((cells[:, None] >= low - 1e-3) & (cells[:, None] <= high + 1e-3)).all(-1)
    assert bool(inside.any(1).all())
    for label in (2, 3):
        rows, columns = (
            axis[labels == label] for axis in torch.meshgrid(torch.arange(128), torch.arange(128), indexing="ij")
        )
        box = float(columns.min()) * 8, float(rows.min()) * 8, float(columns.max() + 1) * 8, float(rows.max() + 1) * 8
        assert int(touching(plan, *box).sum()) >= 1


def test_a_relevant_region_is_cut_finer() -> None:
    labels = torch.zeros(64, 64, dtype=torch.int64)
    labels[8:24, 8:24], labels[8:24, 40:56] = 1, 2
    relevance = (labels == 1) + 4.0 * (labels == 2)
    plan = HybridAtlas().allocate(Scene(size=(2048, 2048), regions=labels, relevance=relevance), 81)
    left = int(touching(plan, 256, 256, 768, 768).sum())
    right = int(touching(plan, 1280, 256, 1792, 768).sum())
    assert (left, right) == (16, 64), "four times the relevance, four times the tokens; the last is the background"


def test_within_a_region_the_relevant_part_is_finer() -> None:
    labels = torch.ones(64, 64, dtype=torch.int64)
    relevance = torch.full((64, 64), 0.1)
    relevance[48:, 48:] = 5.0
    plan = HybridAtlas().allocate(Scene(size=(1024, 1024), regions=labels, relevance=relevance), 64)
    near = (plan.centers >= 768).all(1)
    assert float(plan.side_px[near].max()) < float(plan.side_px[~near].min())
    assert float(plan.area_px.sum()) == pytest.approx(1024**2), "one region over all: a partition"


def test_a_half_without_the_region_costs_no_token() -> None:
    labels = torch.eye(64, dtype=torch.int64)
    plan = HybridAtlas().allocate(Scene(size=(1024, 1024), regions=labels, relevance=labels.float()), 65)
    diagonal = (plan.centers[:, 0] - plan.centers[:, 1]).abs() < 1
    assert int((diagonal & (plan.side_px == 16)).sum()) == 64, "each native patch on the diagonal, and no other"


def test_more_regions_than_tokens_merge_the_smallest_into_the_background() -> None:
    labels = torch.arange(400).reshape(20, 20).repeat_interleave(4, 0).repeat_interleave(4, 1) + 1
    labels[:40] = 7
    plan = HybridAtlas().allocate(Scene(size=(640, 640), regions=labels), 64)
    assert len(plan) == 64
    assert plan.note.startswith("201 regions and the background exceed 64 tokens: the 138 smallest regions joined it")
    merged, _ = merge_smallest(labels.numpy(), 64)
    assert merged.max() == 63
    assert (merged[:40] > 0).all(), "the largest stays"
    alone = HybridAtlas().allocate(Scene(size=(640, 640), regions=labels), 1)
    assert len(alone) == 1
    assert "joined it" in alone.note


@pytest.mark.parametrize("kind", ["zero", "equal", "spike"])
def test_degenerate_relevance(kind: str) -> None:
    relevance = torch.ones(64, 64) if kind == "equal" else torch.zeros(64, 64)
    if kind == "spike":
        relevance[20, 45] = 1.0  # in the second disc
    plan = HybridAtlas().allocate(Scene(size=(1024, 1024), regions=discs(), relevance=relevance), 273)
    assert len(plan) == 273
    without = HybridAtlas().allocate(Scene(size=(1024, 1024), regions=discs()), 273)
    if kind == "spike":
        nearest = plan.eccentricity_px((45.5 * 16, 20.5 * 16)).argmin()
        assert float(plan.side_px[nearest]) == 16
    else:
        assert torch.equal(plan.footprints, without.footprints)


def test_a_shift_of_64_px_shifts_the_regions_tokens_and_not_the_grid() -> None:
    plans = []
    for shift in (0, 64):
        labels, relevance = torch.zeros(128, 128, dtype=torch.int64), torch.zeros(64, 64)
        cells = shift // 16
        labels[2 * cells : 2 * cells + 100, 2 * cells : 2 * cells + 100] = discs(100, 100)
        relevance[cells : cells + 50, cells : cells + 50] = torch.rand(
            50, 50, generator=torch.Generator().manual_seed(3)
        )
        plans.append(HybridAtlas().allocate(Scene(size=(1024, 1024), regions=labels, relevance=relevance), 273))
    first, second = (plan.footprints for plan in plans)
    difference = second - first
    moved = (difference[:, :2] - 64).abs().amax(1) < 1e-3
    still = difference[:, :2].abs().amax(1) < 1e-3
    assert bool((moved | still).all())
    assert int(moved.sum()) > 50
    assert bool(moved[: int(moved.sum())].all()), "regions first, then the grid"
    assert float(difference[:, 2:].abs().max()) == 0


def test_all_background_is_the_grid() -> None:
    plan = HybridAtlas().allocate(Scene(size=(512, 700), regions=torch.zeros(4, 4, dtype=torch.int64)), 91)
    assert torch.equal(plan.footprints, layouts.grid((512, 700), None, 91).footprints)


def test_labels_may_have_gaps_and_be_large() -> None:
    labels = discs()
    expected = HybridAtlas().allocate(Scene(size=(512, 512), regions=labels), 91)
    for renumbered in (labels * 1000, labels * 10**9):
        plan = HybridAtlas().allocate(Scene(size=(512, 512), regions=renumbered), 91)
        assert torch.equal(plan.footprints, expected.footprints)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int32])
def test_a_mask_is_a_region(dtype: torch.dtype) -> None:
    mask = discs() == 2
    plan = HybridAtlas().allocate(Scene(size=(512, 512), regions=mask.to(dtype)), 91)
    expected = HybridAtlas().allocate(Scene(size=(512, 512), regions=mask.long()), 91)
    assert torch.equal(plan.footprints, expected.footprints)
    assert float(plan.side_px[0]) < 130


def test_refusals() -> None:
    with pytest.raises(PlanError, match=r"has neither regions nor image; give Scene\(regions=...\)"):
        HybridAtlas().allocate(Scene(size=(64, 64)), 10)
    with pytest.raises(PlanError, match=r"regions have labels from -2; .* 0 the background"):
        HybridAtlas().allocate(Scene(size=(64, 64), regions=discs() - 2), 10)
    with pytest.raises(PlanError, match="budget is 0"):
        HybridAtlas().allocate(Scene(size=(64, 64), regions=discs()), 0)


def two_squares() -> Tensor:
    """uint8 [300, 400, 3]: a red and a blue square on grey with a little noise."""
    image = torch.full((300, 400, 3), 128)
    image[60:180, 50:170] = torch.tensor([200, 30, 30])
    image[120:260, 240:360] = torch.tensor([30, 30, 200])
    return (image + torch.randint(-6, 7, image.shape, generator=torch.Generator().manual_seed(0))).to(torch.uint8)


def test_the_default_segmentation_finds_coloured_squares() -> None:
    pytest.importorskip("cv2", reason="the segmentation without weights needs the extra `simd`")
    image = two_squares()
    labels = segment_colors(image)
    assert tuple(labels.shape) == (144, 192)
    assert labels.max() == 2
    assert labels[0, 0] == 0
    for y, x in ((120, 110), (190, 300)):
        label = labels[int(y * 0.48), int(x * 0.48)]
        assert label > 0
        assert float((labels == label).sum()) / labels.numel() == pytest.approx(0.12 if x < 200 else 0.14, abs=0.01)
    assert torch.equal(labels, segment_colors(image))
    assert torch.equal(labels, segment_colors(image.float() / 255))
    plan = HybridAtlas().allocate(Scene(size=(300, 400), image=image), 64)
    assert len(plan) == 64
    for size in ((1, 1), (2, 5), (1, 300)):
        assert segment_colors(torch.rand(*size, 3)).max() >= 0


def test_without_opencv_the_error_tells_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(
        BackendUnavailableError, match=r"needs OpenCV .*pip install opencv-python-headless, or give Scene"
    ):
        HybridAtlas().allocate(Scene(size=(300, 400), image=two_squares()), 64)


def test_without_transformers_the_error_tells_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BackendUnavailableError, match=r"needs transformers .*pip install transformers"):
        SegmentAnything(tmp_path)


def test_a_folder_without_such_a_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="Segment Anything needs the extra `models`")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert/config.json").write_text('{"model_type": "bert"}')
    for folder in (tmp_path, tmp_path / "bert", tmp_path / "missing"):
        with pytest.raises(BackendUnavailableError, match=r"holds no Segment-Anything model .*facebook/sam-vit-base"):
            SegmentAnything(folder)


@pytest.fixture
def tiny_sam(tmp_path: Path) -> Path:
    """A random model of SAM's architecture, saved as users have it."""
    transformers = pytest.importorskip("transformers", reason="Segment Anything needs the extra `models`")
    config = transformers.SamConfig(
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 64, "patch_size": 8,
            "output_channels": 16, "mlp_dim": 32, "global_attn_indexes": [1], "window_size": 4, "num_pos_feats": 8,
        },
        prompt_encoder_config={"hidden_size": 16, "image_size": 64, "patch_size": 8, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "iou_head_hidden_dim": 16,
        },
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.SamModel(config).save_pretrained(tmp_path / "sam")
    return tmp_path / "sam"


@pytest.mark.slow
def test_a_segment_anything_model_gives_regions(tiny_sam: Path) -> None:
    """Random weights find nothing in particular; shapes, order and repeatability are what can be checked."""
    segment = SegmentAnything(tiny_sam, points=4, least_iou=-100, least_stability=0, batch=7)
    image = two_squares()
    labels = segment(image)
    assert tuple(labels.shape) == (24, 32), "masks are a quarter of 64 px wide and lie over the image, not its padding"
    assert labels.dtype == torch.int32
    assert torch.equal(labels, segment(image))
    assert labels.max() > 0
    plan = HybridAtlas(segment).allocate(Scene(size=(300, 400), image=image), 64)
    assert len(plan) == 64
    assert SegmentAnything(tiny_sam, points=4, least_iou=100)(image).max() == 0
    with pytest.raises(ImageError, match=r"image has shape \(4, 4\); a segmentation needs \[H, W, 3\]"):
        segment(torch.zeros(4, 4))


def test_smaller_masks_lie_over_larger_ones() -> None:
    segment = SegmentAnything.__new__(SegmentAnything)
    segment.least_iou, segment.least_stability = 0.5, 0.9
    logits = torch.full((3, 8, 8), -9.0)
    logits[0, 2:4, 2:4], logits[1, :6, :6], logits[2, 6:, 6:] = 9.0, 9.0, 9.0
    labels = segment._paint(logits, torch.tensor([0.9, 0.9, 0.1]))
    assert labels[2, 2] == 2
    assert labels[0, 0] == 1
    assert labels[7, 7] == 0, "its quality is too low"
