"""Ctrl-C at any moment: one line, status 130, no process left. SIGINT goes to the parent alone, which is the harder case."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# SIGINT is ignored in whatever a shell runs in the background, and that is inherited.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from homunculus.cli import main
print("ready", flush=True)
main()
"""
EXPERIMENT = ("experiment", "needle", "--preset", "quick", "--backend", "torch", "--jobs", "2")
BENCH = ("bench", "--quick", "--backend", "torch")


def interrupted(arguments: tuple[str, ...], after_s: float, folder: Path) -> tuple[int, str, str]:
    """Status, stdout and stderr of a program that got SIGINT so long after its start; nothing of its session is left alive."""
    command = [sys.executable, "-c", PROGRAM, *arguments, "--out", str(folder / "out")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, start_new_session=True) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            time.sleep(after_s)
            running.send_signal(signal.SIGINT)
            shown, errors = running.communicate(timeout=60)
            until = time.monotonic() + 10
            while alive(running.pid) and time.monotonic() < until:
                time.sleep(0.05)
            assert not alive(running.pid)
        finally:
            if alive(running.pid):
                os.killpg(running.pid, signal.SIGKILL)
    return running.returncode, shown, errors


def alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="process groups are of POSIX")
@pytest.mark.parametrize(
    ("arguments", "after_s"), [(BENCH, 0.02), (BENCH, 0.3), (BENCH, 1.0), (EXPERIMENT, 3.0), (EXPERIMENT, 9.0)]
)
def test_one_line_tells_of_an_interrupt(arguments: tuple[str, ...], after_s: float, tmp_path: Path) -> None:
    status, _, errors = interrupted(arguments, after_s, tmp_path)
    assert (status, errors.strip()) == (130, "interrupted")
