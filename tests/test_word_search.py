"""What finding a word costs: looks, ways, journal, report and the training of features for words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from typer.testing import CliRunner

from homunculus.bridge.errors import DataError, ModelError
from homunculus.bridge.open import open_unit
from homunculus.cli.commands import app
from homunculus.encoder.word_features import FEATURES, WordFeatures
from homunculus.lab.pages import fonts
from homunculus.lab.search import report
from homunculus.lab.search.looks import BUDGET, PATCH, Paper, affordable, strip_tokens
from homunculus.lab.search.run import JOURNAL, run
from homunculus.lab.search.ways import WAYS, KeySearch
from homunculus.lab.training import words
from homunculus.relevance.word_shapes import Shape, correlation

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def faces() -> list[fonts.Typeface]:
    pytest.importorskip("matplotlib")
    return fonts.fallback()


@pytest.fixture
def paper() -> Any:
    """842 px high, so that a point is a pixel: two lines of text, much blank."""
    sheet = Image.new("RGB", (600, 842), "white")
    draw, font = ImageDraw.Draw(sheet), fonts.fallback()[0].font(10)
    draw.text((60, 200), "Invoice number", "black", font, "ls")
    draw.text((60, 400), "Date of issue", "black", font, "ls")
    image = np.asarray(sheet)
    with open_unit("torch") as unit, unit.pyramid(image) as pyramid:
        yield Paper(unit, pyramid, image)


def test_ink_alone_is_seen_finer_than_all_of_the_page(paper: Paper) -> None:
    whole, inked = paper.uniform(BUDGET), paper.inked(BUDGET)
    assert whole.tokens <= BUDGET
    assert inked.tokens <= BUDGET
    assert inked.texel_px == pytest.approx(1.0, abs=0.01), "so little ink is seen texel by pixel"
    assert whole.texel_px == pytest.approx((600 * 842 / (BUDGET * PATCH**2)) ** 0.5, rel=0.08)
    sheet = whole.ink.sum() * whole.texel_px**2
    assert float(inked.ink.sum()) == pytest.approx(float(sheet), rel=0.02), "no ink is lost"


def test_beyond_the_page_is_paper(paper: Paper) -> None:
    image = paper.uniform(30).image
    assert int(image[-1].min()) == int(image[:, -1].min()) == 255


def test_a_strip_shows_the_words_and_costs_what_it_says(paper: Paper) -> None:
    shape = Shape(60 + 36, 196, 72, 10, 1.0)
    strip = paper.strip(shape, 1.0)
    assert strip.tokens == strip_tokens(shape) == strip.image.shape[1] // PATCH
    assert strip.image.shape[0] == PATCH
    assert float(strip.ink.sum()) * strip.texel_px**2 > 100, "it is inked"
    assert affordable([shape] * 9, 3 * strip.tokens + 1) == [shape] * 3


def test_a_key_is_found_by_its_shape(paper: Paper) -> None:
    way = next(way for way in WAYS if way.name == "shape")
    x, y = way.found(KeySearch(paper, "Date of issue"), 0.5)[0]
    assert x == pytest.approx(60 + 33, abs=8)
    assert y == pytest.approx(396, abs=6)


def test_a_strip_that_is_read_overrules_the_shape(paper: Paper) -> None:
    class Reader:
        def recognise(self, crops: list[Any]) -> list[tuple[str, float]]:
            return [("Date of issue:" if place == 3 else "of", 1.0) for place in range(len(crops))]

    search = KeySearch(paper, "Date of issue", Reader())  # type: ignore[arg-type]
    places = [Shape(30 + 20 * place, 100, 60, 10, 1.0) for place in range(5)]
    assert search.after_strips(places, 1.0) == [places[3], *places[:3], places[4]]


@pytest.mark.slow
def test_a_run_goes_on_where_it_was(
    faces: list[fonts.Typeface], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("rapidocr")
    monkeypatch.setattr("homunculus.lab.search.run.WAYS", [replace(WAYS[0], totals=(0.5,))])
    monkeypatch.setattr("homunculus.lab.search.run.SIZES_PX", (842,))
    lines = run(tmp_path, faces, pages=2, read_pages=0, first=10_000, backend="torch")
    assert [line["way"] for line in lines] == ["shape", "shape"]
    assert all(set(line["totals"]) == {"0.5"} for line in lines)
    written = (tmp_path / JOURNAL).read_bytes()
    assert run(tmp_path, faces, pages=2, read_pages=0, first=10_000, backend="torch") == lines
    assert (tmp_path / JOURNAL).read_bytes() == written
    with pytest.raises(DataError, match="first was 10000 and is 7"):
        run(tmp_path, faces, pages=2, read_pages=0, first=7, backend="torch")


@pytest.mark.parametrize(("pages", "read"), [(1, 0), (4, 5)])
def test_too_few_pages_are_refused(faces: list[fonts.Typeface], tmp_path: Path, pages: int, read: int) -> None:
    with pytest.raises(DataError, match=f"pages and read_pages are {pages} and {read}; give at least 2"):
        run(tmp_path / "out", faces, pages=pages, read_pages=read)
    assert not (tmp_path / "out").exists()


def _line(page: int, way: str, ranks: dict[str, int | None]) -> dict[str, Any]:
    return {
        "way": way,
        "page": page,
        "totals": {key: {"near": rank, "inside": rank, "s": 1.0} for key, rank in ranks.items()},
    }


def test_the_report_counts_first_places(tmp_path: Path) -> None:
    totals = "0.5", "1", "1.5", "2", "3"
    lines = [_line(page, "shape", dict.fromkeys(totals, 0 if page < 9 else 5)) for page in range(10)]
    found = report.rows(lines)
    assert [(row.budgets, row.near.mean, row.among.mean, row.pages) for row in found] == [
        (float(total), 0.9, 1.0, 10) for total in totals
    ]
    assert report.verdict(found).startswith(
        "**Yes.** The aim, 80% of keys for 1.5 budgets, is reached: shape finds 90.0 ("
    )
    assert "The interval does not exclude less." in report.verdict(found)
    names = {path.name for path in report.write(tmp_path, lines)}
    assert {"README.md", "results.json"} <= names <= {"README.md", "results.json", "search.png"}
    page = (tmp_path / "README.md").read_text()
    assert "| shape | 0.5 | 10 | 90.0 (" in page
    assert "were left out of this run" in page


def test_the_report_says_no() -> None:
    lines = [_line(page, "shape", dict.fromkeys(("0.5", "1", "1.5", "2", "3"))) for page in range(4)]
    assert report.verdict(report.rows(lines)).startswith(
        "**No.** The aim, 80% of keys for 1.5 budgets, is missed: at most"
    )
    assert "was not put to the test" in report.verdict([])


def test_a_lesson_shows_its_words_where_it_says(faces: list[fonts.Typeface]) -> None:
    rng = np.random.default_rng(5)
    for _ in range(6):
        one = words.lesson(rng, faces)
        assert one.ink.shape == (1, *words.SHEET)
        row, column = one.place
        height, width = (side // 2 for side in one.template.shape[1:])
        window = one.ink[0, max(0, row - height) : row + height + 1, max(0, column - width) : column + width + 1]
        assert float(window.sum()) == pytest.approx(float(one.template.sum()), rel=0.9)
        assert float(window.sum()) > 0


def test_features_begin_as_ink_and_little_else() -> None:
    model = WordFeatures()
    ink = torch.rand(1, 20, 30, dtype=torch.float32, device="cpu")
    found = model(ink)
    assert found.shape == (1 + FEATURES, 20, 30)
    assert torch.equal(found[:1], ink)
    assert float(found[1:].detach().std()) < 0.1


def test_the_shipped_features_are_small_and_others_are_refused(tmp_path: Path) -> None:
    assert sum(weights.numel() for weights in WordFeatures.load().parameters()) < 4000
    path = tmp_path / "torn.safetensors"
    path.write_bytes(b"torn")
    with pytest.raises(ModelError, match=r"torn\.safetensors .*give the file that `homunculus train words` wrote"):
        WordFeatures.load(path)


def test_shipped_features_find_what_shape_alone_does_not(faces: list[fonts.Typeface]) -> None:
    """First places of lessons that were not learned from."""
    rng = np.random.default_rng([1, 0])
    features, hits = WordFeatures.load(), {True: 0, False: 0}
    for one in [words.lesson(rng, faces) for _ in range(12)]:
        for learned in hits:
            compared = features if learned else lambda ink: ink
            with torch.no_grad():
                likeness = correlation(compared(one.ink), compared(one.template))
            row, column = divmod(int(likeness.argmax()), likeness.shape[1])
            hits[learned] += abs(row - one.place[0]) <= 1 and abs(column - one.place[1]) <= 1
    assert hits[True] > hits[False]


@pytest.mark.slow
def test_training_lowers_the_loss_and_goes_on(
    faces: list[fonts.Typeface], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "SHEET", (40, 64))
    monkeypatch.setattr(words, "EMS", (3.0, 3.5))
    losses = words.train(tmp_path / "whole", faces, steps=12, batch=2, rate=0.01)
    assert np.mean(losses[-4:]) < np.mean(losses[:4])
    monkeypatch.setattr(words, "SAVE_EVERY", 5)

    def stop(items: Any, _: str) -> Any:
        for place, item in enumerate(items):
            if place == 7:
                raise KeyboardInterrupt
            yield item

    with pytest.raises(KeyboardInterrupt):
        words.train(tmp_path / "parts", faces, steps=12, batch=2, rate=0.01, track=stop)
    again = words.train(tmp_path / "parts", faces, steps=12, batch=2, rate=0.01)
    assert again == losses
    whole, parts = (WordFeatures.load(tmp_path / name / words.WEIGHTS_FILE) for name in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), parts.parameters(), strict=True))


def test_what_cannot_be_learned_from_is_refused(faces: list[fonts.Typeface], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"steps, batch and rate are 0, 6 and 0.002; each must be above 0"):
        words.train(tmp_path / "out", faces, steps=0)
    left_out = [fonts.Typeface(words.LEFT_OUT, "a", "b")]
    with pytest.raises(DataError, match="no typeface but Caladea is given"):
        words.train(tmp_path / "out", left_out)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [("experiment", "search"), ("train", "words")])
def test_commands_say_which_fonts_are_missing(tmp_path: Path, command: tuple[str, str]) -> None:
    found = CliRunner().invoke(app, [*command, "--fonts", str(tmp_path), "--out", str(tmp_path / "out")])
    assert found.exit_code == 2
    assert "the pages need" in found.output
    assert not (tmp_path / "out").exists()
