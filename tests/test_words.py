"""Words as fixations: matching on lines made by hand, the channel, the coarse plan on ink, and the loop with a reader, real or scripted."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from typer.testing import CliRunner

import homunculus as hm
from homunculus.allocators.inked import inked
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.cli import app
from homunculus.encoder.ocr import TextReader
from homunculus.loop import Homunculus, reading, visual_search
from homunculus.relevance import ImageStatistics, SearchTarget, Silent
from homunculus.relevance.matching import Written, below, found_in, joined, right_of, runs
from homunculus.relevance.word_search import SURE, WordSearch
from homunculus.relevance.words import words

needs_ocr = pytest.mark.skipif(
    not (find_spec("rapidocr") and find_spec("onnxruntime")), reason="rapidocr and onnxruntime are not installed"
)
SIZE = 1000, 700  # of the page that lines are laid on, height and width
INVOICE = [
    Written("Invoice", (50, 100, 120, 120), 0.99),
    Written("number:", (126, 101, 200, 121), 0.98),
    Written("2024-118", (300, 102, 380, 120), 0.97),
    Written("Order number", (50, 140, 180, 160), 0.99),
    Written("77", (300, 141, 320, 160), 0.99),
    Written("Due date: 12 March", (50, 180, 230, 200), 0.95),
    Written("Subtotal", (50, 220, 130, 240), 0.99),
    Written("9.90", (300, 220, 340, 240), 0.99),
    Written("Total", (50, 260, 100, 280), 0.99),
    Written("11.80", (300, 261, 350, 280), 0.99),
    Written("Deposit?", (50, 500, 120, 520), 0.99),
    Written("-5.00", (300, 500, 350, 520), 0.99),
    Written("Rebate : 12 %", (50, 540, 180, 560), 0.99),
    Written("Paid to", (450, 300, 520, 320), 0.99),
    Written("Ada Lovelace", (450, 330, 570, 350), 0.99),
]


def searched(text: str, lines: Sequence[Written] = INVOICE) -> WordSearch:
    found = WordSearch.of(text)
    assert found is not None
    return found.reading(list(lines))


@pytest.mark.parametrize(
    ("query", "key", "wanted"),
    [
        ("invoice number", "invoice number", "value"),
        ("What is the invoice number?", "invoice number", "value"),
        ("the value after Amount due", "Amount due", "value"),
        ("value of the VAT rate", "VAT rate", "value"),
        ("the row of Alderbrook", "Alderbrook", "row"),
        ('find the line with "Net, total"', "Net, total", "row"),
        ("show me the driver's licence number", "driver's licence number", "value"),
        ("number of pages", "number of pages", "value"),
    ],
)
def test_what_a_query_asks_for(query: str, key: str, wanted: str) -> None:
    found = WordSearch.of(query)
    assert found is not None
    assert (found.key, found.wanted) == (key, wanted)


def test_no_words_are_no_search() -> None:
    assert WordSearch.of("?!") is None


@pytest.mark.parametrize(
    ("key", "text", "least", "most"),
    [
        ("Invoice number", "INVOICE NUMBER:", 1.0, 1.0),
        ("Invoice number", "Invoicenumber", 1.0, 1.0),
        ("Invoice number", "lnvoice numbcr", 0.8, 0.9),  # two letters of thirteen
        ("Café", "Cafe", 1.0, 1.0),
        ("Order", "Order date", 0.9, 0.99),
        ("Total", "Subtotal", 0.8, 0.9),
        ("Alderbrook", "Coldbrook", 0.0, 0.7),
        ("Total", "", 0.0, 0.0),
        ("---", "Total", 0.0, 0.0),
    ],
)
def test_likeness_is_fuzzy(key: str, text: str, least: float, most: float) -> None:
    assert least <= found_in(key, text).alike <= most


def test_a_key_inside_a_line_is_found_where_it_stands() -> None:
    found = found_in("due date", "Your due date: 12 March")
    assert "Your due date: 12 March"[found.start : found.end] == "due date"


@pytest.mark.parametrize(
    ("query", "answer"),
    [
        ("invoice number", "2024-118"),  # a key in two boxes
        ("order number", "77"),
        ("due date", "12 March"),  # in the key's own line
        ("total", "11.80"),  # and not the subtotal's
        ("paid to", "Ada Lovelace"),  # below
        ("the row of total", "Total 11.80"),
        ("deposit", "-5.00"),
        ("rebate", "12 %"),
        ("lnvoice nunber", "2024-118"),
    ],
)
def test_the_answer_stands_beside_its_key(query: str, answer: str) -> None:
    best = searched(query).best
    assert best is not None
    assert best.answer == answer


def test_an_uncertain_answer_is_none_yet_and_says_where_it_may_stand() -> None:
    sure, doubtful = Written("Total", (50, 260, 100, 280), 0.99), Written("11.80", (300, 261, 350, 280), 0.6)
    assert searched("total", [sure, Written("11.80", doubtful.box, 0.9)]).answered
    assert not searched("total", [sure, doubtful]).answered
    alone = searched("total", [sure])
    assert not alone.answered
    assert alone.best is not None
    assert alone.best.answer == ""
    assert alone.best.box[0] == 100 < alone.best.box[2], "right of the key"
    assert searched("passport").places == []


def test_what_was_read_surely_and_differs_is_less_likely_than_what_may_be_misread() -> None:
    other, blurred = Written("Ullbrook", (50, 100, 120, 120), 0.99), Written("Caltarnok", (50, 200, 120, 220), 0.7)
    found = searched("Coldbrook", [other, blurred])
    assert [place.key for place in found.places] == [blurred]
    assert found_in("Coldbrook", other.text).alike > found.places[0].alike


def test_neighbours_are_one_text_and_others_are_not() -> None:
    assert [run.text for run in runs(INVOICE[:5])] == ["Invoice number:", "2024-118", "Order number", "77"]
    assert right_of((50, 100, 200, 120), INVOICE) is INVOICE[2]
    assert below((450, 300, 520, 320), INVOICE) is INVOICE[-1]
    assert below((50, 260, 100, 280), INVOICE) is None


def test_of_one_place_the_finer_reading_wins() -> None:
    coarse = Written("Tota1 du: and morc words", (0, 0, 240, 20), 0.7, 4.0)
    fine = Written("Total due", (0, 1, 90, 20), 0.99, 1.0)
    found = joined([coarse], [fine])
    assert fine in found
    assert [line.text.strip() for line in found if line is not fine] == ["and morc words"]
    assert joined([fine], [Written("Tofal duc", (0, 0, 88, 20), 0.8, 4.0)]) == [fine]
    elsewhere = Written("Other", (0, 60, 90, 80), 0.7, 4.0)
    assert joined([elsewhere], [fine]) == [elsewhere, fine]


@pytest.fixture(scope="module")
def statistics() -> ImageStatistics:
    with hm.open_unit("torch") as unit, unit.pyramid(np.full((*SIZE, 3), 255, np.uint8)) as pyramid:
        return ImageStatistics.of(unit, pyramid)


def test_the_map_stands_on_key_and_answer_and_less_on_what_is_less_alike(statistics: ImageStatistics) -> None:
    said = words(statistics, SearchTarget(words=searched("total")))
    assert isinstance(said, torch.Tensor)
    assert said.shape == (1, *statistics.grid)
    assert float(said.min()) >= 0
    assert float(said.max()) == pytest.approx(1)
    down, right = statistics.cell_px

    def at(x: float, y: float) -> float:
        return float(said[0, int(y / down), int(x / right)])

    assert at(325, 270) > at(75, 270) > at(325, 230) > at(90, 230) > 0.1, "total before subtotal, answers before keys"
    assert at(600, 900) == at(325, 150) == 0


def test_the_channel_is_silent_with_its_reason(statistics: ImageStatistics) -> None:
    for target, reason in (
        (SearchTarget(), r"give words to look for, and the eye a reader: Homunculus\(reader=TextReader\(\)\)"),
        (SearchTarget(words=searched("total", [])), "nothing legible was read"),
        (SearchTarget(words=searched("passport")), "nothing that was read is like 'passport'"),
    ):
        said = words(statistics, target)
        assert isinstance(said, Silent)
        assert re.search(reason, said.reason)


def test_tokens_lie_on_ink_alone_cover_all_of_it_and_shrink_with_the_budget() -> None:
    mask = np.zeros((60, 50), bool)
    mask[5:8, 4:30] = mask[20:22, 10:47] = mask[22:23, 12] = mask[50:57, 3:6] = True
    before = np.inf
    for budget in (6, 12, 40, 100):
        plan = inked(mask, 8.0, budget)
        assert plan is not None
        assert len(plan) <= budget
        covered = np.zeros((60 * 8, 50 * 8), int)
        corners = plan.corners.round().long()
        for (left, top), (right, bottom) in zip(corners[:, 0].tolist(), corners[:, 2].tolist(), strict=True):
            covered[top:bottom, left:right] += 1
        inside = np.kron(mask, np.ones((8, 8), bool))
        assert covered[inside].min() >= 1 - (budget > 40), "a seam may round away"
        assert covered[inside].mean() > 0.97
        assert (covered > 0).sum() < 4 * inside.sum(), "blank paper costs next to nothing"
        widest = float((corners[:, 2, 0] - corners[:, 0, 0]).max())
        assert widest <= before
        before = widest
    assert inked(np.zeros((4, 4), bool), 8.0, 10) is None
    with pytest.raises(PlanError, match="budget is 0"):
        inked(mask, 8.0, 0)


def test_what_no_token_saw_is_paper() -> None:
    """The reader sees the tokens alone: of a picture that is white left and black right, those on the left show white."""
    plan = SamplePlan.boxes(torch.tensor([[0.0, 0.0, 16.0, 16.0]]))
    shown = reading.shown_window(torch.full((1, 3, 16, 16), 0.75), plan, (0, 0, 32, 16), 1.0, (16, 32))
    assert set(np.unique(shown)) == {191}
    assert min(shown.shape[:2]) >= reading.LEAST_SHOWN_PX


def test_a_warped_plan_shows_its_window_too() -> None:
    image = np.full((256, 256, 3), 255, np.uint8)
    image[100:140, 120:180] = 0
    seen = hm.look(image, (0.5, 0.5), budget=273, layout="cortical", backend="torch")
    shown = reading.shown_window(seen.patches.pixels, seen.plan, (96, 96, 224, 160), 0.5, (256, 256))
    assert shown[:32, :64].shape == (32, 64, 3)
    assert shown[12, 27].max() < 40
    assert shown[12, 55].min() > 215


def test_what_a_finer_look_does_not_confirm_is_not_there() -> None:
    plan = hm.layouts.quadtree(SIZE, fixation=(100, 110), budget=100)
    near, far = (Written("Total", (60, y, 140, y + 20), 0.5, 6.0) for y in (100, 800))
    sharp = Written("Total", (60, 100, 140, 120), 0.5, 1.0)
    assert reading.unseen([near, far, sharp], plan, SIZE, [(100, 110)]) == [far, sharp]


def test_stripes_around_fixations_that_touch_are_one() -> None:
    found = reading.windows([(100, 500), (250, 510), (600, 100)], SIZE)
    assert found == [(0, 460, 370, 550), (480, 60, 700, 140)]


class Scripted:
    """Reads nothing by itself; what the loop is told was read comes from a script."""

    def read(self, image: np.ndarray[Any, Any]) -> list[Any]:
        raise AssertionError("the script reads")


def scripted(monkeypatch: pytest.MonkeyPatch, coarse: list[Written], *glimpses: list[Written]) -> None:
    later = iter(glimpses)
    monkeypatch.setattr(visual_search, "read_coarse", lambda *_: coarse)
    monkeypatch.setattr(visual_search, "read_around", lambda *_: next(later))


@pytest.fixture(scope="module")
def page() -> np.ndarray[Any, Any]:
    """Of SIZE, with ink where the scripts' lines stand."""
    image = np.full((*SIZE, 3), 255, np.uint8)
    for top in (100, 800):
        image[top : top + 20 : 4, 50:130] = image[top : top + 20 : 4, 300:380] = 0
    return image


FIRST = [Written("Tota!", (50, 100, 130, 120), 0.7, 3.0), Written("11?80", (300, 100, 380, 120), 0.6, 3.0)]
SECOND = [Written("Tola?", (50, 800, 130, 820), 0.5, 3.0), Written("90.5O", (300, 800, 380, 820), 0.6, 3.0)]


def fine(lines: list[Written], *texts: str) -> list[Written]:
    return [Written(text, line.box, 0.99, 1.0) for line, text in zip(lines, texts, strict=True)]


def test_it_backs_off_where_the_word_is_not_there_and_counts_every_token(
    monkeypatch: pytest.MonkeyPatch, page: np.ndarray[Any, Any]
) -> None:
    scripted(monkeypatch, FIRST + SECOND, fine(FIRST, "Tofu", "11 kg"), fine(SECOND, "Total", "90.50"), [])
    with Homunculus(backend="torch", budget=60, reading=90, glimpses=3, reader=Scripted()) as eye:
        seen = eye.look(page, "the value after total", fixations=2)
    assert len(seen.glimpses) == 2, "the third was not needed"
    first, second = (glimpse.fixations.as_list() for glimpse in seen.glimpses)
    assert all(abs(y - 110) < 16 for _, y in first), first
    assert abs(second[0][1] - 810) < 16, second
    assert seen.answer == "90.50"
    assert seen.words is not None
    assert seen.words.answered
    spent = seen.spent
    assert spent["glimpses"] == [len(glimpse.plan) for glimpse in seen.glimpses] == [60, 60]
    assert 0 < spent["reading"] <= 90
    assert spent["in_all"] == spent["reading"] + 120
    told = json.loads(json.dumps(seen.as_dict()))
    assert told["spent"] == spent
    assert told["words"]["answer"] == "90.50"
    assert told["words"]["places"][0]["box_px"] == [300, 800, 380, 820]
    assert told["timings_ms"]["words"] > 0


def test_a_pair_takes_two_fixations_of_one_plan_and_a_sure_answer_ends_the_search(
    monkeypatch: pytest.MonkeyPatch, page: np.ndarray[Any, Any]
) -> None:
    scripted(monkeypatch, FIRST, fine(FIRST, "Total", "11.80"))
    with Homunculus(backend="torch", budget=60, glimpses=5, reader=Scripted()) as eye:
        (seen, plain) = eye.looks([page], ["total", "red"], fixations=2)
    assert [len(glimpse.fixations.as_list()) for glimpse in seen.glimpses] == [2]
    value, key = seen.fixations
    assert abs(value[0] - 340) < 20
    assert abs(key[0] - 90) < 20
    assert plain.words is None
    assert "reading" not in plain.spent, "a colour is no word to read"


def test_of_several_glimpses_none_follows_where_nothing_is_asked(page: np.ndarray[Any, Any]) -> None:
    with Homunculus(backend="torch", budget=60, glimpses=5, reader=Scripted()) as eye:
        assert len(eye.look(page).glimpses) == 1


def test_blank_paper_is_not_read() -> None:
    with hm.open_unit("torch") as unit, unit.pyramid(np.full((64, 64, 3), 255, np.uint8)) as pyramid:
        assert reading.ink_plan(ImageStatistics.of(unit, pyramid).split()[0], 20, 16) is None


@pytest.mark.parametrize("wrong", ["ocr", TextReader, object(), torch.nn.Linear(1, 1)])
def test_what_cannot_read_is_refused(wrong: Any) -> None:
    with pytest.raises(ModelError, match="give a TextReader, or what has its `read`, or None"):
        Homunculus(backend="torch", reader=wrong)


KEYS = {
    "Invoice number": "2024-118",
    "Date of issue": "12 March 2024",
    "Customer": "Ada Lovelace",
    "Amount due": "1,204.50",
}


@pytest.fixture(scope="module")
def invoice(tmp_path_factory: pytest.TempPathFactory) -> Path:
    matplotlib = pytest.importorskip("matplotlib")
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 18)
    image = Image.new("RGB", (560, 640), "white")
    draw = ImageDraw.Draw(image)
    for row, (key, value) in enumerate(KEYS.items()):
        draw.text((40, 80 + 60 * row), f"{key}:", font=font, fill="black")
        draw.text((340, 80 + 60 * row), value, font=font, fill="black")
    path = tmp_path_factory.mktemp("invoice") / "invoice.png"
    image.save(path)
    return path


@needs_ocr
@pytest.mark.slow
def test_a_real_reader_finds_the_value_and_reads_it_off_the_tokens(invoice: Path) -> None:
    with Homunculus(backend="torch", budget=48, reading=80, glimpses=1, reader=TextReader()) as eye:
        seen, absent = eye.looks([hm.read_image(invoice)], ["the amount due", "passport"])
    assert seen.answer == "1,204.50"
    assert seen.words is not None
    assert seen.words.answered
    x, y = seen.fixations[0]
    assert 40 <= x <= 440
    assert abs(y - 272) < 20
    assert seen.spent["in_all"] <= 80 + 48
    assert absent.words is not None
    assert not absent.words.answered
    assert absent.words.best is None or absent.words.best.alike < SURE
    far = reading.read_around(eye.reader, *_seen_at(invoice, (60, 630)), [(380, 91)])  # type: ignore[arg-type]
    near = reading.read_around(eye.reader, *_seen_at(invoice, (380, 91)), [(380, 91)])  # type: ignore[arg-type]
    assert "2024-118" in {line.text for line in near}
    assert "2024-118" not in {line.text for line in far}, "the tokens there are too coarse"


def _seen_at(path: Path, point: tuple[float, float]) -> tuple[torch.Tensor, SamplePlan, tuple[int, int]]:
    image = hm.read_image(path)
    seen = hm.look(image, (point[0] / 560, point[1] / 640), budget=30, backend="torch")
    return seen.patches.pixels, seen.plan, (640, 560)


@needs_ocr
@pytest.mark.slow
def test_the_command_shows_what_was_read_and_what_it_spent(invoice: Path, tmp_path: Path) -> None:
    arguments = ["look", invoice, "--query", "invoice number", "--backend", "torch", "--budget", 80, "--out", tmp_path]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert 'Invoice number 2024-118" (' in done.stdout
    assert "80 on glimpse 1: " in done.stdout
    assert "tokens in all" in done.stdout
    assert json.loads((tmp_path / "look.json").read_text())["words"]["answer"] == "2024-118"


def test_without_the_extra_the_command_looks_as_before_and_tells_the_remedy(
    invoice: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("homunculus.encoder.ocr.missing", lambda: "to read text needs rapidocr. Run: pip install")
    arguments = ["look", invoice, "--query", "invoice number", "--backend", "torch", "--budget", 40, "--out", tmp_path]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "to read text needs rapidocr. Run: pip install" in done.stderr
    assert "not understood: 'invoice number'" in done.stdout
    assert json.loads((tmp_path / "look.json").read_text())["words"] is None
