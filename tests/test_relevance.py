"""Relevance channels against closed forms, and what must not change them: shifts, batches, sizes; and no value read back."""

from __future__ import annotations

from pathlib import Path
from time import perf_counter

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.statistics import LAYERS
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.bridge.unit import TextureUnit
from homunculus.relevance import (
    NOTHING,
    Head,
    ImageStatistics,
    SearchTarget,
    Silent,
    participatory,
    perspectival,
    propositional,
    registry,
    relevance,
    z_scores,
)
from homunculus.relevance.color import color
from homunculus.relevance.exemplar import exemplar
from homunculus.relevance.image_statistics import grid_level, kept_level
from homunculus.relevance.matching import Written
from homunculus.relevance.perspectival import normalized
from homunculus.relevance.propositional import self_information
from homunculus.relevance.query import COLORS
from homunculus.relevance.tokens import tokens
from homunculus.relevance.word_search import WordSearch

CHANNELS = {"propositional": propositional, "perspectival": perspectival}


@pytest.fixture
def unit() -> TwinUnit:
    return TwinUnit()


def leaves(side_px: int = 512, seed: int = 0) -> np.ndarray:
    return np.rint(255 * dead_leaves(side_px, seed)).astype(np.uint8)


def statistics_of(unit: TextureUnit, images: np.ndarray) -> ImageStatistics:
    with unit.pyramid(images) as pyramid:
        return ImageStatistics.of(unit, pyramid)


def everything(unit: TextureUnit, statistics: ImageStatistics, crop: np.ndarray) -> dict[str, torch.Tensor]:
    """Every map there is, query and all."""
    target = SearchTarget.of(unit, statistics, crop)
    assert target.example is not None
    return {
        "propositional": propositional(statistics),
        "perspectival": perspectival(statistics),
        "exemplar": exemplar(statistics, target.example),
        **{name: color(statistics, rgb) for name, rgb in COLORS.items()},
        "total": relevance(statistics, target).total,
    }


def test_self_information_is_the_exact_formula() -> None:
    rng = np.random.default_rng(0)
    values = rng.multivariate_normal([0.3, -1, 2], [[1, 0.5, 0], [0.5, 2, 0.3], [0, 0.3, 0.7]], 24 * 40)
    weight = rng.uniform(0.2, 1, 24 * 40)
    mean = np.average(values, 0, weight)
    covariance = np.cov(values.T, aweights=weight, bias=True) + 1e-6 * np.eye(3)
    off = values - mean
    expected = 0.5 * np.einsum("ni,ij,nj->n", off, np.linalg.inv(covariance), off) / np.log(2)
    features = torch.from_numpy(values.T.reshape(1, 3, 24, 40))
    bits = self_information(features, torch.from_numpy(weight.reshape(24, 40)), 1e-3)
    np.testing.assert_allclose(bits[0].flatten().numpy(), expected, rtol=1e-9)
    assert abs(float((bits[0].flatten() * torch.from_numpy(weight / weight.sum())).sum()) - 1.5 / np.log(2)) < 1e-4


def test_a_single_peak_stays_and_many_equal_ones_vanish() -> None:
    single, many = torch.zeros(64, 64), torch.zeros(64, 64)
    single[20, 30] = 0.4
    many[4::8, 4::8] = 0.4
    maps = normalized(torch.stack([single, many, torch.zeros(64, 64), single * 1e-4]))
    assert maps.amax((1, 2)).tolist() == pytest.approx([1, 0, 0, 0], abs=1e-5)
    several = many.clone()
    several[12, 20] = 0.8
    assert float(normalized(several)[12, 20]) == pytest.approx(0.25)


def test_a_constant_picture_says_nothing(any_unit: TextureUnit) -> None:
    image = np.full((200, 300, 3), (130, 90, 201), np.uint8)
    statistics = statistics_of(any_unit, image)
    for name, map in everything(any_unit, statistics, image[:40, :50]).items():
        assert torch.isfinite(map).all(), name
        if name in ("propositional", "perspectival"):
            assert float(map.abs().max()) < 0.02, name
        if name == "total":
            assert float(map.max() - map.min()) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1, 1), (5, 300), (300, 5), (17, 17), (64, 65), (7, 3000), (333, 1025)])
def test_any_size_works(unit: TwinUnit, size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    statistics = statistics_of(unit, image)
    assert max(statistics.grid) <= 64
    assert [cell * count for cell, count in zip(statistics.cell_px, statistics.grid, strict=True)] == pytest.approx(
        list(size)
    )
    for name, map in everything(unit, statistics, image[:20, :20]).items():
        assert map.shape == (1, *statistics.grid), name
        assert torch.isfinite(map).all(), name
    Scene(size, relevance=relevance(statistics).total[0])


@pytest.mark.slow
def test_cells_end_at_the_edges_and_keep_the_mean(unit: TwinUnit) -> None:
    statistics = statistics_of(unit, leaves()[:300, :500])
    assert (statistics.level, statistics.grid) == (3, (38, 63))
    assert torch.allclose(statistics.cover(torch.ones(1, 38, 63)), torch.ones(1, 38, 63), atol=1e-5)
    ramp = (torch.arange(38) + 0.5)[:, None].expand(38, 63) * 8
    covered = statistics.cover(ramp[None])[0, :, 0]
    assert float((covered - (torch.arange(38) + 0.5) * 300 / 38).abs().max()) < 2.1
    whole = statistics_of(unit, leaves())
    map = torch.rand(1, 64, 64)
    assert torch.allclose(whole.cover(map), map, atol=1e-6)


@pytest.mark.slow
def test_a_shift_by_whole_cells_shifts_the_maps(unit: TwinUnit) -> None:
    image = np.full((512, 512, 3), 128, np.uint8)
    image[192:320, 192:320] = leaves(128)
    crop = image[200:240, 220:260]
    moved = np.roll(image, (24, -40), (0, 1))
    first, second = (everything(unit, statistics_of(unit, picture), crop) for picture in (image, moved))
    for name, map in first.items():
        expected = torch.roll(map, (3, -5), (1, 2))[0, 12:-12, 12:-12]
        error = float((second[name][0, 12:-12, 12:-12] - expected).abs().max())
        assert error <= 0.02 * float(map.abs().max()) + 1e-3, (name, error)


@pytest.mark.slow
def test_a_batch_equals_its_pictures(any_unit: TextureUnit) -> None:
    images = np.stack([leaves(256, 0), leaves(256, 1), np.zeros((256, 256, 3), np.uint8)])
    crop = images[0, 100:140, 90:140]
    together = everything(any_unit, statistics_of(any_unit, images), crop)
    for index, image in enumerate(images):
        alone = everything(any_unit, statistics_of(any_unit, image), crop)
        for name, map in together.items():
            scale = float(alone[name].abs().max()) + 1e-3
            assert float((map[index] - alone[name][0]).abs().max()) < 1e-3 * scale, (name, index)


@pytest.mark.slow
def test_both_units_see_the_same(unit: TwinUnit, gl_unit: TextureUnit) -> None:
    image = leaves()
    ours, theirs = (everything(each, statistics_of(each, image), image[100:150, 200:260]) for each in (unit, gl_unit))
    for name, map in ours.items():
        assert float((map - theirs[name]).abs().max()) < 0.05 * float(map.abs().max()) + 1e-3, name


@pytest.mark.slow
def test_a_crop_of_the_picture_is_found_where_it_was_cut(unit: TwinUnit) -> None:
    image = leaves(512, 3)
    statistics = statistics_of(unit, image)
    for x, y in ((60, 100), (203, 333), (401, 47)):
        target = SearchTarget.of(unit, statistics, image[y : y + 72, x : x + 56])
        assert target.example is not None
        map = exemplar(statistics, target.example)[0]
        row, column = divmod(int(map.argmax()), map.shape[1])
        assert abs(row * 8 + 4 - (y + 36)) <= 12
        assert abs(column * 8 + 4 - (x + 28)) <= 12
        assert 0.5 < float(map.max()) <= 1 + 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "side_px"), [("red", 6), ("blue", 6), ("white", 12), ("black", 12), ("grey", 12), ("orange", 6)]
)
def test_a_small_thing_of_the_asked_color_wins(unit: TwinUnit, word: str, side_px: int) -> None:
    rng = np.random.default_rng(1)
    image = np.full((512, 512, 3), (90, 120, 60), np.uint8)
    for name in set(COLORS) - {word, "brown" if word == "orange" else word}:
        x, y = rng.integers(20, 450, 2)
        image[y : y + 30, x : x + 30] = np.rint(255 * np.array(COLORS[name]))
    image[301 : 301 + side_px, 133 : 133 + side_px] = np.rint(255 * np.array(COLORS[word]))
    map = color(statistics_of(unit, image), COLORS[word])[0]
    row, column = divmod(int(map.argmax()), 64)
    assert row in range(301 // 8, (301 + side_px) // 8 + 1)
    assert column in range(133 // 8, (133 + side_px) // 8 + 1)


def test_a_picture_of_one_color_has_no_more_of_it_anywhere(unit: TwinUnit) -> None:
    image = np.full((128, 128, 3), (217, 26, 26), np.uint8)
    assert float(color(statistics_of(unit, image), COLORS["red"]).max()) < 1e-4
    with pytest.raises(PlanError, match="give red, green and blue"):
        color(statistics_of(unit, image), (217, 26, 26))


@pytest.mark.slow
def test_tokens_become_a_map_of_where_they_were(unit: TwinUnit) -> None:
    statistics = statistics_of(unit, np.stack([leaves(256), leaves(256, 1)]))
    plans = [SamplePlan.boxes(torch.tensor([[0.0, 0, 128, 256], [128, 0, 256, 128]]), layer=layer) for layer in (0, 1)]
    map = tokens(statistics, torch.tensor([1.0, -2, 3, 4]), SamplePlan.concatenate(plans))
    assert map.shape == (2, 64, 64)
    quarters = map[:, 16::32, 16::32].flatten(1)
    assert quarters.tolist() == [pytest.approx([1, -2, 1, 0]), pytest.approx([3, 4, 3, 0])]
    with pytest.raises(PlanError, match="2 tokens needs floats"):
        tokens(statistics, torch.ones(3), plans[0])


def test_silent_channels_are_zero_and_say_why(unit: TwinUnit) -> None:
    statistics = statistics_of(unit, leaves(256))
    seen = relevance(statistics)
    assert list(seen.maps) == [
        "propositional",
        "perspectival",
        "participatory",
        "procedural",
        "saliency",
        "motion",
        "words",
    ]
    assert list(seen.inactive) == ["participatory", "procedural", "saliency", "motion", "words"]
    assert all(float(seen.maps[name].abs().max()) == 0 and reason for name, reason in seen.inactive.items())
    only = z_scores(propositional(statistics)) + z_scores(perspectival(statistics))
    assert torch.allclose(seen.total, torch.nn.functional.softplus(only))
    with pytest.raises(PlanError, match="weights name visual; the channels are"):
        relevance(statistics, weights={"visual": 1})
    with pytest.raises(PlanError, match="expected \\[B, rows, columns\\]"):
        relevance(statistics, channels={"mine": lambda statistics, target: torch.zeros(3)})
    with pytest.raises(PlanError, match="no reason"):
        Silent("")


def test_weights_are_learned_and_a_stranger_adds_a_channel(unit: TwinUnit) -> None:
    statistics = statistics_of(unit, leaves(256))
    weights = torch.nn.ParameterDict({name: torch.nn.Parameter(torch.ones(())) for name in ("propositional", "mine")})
    mine = {**registry, "mine": lambda statistics, target: torch.rand(1, *statistics.grid)}
    seen = relevance(statistics, weights=weights, channels=mine)
    seen.total[0, 3, 5].backward()
    assert all(parameter.grad is not None and float(parameter.grad) != 0 for parameter in weights.values())


def test_a_head_is_zero_until_trained_and_comes_back_as_saved(unit: TwinUnit, tmp_path: Path) -> None:
    statistics = statistics_of(unit, np.stack([leaves(256), leaves(256, 1)]))
    head = Head(width=8, embedding=5)
    target = SearchTarget(embedding=torch.randn(5))
    assert float(head(statistics, target).detach().abs().max()) == 0
    torch.nn.init.normal_(head.last.weight)
    said = head(statistics, target)
    assert said.shape == (2, 64, 64)
    assert not torch.allclose(said, head(statistics, SearchTarget(embedding=torch.randn(5))))
    head.save(tmp_path / "head.safetensors")
    again = Head.load(tmp_path / "head.safetensors")
    assert torch.equal(again(statistics, target), said)
    assert relevance(statistics, target, channels={**registry, "procedural": again}).inactive.keys() == {
        "participatory",
        "saliency",
        "motion",
        "words",
    }
    assert isinstance(again(statistics, NOTHING), Silent)
    for wrong, message in (
        (lambda: again(statistics, SearchTarget(embedding=torch.ones(3))), "embedding is .3,.; this head was made for"),
        (lambda: Head(0), "width is 0"),
        (lambda: Head.load(tmp_path / "none.safetensors"), "cannot be opened"),
        (lambda: Head.load(__file__), "cannot be read: .*a file that Head.save wrote"),
    ):
        with pytest.raises(ModelError, match=message):
            wrong()


def test_a_file_of_something_else_is_no_head(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(ModelError, match=r"holds .no head.; expected"):
        Head.load(tmp_path / "other.safetensors")


def test_an_example_of_another_grid_is_refused(unit: TwinUnit) -> None:
    statistics = statistics_of(unit, leaves(512))
    with pytest.raises(PlanError, match="describe the crop with"):
        exemplar(statistics, statistics_of(unit, leaves(64)))
    with pytest.raises(PlanError, match="holds 2 pictures"):
        exemplar(statistics, statistics_of(unit, np.stack([leaves(64)] * 2)))


def test_evidence_refuses_texels_that_do_not_cover_the_picture() -> None:
    with pytest.raises(PlanError, match="no sources"):
        ImageStatistics((64, 64), 0, {})
    with pytest.raises(PlanError, match="has at least"):
        ImageStatistics((64, 64), 0, {0: torch.zeros(4, 32, 64, 4)})
    with pytest.raises(PlanError, match=r"expected \[4 B, h, w, 4\]"):
        ImageStatistics((64, 64), 0, {0: torch.zeros(3, 64, 64, 4)})


# A CPU build of torch cannot index fake tensors of a GPU; on the meta device reading a value raises as well.
FAKE = "cuda" if torch.backends.cuda.is_built() else "meta"


def fake_statistics(size: tuple[int, int], batch: int, level: int, sources: tuple[int, ...]) -> ImageStatistics:
    def texels(source: int) -> torch.Tensor:
        kept = kept_level(level, source)
        return torch.empty(LAYERS * batch, *(-(-side >> kept) for side in size), 4, device=FAKE)

    return ImageStatistics(size, level, {source: texels(source) for source in sources})


@pytest.mark.slow
def test_no_value_is_read_back() -> None:
    size = (700, 1000)
    level = grid_level(size)
    with FakeTensorMode():
        statistics = fake_statistics(size, 2, level, (1, 2))
        example = fake_statistics((50, 70), 1, level, (1, 2))
        plan = SamplePlan(torch.empty(9, 8, device=FAKE))
        search = WordSearch("total", lines=(Written("Total", (40, 60, 90, 80), 0.9),))
        target = SearchTarget(
            example,
            (1.0, 0.0, 0.0),
            (torch.empty(9, device=FAKE), plan),
            torch.empty(7, device=FAKE),
            search,
            torch.empty(3, 5, 6, 3, device=FAKE),
        )
        with torch.device(FAKE):
            head = Head(embedding=7)
        seen = relevance(statistics, target, channels={**registry, "procedural": head})
        with pytest.raises(DataDependentOutputException):
            seen.total.max().item()
    assert set(seen.inactive) == {"saliency"}  # off
    for map in (seen.total, *seen.maps.values()):
        assert map.shape == (2, *statistics.grid)
        assert map.device.type == FAKE


def test_speed_is_told(unit: TwinUnit) -> None:
    image = np.tile(leaves(512), (2, 2, 1))
    with unit.pyramid(image) as pyramid:
        start = perf_counter()
        statistics = ImageStatistics.of(unit, pyramid)
        print(f"\n1024 px on {unit.renderer}: statistics {1e3 * (perf_counter() - start):.0f} ms", end="")
    crop = SearchTarget.of(unit, statistics, image[100:180, 200:280])
    ways = {
        **{name: (channel, NOTHING) for name, channel in registry.items() if name in CHANNELS},
        "example": (participatory, crop),
        "another example": (participatory, crop),
        "colour": (participatory, SearchTarget(color=(1, 0, 0))),
        "head": (Head(), NOTHING),
    }
    for name, (channel, target) in ways.items():
        start = perf_counter()
        channel(statistics, target)
        print(f", {name} {1e3 * (perf_counter() - start):.0f} ms", end="")
    print()
