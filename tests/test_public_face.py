"""Every public name has a docstring with an example, and every example runs."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest
import torch

import homunculus as hm

ROOT = Path(__file__).parents[1]
# They tell of a device that fails: no example of them runs on a machine that works.
WITHOUT = {"CudaError", "ForkedContextError", "GLError", "GradientError", "ProcessError", "ShaderError"}


def examples(name: str) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=False)
    told = getattr(hm, name)
    return [one for one in finder.find(told, name, globs={"hm": hm, "np": np, "torch": torch}) if one.examples]


def test_the_face_is_small() -> None:
    errors = {name for name in hm.__all__ if name.endswith("Error")}
    assert len(set(hm.__all__) - errors) <= 25


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(hm.__all__))
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    found = examples(name)
    assert (getattr(hm, name).__doc__ or "").strip()
    assert bool(found) is (name not in WITHOUT)
    runner, told = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL), []
    for one in found:
        runner.run(one, out=told.append)
    assert runner.failures == 0, "".join(told)
