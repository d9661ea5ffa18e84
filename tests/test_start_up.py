"""The command line answers at once: help, a mistyped word and the Tab key import nothing that is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from homunculus import allocators
from homunculus.bridge.law import QUALITIES
from homunculus.cli import names
from homunculus.lab.baselines import pruning
from homunculus.loop.run.settings import DTYPES
from homunculus.viewer.view import registry as views

ROOT = Path(__file__).parents[1]
SLOW = {"torch", "numpy", "scipy", "PIL", "rich", "moderngl", "safetensors", "transformers", "matplotlib", "cv2"}
PROGRAM = """
import atexit, sys
atexit.register(lambda: print("loaded", *{name.partition(".")[0] for name in sys.modules}, file=sys.stderr))
from homunculus.cli import main
sys.argv[0] = "homunculus"
main()
"""


def answer(*arguments: str, **environment: str) -> tuple[int, str, str, set[str]]:
    """Status, what was said on stdout and stderr, and the packages that were loaded when the program ended."""
    command = [sys.executable, "-c", PROGRAM, *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={**os.environ, **environment}, timeout=60
    )
    errors, _, loaded = done.stderr.rpartition("loaded ")
    return done.returncode, done.stdout, errors, set(loaded.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--help",), 0, "experiment"),
        (("--version",), 0, "homunculus 0."),
        (("look", "--help"), 0, "--layout"),
        (("view", "--help"), 0, "--scanpath"),
        (("agent", "--help"), 0, "--most"),
        (("evaluate", "docvqa", "--help"), 0, "--predictions"),
        (("train", "needle", "--help"), 0, "--preset"),
        (("lok", "page.png"), 2, "lok"),
        (("look", "page.png", "--lauout", "grid"), 2, "--lauout"),
        (("look", "page.png", "--budget", "many"), 2, "--budget"),
        (("bench", "everything"), 2, "everything"),
        (("look",), 2, "IMAGE"),
        (("look", "page.png", "--at", "middle"), 2, "two fractions"),
    ],
)
def test_help_and_a_mistyped_word_load_nothing_slow(arguments: tuple[str, ...], status: int, said: str) -> None:
    code, shown, errors, loaded = answer(*arguments)
    assert (code, loaded & SLOW) == (status, set())
    assert said.lower() in (shown if status == 0 else errors).lower()


def test_the_package_itself_loads_nothing_slow() -> None:
    program = (
        "import sys, homunculus, homunculus.bridge.errors, homunculus.bridge, homunculus.interop; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert not SLOW & set(done.stdout.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("homunculus lo", {"look"}),
        ("homunculus look --lay", {"--layout"}),
        ("homunculus look page.png --layout ", set(names.ALLOCATORS)),
        ("homunculus view page.png --allocator tok", {"token_dag"}),
        ("homunculus compare page.png --backend gl", {"gl-cuda", "gl"}),
        ("homunculus evaluate docvqa --pruning ", set(names.PRUNINGS)),
        ("homunculus experiment ", {"needle", "pages", "photographs", "search"}),
    ],
)
def test_the_tab_key_completes_commands_options_and_names(line: str, expected: set[str]) -> None:
    words = line.split(" ")
    code, shown, errors, loaded = answer(
        _HOMUNCULUS_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(len(words) - 1)
    )
    assert (code, errors, loaded & SLOW) == (0, "", set())
    assert set(shown.split()) == expected


def test_the_names_to_complete_are_those_that_there_are() -> None:
    assert set(names.ALLOCATORS) == set(allocators.registry)
    assert set(names.QUALITIES) == set(QUALITIES)
    assert names.BACKENDS == ("auto", "gl-cuda", "cuda", "gl", "torch")
    assert set(names.VIEWS) == set(views)
    assert set(names.PRUNINGS) == set(pruning.registry)
    assert set(names.DTYPES) == set(DTYPES)
