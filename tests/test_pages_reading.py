"""The reading experiment: a judge that can say no, rows that cost what they say, a run that goes on, a report of its journal alone."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from homunculus.bridge.files.journal import Journal
from homunculus.bridge.open import open_unit
from homunculus.cli import app
from homunculus.encoder.ocr import Line, TextReader, missing
from homunculus.lab.pages import fonts, report, run
from homunculus.lab.pages.desk import Desk, Remembering, distance_px
from homunculus.lab.pages.document import A4_KINDS, EXPERIMENT_SEEDS, LARGE, SIZES_PX, make_document
from homunculus.lab.pages.judge import PairJudge, answer, error_rate, plain
from homunculus.lab.pages.results import by_distance, entries, verdicts, worths
from homunculus.lab.pages.rows import BUDGET, PRIMARY, Way, by_ink, by_words, ways
from homunculus.lab.pages.work import PageWork, left, works
from homunculus.lab.pages.worth import needed

pytest.importorskip("matplotlib", reason="its wheel carries the fonts of this test")
FACES = fonts.fallback()
needs_reader = pytest.mark.skipif(bool(missing()), reason=missing() or "a reader is here")
CHEAP = ("the page itself", "uniform 1", f"{PRIMARY} at key and value")


def line(text: str, left: float, right: float, top: float = 10) -> Line:
    return Line(text, (left, top, right, top + 20), 0.9)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([line("Due date:", 0, 90), line("1 May 2026", 200, 300)], "1 May 2026"),
        ([line("1 May", 200, 250), line("2026", 260, 300), line("Due date:", 0, 90)], "1 May 2026"),
        ([line("Due date: 1 May 2026", 0, 300)], "1 May 2026"),
        ([line("Oue dale", 0, 90), line("1 May 2026", 200, 300)], "1 May 2026"),
        ([line("Due date", 0, 90), line("another line", 200, 300, top=45)], ""),
        ([line("Cost centre", 0, 90), line("1 May 2026", 200, 300)], None),
        ([line("1 May 2026", 0, 90), line("Due date", 200, 300)], ""),
        ([], None),
    ],
)
def test_what_stands_behind_a_key_is_taken(lines: list[Line], said: str | None) -> None:
    assert answer(lines, "Due date") == said


def test_answers_are_compared_without_spaces_and_the_marks_at_their_ends() -> None:
    assert plain(": 1 May 2026;") == plain("1May2026")
    assert plain("0171 23") != plain("0171 28")
    assert error_rate("0171 28", "0171 23") == pytest.approx(1 / 6)
    assert error_rate("", "0171 23") == 1
    assert error_rate("x" * 40, "0171 23") == 1


def test_distances_end_at_the_box() -> None:
    assert distance_px((5, 5), (0, 0, 10, 10)) == 0
    assert distance_px((13, 14), (0, 0, 10, 10)) == 5


def test_a_picture_is_read_once() -> None:
    asked: list[Any] = []

    class Counting:
        def read(self, image: Any, /) -> list[Line]:
            asked.append(image)
            return [line("a", 0, 1)]

    reader, noise = Remembering(Counting()), np.random.default_rng(0).integers(0, 255, (8, 9, 3), np.uint8)
    assert reader.read(noise) == reader.read(noise.copy()) == [line("a", 0, 1)]
    reader.read(noise[::-1])
    assert len(asked) == 2


def test_wherever_a_run_stops_kinds_and_sizes_are_balanced() -> None:
    every = works()
    small = [one for one in every if one.kind not in LARGE]
    assert len(small) == 120
    assert [sum(one.kind == kind for one in every) for kind in LARGE] == [12, 12]
    assert len({one.id for one in every}) == len(every)
    assert all(one.seed < EXPERIMENT_SEEDS for one in every)
    for count in range(1, len(every)):
        some = [one for one in every[:count] if one.kind not in LARGE]
        counts = [sum(one.kind == kind for one in some) for kind in A4_KINDS]
        assert max(counts) - min(counts) <= 1
        counts = [sum(one.height_px == height for one in some) for height in SIZES_PX]
        assert max(counts) - min(counts) <= len(A4_KINDS)


def test_only_what_is_unknown_is_left() -> None:
    page = PageWork("form", 2048, 3)
    assert left(page, ["a", "b"], {}) == PageWork("form", 2048, 3, ("a", "b"))
    assert left(page, ["a", "b"], {"form/2048/3/a": {}}) == PageWork("form", 2048, 3, ("b",))
    assert left(page, ["a"], {"form/2048/3/a": {}}) is None


def test_names_are_ways_of_their_own() -> None:
    for kind in ("form", "newspaper"):
        names = [way.name for way in ways(kind, FACES[0])]
        assert len(set(names)) == len(names)


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    def some(kind: str, face: fonts.Typeface) -> list[Way]:
        return [way for way in ways(kind, face) if way.name in CHEAP]

    monkeypatch.setattr(run, "ways", some)
    monkeypatch.setattr(fonts, "typefaces", lambda folder: FACES)


@pytest.mark.slow
@needs_reader
def test_the_command_reads_pages_and_goes_on_where_it_was(
    cheap: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["experiment", "pages", "--out", str(tmp_path), "--pages", "2", "--jobs", "0", "--backend", "torch"]
    asked += ["--first-seed", "10000"]
    append = Journal.append

    def killed(journal: Journal, entry: Any) -> None:
        if len(journal.entries) == 4:
            raise KeyboardInterrupt
        append(journal, entry)

    monkeypatch.setattr(Journal, "append", killed)
    assert CliRunner().invoke(app, asked).exit_code != 0
    assert not (tmp_path / "results.json").exists()
    torn = (tmp_path / "journal.jsonl").read_text()
    assert len(torn.splitlines()) == 5
    monkeypatch.setattr(Journal, "append", append)
    found = CliRunner().invoke(app, asked)
    assert found.exit_code == 0, found.output
    assert (tmp_path / "journal.jsonl").read_text().startswith(torn)
    results = json.loads((tmp_path / "results.json").read_text())
    by_name = {row["name"]: row for row in results["rows"] if row["part"] == "A4"}
    assert set(by_name) == set(CHEAP)
    assert by_name["the page itself"]["pair"]["mean"] == by_name["the page itself"]["value"]["mean"] == 1
    assert by_name[f"{PRIMARY} at key and value"]["value"]["mean"] == 1
    assert by_name[f"{PRIMARY} at key and value"]["tokens"] == by_name["uniform 1"]["tokens"] == BUDGET
    assert by_name["uniform 1"]["value"]["mean"] == 0
    other = CliRunner().invoke(app, [*asked[:-1], "10001"])
    assert other.exit_code == 2
    assert "is of another run: from was 10000 and is 10001" in other.output


@pytest.mark.slow
@needs_reader
def test_a_reader_reads_every_native_value_and_finds_words_by_itself() -> None:
    document = make_document("form", 2048, 10_000, FACES)
    judge = PairJudge.hired()
    with open_unit("torch") as unit, Desk(unit, document, TextReader()) as desk:
        texts = judge.values(desk.page().show, document.pairs[:10], desk.size, document.em_px)
        assert [plain(text) for text in texts] == [plain(pair.value) for pair in document.pairs[:10]]
        inked = by_ink(desk, 4 * BUDGET)
        assert 3 * BUDGET < inked.tokens <= 4 * BUDGET
        assert [plain(text) for text in judge.values(inked.show, [document.asked], desk.size, document.em_px)] == [
            plain(document.asked.value)
        ]
        shown = by_words(desk, 2 * BUDGET, 1)
        assert BUDGET < shown.tokens <= 3 * BUDGET
        assert plain(shown.said or "") == plain(document.asked.value)
        boxes = document.asked.key_box, document.asked.value_box
        assert min(distance_px(shown.fixations[0], box) for box in boxes) < 0.03 * document.size[0]


def made(page: int, row: str, group: str, right: bool, **more: Any) -> dict[str, Any]:
    found = {
        "id": f"form/2048/{page}/{row}",
        "page": f"form/2048/{page}",
        "kind": "form",
        "height_px": 2048,
        "row": row,
    }
    found |= {"group": group, "tokens": 819, "value_right": right, "value_error": float(not right), "pair_right": right}
    return {**found, "fixations": [], "others": [[0.3, 0.5]], **more}


@pytest.fixture
def lines() -> list[dict[str, Any]]:
    """40 pages: words read 38 of them at 3 budgets, a uniform resize 20."""
    found = []
    for page in range(40):
        found.append(made(page, "uniform 3", "uniform", page < 20))
        found.append(made(page, "uniform 6", "uniform", True, tokens=1638))
        more = {"first_off": 0.01 if page < 39 else 0.5, "said_right": page < 38}
        found.append(made(page, "words, 3 budgets in all", "words", page < 38, **more))
    return found


def test_verdicts_are_computed_and_can_be_no(lines: list[dict[str, Any]]) -> None:
    told = {one.claim: one for one in verdicts(lines, entries(lines))}
    assert told["words at a total of 3 budgets read at least 85 % of keys and values"].yes
    more = told["at a total of 3 budgets words read more than uniform"]
    assert more.yes
    assert more.share.mean == pytest.approx(18 / 40)
    near = next(one for claim, one in told.items() if claim.startswith("the first fixation"))
    assert near.yes
    assert near.share.mean == pytest.approx(39 / 40)
    assert not any("large pages" in claim for claim in told), "what was not run is not told of"
    worse = [{**one, "pair_right": one["pair_right"] and one["group"] != "words"} for one in lines]
    assert not any(one.yes for one in verdicts(worse, entries(worse)) if "read more" in one.claim)


def test_what_looking_is_worth_is_what_a_resize_needs_to_read_as_much(lines: list[dict[str, Any]]) -> None:
    tokens, read = np.array([300.0, 600, 1200]), np.array([0.0, 0.5, 1.0])
    assert [needed(tokens, read, share) for share in (0, 0.5, 0.75, 1)] == pytest.approx([300, 600, 600 * 2**0.5, 1200])
    assert needed(tokens, read / 2, 0.75) == 1200
    told, more = worths(lines)
    assert more is None
    assert told["A4"].ratio.mean == pytest.approx(2 ** ((38 - 20) / 20))
    assert told["A4"].ratio.low <= told["A4"].ratio.mean <= told["A4"].ratio.high
    assert (told["A4"].budgets, told["A4"].at_least) == (3, False)
    better = [{**one, "pair_right": one["pair_right"] and one["row"] != "uniform 6"} for one in lines]
    assert worths(better)[0]["A4"].at_least


def test_errors_are_told_by_distance(lines: list[dict[str, Any]]) -> None:
    (near, far) = by_distance(lines)["uniform 3"]
    assert (near["n"], near["mean"], far["mean"]) == (40, 0.5, 0.5)


def test_a_report_is_of_its_journal_alone(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    lines.append({**made(0, "by saliency", "channel", False), "reason": "no weights"})
    names = [path.name for path in report.write(tmp_path / "a", lines)]
    assert names == ["results.json", "README.md", "rates.png", "distance.png"]
    text = (tmp_path / "a" / "README.md").read_text()
    assert "40 forms" in text
    assert "- **Yes**: words at a total of 3 budgets read at least 85 % of keys and values; it is 95.0" in text
    assert "by saliency was left out: no weights." in text
    report.write(tmp_path / "b", lines[::-1])
    for name in names[:2]:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_without_a_reader_the_run_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheap: Callable[[], None]
) -> None:
    monkeypatch.setitem(sys.modules, "rapidocr", None)
    found = CliRunner().invoke(
        app, ["experiment", "pages", "--out", str(tmp_path / "new"), "--pages", "2", "--jobs", "0"]
    )
    assert found.exit_code == 2
    assert "needs rapidocr and onnxruntime" in found.output
    assert not (tmp_path / "new").exists()
