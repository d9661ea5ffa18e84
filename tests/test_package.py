"""Imports point only downwards, and each package tells type checkers that it is typed."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import homunculus as hm

ROOT = Path(__file__).parents[1]
PACKAGES = ("shaders", "interop", "bridge", "homunculus")
FORBIDDEN = {
    "shaders": {"interop", "bridge", "homunculus", "torch", "moderngl", "glcontext", "cuda"},
    "interop": {"bridge", "homunculus", "shaders"},
    "bridge": {"homunculus", "cuda"},
    "homunculus": {"moderngl", "glcontext", "cuda", "interop", "shaders"},
}
NOWHERE = {"torchvision", "timm"}


def imported(source: str) -> set[str]:
    """The top-level packages that a source names in any import statement, at module level or inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b as c, d", {"a", "d"}),
        ("from a.b import c", {"a"}),
        ("def f():\n    from torchvision import x", {"torchvision"}),
        ("from . import a", set()),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    assert imported(source) == expected


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_point_downwards(package: str) -> None:
    modules = list((ROOT / package).rglob("*.py"))
    assert modules
    for module in modules:
        wrong = imported(module.read_text("utf-8")) & (FORBIDDEN[package] | NOWHERE)
        assert not wrong, f"{module.relative_to(ROOT)} imports {sorted(wrong)}"


def test_only_the_seam_touches_cuda_python() -> None:
    modules = [
        *(ROOT / "interop").rglob("*.py"),
        *(ROOT / "homunculus").rglob("*.py"),
        *(ROOT / "examples").rglob("*.py"),
    ]
    touching = {module.name for module in modules if "cuda" in imported(module.read_text("utf-8"))}
    assert touching == {"cuda.py", "nvrtc.py"}


def test_nothing_else_imports_what_cannot_stand_beside_a_cpu_build_of_torch() -> None:
    modules = [*(ROOT / "examples").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert len(modules) > 5
    for module in modules:
        assert not imported(module.read_text("utf-8")) & NOWHERE, module


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert (ROOT / package / "__init__.py").is_file()


def module_graph() -> dict[str, set[str]]:
    """Every module of ours, and the modules of ours that it imports anywhere in its text, type checking included."""
    files = {path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    names = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    graph: dict[str, set[str]] = {}
    for name, path in names.items():
        wanted = set()
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                wanted |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                parts = {f"{node.module}.{alias.name}" for alias in node.names}
                wanted |= {part if part in names else node.module for part in parts}
        graph[name] = {module for module in wanted if module in names and module != name}
    return graph


def test_no_two_modules_need_each_other() -> None:
    graph = module_graph()
    assert {"bridge.plan", "bridge.law"} <= graph["bridge.unit"] | graph["bridge.plan"]
    assert "homunculus.layouts" in graph["homunculus.look"]
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the modules of a circle
    assert order.index("homunculus.cortex") < order.index("homunculus.layouts") < order.index("homunculus.look")


def test_the_public_face_has_every_name_it_promises() -> None:
    assert [name for name in hm.__all__ if not hasattr(hm, name)] == []
    assert {"open_unit", "read_image", "SamplePlan", "Scene", "layouts", "allocators", "look", "measure"} <= set(
        hm.__all__
    )
