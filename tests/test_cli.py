"""The command line: one story that works, every refusal on one line, and nothing written by a refusal."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from homunculus import layouts
from homunculus.cli import app

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
        "patch_size": 8,
        "quality": "fast",
        "backend": "torch",
    }
    assert details["fixations_px"] == [pytest.approx([55.8, 37.2]), pytest.approx([18, 108])]


def test_the_module_runs_as_a_program(page: Path, tmp_path: Path) -> None:
    def program(picture: Path) -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "homunculus",
            "look",
            picture,
            "--backend",
            "torch",
            "--out",
            tmp_path / "seen",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)

    done = program(tmp_path / "nowhere.png")
    assert done.returncode == 2
    assert done.stderr.startswith(f"homunculus: {tmp_path}/nowhere.png cannot be opened: No such file or directory")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "seen").exists()
    done = program(page)
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert {path.name for path in (tmp_path / "seen").iterdir()} == OUTPUTS


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
        (["--layout", "spirograph"], "homunculus: layout 'spirograph' is unknown; choose one of log_polar"),
        (["--quality", "best"], "homunculus: quality is 'best'; choose one of fast, sharp, high, exact"),
        (["--quality", "exact"], "homunculus: quality 'exact' needs mip-aligned footprints"),
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


def test_help_names_every_layout() -> None:
    code, shown, _ = run("look", "--help")
    assert code == 0
    for name in layouts.registry:
        assert name in shown
    assert {"look", "doctor", "bench"} <= set(run("--help")[1].split())


def test_the_doctor_ends_with_a_verdict() -> None:
    code, shown, _ = run("doctor")
    assert code in (0, 10, 20)
    assert shown.strip().splitlines()[-1].startswith("verdict: ")
    assert f"(exit status {code})" in shown


def test_the_bench_prints_its_rows_and_writes_them(tmp_path: Path) -> None:
    code, shown, _ = run("bench", "--size", 64, "--backend", "torch", "--repeats", 3, "--out", tmp_path)
    assert code == 0
    assert "new fixation" in shown
    assert "image to patches" in shown
    assert json.loads((tmp_path / "bench.json").read_text())
    assert run("bench", "--size", 64, "--backend", "abacus")[0] == 2


def test_version() -> None:
    code, shown, _ = run("--version")
    assert code == 0
    assert shown.startswith("homunculus")


def test_starting_up_stays_light() -> None:
    """The command line alone must not load what only plots and baselines need."""
    program = "import sys, homunculus.cli; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not {"matplotlib", "cv2"} & set(done.stdout.split())
