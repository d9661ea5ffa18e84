"""The one command for a GPU: its parts, their limits, and what it leaves where there is no GPU, too little time, or a hang."""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[1]
if not (ROOT / ".ci" / "gpu_check.py").exists():
    pytest.skip("the scripts of the repository are not here", allow_module_level=True)


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    return importlib.import_module("gpu_check")


def run_with(
    check: Any, monkeypatch: pytest.MonkeyPatch, out: Path, parts: list[Any], *options: str, device: bool = True
) -> tuple[int, dict[str, dict[str, Any]], str]:
    facts = {"device": "NVIDIA Stand-in 1"} if device else {}
    monkeypatch.setattr(check, "parts", lambda: parts)
    monkeypatch.setattr(check, "machine", lambda root: facts)
    monkeypatch.setattr(check.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["gpu_check.py", "--out", str(out), *options])
    status = check.main()
    report = json.loads((out / ("nvidia-stand-in-1.json" if device else "no-gpu.json")).read_text())
    return status, {part["name"]: part for part in report["parts"]}, (out / "log.txt").read_text()


def python(check: Any, name: str, text: str, limit_s: float = 30, **options: Any) -> Any:
    return check.Part(name, [sys.executable, "-c", text], limit_s, **options)


def test_the_two_calls_that_are_planned_fit_their_time(check: Any) -> None:
    limits = {part.name: part.limit_s for part in check.parts()}
    assert next(iter(limits)) == "doctor"
    assert sum(limit for name, limit in limits.items() if name.startswith(("doctor", "life cycle", "times"))) <= 170
    before_the_sanitizer = list(limits)[: list(limits).index("memcheck")]
    assert sum(limits[name] for name in before_the_sanitizer) <= 400
    for part in check.parts():
        tests = [word.split("::")[0] for word in part.command if word.startswith("tests/")]
        assert all((ROOT / test).exists() for test in tests)
        assert "pytest" not in part.command or {"-v", "timeout=60", "default"} <= set(part.command)
        if part.name.endswith("check"):
            assert part.command[part.command.index("--report-api-errors") + 1] == "no"


@pytest.mark.slow
def test_every_selection_finds_its_tests(check: Any) -> None:
    commands = [part.command for part in check.parts() if "pytest" in part.command]
    files = sorted({word.split("::")[0] for command in commands for word in command if word.startswith("tests/")})
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", *files]
    done = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    names = [line for line in done.stdout.splitlines() if "::" in line]
    for command in commands:
        word = command[command.index("-k") + 1]
        chosen = [name for name in names if (word.removeprefix("not ") in name) is not word.startswith("not ")]
        for place in (given for given in command if given.startswith("tests/")):
            assert [name for name in chosen if name.startswith(place)], f"{place} has none of {word!r}"


@pytest.mark.slow
def test_all_output_is_kept_and_a_hang_or_failure_hides_nothing(
    check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parts = [
        python(check, "doctor", "print('fine')"),
        python(check, "wrong", "print('about to fail'); raise SystemExit(3)"),
        python(check, "hangs", "import time; print('waiting', flush=True); time.sleep(60)", 1.5),
        python(
            check,
            "long",
            f"print('\\n'.join(str(n) for n in range(500))); print({str(ROOT)!r}); print('7 passed in 1 s')",
        ),
    ]
    monkeypatch.setattr(check, "LEAST_S", 0)
    status, found, log = run_with(check, monkeypatch, tmp_path, parts)
    assert status == 1
    assert [part["status"] for part in found.values()] == [
        "passed",
        "failed (status 3)",
        "timed out after 2 s",
        "passed",
    ]
    assert found["long"]["summary"] == "7 passed in 1 s"
    assert len(found["long"]["tail"]) == 60
    for word in ("fine", "about to fail", "waiting", "\n0\n1\n2\n", "\n499\n.\n7 passed"):
        assert word in log
    assert str(ROOT) not in log
    text = (tmp_path / "nvidia-stand-in-1.md").read_text()
    assert "## hangs: timed out after 2 s" in text
    assert "| long | passed |" in text


@pytest.mark.parametrize("status", [10, 20])
def test_nothing_starts_after_doctor_where_no_gpu_works(
    check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, status: int
) -> None:
    told = tmp_path / "started"
    parts = [
        python(check, "doctor", f"raise SystemExit({status})"),
        python(check, "next", f"open({str(told)!r}, 'w')"),
    ]
    code, found, _ = run_with(check, monkeypatch, tmp_path, parts)
    assert code == 1
    assert found["doctor"]["status"] == f"failed (no GPU works: status {status})"
    assert found["next"]["status"] == "not run: no GPU works here"
    code, found, _ = run_with(check, monkeypatch, tmp_path, parts[1:], device=False)
    assert code == 1
    assert found["next"]["status"] == "not run: no GPU works here"
    assert not told.exists()


def test_a_broken_backend_stops_nothing(check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = [python(check, "doctor", "raise SystemExit(30)"), python(check, "next", "")]
    code, found, _ = run_with(check, monkeypatch, tmp_path, parts)
    assert code == 1
    assert [part["status"] for part in found.values()] == ["failed (status 30)", "passed"]


def test_what_may_be_left_out_is_no_failure(check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    parts = [
        python(check, "doctor", ""),
        check.Part("sanitizer", ["/nowhere/compute-sanitizer"], 30, extra=True),
        python(check, "late", "", 5, extra=True),
    ]
    code, found, _ = run_with(check, monkeypatch, tmp_path, parts)
    assert code == 0
    assert found["sanitizer"]["status"] == "not run: /nowhere/compute-sanitizer is not installed"
    assert found["late"]["status"] == "not run: no time left"
    parts[2].extra = False
    assert run_with(check, monkeypatch, tmp_path, parts)[0] == 1
    assert run_with(check, monkeypatch, tmp_path, parts, "--only", "doctor,sani")[0] == 0
    with pytest.raises(SystemExit):
        run_with(check, monkeypatch, tmp_path, parts, "--only", "docktor")


def test_the_commit_of_a_tree_without_git(check: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = importlib.import_module("gpu_report")
    monkeypatch.delenv("GPU_COMMIT", raising=False)
    assert report.commit(tmp_path) is None
    (tmp_path / ".gpu").mkdir()
    (tmp_path / ".gpu" / "commit").write_text("abc1234\n")
    assert report.commit(tmp_path) == "abc1234"
    monkeypatch.setenv("GPU_COMMIT", "def5678")
    assert report.commit(tmp_path) == "def5678"
    facts = report.machine(tmp_path)
    assert facts["torch"] == torch.__version__
    assert ("device" in facts) is torch.cuda.is_available()
