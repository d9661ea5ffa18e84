"""Everything that only a GPU can prove, by one command, in one report: usage, gpu_check.py [--out DIR] [--seconds N] [--only PART,...].

Runs from the source tree, with the Python that starts it. Each part is a process of its own with a time limit; one that fails,
hangs or is missing is told and hides none of the others. After `doctor`, nothing else starts where no GPU works. All output goes to
log.txt beside the report, which is written after each part. Ends with status 0 where every part that must run passed.
"""

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from gpu_report import Outcome, machine, write

ROOT = Path(__file__).resolve().parents[1]
# A hang names its test before the part's end, and a warning of other releases than CI's is no failure.
PYTEST = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--tb=short", "-W", "default",
          "-o", "timeout=60", "-o", "faulthandler_timeout=45"]  # fmt: skip
HARDWARE, NO_GPU = 0, (10, 20)  # exit statuses of doctor
LEAST_S = 10
TAIL_LINES = 60
COUNTS = re.compile(r"\d+ (passed|failed|error|skipped)|ERROR SUMMARY|RACECHECK SUMMARY")


@dataclass
class Part:
    """A command and the most it may take. extra: whether it may be left out where time or a program is missing."""

    name: str
    command: list[str]
    limit_s: float
    extra: bool = False


def parts() -> list[Part]:
    """The most valuable first: whoever has little time gets those."""
    python = [sys.executable]
    programs = [f"tests/test_{name}.py" for name in ("device_results", "statistics", "plan_programs")]
    sanitizer = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    once = [*PYTEST, "tests/test_gpu.py", "-k", "every_kernel_once", "-o", "timeout=0", "-o", "faulthandler_timeout=0"]

    def sanitized(tool: str) -> list[str]:
        """PyTorch and the profiler ask the driver for entry points that it need not have: no error of ours."""
        quiet = ["--report-api-errors", "no", "--target-processes", "application-only", "--error-exitcode", "9"]
        return [sanitizer, "--tool", tool, *quiet, *once]

    return [
        Part("doctor", [*python, "-m", "homunculus", "doctor"], 40),
        Part(
            "life cycle, streams, graphs, nothing over the host",
            [*PYTEST, "tests/test_gpu.py", "-k", "not alternating"],
            80,
        ),
        Part("conformance", [*PYTEST, "tests/test_conformance.py", "-k", "not stand"], 110),
        Part("statistics, plans", [*PYTEST, *programs, "-k", "not stand"], 60),
        Part("alternating frames", [*PYTEST, "tests/test_gpu.py", "-k", "alternating"], 50),
        Part("times", [*python, ".ci/gpu_times.py", "1024", "4096"], 50),
        Part("memcheck", sanitized("memcheck"), 80),
        Part("racecheck", sanitized("racecheck"), 80, extra=True),
        Part("synccheck", sanitized("synccheck"), 60, extra=True),
        Part("bench", [*python, "-m", "homunculus", "bench", "--quick", "--backend", "cuda"], 60, extra=True),
    ]


def not_run(part: Part, why: str) -> Outcome:
    return Outcome(part.name, told(part), f"not run: {why}", 0, "", [], part.extra)


def told(part: Part) -> str:
    return without_places(" ".join(part.command).replace(sys.executable, "python"))


def without_places(text: str) -> str:
    """Without this machine's folders: the report is to be committed."""
    for path, name in ((str(ROOT), "."), (sys.prefix, "python"), (str(Path.home()), "~")):
        text = text.replace(path, name) if len(path) > 1 else text
    return text


def environment() -> dict[str, str]:
    given = {
        **os.environ,
        "EXPECT_CUDA": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "160",
    }
    given.pop("EXPECT_GL", None)
    return given


def run(part: Part, limit_s: float, log: TextIO) -> Outcome:
    if limit_s < LEAST_S:
        return not_run(part, "no time left")
    if shutil.which(part.command[0]) is None:
        return not_run(part, f"{part.command[0]} is not installed")
    start = time.monotonic()
    log.write(f"\n##### {part.name}: {told(part)}\n")
    log.flush()
    place = log.tell()
    process = subprocess.Popen(
        part.command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )  # fmt: skip
    try:
        code = process.wait(timeout=limit_s)
        status = "passed" if code == 0 else f"failed (status {code})"
        if part.name == "doctor" and code in NO_GPU:
            status = f"failed (no GPU works: status {code})"
    except subprocess.TimeoutExpired:
        status = f"timed out after {limit_s:.0f} s"
    finally:  # also where this program itself is told to end
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    log.seek(place)
    output = without_places(log.read())
    log.seek(place)
    log.truncate()
    log.write(output)
    log.flush()
    lines = output.splitlines()
    counted = [line.strip("= ") for line in lines if COUNTS.search(line)]
    seconds = round(time.monotonic() - start, 1)
    return Outcome(
        part.name, told(part), status, seconds, counted[-1] if counted else "", lines[-TAIL_LINES:], part.extra
    )


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--out", type=Path, default=ROOT / "docs" / "gpu")
    options.add_argument(
        "--seconds", type=float, default=500, help="for all parts together; 1100 is enough for every one"
    )
    options.add_argument("--only", default="", help="parts by the start of their names, with commas between")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    end = time.monotonic() + given.seconds
    wanted = tuple(name for name in given.only.split(",") if name)
    chosen = [part for part in parts() if not wanted or part.name.startswith(wanted)]
    if not chosen:
        options.error(f"--only {given.only}: no part begins so; there are {', '.join(part.name for part in parts())}")
    facts, outcomes = machine(ROOT), []
    works = "device" in facts
    given.out.mkdir(parents=True, exist_ok=True)
    with (given.out / "log.txt").open("w+", encoding="utf-8", errors="replace") as log:
        for part in chosen:
            if works or part.name == "doctor":
                print(f"{part.name} ...", flush=True)
                outcome = run(part, min(part.limit_s, end - time.monotonic()), log)
                works = works and "no GPU works" not in outcome.status
            else:
                outcome = not_run(part, "no GPU works here")
            outcomes.append(outcome)
            print(f"{part.name}: {outcome.status} in {outcome.seconds} s. {outcome.summary}", flush=True)
            if outcome.status != "passed":
                print("\n".join(outcome.tail[-25:]), flush=True)
            path = write(given.out, facts, outcomes)  # after each part, so that what is known survives whatever comes
    print(path)
    return 0 if all(o.status == "passed" or (o.extra and o.status.startswith("not run")) for o in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
