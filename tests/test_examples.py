"""Each example runs as a stranger would run it, in a process that is warm, and leaves the picture that it promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
STORIES = sorted(EXAMPLES.glob("[0-9]*.py"))


def figures(printed: str, start: str) -> list[float]:
    """The numbers of the line that starts so."""
    (line,) = [line for line in printed.splitlines() if line.startswith(start)]
    return [float(number) for number in re.findall(r"[-+]?\d+(?:\.\d+)?", line.removeprefix(start))]


def registration(printed: str) -> None:
    assert max(map(abs, figures(printed, "coarse to fine"))) < 0.1
    assert min(figures(printed, "guessed")[0], figures(printed, "sharp")[0]) > 5


def learned_prefilter(printed: str) -> None:
    for name in ("as it is", "identity"):
        loss, percent, _ = figures(printed, f"{name}, step 40: ")
        assert loss > 0.6, name
        assert 35 < percent < 65, name
    assert figures(printed, "learned, step 0: ")[0] > 0.6
    loss, percent, _ = figures(printed, "learned, step 40: ")
    assert loss < 0.1
    assert percent > 95


def level_choice(printed: str) -> None:
    best = min(figures(printed, "all at one level:"))
    assert figures(printed, "chosen levels:")[0] < 0.9 * best
    assert figures(printed, "continuous:")[0] < 0.8 * best


def glimpse(printed: str) -> None:
    for name, least in (("photograph", 5), ("letter", 40)):
        _, by_points, by_plan, _ = figures(printed, f"{name}, ")
        assert by_points > least
        assert by_plan < 0.3


def memory(printed: str) -> None:
    last, remembered = (figures(printed, f"{name}: ")[:3] for name in ("the last look", "remembered"))
    assert all(own < 11 for own in remembered)
    assert min(last[:2]) > 18


PRINTED = {
    "10_registration": registration,
    "11_learned_prefilter": learned_prefilter,
    "12_level_choice": level_choice,
    "14_glimpse": glimpse,
    "16_memory": memory,
}


@pytest.mark.slow
@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_it_runs_and_leaves_its_picture(story: Path, warm: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["/usr/bin/env", "python", story, out]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=warm)
    assert done.returncode == 0, done.stderr
    if story.stem in PRINTED:
        PRINTED[story.stem](done.stdout)
    assert [path.name for path in tmp_path.iterdir()] == ["out"], "it wrote outside its folder"
    pictures = [*out.glob("*.png"), *out.glob("*.jpg")]
    assert pictures
    promise = story.read_text("utf-8").split('"""')[1]
    for picture in pictures:
        assert picture.name in promise
        assert str(picture) in done.stdout
        with Image.open(picture) as image:
            values = np.asarray(image)
        assert values.std() > 10, f"{picture.name} is blank"


def test_the_stories_are_numbered_without_gaps_and_short() -> None:
    assert [path.name[:2] for path in STORIES] == [f"{number:02d}" for number in range(1, len(STORIES) + 1)]
    for story in STORIES:
        assert 20 <= len(story.read_text("utf-8").splitlines()) <= 70, story.name


@pytest.mark.slow
def test_the_page_is_a_full_a4_page_at_300_dpi(tmp_path: Path) -> None:
    """Started cold, as a stranger starts it."""
    environment = {**os.environ, "PYTHONWARNINGS": "error", "PYTHONPATH": str(EXAMPLES.parent)}
    subprocess.run([sys.executable, STORIES[0], tmp_path], check=True, capture_output=True, env=environment)
    with Image.open(tmp_path / "page.png") as page:
        assert page.size == (2480, 3508)
        dark = np.asarray(page.convert("L")) < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    assert rows[0] < 250 < 3250 < rows[-1] < 3458
    assert columns[0] > 200
    assert columns[-1] < 2280
    assert 0.03 < dark.mean() < 0.15
