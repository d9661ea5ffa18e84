"""The stranger's test: in a copy of the sources, one new file each for an allocator, a layout, a relevance channel, a rival and a view.
Nothing else of the copy is touched, and each is found wherever its kind is listed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = {
    "homunculus/allocators/corner.py": '''
from dataclasses import dataclass
from homunculus import layouts
from homunculus.allocators.scene import registry

@registry.register("corner")
@dataclass(frozen=True)
class Corner:
    """Spends everything around the top left corner."""
    name: str = "corner"

    def allocate(self, scene, budget):
        return layouts.quadtree(scene.size, (1.0, 1.0), budget, scene.patch_size)
''',
    "homunculus/layouts/even.py": '''
from homunculus.layouts.frame import registry
from homunculus.layouts.grid import grid

@registry.register("even")
def even(size, fixation=None, budget=273, patch_size=16, **options):
    """As even as can be."""
    return grid(size, None, budget, patch_size, **options)
''',
    "homunculus/relevance/nothing.py": """
from homunculus.relevance.target import Silent, channel

@channel("nothing", weight=0)
def nothing(statistics, target):
    return Silent("it never has anything to say")
""",
    "homunculus/lab/baselines/first.py": """
from dataclasses import dataclass
from typing import ClassVar
from homunculus.lab.baselines.contract import registry

@registry.register("first_k")
@dataclass(frozen=True)
class FirstK:
    name: str = "first_k"
    needs: ClassVar = ()

    def encode(self, encoder, view, budget):
        raise NotImplementedError
""",
    "homunculus/viewer/views/blank.py": """
from homunculus.viewer.view import CanvasView, registry

@registry.register("blank")
class BlankView(CanvasView):
    title = "nothing at all"

    def draw(self, painter, moment, area):
        pass
""",
}
PROGRAM = """
import homunculus as hm, torch
from homunculus.cli import names
from homunculus.lab import baselines
from homunculus.lab.experiment.rows import rows
from homunculus.relevance.target import default_weights
from homunculus.viewer.views import registry as views

assert {"corner", "even"} <= set(hm.allocators.registry) and "even" in hm.layouts.registry
assert {"corner", "even"} <= set(names.ALLOCATORS) and "blank" in names.VIEWS
for name in ("corner", "even"):
    seen = hm.look(torch.zeros(200, 300, 3, dtype=torch.uint8), allocator=name, budget=50, backend="torch")
    assert len(seen.patches) == 50
assert default_weights["nothing"] == 0 and "nothing" in hm.relevance.registry
assert list(views)[-1] == "blank"
assert "first_k" in baselines.registry
told = {row.name for row in rows()}
assert {"corner", "first_k"} <= told, told
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("stranger")
    for folder in ("shaders", "interop", "bridge", "homunculus"):
        shutil.copytree(ROOT / folder, root / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def run(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_one_file_each_is_all_that_is_touched(copy: Path) -> None:
    for name, text in FILES.items():
        assert not (copy / name).exists()
        (copy / name).write_text(text)
    run(copy, "-c", PROGRAM)


@pytest.mark.slow
def test_a_backend_is_one_folder_and_one_row(copy: Path) -> None:
    """That it is a backend of its own, and not another's, is shown by tests/test_numpy_backend.py."""
    folder = copy / "bridge" / "abacus"
    folder.mkdir()
    (folder / "__init__.py").write_text('"""A backend of a stranger\'s."""\n')
    (folder / "unit.py").write_text(
        "from homunculus.bridge.twin.unit import TwinUnit\n\n\nclass AbacusUnit(TwinUnit):\n    pass\n"
    )
    table = copy / "bridge" / "backends.py"
    row = '    "abacus": BackendRow(f"{_HERE}.abacus.unit:AbacusUnit", frozenset({"device", "dtype"})),\n'
    text = table.read_text("utf-8")
    start = text.index("BACKENDS: dict[str, BackendRow] = {\n")
    end = text.index("\n}\n", start) + 1
    table.write_text(text[:end] + row + text[end:], "utf-8")
    told = run(
        copy,
        "-c",
        "import homunculus as hm, torch\n"
        "from homunculus.cli import names\n"
        "with hm.open_unit('abacus') as unit:\n"
        "    patches = unit.sample(unit.pyramid(torch.zeros(64, 64, 3, dtype=torch.uint8)), hm.layouts.grid((64, 64), None, 4))\n"
        "print(type(unit).__name__, len(patches), 'abacus' in names.BACKENDS)",
    )
    assert told.split() == ["AbacusUnit", "4", "True"]
    assert "abacus" in run(copy, "-m", "homunculus", "look", "--help")
