"""The house as a stranger must hold it in his head: rooms, floors, one door to the laboratory, names that mean one thing, short files."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOP = ("shaders", "interop", "bridge")
BACKENDS = ("gl", "cuda", "twin")
ROOMS, FLOORS = 16, 9
FILE_LINES, LONG_FUNCTION_LINES, LONG_FUNCTIONS = 300, 50, 10


@cache
def sources() -> dict[str, tuple[str, ast.Module]]:
    """Module name -> its path from the root, and its text as a tree. The links inside `homunculus` are not followed."""
    found = {}
    for folder in (*TOP, "homunculus"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            if parts[0] == "homunculus" and parts[1] in TOP:
                continue
            name = ".".join(parts if parts[0] == "homunculus" else ("homunculus", *parts)).removesuffix(".__init__")
            found[name] = str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))
    return found


def room(module: str) -> str:
    """A folder of the top or of `homunculus`, and each backend; `homunculus` itself is the face."""
    parts = module.split(".")[1:]
    if len(parts) > 1 and parts[0] == "bridge" and parts[1] in BACKENDS:
        return f"bridge.{parts[1]}"
    return parts[0] if parts and parts[0] != "__main__" else ""


def imports(tree: ast.Module) -> set[str]:
    """The modules of ours that a text imports, inside functions and for type checkers too."""
    names: set[str] = set()

    def walk(node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update(part if part in sources() else str(node.module) for part in parts)
        for child in ast.iter_child_nodes(node):
            walk(child)

    walk(tree)
    return {name for name in names if name in sources()}


@cache
def arrows() -> dict[tuple[str, str], list[str]]:
    """From room to room: who imports what."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for module, (path, tree) in sources().items():
        for wanted in imports(tree):
            pair = room(module), room(wanted)
            if pair[0] != pair[1] and all(pair):
                found[pair].append(f"{path} imports {wanted}")
    return found


def floors() -> dict[str, int]:
    """Each room's floor, 1 for what imports no other. Raises CycleError, naming the rooms, where arrows go round."""
    below: dict[str, set[str]] = defaultdict(set)
    for upper, lower in arrows():
        below[upper].add(lower)
    floor: dict[str, int] = {}
    for name in TopologicalSorter(below).static_order():
        floor[name] = 1 + max((floor[lower] for lower in below[name]), default=0)
    return floor


@pytest.mark.slow
def test_rooms_stand_on_few_floors_and_no_arrow_goes_round() -> None:
    floor = floors()
    assert {"shaders", "interop", "bridge", "bridge.gl", "layouts", "loop", "lab", "cli"} <= set(floor)
    assert len(floor) <= ROOMS, sorted(floor)
    assert max(floor.values()) <= FLOORS, floor


def test_the_laboratory_has_one_door() -> None:
    """It may import the eye; of the eye nobody imports it. The command line is its door, and nobody's room."""
    wrong = [told for (upper, lower), told in arrows().items() if lower in ("lab", "cli") and upper != "cli"]
    assert not wrong, wrong


def test_nothing_outside_a_backend_imports_it_but_who_draws_with_it() -> None:
    users = {(upper, lower) for upper, lower in arrows() if lower.startswith("bridge.")}
    allowed = {("viewer", "bridge.gl"), ("bridge.cuda", "bridge.gl"), ("lab", "bridge.gl"), ("lab", "bridge.twin")}
    assert users <= allowed, {pair: arrows()[pair] for pair in users - allowed}


def test_a_class_name_means_one_thing() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path, tree in sources().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].append(path)
    assert {name: paths for name, paths in homes.items() if len(paths) > 1} == {}


@pytest.mark.slow
def test_files_and_functions_are_short() -> None:
    long_files, long_functions = {}, []
    for path, tree in sources().values():
        lines = len((ROOT / path).read_text("utf-8").splitlines())
        if lines > FILE_LINES:
            long_files[path] = lines
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                count = node.end_lineno - node.lineno + 1
                if count > LONG_FUNCTION_LINES:
                    long_functions.append(f"{path}: {node.name} has {count}")
    assert long_files == {}
    assert len(long_functions) <= LONG_FUNCTIONS, long_functions


def test_a_command_takes_few_parameters() -> None:
    wide = [
        f"{path}: {node.name}"
        for path, tree in sources().values()
        if path.startswith("homunculus/cli/")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and len([*node.args.args, *node.args.kwonlyargs]) > 8
    ]
    assert wide == []
