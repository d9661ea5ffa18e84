"""Everything that only a GPU can prove, by one command, in one report: usage, gpu_check.py [--out DIR] [--seconds N] [--only PART,...].

Runs from the source tree, with the Python that starts it. Each part is a process of its own with a time limit; one that fails,
hangs or is missing is told and hides none of the others. Ends with status 0 where every part that could run passed.
"""

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PYTEST = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
TAIL_LINES = 60


@dataclass
class Part:
    """A command and the most it may take."""

    name: str
    command: list[str]
    limit_s: float


@dataclass
class Outcome:
    name: str
    command: str
    status: str  # passed, failed, timed out, or not run and why
    seconds: float
    summary: str
    tail: list[str]


def parts() -> list[Part]:
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    once = [*PYTEST, "tests/test_gpu.py", "-k", "every_kernel_once", "-o", "timeout=0"]
    return [
        Part("doctor", [sys.executable, "-m", "homunculus", "doctor"], 90),
        Part(
            "life cycle, streams, graphs, nothing over the host",
            [*PYTEST, "tests/test_gpu.py", "-k", "not alternating"],
            150,
        ),
        Part("conformance", [*PYTEST, "tests/test_conformance.py", "-k", "not stand"], 200),
        Part("alternating frames", [*PYTEST, "tests/test_gpu.py", "-k", "alternating"], 120),
        Part("times", [sys.executable, ".ci/gpu_times.py"], 90),
        Part("memcheck", [sanitizer, "--tool", "memcheck", "--error-exitcode", "9", *once], 120),
        Part("racecheck", [sanitizer, "--tool", "racecheck", "--error-exitcode", "9", *once], 120),
        Part("synccheck", [sanitizer, "--tool", "synccheck", "--error-exitcode", "9", *once], 60),
        Part("bench", [sys.executable, "-m", "homunculus", "bench", "--repeats", "5"], 120),
    ]


def run(part: Part, limit_s: float) -> Outcome:
    command = " ".join(part.command)
    if limit_s < 5:
        return Outcome(part.name, command, "not run: no time left", 0, "", [])
    if shutil.which(part.command[0]) is None:
        return Outcome(part.name, command, f"not run: {part.command[0]} is not installed", 0, "", [])
    environment = {
        **os.environ,
        "EXPECT_CUDA": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "160",
    }
    environment.pop("EXPECT_GL", None)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            part.command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            code = process.wait(timeout=limit_s)
            status = "passed" if code == 0 else f"failed (status {code})"
            if part.name == "doctor" and code in (0, 10, 20):
                status = "passed" if code == 0 else f"failed (no GPU works: status {code})"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            status = f"timed out after {limit_s:.0f} s"
        output.seek(0)
        lines = (
            output.read()
            .replace(str(ROOT), ".")
            .replace(sys.prefix, "python")
            .replace(str(Path.home()), "~")
            .splitlines()
        )
    counted = [
        line for line in lines if re.search(r"\d+ (passed|failed|error|skipped)|ERROR SUMMARY|RACECHECK SUMMARY", line)
    ]
    return Outcome(part.name, command.replace(sys.executable, "python"), status, round(time.monotonic() - start, 1),
                   counted[-1].strip("= ") if counted else "", lines[-TAIL_LINES:])  # fmt: skip


def machine() -> dict[str, object]:
    facts: dict[str, object] = {"python": platform.python_version(), "system": platform.system()}
    try:
        import torch

        facts |= {"torch": torch.__version__, "cuda": torch.version.cuda}
        if torch.cuda.is_available():
            facts |= {"device": torch.cuda.get_device_name(), "capability": list(torch.cuda.get_device_capability())}
    except Exception as error:
        facts["torch"] = f"{type(error).__name__}: {error}"
    for name in ("cuda-bindings", "moderngl", "nvidia-cuda-nvrtc", "transformers"):
        try:
            from importlib.metadata import version

            facts[name] = version(name)
        except Exception:
            facts[name] = None
    for key, command in (
        ("driver", ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]),
        ("commit", ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]),
    ):
        try:
            facts[key] = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()
        except (OSError, subprocess.SubprocessError):
            facts[key] = None
    return facts


def write(out: Path, facts: dict[str, object], outcomes: list[Outcome]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    device = re.sub(r"[^a-z0-9]+", "-", str(facts.get("device", "no-gpu")).lower()).strip("-")
    path = out / f"{device}.json"
    path.write_text(json.dumps({"machine": facts, "parts": [asdict(outcome) for outcome in outcomes]}, indent=2) + "\n")
    text = [
        f"# {facts.get('device', 'No GPU')}",
        "",
        "By `make gpu-check`. " + ", ".join(f"{k} {v}" for k, v in facts.items()),
        "",
    ]
    text += ["| part | outcome | seconds | |", "|---|---|---|---|"]
    text += [f"| {o.name} | {o.status} | {o.seconds} | {o.summary.replace('|', '/')} |" for o in outcomes]
    times = [json.loads(line) for o in outcomes if o.name == "times" for line in o.tail if line.startswith("{")]
    rows = [row for row in times if "wall_us" in row]
    if rows:
        text += ["", "| backend | px | task | wall us | device us |", "|---|---|---|---|---|"]
        text += [f"| {r['backend']} | {r['size_px']} | {r['task']} | {r['wall_us']} | {r['device_us']} |" for r in rows]
    text += ["", *(f"`{json.dumps(row)}`  " for row in times if "wall_us" not in row)]
    for outcome in outcomes:
        if outcome.status != "passed" or outcome.name == "doctor":
            text += ["", f"## {outcome.name}: {outcome.status}", "", "```", *outcome.tail, "```"]
    path.with_suffix(".md").write_text("\n".join(text) + "\n")
    return path


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "gpu")
    options.add_argument("--seconds", type=float, default=900, help="for all parts together")
    options.add_argument("--only", default="", help="parts by the start of their names, with commas between")
    given = options.parse_args()
    end = time.monotonic() + given.seconds
    facts, outcomes = machine(), []
    wanted = [name for name in given.only.split(",") if name]
    for part in parts():
        if wanted and not part.name.startswith(tuple(wanted)):
            continue
        print(f"{part.name} ...", flush=True)
        outcomes.append(run(part, min(part.limit_s, end - time.monotonic())))
        print(f"{part.name}: {outcomes[-1].status} in {outcomes[-1].seconds} s. {outcomes[-1].summary}", flush=True)
        if outcomes[-1].status != "passed":
            print("\n".join(outcomes[-1].tail[-25:]), flush=True)
        path = write(given.out, facts, outcomes)  # after each part, so that what is known survives whatever comes
    print(path)
    return 0 if all(o.status == "passed" or o.status.startswith("not run: /") for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
