"""The experiment: the same table however often it is killed, rows that keep their budget, and verdicts that can be no."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from homunculus import layouts
from homunculus.bridge.errors import DataError
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.cli import app
from homunculus.encoder.reader import Reader
from homunculus.encoder.small import SmallConfig
from homunculus.lab.bench.machine import peak_mib
from homunculus.lab.experiment import report, run, work
from homunculus.lab.experiment.page import PARTS, PageUnderTest, Trial, answered, bump, shown
from homunculus.lab.experiment.results import better, entries, uniform_need, verdicts
from homunculus.lab.experiment.rows import BUDGET, PRIMARY, Condition, rows
from homunculus.lab.experiment.work import PRESETS, QUESTIONS, PageCounts, works
from homunculus.lab.needle.needle import Item, make_page

TINY = SmallConfig(hidden_size=32, layers=6, num_attention_heads=2, stem=(4, 8))
CHEAP = ("resize-grid", "CLS top-K", "log-polar, filtered", f"{PRIMARY}, oracle fixation", PRIMARY, "two-view crop")
PAGES = 2


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """As its file holds it, whose weights are of 16 bits."""
    torch.manual_seed(0)
    made, path = Reader(TINY).eval(), tmp_path_factory.mktemp("reader") / "reader.safetensors"
    made.notes = {"about": "nothing"}
    made.save(path)
    return Reader.load(path)


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        chosen = [row for row in rows() if row.name in CHEAP]
        patch.setattr(run, "rows", lambda: chosen)
        patch.setattr(work, "rows", lambda: chosen)
        patch.setattr(work, "PIECE", 1)
        patch.setattr(run, "REPEATS", 1)
        patch.setattr(run, "PRESETS", {"cpu": PageCounts(512, PAGES, (), 0)})
        yield


@pytest.fixture(scope="module")
def whole(reader: Reader, small: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an experiment that nothing stopped; no test changes it."""
    folder = tmp_path_factory.mktemp("whole")
    lines, costs = run.run(folder, reader, backend="torch")
    report.write(folder, lines, costs)
    return folder


@pytest.mark.slow
@pytest.mark.gl
def test_every_row_meets_its_budget_and_answers(gl_unit: object, reader: Reader) -> None:
    with open_unit("gl") as unit, PageUnderTest(unit, reader, make_page(512, 0), 1) as seen:
        for row in [row for row in rows() if row.budget is None or row.budget <= 8 * BUDGET]:
            line = answered(seen, row)
            wanted = row.tokens(seen.size, 16) * (len(PARTS) if row.again else 1)
            assert line["tokens"] == wanted or (
                row.method.name == "resize_grid" and line["tokens"] == int(wanted**0.5) ** 2
            )
            (question,) = line["questions"]
            assert len(question["right"]) == len(question["said"]) == len(PARTS)
            assert all(len(said) == 3 for said in question["said"])
            assert line["multiply_adds"] > 0
            assert bool(question["fixations"]) == (row.gaze != "none")


@pytest.mark.slow
def test_looking_again_is_a_look_for_each_question(reader: Reader) -> None:
    again, once = (next(row for row in rows() if row.name == name) for name in (f"{PRIMARY}, looking again", PRIMARY))
    with open_unit("torch") as unit, PageUnderTest(unit, reader, make_page(512, 0), 1) as seen:
        items = seen.trials[0].items
        (told,) = answered(seen, again)["questions"]
        assert told["items"] == list(items)
        assert len(told["fixations"]) == len(items)
        seen.trials = [Trial((items[2], *items[:2]))]  # as if the farthest were asked for, and nothing else looked for
        (alone,) = answered(seen, once)["questions"]
        for key in ("said", "right", "shown", "fixations"):
            assert told[key][2] == alone[key][0], key


def test_what_a_uniform_grid_needs_is_between_two_that_were_tried() -> None:
    good, bad = [True, False, False], [False, False, False]
    lines = lines_of(PRIMARY, [good] * 36 + [bad] * 4)
    lines += lines_of("resize-grid", [bad] * 40, 256)
    lines += lines_of("resize-grid @ 546", [bad] * 30 + [good] * 10, 529)
    lines += lines_of("resize-grid @ 1092", [good] * 35 + [bad] * 5, 1089)
    lines += lines_of("full grid", [good] * 40, 16384)
    found = entries(lines, rows())
    names = [None if entry is None else entry.name for entry in uniform_need(lines, found, 2048)]
    assert names == ["resize-grid @ 546", "resize-grid @ 1092"]
    none = [line for line in lines if line["row"] in (PRIMARY, "full grid")]
    least, enough = uniform_need(none, entries(none, rows()), 2048)
    assert least is None
    assert enough is not None
    assert enough.name == "full grid"


def test_names_are_rows_of_their_own() -> None:
    names = [row.name for row in rows()]
    assert len(set(names)) == len(names)
    assert {row.group for row in rows()} == set(report.GROUPS)


@pytest.mark.slow
def test_killed_ten_times_the_table_is_the_same(
    reader: Reader, small: None, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torn = tmp_path / "torn"
    append, chance = Journal.append, random.Random(0)

    class KilledError(BaseException):
        pass

    def fatal(self: Journal, entry: dict[str, Any]) -> None:
        if chance.random() < 0.6:
            with self.path.open("ab") as file:  # as a kill within a write leaves it
                file.write(json.dumps(entry).encode()[: chance.randrange(1, 60)])
            raise KilledError
        append(self, entry)

    monkeypatch.setattr(Journal, "append", fatal)
    deaths = 0
    while deaths < 10:
        try:
            run.run(torn, reader, backend="torch")
        except KilledError:
            deaths += 1
        else:
            pytest.fail(f"finished after {deaths} kills; the task is too small for ten")
    monkeypatch.setattr(Journal, "append", append)
    shutil.copy(whole / run.COSTS, torn)  # which are of time, and not in the table
    lines, costs = run.run(torn, reader, backend="torch")
    report.write(torn, lines, costs)
    assert (torn / "results.json").read_bytes() == (whole / "results.json").read_bytes()


@pytest.mark.slow
def test_a_folder_of_another_experiment_is_refused(reader: Reader, small: None, whole: Path) -> None:
    before = (whole / "journal.jsonl").read_bytes()
    with pytest.raises(DataError, match=r"is of another run: pages was .*; give another folder, or delete it"):
        run.run(whole, reader, backend="torch", pages=1)
    other = Reader(TINY).eval()
    with pytest.raises(DataError, match="reader was"):
        run.run(whole, other, backend="torch")
    assert (whole / "journal.jsonl").read_bytes() == before


def test_shown_is_the_share_under_fine_tokens() -> None:
    item = Item(0, "123", (0, 0, 9, 9), (20, 20, 40, 30), "font", 10)
    assert shown(layouts.grid((64, 64), None, 16, 16), item) == 1
    assert shown(layouts.grid((64, 64), None, 4, 16), item) == 0  # covered, but by tokens of 32 px
    half = SamplePlan(torch.tensor([[22.0, 25.0, 1, 0, 0, 1, 0, 0]]), 16)  # 14..30 of 20..40
    assert shown(half, item) == pytest.approx(0.5)


def test_a_bump_peaks_at_its_point() -> None:
    map_ = bump((700.0, 300.0), (1024, 2048))
    row, column = divmod(int(map_.argmax()), 64)
    assert (column + 0.5) * 2048 / 64 == pytest.approx(700, abs=16)
    assert (row + 0.5) * 1024 / 64 == pytest.approx(300, abs=8)
    assert float(map_.min()) > 0


def lines_of(name: str, right: list[list[bool]], tokens: int = BUDGET, looked: float = 1.0) -> list[dict[str, Any]]:
    """A question a page."""
    return [
        {
            "size_px": 2048,
            "page": page,
            "row": name,
            "tokens": tokens,
            "multiply_adds": 1,
            "questions": [{"right": row, "shown": [looked if row[0] else 0.0, 0.0, 0.0], "fixations": []}],
        }
        for page, row in enumerate(right)
    ]


def test_verdicts_follow_the_numbers() -> None:
    page = 40
    good, bad = [True, False, False], [False, False, False]
    lines = lines_of("full grid", [good] * page, 16384)
    lines += lines_of("resize-grid", [bad] * (page - 4) + [good] * 4)
    lines += lines_of(PRIMARY, [good] * 30 + [bad] * 10)
    lines += lines_of("two-view crop", [good] * 39 + [bad])
    lines += lines_of(f"{PRIMARY}, oracle fixation", [good] * 30 + [bad] * 10)
    found = entries(lines, rows())
    told = {verdict.claim: verdict for verdict in verdicts(lines, found, 2048)}
    said = {claim: verdict.yes for claim, verdict in told.items()}
    assert said["the full grid reads at least 95%"]
    assert said["resize-grid at 273 tokens reads at most 30%: the task separates"]
    assert not said["with an oracle's fixation foveated_pyramid reads at least 90% at the target"]
    assert not said["the eye reads more than a two-view crop at the same fixation"]
    share = told["the eye reads more than a two-view crop at the same fixation"].share
    assert share.mean == pytest.approx(-9 / 40)
    assert share.low < share.mean < share.high < 0
    assert [entry.name for entry, _ in better(lines, found, 2048)] == ["two-view crop"]
    own = next(entry for entry in found if entry.name == PRIMARY)
    assert own.elsewhere == pytest.approx(0.25)
    assert own.misread == 0


def test_memory_is_seen_to_grow_and_shrink() -> None:
    before = peak_mib(reset=True)
    if not before:
        pytest.skip("no /proc/self/status here")
    block = torch.ones(64 << 18)  # 64 MiB
    assert peak_mib() - before > 60
    del block
    assert peak_mib(reset=True) - before < 30


@pytest.mark.slow
def test_the_command_writes_the_page(small: None, whole: Path, reader: Reader, tmp_path: Path) -> None:
    """Of a folder in which four lines and the costs are missing."""
    pytest.importorskip("matplotlib")
    reader.save(tmp_path / "reader.safetensors")
    out = tmp_path / "out"
    out.mkdir()
    (out / run.JOURNAL).write_bytes(b"".join((whole / run.JOURNAL).read_bytes().splitlines(keepends=True)[:-4]))
    command = ["experiment", "needle", "--out", str(out), "--pages", str(PAGES), "--backend", "torch", "--jobs", "1"]
    result = CliRunner().invoke(app, [*command, "--reader", str(tmp_path / "reader.safetensors")])
    assert result.exit_code == 0, result.output
    page = (out / "README.md").read_text()
    assert "## What was found" in page
    assert f"| **{PRIMARY}** |" in page
    for name in ("results.json", "costs.json", "journal.jsonl", "rows.png", "budgets.png", "cost.png"):
        assert (out / name).stat().st_size > 100
    results = json.loads((out / "results.json").read_text())
    journal = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()[1:]]
    assert len(journal) == PAGES * len(CHEAP)
    for entry in results["rows"]:
        asked = [q["right"][0] for line in journal if line["row"] == entry["name"] for q in line["questions"]]
        assert entry["right"]["target"]["mean"] == pytest.approx(sum(asked) / len(asked))


def test_presets_ask_more_than_the_bars_need() -> None:
    for name, preset in PRESETS.items():
        every = works(preset)
        assert {one.size_px for one in every} == {preset.size_px, *preset.other_sizes_px}
        assert all(isinstance(row, Condition) for one in every for row in one.rows)
        if name != "quick":
            assert preset.pages * QUESTIONS >= 80
    limited = works(replace(PRESETS["cpu"], pages=1, other_pages=1))
    largest = next(one for one in limited if one.size_px == 4096)
    assert "full grid" not in {row.name for row in largest.rows}
