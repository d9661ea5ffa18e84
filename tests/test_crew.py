"""Work that is put to processes: every piece comes back, with its result, or with how its process died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from homunculus.bridge.errors import DataError, ProcessError
from homunculus.bridge.processes import Lost, Processes, ThisProcess, crew

ROOT = Path(__file__).parents[1]


class UnsendableError(Exception):
    """Holds what cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("too odd")
        self.held = lambda: None


class Echo:
    """Answers what it is told to."""

    facts = "open"

    def __call__(self, piece: str) -> str:
        if piece == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if piece == "leave":
            os._exit(7)
        if piece == "raise":
            raise DataError("the piece is 'raise'; give another")
        if piece == "odd":
            raise UnsendableError
        return f"{piece} {torch.get_num_threads()}"


@contextmanager
def echo() -> Iterator[Callable[[str], str]]:
    yield Echo()


@contextmanager
def closed_door() -> Iterator[Callable[[str], str]]:
    raise DataError("the door is closed; knock")
    yield


@contextmanager
def trapdoor() -> Iterator[Callable[[str], str]]:
    os._exit(3)
    yield


def told(result: str | Lost) -> str:
    return result.told if isinstance(result, Lost) else result


@pytest.mark.slow
def test_pieces_come_back_and_the_dead_are_replaced() -> None:
    with Processes[str, str](echo, 1) as workers:
        assert workers.facts == ["open"]
        found = {piece: told(result) for piece, result in workers.put(["a", "die", "b", "leave", "c"])}
        assert found == {
            "a": "a 1", "b": "b 1", "c": "c 1", "die": "was killed by signal 9", "leave": "ended with status 7",
        }  # fmt: skip
        with pytest.raises(ProcessError, match="UnsendableError: too odd"):
            list(workers.put(["a", "odd"]))
        assert workers.members == []  # nobody works on for nobody


@pytest.mark.slow
def test_what_does_not_open_is_refused() -> None:
    with pytest.raises(DataError, match="the door is closed"):
        Processes[str, str](closed_door, 1)
    with pytest.raises(ProcessError, match=r"ended with status 3 before it was open; in a script, .*__main__"):
        Processes[str, str](trapdoor, 1)


def test_of_no_processes_this_one_works_and_keeps_its_threads() -> None:
    before = torch.get_num_threads()
    with crew(echo, 0, threads=1) as workers:
        assert isinstance(workers, ThisProcess)
        assert list(workers.put(["a"])) == [("a", "a 1")]
        with pytest.raises(DataError, match="the piece is 'raise'"):
            list(workers.put(["raise"]))
    assert torch.get_num_threads() == before
    with pytest.raises(DataError, match="the door is closed"):
        crew(closed_door, 0)
    assert torch.get_num_threads() == before


@pytest.mark.slow
def test_workers_end_with_who_started_them() -> None:
    program = (
        "import sys, test_crew; from homunculus.bridge.processes import Processes\n"
        "if __name__ == '__main__':\n"
        "    workers = Processes(test_crew.echo, 1)\n"
        "    print(workers.members[0].process.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as started:
        assert started.stdout is not None
        child = int(started.stdout.readline())
        started.kill()
    ends = time.monotonic() + 20
    while time.monotonic() < ends and alive(child):
        time.sleep(0.05)
    assert not alive(child)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
