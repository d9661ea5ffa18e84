"""`homunculus evaluate`: judges a file of answers, or asks a model, goes on after a kill, and tells what it needs."""

from __future__ import annotations

import importlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import question_files as official
import torch
from rich.console import Console
from typer.testing import CliRunner

from homunculus import layouts
from homunculus.allocators.blind_spots import step_px, steps_px
from homunculus.bridge.errors import DataError, ImageReadError, ProcessError
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.processes import Lost
from homunculus.cli import app
from homunculus.cli.progress import counting
from homunculus.lab.bootstrap import difference, interval
from homunculus.lab.datasets import DOCVQA, SOURCES, TEXTVQA, asking
from homunculus.lab.datasets.judge import judge
from homunculus.lab.datasets.legibility import legibility

ROOT = Path(__file__).parents[1]
COMMAND = importlib.import_module("homunculus.cli.evaluate")


@dataclass(frozen=True)
class Reply:
    text: str
    fixations: list[tuple[float, float]]
    plan: SamplePlan | None
    tokens: int = 2
    mean_tokens: float = 1.5


class Fake:
    """Says what it was told to say, looks at (12, 22) and samples the left half of 80 x 60 px at 2 px a texel."""

    def __init__(self, says: Callable[[str], str] = lambda question: "stop") -> None:
        self.says, self.asked = says, list[tuple[str, str]]()
        self.looks, self.closed = True, False
        self.pruning, self.processor = None, None
        self.broken, self.batches = set[str](), list[int]()

    def answers(self, images: Sequence[Path], questions: Sequence[str]) -> list[Reply]:
        self.batches.append(len(questions))
        return [self.answer(*asked) for asked in zip(images, questions, strict=True)]

    def answer_whole(self, image: Path, question: str) -> Reply:
        self.asked.append((image.name, f"{question} {getattr(self.pruning, 'name', 'whole')}"))
        return Reply(self.says(self.asked[-1][1]), [], None, 9, 9.0 if self.pruning is None else 6.0)

    def answer(self, image: Path, question: str) -> Reply:
        self.asked.append((image.name, question))
        if question in self.broken:
            raise ImageReadError(f"{image.name} cannot be read; fetch it again")
        plan = SamplePlan.boxes(torch.tensor([[0.0, 0.0, 32.0, 32.0], [0.0, 32.0, 32.0, 64.0]]), 16)
        if not self.looks:
            return Reply(self.says(question), [], None)
        return Reply(self.says(question), [(12.0, 22.0), (70.0, 50.0)], plan)

    def close(self) -> None:
        self.closed = True


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Fake:
    answerer = Fake()
    monkeypatch.setattr(COMMAND, "open_answerer", lambda model, **options: answerer)
    return answerer


def test_a_file_of_answers_is_judged(tmp_path: Path) -> None:
    official.docvqa(tmp_path / "data")
    answers = ["1.5mg", "r. j. reynolds", "2004", "yes"]
    listed = [{"questionId": 100 + number, "answer": answer} for number, answer in enumerate(answers)]
    official.write(tmp_path / "answers.json", listed)
    out = tmp_path / "judged"
    code, shown, errors = run(
        "docvqa", "--data", tmp_path / "data", "--predictions", tmp_path / "answers.json", "--out", out
    )
    assert (code, errors.strip()) == (0, "")
    assert "docvqa val: ANLS 0.7083 of 4 questions" in shown
    assert "0.5000 to 0.9167 with 95% confidence, drawing pictures" in shown
    assert [path.name for path in out.iterdir()] == ["result.json"]
    result = json.loads((out / "result.json").read_text())
    assert result["mean"] == pytest.approx(17 / 24)
    assert result["scores"] == pytest.approx({"100": 5 / 6, "101": 1, "102": 0, "103": 1})
    assert result["predictions"] == str(tmp_path / "answers.json")
    code, shown, _ = run(
        "docvqa", "--data", tmp_path / "data", "--predictions", tmp_path / "answers.json", "--limit", 2, "--out", out
    )
    assert (code, "ANLS 0.9167 of 2 questions" in shown) == (0, True)


def test_a_model_is_asked_judged_and_watched(tmp_path: Path, fake: Fake) -> None:
    official.textvqa(tmp_path / "data")
    out = tmp_path / "asked"
    code, shown, errors = run("textvqa", "--data", tmp_path / "data", "--model", "m", "--budget", 64, "--out", out)
    assert (code, errors.strip()) == (0, "")
    assert fake.asked[0] == ("000abc.jpg", "what does sign 0 say?")
    assert fake.closed
    assert {path.name for path in out.iterdir()} == {"answers.jsonl", "result.json", "submission.json"}
    assert json.loads((out / "submission.json").read_text())[2] == {"question_id": 34602, "answer": "stop"}
    result = json.loads((out / "result.json").read_text())
    assert result["scores"] == pytest.approx({"34600": 1, "34601": 0, "34602": 0})
    assert (result["model"], result["budget"]) == ("m", 64)
    # Characters of "stop" in a box of 32 x 8 px are 8 px large, 4 px as sampled; 22 of its 32 columns lie in the half that was seen.
    # Those of "STOP sign" in 40 x 16.5 px are 8.56 px, 4.28 as sampled; from 0.5 to 32 px 31.5 of 40.
    assert result["seen"] == {"questions_with_boxes": 2, "first_fixation_in_box": 0.5, "box_legible": 0.0}
    assert (
        "of 2 answers whose box is known, first fixation in it: 50.0%; sampled at 8 px a character or more: 0.0%"
        in shown
    )
    again = tmp_path / "again"
    code, shown, errors = run(
        "textvqa", "--data", tmp_path / "data", "--model", "m", "--px-per-character", 4, "--out", again
    )
    assert (code, errors.strip()) == (0, "")
    seen = json.loads((again / "result.json").read_text())["seen"]
    assert seen["box_legible"] == pytest.approx(
        (22 / 32 + 25 / 32) / 2
    )  # 31.5 of 40 px are the middles of 25 of 32 columns
    fake.looks = False
    code, shown, _ = run("textvqa", "--data", tmp_path / "data", "--model", "m", "--out", tmp_path / "whole")
    assert (code, "whose box is known" in shown) == (0, False)
    seen = json.loads((tmp_path / "whole" / "result.json").read_text())["seen"]
    assert seen == {"questions_with_boxes": 0, "first_fixation_in_box": None, "box_legible": None}


@pytest.mark.slow
def test_a_run_goes_on_where_it_was_and_asks_nothing_twice(tmp_path: Path, fake: Fake) -> None:
    official.docvqa(tmp_path / "data")
    arguments = ("docvqa", "--data", tmp_path / "data", "--model", "m", "--out", tmp_path / "out")
    journal = tmp_path / "out" / "answers.jsonl"

    def dies(question: str) -> str:
        if question.endswith("2?"):
            raise KeyboardInterrupt
        return "first"

    fake.says = dies
    assert run(*arguments)[0] != 0
    assert len(journal.read_text().splitlines()) == 3
    assert not (tmp_path / "out" / "result.json").exists()
    # A kill while a line is written leaves a part of it.
    with journal.open("a") as file:
        file.write('{"id": 102, "answer": "br')
    fake.says, fake.asked = lambda question: "second", []
    code, shown, errors = run(*arguments)
    assert (code, errors.strip()) == (0, "")
    assert [question for _, question in fake.asked] == ["What is entry 2?", "What is entry 3?"]
    assert [entry["answer"] for entry in json.loads((tmp_path / "out" / "submission.json").read_text())] == [
        "first", "first", "second", "second",
    ]  # fmt: skip
    fake.asked = []
    assert run(*arguments)[:2] == (code, shown)
    assert fake.asked == []
    # With more of the questions wanted than before, only those are asked.
    assert run(*arguments, "--limit", 3)[0] == 0
    assert fake.asked == []
    for changed, told in {
        ("--budget", 10): "budget was None and is 10",
        ("--backend", "torch"): "backend was None and is 'torch'",
        ("--dtype", "float16"): "dtype was None and is 'float16'",
        ("--pruning", "fastv"): "pruning was None and is 'fastv'",
        ("--whole",): "px_per_character was 8.0 and is None; whole was None and is True",
    }.items():
        code, _, errors = run(*arguments, *changed)
        assert code == 2
        assert f"answers.jsonl is of another run: {told}; give another folder, or delete it" in errors
    assert fake.asked == []


@pytest.mark.slow
def test_a_killed_program_loses_no_answer(tmp_path: Path, fake: Fake) -> None:
    official.docvqa(tmp_path / "data")
    journal = tmp_path / "out" / "answers.jsonl"
    arguments = ["docvqa", "--data", str(tmp_path / "data"), "--model", "m", "--out", str(tmp_path / "out")]
    program = f"""
import importlib, sys, time
sys.path.insert(0, {str(ROOT / "tests")!r})
from test_evaluate_cli import COMMAND, Fake, app
def says(question):
    if question.endswith("2?"):
        time.sleep(60)
    return "yes"
COMMAND.open_answerer = lambda model, **options: Fake(says)
app(["evaluate", *{arguments!r}])
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
        assert child.poll() is None
        time.sleep(0.05)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    assert len(journal.read_text().splitlines()) == 3
    assert run(*arguments)[0] == 0
    assert [question for _, question in fake.asked] == ["What is entry 2?", "What is entry 3?"]
    assert [json.loads(line).get("id") for line in journal.read_text().splitlines()] == [None, 100, 101, 102, 103]


def test_a_split_without_answers_gives_the_file_to_submit(tmp_path: Path, fake: Fake) -> None:
    official.docvqa(tmp_path / "data", "test", "{}_v1.0.json")
    out = tmp_path / "out"
    code, shown, _ = run("docvqa", "--data", tmp_path / "data", "--split", "test", "--model", "m", "--out", out)
    assert code == 0
    assert "split test withholds its answers: submit submission.json. DocVQA comes from https://rrc" in shown
    assert {path.name for path in out.iterdir()} == {"answers.jsonl", "submission.json"}
    assert json.loads((out / "submission.json").read_text())[0] == {"questionId": 100, "answer": "stop"}
    arguments = ("--split", "test", "--model", "m", "--against", "whole", "--out", out)
    assert run("docvqa", "--data", tmp_path / "data", *arguments)[0] == 0
    names = ("answers.jsonl", "answers-whole.jsonl", "submission.json", "submission-whole.json")
    assert {path.name for path in out.iterdir()} == set(names)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            (),
            "give either --predictions FILE.json, answers in the official result format, or --model PATH, a folder with",
        ),
        (("--model", "m", "--predictions", "x.json"), "give either --predictions FILE.json"),
        (("--predictions", "nowhere.json"), "nowhere.json cannot be opened: No such file or directory"),
        (("--predictions", "x.json", "--whole"), "--whole, --pruning and --against ask a model; give --model PATH"),
        (("--model", "m", "--whole", "--budget", "9"), "--whole needs no eye; leave out --budget"),
        (
            ("--model", "m", "--pruning", "fastv", "--pruning", "sparse_vlm"),
            "--pruning is given 2 times; give one, or --against whole",
        ),
        (("--model", "m", "--against", "all"), "--against 'all': give --against whole, and not --whole"),
        (("--model", "m", "--against", "whole", "--whole"), "give --against whole, and not --whole"),
        (
            ("--model", "m", "--pruning", "half"),
            "pruning 'half' is unknown; choose one of aim, cdpruner, divprune, fastv, pyramid_drop, sparse_vlm, vispruner",
        ),
        (("--model", "m", "--limit", "0"), "homunculus: limit is 0; it must be at least 1"),
        (
            ("--model", "m", "--split", "dev"),
            "homunculus: split 'dev' is unknown to docvqa; choose one of train, val, test",
        ),
        (
            ("--model", "m", "--split", "train"),
            "holds no train_v1.0_withQT.json or train_v1.0.json; DocVQA comes from https",
        ),
        (
            ("--model", "m", "--px-per-character", "nan"),
            "homunculus: px per character is nan; it must be greater than 0",
        ),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(
    arguments: tuple[str, ...], text: str, tmp_path: Path, fake: Fake
) -> None:
    official.docvqa(tmp_path / "data")
    code, shown, errors = run("docvqa", "--data", tmp_path / "data", "--out", tmp_path / "out", *arguments)
    assert (code, shown) == (2, "")
    assert text in " ".join(errors.replace("│", " ").split())
    assert not (tmp_path / "out").exists()
    assert fake.asked == []


def test_a_missing_picture_or_model_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from homunculus.bridge.errors import ModelError

    def fails(model: str, **options: Any) -> None:
        raise ModelError(f"{model} does not exist; give a folder that save_pretrained wrote")

    monkeypatch.setattr(COMMAND, "open_answerer", fails)
    official.docvqa(tmp_path / "data")
    arguments = ("docvqa", "--data", tmp_path / "data", "--out", tmp_path / "out", "--model", "./m")
    code, _, errors = run(*arguments)
    assert (code, errors.strip()) == (2, "homunculus: ./m does not exist; give a folder that save_pretrained wrote")
    (tmp_path / "data" / "documents" / "page0_1.png").unlink()
    code, _, errors = run(*arguments)
    assert code == 2
    assert "homunculus: 1 pictures of docvqa are missing, such as" in errors
    assert not (tmp_path / "out").exists()


def test_a_broken_journal_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    journal = Journal(path, {"model": "m"})
    assert not path.exists()
    journal.append({"id": 3, "answer": "é\n"})
    journal.append({"id": 4, "answer": "b"})
    assert Journal(path, {"model": "m"}).entries == journal.entries
    whole = path.read_bytes()
    for part in (whole[:5], b"", whole[: len(whole) - 1], whole + b"x" * 99):
        path.write_bytes(part)
        again = Journal(path, {"model": "m"})
        again.append({"id": 9, "answer": "c"})
        assert 9 in Journal(path, {"model": "m"}).entries
        assert path.read_bytes().count(b"task") == 1
        assert path.read_bytes().endswith(b'"c"}\n')
    path.write_bytes(whole.replace(b'{"id": 3', b'{"id" 3'))
    with pytest.raises(
        DataError, match=r"answers.jsonl, line 2 is no result of an earlier run .*; delete the file to start"
    ):
        Journal(path, {"model": "m"})
    path.write_bytes(b'{"id": 3}\n')
    with pytest.raises(DataError, match="line 1 is no result of an earlier run"):
        Journal(path, {"model": "m"})


def test_sighting_is_the_share_of_the_box_that_is_fine_enough() -> None:
    # 100 x 20 px hold 5 characters of 20 px; the left 40 px are sampled at 1 px a texel, the rest at 4 px.
    fine = SamplePlan.boxes(torch.tensor([[100.0, 100.0, 140.0, 140.0]]), 40)
    coarse = SamplePlan.boxes(torch.tensor([[0.0, 0.0, 160.0, 160.0], [160.0, 0.0, 320.0, 160.0]]), 40)
    plan = SamplePlan.concatenate([fine, coarse])
    box, answers = (100.0, 100.0, 200.0, 120.0), ["total", "total", "a much longer answer"]
    near = pytest.approx(0.4, abs=1 / 32)
    assert legibility(plan, [], [box], answers, 5.0).legible == 1  # 20 px at 4 px a texel are 5 texels
    assert legibility(plan, [], [box], answers, 5.01).legible == near
    assert legibility(plan, [], [box], answers, 20.0).legible == near
    assert legibility(plan, [], [box], answers, 20.1).legible == 0
    unseen = (
        1000.0,
        0.0,
        1100.0,
        60.0,
    )  # nowhere sampled, and with it a character has 8000 / 5 square px: 40 px, 10 texels where a texel is 4 px
    assert legibility(plan, [], [box, unseen], answers, 10.0).legible == pytest.approx(1 / 4)
    assert legibility(plan, [], [box], answers).hit is None
    assert legibility(plan, [(100, 120), (0, 0)], [unseen, box], answers).hit is True
    assert legibility(plan, [(99, 120), (150, 110)], [unseen, box], answers).hit is False
    with pytest.raises(DataError, match="0 boxes and 3 answers; legibility needs at least one of each"):
        legibility(plan, [], [], answers)
    with pytest.raises(DataError, match="1 boxes and 1 answers"):
        legibility(plan, [], [box], [""])


@pytest.mark.parametrize("name", ["log_polar", "cortical", "quadtree"])
def test_many_points_are_seen_as_each_alone_would_be(name: str) -> None:
    size = (90, 120)
    plan = getattr(layouts, name)(size, fixation=(40.0, 30.0), budget=40, patch_size=8)
    points = torch.rand(60, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([140.0, 110.0])
    together = steps_px(plan, points)
    alone = [step_px(plan, (float(x), float(y))) for x, y in points]
    assert together.tolist() == pytest.approx([float("inf") if step is None else step for step in alone])
    if plan.texels is None:
        flat = plan.to(dtype=torch.float64)
        for point, step in zip(points.double(), together, strict=True):
            within = []
            for center, right, down, side in zip(flat.centers, flat.right, flat.down, flat.side_px, strict=True):
                offset = point - center
                across = (offset @ right) / (right @ right) / 8  # upright patches: right and down are perpendicular
                along = (offset @ down) / (down @ down) / 8
                if abs(across) <= 0.5 and abs(along) <= 0.5:
                    within.append(float(side) / 8)
            assert float(step) == pytest.approx(min(within, default=float("inf")))


def test_every_data_set_can_be_evaluated() -> None:
    from homunculus.lab.datasets import SOURCES

    assert list(COMMAND.DATASETS) == list(SOURCES)
    assert {DOCVQA.metric, TEXTVQA.metric} == {"ANLS", "accuracy"}


# The eye against all tokens, and how the work is shared


@pytest.mark.slow
@pytest.mark.parametrize("name", list(COMMAND.DATASETS))
def test_the_eye_is_held_against_all_tokens_by_every_judge(name: str, tmp_path: Path, fake: Fake) -> None:
    getattr(official, name)(tmp_path / "data")
    right = {
        "docvqa": ["1.5", "R. J. Reynolds", "1998", "yes"],
        "textvqa": ["stop", "STOP sign", "exit"],
        "vqav2": ["2"] * 3,
    }
    number = re.compile(r"\d")

    def says(asked: str) -> str:
        at = int(number.findall(asked)[0])
        return right[name][at] if "whole" in asked or (at == 0 and "fastv" not in asked) else "no"

    fake.says = says
    out = tmp_path / "out"
    arguments = (
        name,
        "--data",
        tmp_path / "data",
        "--model",
        "m",
        "--against",
        "whole",
        "--pruning",
        "fastv",
        "--out",
        out,
    )
    code, shown, errors = run(*arguments)
    assert (code, errors.strip()) == (0, "")
    result = json.loads((out / "result.json").read_text())
    assert (result["way"], [one["way"] for one in result["against"]]) == ("eye", ["whole", "whole-fastv"])
    dataset = SOURCES[name].load(tmp_path / "data", "val")
    pictures = [str(question.image) for question in dataset.questions]
    table = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in (out / "table.md").read_text().splitlines()[2:7]
    ]
    assert table[0] == ["", "tokens", "mean", f"{dataset.source.metric} %", "less the eye", "s", "errors"]
    eye = np.array(list(result["scores"].values()))
    for one, row, told in zip(
        [result, *result["against"]], table[2:], ("the eye 2.0 1.5", "all tokens 9.0 9.0", "fastv 9.0 6.0"), strict=True
    ):
        assert " ".join(row[:3]) == told
        assert (row[-1], float(row[-2])) == ("0", pytest.approx(one["spent"]["seconds"], rel=1e-2))
        said = json.loads(
            (out / {"eye": "submission.json"}.get(one["way"], f"submission-{one['way']}.json")).read_text()
        )
        scores = [dataset.source.score(s["answer"], q.answers) for s, q in zip(said, dataset.questions, strict=True)]
        assert list(one["scores"].values()) == scores
        low, high = interval(scores, pictures)
        assert row[3] == f"{100 * np.mean(scores):.1f} ({100 * low:.1f}, {100 * high:.1f})"
        if one is not result:
            low, high = difference(scores, eye, pictures)
            apart = np.mean(scores) - np.mean(eye)
            assert row[4] == f"{100 * apart:+.1f} ({100 * low:.1f}, {100 * high:.1f})"
            assert row[4] in shown
    assert result["against"][0]["mean"] > result["mean"] > result["against"][1]["mean"]
    assert result["files"] == ["result.json", "table.md"]
    # Alone, in the same folder, the eye's answers are known, and the table of the comparison is no longer there.
    fake.asked = []
    assert run(*arguments[:5], "--out", out)[0] == 0
    assert fake.asked == []
    assert not (out / "table.md").exists()
    assert "against" not in json.loads((out / "result.json").read_text())


def test_a_comparison_asks_a_batch_in_every_way_before_the_next(tmp_path: Path, fake: Fake) -> None:
    official.docvqa(tmp_path / "data")
    arguments = ("docvqa", "--data", tmp_path / "data", "--model", "m", "--out", tmp_path / "out", "--batch", 2)
    assert run(*arguments, "--limit", 1)[0] == 0
    fake.asked, fake.batches = [], []
    assert run(*arguments, "--against", "whole")[0] == 0
    entry = "What is entry"
    assert [question for _, question in fake.asked] == [
        f"{entry} 1?", f"{entry} 2?", f"{entry} 0? whole", f"{entry} 1? whole",
        f"{entry} 3?", f"{entry} 2? whole", f"{entry} 3? whole",
    ]  # fmt: skip
    assert fake.batches == [2, 1]


def test_a_journal_of_before_is_read_and_compared(tmp_path: Path, fake: Fake) -> None:
    official.docvqa(tmp_path / "data")
    out = tmp_path / "out"
    journal = Journal(
        out / "answers.jsonl", {"dataset": "docvqa", "split": "val", "model": "m", "budget": 9, "px_per_character": 8.0}
    )
    for number in range(100, 104):
        journal.append({"id": number, "answer": "yes", "fixations": [[1.0, 2.0]], "tokens": 9})
    arguments = (
        "docvqa",
        "--data",
        tmp_path / "data",
        "--model",
        "m",
        "--budget",
        9,
        "--against",
        "whole",
        "--out",
        out,
    )
    assert run(*arguments)[0] == 0
    assert len(fake.asked) == 4
    assert "| the eye | 9.0 | – | 25.0 (0.0, 50.0) | – | – | 0 |" in (out / "table.md").read_text()


@pytest.mark.slow
def test_a_question_that_cannot_be_asked_is_an_entry_and_is_asked_again_where_that_is_wanted(
    tmp_path: Path, fake: Fake
) -> None:
    official.docvqa(tmp_path / "data")
    out = tmp_path / "out"
    arguments = ("docvqa", "--data", tmp_path / "data", "--model", "m", "--out", out, "--batch", 4)
    fake.says, fake.broken = lambda asked: "yes", {"What is entry 3?"}
    code, shown, errors = run(*arguments)
    assert (code, errors.strip()) == (0, "")
    told = "page1_1.png cannot be read; fetch it again"
    assert (
        f"the eye: 1 of 4 questions could not be asked and count 0; --retry-errors asks again: 103 (ImageReadError: {told})"
        in shown
    )
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert lines[4] == {"id": 103, "answer": "", "error": {"kind": "ImageReadError", "message": told}}
    assert fake.batches == [4, 1, 1, 1, 1]
    result = json.loads((out / "result.json").read_text())
    assert (result["errors"], result["scores"]["103"]) == ({"103": lines[4]["error"]}, 0)
    assert result["spent"]["tokens"] == 2
    assert json.loads((out / "submission.json").read_text())[3] == {"questionId": 103, "answer": ""}
    fake.asked = []
    assert run(*arguments)[:2] == (0, shown)
    assert fake.asked == []
    fake.broken = set()
    code, shown, _ = run(*arguments, "--retry-errors")
    assert (code, "could not be asked" in shown, len(fake.asked)) == (0, False, 1)
    result = json.loads((out / "result.json").read_text())
    assert (result["errors"], result["scores"]["103"]) == ({}, 1)
    assert len((out / "answers.jsonl").read_text().splitlines()) == 6


def test_what_could_not_be_asked_counts_nothing_even_where_nothing_would_be_right(tmp_path: Path) -> None:
    official.textvqa(tmp_path / "data")
    dataset = TEXTVQA.load(tmp_path / "data", "val")
    article = replace(dataset.questions[0], answers=("the",) * 10)  # which the judge takes for nothing
    dataset = replace(dataset, questions=(article, *dataset.questions[1:]))
    answers = dict.fromkeys([question.id for question in dataset.questions], "")
    assert judge(dataset, answers).scores[34600] == 1
    assert judge(dataset, answers, failed=[34600]).scores == {34600: 0, 34601: 0, 34602: 0}


def test_what_a_lost_process_leaves_is_told_in_the_end_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official.docvqa(tmp_path / "data")
    dataset = DOCVQA.load(tmp_path / "data", "val")
    way = asking.WayOfAsking()
    journals = {way: Journal(tmp_path / "answers.jsonl", {})}
    real = asking.crew

    @contextmanager
    def dying(*given: Any, **options: Any) -> Iterator[Any]:
        with real(*given, **options) as shared:
            yield SimpleNamespace(
                put=lambda todo: (
                    (batch, Lost("was killed by signal 9") if batch.questions[0].id == 101 else found)
                    for batch, found in shared.put(todo)
                )
            )

    monkeypatch.setattr(asking, "crew", dying)
    counted: list[tuple[int, int, int]] = []
    with pytest.raises(
        ProcessError,
        match="1 of 4 batches were lost, the last because its worker was killed by signal 9, with questions 101; all other",
    ):
        asking.ask(
            asking.batches(dataset, journals),
            asking.AskedModel(Fake, (way,)),
            journals,
            told=lambda *more: counted.append(more),
        )
    assert list(journals[way].entries) == [100, 102, 103]
    assert counted == [(1, 4, 0), (2, 4, 0), (3, 4, 0)]
    left = asking.batches(dataset, {way: Journal(tmp_path / "answers.jsonl", {})})
    assert [question.id for batch in left for question in batch.questions] == [101]


@pytest.mark.slow
def test_processes_share_the_questions_and_the_driver_alone_writes(tmp_path: Path) -> None:
    official.docvqa(tmp_path / "data")
    dataset = DOCVQA.load(tmp_path / "data", "val")
    way = asking.WayOfAsking(whole=True, pruning="fastv")
    journals = {way: Journal(tmp_path / "answers.jsonl", {})}
    asking.ask(asking.batches(dataset, journals, 2), asking.AskedModel(Fake, (way,)), journals, workers=1)
    found = list(Journal(tmp_path / "answers.jsonl", {}).entries.values())
    assert [(entry["id"], entry["answer"], entry["mean_tokens"]) for entry in found] == [
        (number, "stop", 6.0) for number in range(100, 104)
    ]


def test_progress_tells_the_rate_and_what_went_wrong() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with counting(console, "loading m", "asking m") as count:
        for done in (10, 20, 30):
            count(done, 40, done // 30)
            time.sleep(0.01)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "30/40" in shown
    assert re.search(r"asking m .*\d/s .*errors: 1", shown)


# What enters the language model, and what its layers hold of it: 4 layers, cuts before those that the papers' are scaled to. Of 16 tokens
# FastV keeps 8 from layer 2; PyramidDrop 8, 4 and 2 from layers 1, 2 and 3; SparseVLM, before the same three, 300, 200 and 110 of 576,
# which are 8, 6 and 3, and each time one more of what it merges. With AIM a quarter enters, and before layer 3 of 4, 20 of 28 run, none of
# them by an eighth is left; of 16 DivPrune lets .098 in, CDPruner and VisPruner 64 of 576.
HELD = {
    "the eye": [12, 12, 12, 12],
    "all tokens": [16, 16, 16, 16],
    "fastv": [16, 16, 8, 8],
    "pyramid_drop": [16, 8, 4, 2],
    "sparse_vlm": [16, 9, 7, 4],
    "aim": [4, 4, 4, 0],
    "divprune": [2, 2, 2, 2],
    "cdpruner": [2, 2, 2, 2],
    "vispruner": [2, 2, 2, 2],
}


@pytest.mark.slow
def test_the_table_tells_what_every_method_lets_through(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from tiny_language import save, tiny_llava, tiny_qwen
    from tiny_models import tiny, write_tokenizer

    official.docvqa(tmp_path / "data")
    tiny("clip").save_pretrained(tmp_path / "clip")
    write_tokenizer(tmp_path / "clip", "clip")
    prunings = [word for name in list(HELD)[2:] for word in ("--pruning", name)]
    arguments = (
        "docvqa",
        "--data",
        tmp_path / "data",
        "--limit",
        1,
        "--budget",
        12,
        "--backend",
        "torch",
        "--against",
        "whole",
    )
    told = ("--model", save(tiny_llava(), tmp_path / "llava"), "--dtype", "bfloat16", "--out", tmp_path / "out")
    code, _, errors = run(*arguments, *prunings, *told, "--texts", tmp_path / "clip")
    assert (code, errors.strip()) == (0, "")
    rows = [line.split("|")[1:4] for line in (tmp_path / "out" / "table.md").read_text().splitlines()[4:]]
    assert {name.strip(): (float(tokens), float(mean)) for name, tokens, mean in rows[: len(HELD)]} == {
        name: (12 if name == "the eye" else 16, sum(layers) / 4) for name, layers in HELD.items()
    }
    code, _, errors = run(*arguments, "--pruning", "cdpruner", *told[:2], "--out", tmp_path / "refused")
    assert (code, "there is no text tower; give texts=, a whole CLIP or SigLIP model" in " ".join(errors.split())) == (
        2,
        True,
    )
    qwen = ("--model", save(tiny_qwen(), tmp_path / "qwen"), "--out", tmp_path / "refused")
    code, _, errors = run(*arguments, "--pruning", "pyramid_drop", *qwen)
    assert code == 2
    assert "the language model has 3 layers and the 3 cuts, before layers 1, 2, 3, do not fit" in errors
    assert not (tmp_path / "refused").exists()
