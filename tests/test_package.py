"""Imports point only downwards, and each package tells type checkers that it is typed."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import homunculus as hm

ROOT = Path(__file__).parents[1]
PACKAGES = ("shaders", "interop", "bridge")
HOUSE = ROOT / "homunculus"
FORBIDDEN = {
    "shaders": {"homunculus.interop", "homunculus.bridge", "homunculus", "torch", "moderngl", "glcontext", "cuda"},
    "interop": {"homunculus.bridge", "homunculus.shaders", "homunculus"},
    "bridge": {"homunculus", "cuda"},
    "homunculus": {"moderngl", "glcontext", "cuda", "homunculus.interop", "homunculus.shaders"},
}
NOWHERE = {"torchvision", "timm"}


def imported(source: str) -> set[str]:
    """The top-level packages that a source names in any import statement, at module level or inside functions.

    Of ours the package below `homunculus`, and `homunculus` alone for what is none of the three.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {package_of(name) for name in names}


def package_of(name: str) -> str:
    first, _, rest = name.partition(".")
    second = rest.partition(".")[0]
    return f"{first}.{second}" if first == "homunculus" and second in PACKAGES else first


def modules_of(package: str) -> list[Path]:
    """The files of one of the three, or of what stands in `homunculus` beside them (rglob does not follow the links)."""
    root = HOUSE if package == "homunculus" else ROOT / package
    files = [
        path
        for path in root.rglob("*.py")
        if package != "homunculus" or path.relative_to(HOUSE).parts[0] not in PACKAGES
    ]
    assert files, package
    return files


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import a.b as c, d", {"a", "d"}),
        ("from a.b import c", {"a"}),
        ("def f():\n    from torchvision import x", {"torchvision"}),
        ("from . import a", set()),
        ("from homunculus.bridge.plan import SamplePlan", {"homunculus.bridge"}),
        ("from homunculus import shaders, cortex", {"homunculus.shaders", "homunculus"}),
        ("import bridge.plan", {"bridge"}),
    ],
)
def test_imports_are_found(source: str, expected: set[str]) -> None:
    assert imported(source) == expected


@pytest.mark.slow
@pytest.mark.parametrize("package", [*PACKAGES, "homunculus"])
def test_imports_point_downwards(package: str) -> None:
    for module in modules_of(package):
        wrong = imported(module.read_text("utf-8")) & (FORBIDDEN[package] | NOWHERE)
        assert not wrong, f"{module.relative_to(ROOT)} imports {sorted(wrong)}"


@pytest.mark.slow
def test_nothing_imports_a_folder_by_its_bare_name() -> None:
    """Other people's packages and scripts are called bridge and interop too: what is installed owns `homunculus` alone."""
    folders = [*PACKAGES, "homunculus", "examples", "tests", ".ci"]
    modules = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    assert len(modules) > 300
    wrong = {str(path.relative_to(ROOT)) for path in modules if imported(path.read_text("utf-8")) & set(PACKAGES)}
    assert not wrong


@pytest.mark.parametrize("package", PACKAGES)
def test_each_folder_stands_in_the_package(package: str) -> None:
    """A relative link in a checkout, a folder of its own in a wheel or an sdist."""
    place = HOUSE / package
    assert (place / "__init__.py").is_file()
    assert not place.is_symlink() or place.readlink() == Path("..") / package


@pytest.mark.slow
def test_only_the_seam_touches_cuda_python() -> None:
    modules = [
        *modules_of("interop"),
        *modules_of("homunculus"),
        *(ROOT / "examples").rglob("*.py"),
    ]
    touching = {module.name for module in modules if "cuda" in imported(module.read_text("utf-8"))}
    assert touching == {"cuda.py", "nvrtc.py"}


@pytest.mark.slow
def test_nothing_else_imports_what_cannot_stand_beside_a_cpu_build_of_torch() -> None:
    modules = [*(ROOT / "examples").rglob("*.py"), *(ROOT / "tests").rglob("*.py")]
    assert len(modules) > 5
    for module in modules:
        assert not imported(module.read_text("utf-8")) & NOWHERE, module


def test_the_package_is_typed() -> None:
    assert (HOUSE / "py.typed").is_file()


def module_graph() -> dict[str, set[str]]:
    """Every module of ours, and the modules of ours that it imports anywhere in its text, type checking included."""
    names: dict[str, Path] = {}
    for package in (*PACKAGES, "homunculus"):
        for path in modules_of(package):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts if package == "homunculus" else ("homunculus", *parts)).removesuffix(".__init__")
            names[name] = path
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


@pytest.mark.slow
def test_no_two_modules_need_each_other() -> None:
    graph = module_graph()
    assert {"homunculus.bridge.plan", "homunculus.bridge.law"} <= (
        graph["homunculus.bridge.unit"] | graph["homunculus.bridge.plan"]
    )
    assert "homunculus.layouts" in graph["homunculus.loop.look"]
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the modules of a circle
    assert (
        order.index("homunculus.layouts.cortex")
        < order.index("homunculus.layouts")
        < order.index("homunculus.loop.look")
    )


def test_the_public_face_has_every_name_it_promises() -> None:
    assert [name for name in hm.__all__ if not hasattr(hm, name)] == []
    assert {"open_unit", "read_image", "SamplePlan", "Scene", "layouts", "allocators", "look", "view"} <= set(
        hm.__all__
    )


def kinds(error: type[hm.HomunculusError]) -> set[type[hm.HomunculusError]]:
    return {error}.union(*(kinds(kind) for kind in error.__subclasses__()))


def test_every_error_that_the_library_raises_is_a_name_of_its_face() -> None:
    ours = {kind for kind in kinds(hm.HomunculusError) if kind.__module__.startswith("homunculus.")}
    assert len(ours) >= 15
    assert {
        kind for kind in ours if getattr(hm, kind.__name__, None) is not kind or kind.__name__ not in hm.__all__
    } == set()


@pytest.mark.slow
def test_every_error_is_defined_where_the_face_finds_it() -> None:
    """So that the test above misses none in a module that nothing has imported yet."""
    names, homes = {kind.__name__ for kind in kinds(hm.HomunculusError)}, set()
    for package in (*PACKAGES, "homunculus"):
        for path in modules_of(package):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.ClassDef)
                    and {ast.unparse(base).rpartition(".")[2] for base in node.bases} & names
                ):
                    homes.add(path.relative_to(ROOT))
    assert homes == {Path("interop/errors.py"), Path("bridge/errors.py")}
