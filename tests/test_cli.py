"""The command line: one story that works, every refusal on one line, and nothing written by a refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from tiny_models import tiny, write_tokenizer
from typer.testing import CliRunner

from homunculus import allocators
from homunculus.bridge.errors import BackendUnavailableError
from homunculus.bridge.pictures.files import read_image
from homunculus.cli import app
from homunculus.loop.compare import compare
from homunculus.relevance import Head

ROOT = Path(__file__).parents[1]
OUTPUTS = {"footprints.png", "reconstruction.png", "tokens.safetensors", "look.json"}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    path = tmp_path / "page.png"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (120, 90, 3), dtype=np.uint8)).save(path)
    return path


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    return result.exit_code, result.stdout, result.stderr


def test_a_look_writes_its_files_and_prints_what_was_measured(page: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    code, shown, errors = run(
        "look", page, "--at", "0.62,0.31", "--at", "0.2,0.9", "--budget", 40, "--layout", "quadtree",
        "--quality", "fast", "--backend", "torch", "--patch-size", 8, "--out", out,
    )  # fmt: skip
    assert (code, errors.strip()) == (0, "")
    assert {path.name for path in out.iterdir()} == OUTPUTS
    for word in (
        "coverage", "resolution coverage", "overlap", "largest gap", "density ks", "anisotropy", "LOD", "backend",
        "renderer", "time", "look.json",
    ):  # fmt: skip
        assert word in shown, word
    details = json.loads((out / "look.json").read_text())
    assert details["request"] == {
        "image": str(page),
        "at": [[0.62, 0.31], [0.2, 0.9]],
        "budget": 40,
        "layout": "quadtree",
        "allocator": None,
        "relevance": None,
        "query": "",
        "patch_size": 8,
        "quality": "fast",
        "backend": "torch",
    }
    assert details["fixations_px"] == [pytest.approx([55.8, 37.2]), pytest.approx([18, 108])]


@pytest.mark.slow
def test_the_module_runs_as_a_program(page: Path, warm: dict[str, str], tmp_path: Path) -> None:
    def program(picture: Path, *begin: str | Path) -> subprocess.CompletedProcess[str]:
        command = [*begin, "look", picture, "--backend", "torch", "--out", tmp_path / "seen"]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=warm)

    done = program(tmp_path / "nowhere.png", "/usr/bin/env", "homunculus")
    assert done.returncode == 2
    assert done.stderr.startswith(f"homunculus: {tmp_path}/nowhere.png cannot be opened: No such file or directory")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "seen").exists()
    done = program(page, sys.executable, "-m", "homunculus")
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert {path.name for path in (tmp_path / "seen").iterdir()} == OUTPUTS


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--budget", "0"], "homunculus: budget is 0; it must be a whole number of at least 1"),
        (["--budget", "many"], "Invalid value for '--budget'"),
        (["--at", "1.5,0.5"], "homunculus: fixation (1.5, 0.5) lies outside the image; give fractions from 0 to 1"),
        (["--at", "nan,0.5"], "homunculus: fixation (nan, 0.5) lies outside the image"),
        (["--at", "0.5,inf"], "homunculus: fixation (0.5, inf) lies outside the image"),
        (["--at", "0.5"], "'0.5' is not a point; give two fractions, as in --at 0.62,0.31"),
        (["--at", "a,b"], "'a,b' is not a point"),
        (["--at", "0.1,0.2,0.3"], "'0.1,0.2,0.3' is not a point"),
        (["--layout", "spirograph"], "homunculus: allocator 'spirograph' is unknown; choose one of "),
        (["--quality", "best"], "homunculus: quality is 'best'; choose one of fast, sharp, high, exact"),
        (["--quality", "exact", "--layout", "log_polar"], "homunculus: quality 'exact' needs mip-aligned footprints"),
        (["--backend", "abacus"], "'abacus'"),
        (["--patch-size", "0"], "homunculus: patch_size is 0"),
        (["--layout", "cortical", "--at", "0.1,0.1", "--at", "0.9,0.9"], "homunculus: cortical was given 2 fixations"),
        (["--sideways"], "No such option"),
    ],
)
def test_bad_arguments_are_refused_and_nothing_is_written(
    page: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    out = tmp_path / "seen"
    code, shown, errors = run("look", page, "--backend", "torch", "--out", out, *arguments)
    assert code == 2
    assert text in errors
    assert "Traceback" not in errors
    assert shown == ""
    assert not out.exists()


@pytest.mark.parametrize("content", [None, b"", b"not a picture", b"\x89PNG\r\n\x1a\n\0\0"])
def test_bad_pictures_are_refused_and_nothing_is_written(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "page.png"
    if content is not None:
        path.write_bytes(content)
    code, shown, errors = run("look", path, "--backend", "torch", "--out", tmp_path / "seen")
    assert code == 2
    assert errors.startswith(f"homunculus: {path} ")
    assert len(errors.splitlines()) == 1
    assert shown == ""
    assert not (tmp_path / "seen").exists()


def test_a_file_in_place_of_the_folder_is_refused(page: Path) -> None:
    before = page.read_bytes()
    code, _, errors = run("look", page, "--backend", "torch", "--out", page)
    assert code == 2
    assert "is a file" in errors
    assert page.read_bytes() == before


def test_an_earlier_look_survives_a_refusal(page: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    assert run("look", page, "--backend", "torch", "--budget", "9", "--out", out)[0] == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run("look", page, "--backend", "torch", "--budget", "0", "--out", out)[0] == 2
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


@pytest.fixture
def relevance(tmp_path: Path) -> Path:
    """A map with one spot, at (0.25, 0.75)."""
    path = tmp_path / "relevance.npy"
    values = np.zeros((12, 10), np.float32)
    values[9, 2] = 1
    np.save(path, values)
    return path


@pytest.mark.slow
def test_a_look_by_an_allocator_goes_where_relevance_is(page: Path, relevance: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    arguments = ["look", page, "--backend", "torch", "--budget", 12, "--patch-size", 8, "--out", out]
    code, shown, errors = run(*arguments, "--allocator", "log_polar", "--relevance", relevance, "--query", "text")
    assert (code, errors.strip()) == (0, "")
    assert "coverage" in shown
    details = json.loads((out / "look.json").read_text())
    assert details["request"]["allocator"] == "log_polar"
    assert details["request"]["layout"] is None
    assert details["request"]["relevance"] == [12, 10]
    assert details["request"]["query"] == "text"
    with safe_open(out / "tokens.safetensors", "pt") as file:
        finest = file.get_tensor("footprints")[0, :2]
    assert finest.tolist() == pytest.approx([0.25 * 90, 0.79 * 120], abs=8)
    assert run(*arguments, "--allocator", "stratified")[0] == 0, "nothing is known without a map"


@pytest.mark.slow
def test_a_look_for_something_measures_relevance(page: Path, tmp_path: Path) -> None:
    out = tmp_path / "seen"
    arguments = ["look", page, "--backend", "torch", "--budget", 12, "--patch-size", 8, "--out", out]
    code, shown, errors = run(*arguments, "--query", "red, top left")
    assert (code, errors.strip()) == (0, "")
    assert {path.name for path in out.iterdir()} == {*OUTPUTS, "relevance.png"}
    assert "propositional, perspectival, participatory" in shown
    assert "procedural is silent: no head has been trained" in shown
    details = json.loads((out / "look.json").read_text())
    assert details["query"]["place"] == pytest.approx([1 / 6, 1 / 6])
    x, y = details["fixations_px"][0]
    assert x < 45
    assert y < 60
    code, shown, _ = run(*arguments, "--example", page, "--fixations", 2, "--one-by-one")
    assert code == 0
    assert "participatory" in shown
    assert json.loads((out / "look.json").read_text())["request"]["merge"] is False


@pytest.mark.slow
def test_a_look_with_a_model_and_a_trained_head(page: Path, tmp_path: Path) -> None:
    tiny("clip").save_pretrained(tmp_path / "model")
    write_tokenizer(tmp_path / "model", "clip")
    Head().save(tmp_path / "head.safetensors")
    out = tmp_path / "seen"
    arguments = ["look", page, "--backend", "torch", "--budget", 30, "--out", out]
    models = ["--model", tmp_path / "model", "--head", tmp_path / "head.safetensors"]
    code, shown, errors = run(*arguments, *models, "--query", "a dog")
    assert (code, errors.strip()) == (0, "")
    assert "30 x 32" in shown
    assert "propositional, perspectival, participatory, procedural" in shown
    assert load_file(out / "tokens.safetensors")["tokens"].shape == (30, 32)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--query", ""], "homunculus: the query is empty; give words"),
        (["--model", "nowhere"], "homunculus: nowhere"),
        (["--head", "nowhere"], "homunculus: nowhere cannot be opened: No such file or directory; check the path"),
        (["--fixations", "0"], "homunculus: fixations is 0"),
        (["--example", "nowhere.png"], "homunculus: nowhere.png cannot be opened"),
        (["--query", "a", "--allocator", "guess"], "homunculus: allocator 'guess' is unknown"),
        (["--query", "a", "--relevance", "nowhere.npy", "--model", "nowhere"], "--relevance is given, and --query"),
    ],
)
def test_bad_searches_are_refused_and_nothing_is_written(
    page: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    code, _, errors = run("look", page, "--backend", "torch", "--out", tmp_path / "seen", *arguments)
    assert code == 2
    assert text in errors
    assert not (tmp_path / "seen").exists()


def test_training_from_the_shell(page: Path, tmp_path: Path) -> None:
    line = json.dumps({"image": page.name, "query": "red", "box": [10, 10, 60, 60]})
    (page.parent / "triples.jsonl").write_text(line, "utf-8")
    arguments = ["train", "relevance", "--data", page.parent, "--out", tmp_path / "trained", "--backend", "torch"]
    code, shown, errors = run(*arguments, "--steps", 3, "--batch", 1)
    assert (code, errors.strip()) == (0, "")
    assert "in 3 steps" in shown
    assert {path.name for path in (tmp_path / "trained").iterdir()} == {
        "checkpoint.safetensors",
        "relevance.safetensors",
        "relevance.json",
    }
    code, _, errors = run(*arguments, "--batch", 2)
    assert code == 2
    assert "is of another training: batch was 1 and is 2" in errors


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--allocator", "guess"], "homunculus: allocator 'guess' is unknown; choose one of "),
        (["--allocator", "stratified", "--budget", "0"], "homunculus: budget is 0"),
        (["--allocator", "cortical", "--at", "0,0", "--at", "1,1"], "homunculus: cortical was given 2 fixations"),
        (["--allocator", "stratified", "--relevance", "nowhere.npy"], "homunculus: nowhere.npy cannot be opened"),
    ],
)
def test_bad_requests_to_an_allocator_are_refused(page: Path, tmp_path: Path, arguments: list[str], text: str) -> None:
    code, shown, errors = run("look", page, "--backend", "torch", "--out", tmp_path / "seen", *arguments)
    assert code == 2
    assert text in errors
    assert shown == ""
    assert not (tmp_path / "seen").exists()


@pytest.mark.slow
def test_compare_shows_every_allocator_and_its_blind_spots(page: Path, relevance: Path, tmp_path: Path) -> None:
    out = tmp_path / "all"
    code, shown, errors = run(
        "compare", page, "--relevance", relevance, "--query", "text", "--target", "0.25,0.79", "--periphery", "0.95,0.05",
        "--budget", 24, "--patch-size", 8, "--backend", "torch", "--quality", "fast", "--out", out,
    )  # fmt: skip
    assert (code, errors.strip()) == (0, "")
    assert {path.name for path in out.iterdir()} == {"compare.png", "compare.json"}
    for word in ("relevance coverage", "empty of 64 strata", "overlap", "Blind spots", "secondary", "compare.png"):
        assert word in shown, word
    details = json.loads((out / "compare.json").read_text())
    assert [entry["name"] for entry in details["allocators"]] == list(allocators.registry)
    assert details["places_px"]["target"] == pytest.approx([22.5, 94.8])
    made = {entry["name"]: entry for entry in details["allocators"] if "metrics" in entry}
    assert set(made) >= {"log_polar", "stratified", "coverage_top_k", "pseudo_log_polar"}
    for name, entry in made.items():
        assert entry["metrics"]["tokens"] == 24
        assert 0 < entry["relevance_coverage"] <= 1
        assert set(entry["step_px"]) == {"target", "secondary", "periphery"}
        assert shown.count(name) >= 2, "once in each table"
    assert made["stratified"]["step_px"]["target"] == 1
    assert made["stratified"]["step_px"]["periphery"] > 1
    with Image.open(out / "compare.png") as sheet:
        values = np.asarray(sheet)
    assert values.std() > 10
    assert sheet.width >= 1000


@pytest.mark.slow
def test_compare_lists_what_cannot_be_done_with_the_reason(page: Path, tmp_path: Path) -> None:
    code, shown, _ = run(
        "compare", page, "--at", "0.1,0.1", "--at", "0.9,0.9", "--budget", 12, "--backend", "torch", "--each",
        "--out", tmp_path / "all",
    )  # fmt: skip
    assert code == 0
    assert "cortical made no plan: cortical was given 2 fixations and takes 1" in shown
    assert (tmp_path / "all" / "stratified.jpg").exists()
    assert not (tmp_path / "all" / "cortical.jpg").exists()
    entries = json.loads((tmp_path / "all" / "compare.json").read_text())["allocators"]
    assert "takes 1" in next(entry["reason"] for entry in entries if entry["name"] == "cortical")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--budget", "0"], "homunculus: budget is 0; it must be a whole number of at least 1"),
        (["--at", "2,0"], "homunculus: fixation (2, 0) lies outside the image"),
        (["--target", "2,0"], "homunculus: target (2, 0) lies outside the image"),
        (["--secondary", "a"], "'a' is not a point"),
        (["--patch-size", "0"], "homunculus: patch_size is 0"),
        (["--quality", "best"], "homunculus: quality is 'best'"),
        (["--backend", "abacus"], "'abacus'"),
        (["--relevance", "nowhere.png"], "homunculus: nowhere.png cannot be opened"),
    ],
)
def test_bad_comparisons_are_refused_and_nothing_is_written(
    page: Path, tmp_path: Path, arguments: list[str], text: str
) -> None:
    code, shown, errors = run("compare", page, "--backend", "torch", "--out", tmp_path / "all", *arguments)
    assert code == 2
    assert text in errors
    assert shown == ""
    assert not (tmp_path / "all").exists()


def test_help_names_every_allocator() -> None:
    code, shown, _ = run("look", "--help")
    assert code == 0
    for name in allocators.registry:
        assert name in shown
    assert {"look", "compare", "doctor", "bench"} <= set(run("--help")[1].split())


def test_the_doctor_ends_with_a_verdict() -> None:
    code, shown, _ = run("doctor")
    assert code in (0, 10, 20)
    assert shown.strip().splitlines()[-1].startswith("verdict: ")
    assert f"(exit status {code})" in shown


@pytest.mark.slow
def test_the_bench_prints_its_rows_and_writes_them(tmp_path: Path) -> None:
    code, shown, _ = run("bench", "--quick", "--size", 64, "--backend", "torch", "--out", tmp_path)
    assert code == 0
    assert "new fixation" in shown
    assert "image to patches" in shown
    assert json.loads((tmp_path / "bench.json").read_text())
    assert run("bench", "--quick", "--size", 64, "--backend", "abacus")[0] == 2


@pytest.mark.slow
def test_the_bench_times_every_allocator(tmp_path: Path) -> None:
    code, shown, _ = run("bench", "allocators", "--repeats", 3, "--out", tmp_path)
    assert code == 0
    rows = json.loads((tmp_path / "allocators.json").read_text())["rows"]
    assert [row["name"] for row in rows] == list(allocators.registry)
    for row in rows:
        assert row["name"] in shown
        assert row["reason"] or row["timing"]["median_ms"] > 0


@pytest.mark.slow
def test_the_bench_times_a_call(tmp_path: Path) -> None:
    code, shown, _ = run("bench", "call", "--backend", "torch", "--repeats", 3, "--out", tmp_path)
    assert code == 0
    rows = json.loads((tmp_path / "call.json").read_text())["rows"]
    assert [row["call"].split(" ")[0] for row in rows] == ["1", "273", "273"]
    for row in rows:
        assert row["call"] in shown
        assert row["timing"]["median_ms"] > 0


@pytest.mark.slow
@pytest.mark.gl
def test_the_bench_times_pictures_in_batches(gl_works: str, tmp_path: Path) -> None:
    sizes = ("--size", 64, "--batch", 1, "--batch", 2)
    code, shown, _ = run("bench", "looks", *sizes, "--backend", "gl", "--repeats", 3, "--out", tmp_path)
    assert code == 0
    assert "small, random" in shown
    rows = json.loads((tmp_path / "looks.json").read_text())["rows"]
    kinds = [(row["encoder"], row["sizes"], row["pictures"]) for row in rows]
    assert kinds == [(name, *pair) for name in ("none", "small, random") for pair in ((1, 1), (1, 2), (2, 2))]
    assert all(0 < row["least_cpu_ms"] <= row["cpu_ms"] for row in rows)


@pytest.mark.slow
def test_the_bench_times_the_viewer(gl_works: str, tmp_path: Path) -> None:
    code, shown, _ = run("bench", "view", "--repeats", 3, "--out", tmp_path)
    assert code == 0
    report = json.loads((tmp_path / "view.json").read_text())
    assert [row["view"] for row in report["rows"]][-1] == "all side by side"
    for row in report["rows"]:
        assert row["view"] in shown
        assert row["timing"]["median_ms"] > 0
        assert row["draw_ms"] > 0
    for row in report["gaze"]:
        assert row["to"] in shown
        assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["worst_ms"]
        assert row["used"] > 0
    assert len(report["gaze"]) == 6
    assert run("bench", "everything")[0] == 2


@pytest.mark.slow
def test_view_writes_a_picture_and_refuses_what_cannot_be(gl_works: str, tmp_path: Path) -> None:
    image, out = ROOT / "examples/data/photograph.jpg", tmp_path / "out.png"
    code, shown, _ = run("view", image, "--at", "0.43,0.22", "--view", "lod", "--size", "200x100", "--screenshot", out)
    assert code == 0
    assert shown.strip() == str(out)
    assert read_image(out).shape == (100, 200, 3)
    for wrong, told in (
        (("--view", "x"), "choose one of footprints, reconstruction"),
        (("--size", "x"), "give pixels, as in --size 1280x800"),
        (("--at", "2,2"), "give fractions from 0 to 1"),
        (("--video", tmp_path / "a.mp4"), "give --play gaze.csv"),
        (("--relevance", tmp_path / "none.npy"), "check the path"),
    ):
        code, _, error = run("view", image, "--screenshot", tmp_path / "b.png", *wrong)
        assert code == 2
        assert told in error or "one at a time" in error
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_version() -> None:
    code, shown, _ = run("--version")
    assert code == 0
    assert shown.startswith("homunculus")


@pytest.mark.slow
def test_compare_lists_an_allocator_whose_extra_is_not_installed_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(image: object) -> None:
        raise BackendUnavailableError("segmentation needs OpenCV; run: pip install opencv-python-headless")

    monkeypatch.setitem(allocators.registry._rows, "hybrid_atlas", allocators.HybridAtlas(segment=refuse))
    found = compare(np.full((64, 64, 3), 90, np.uint8), budget=9, backend="torch")
    reasons = {entry.name: entry.reason for entry in found.entries if entry.reason}
    assert reasons == {"hybrid_atlas": "segmentation needs OpenCV; run: pip install opencv-python-headless"}


@pytest.mark.slow
def test_a_look_tells_first_what_of_the_query_was_understood(page: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["--query", "the total in the bottom right", "--no-read"]
    code, shown, _ = run("look", page, *asked, "--backend", "torch", "--out", out)
    told = "of the query, understood: the place 'in the bottom right'; not understood: 'total', for which a model"
    assert code == 0
    assert shown.startswith(told)
    assert shown.count("not understood") == 1
    assert json.loads((out / "look.json").read_text())["query"]["reading"].startswith(told)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("", "judged without relevance: every place counts alike"),
        (
            "zebra, bottom right",
            "judged by the query's relevance; of the query, understood: the place 'bottom right'; not",
        ),
        ("blue square", "judged by the query's relevance; of the query, understood: the words 'blue square'"),
    ],
)
def test_a_comparison_is_judged_by_the_query(query: str, told: str, page: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    asked = ["--query", query] if query else []
    code, shown, errors = run("compare", page, *asked, "--backend", "torch", "--budget", 20, "--out", out)
    assert code == 0, errors
    assert shown.startswith(told)
    record = json.loads((out / "compare.json").read_text())
    assert record["remarks"][0].startswith(told)
    if "bottom right" in query:  # the place that must be seen well is where the words say, not the middle
        x, y = record["places_px"]["target"]
        assert x > 90 / 2
        assert y > 120 / 2
