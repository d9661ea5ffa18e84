"""What is told of installing: every remedy names a package that the project itself asks for; every licence that ships has its text."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
OTHERS = {"pillow-heif", "."}  # a decoder that a user may add; a checkout
FOLDERS = ("homunculus", "bridge", "interop", "shaders", "docs")
INSTALL = re.compile(r"pip install (?:--[\w-]+ )*((?:[\w.\[\]/*'-]+(?: (?=[a-z][\w-]*-)|(?= imgui-bundle))?)+)")


def distribution(requirement: str) -> str:
    return re.split(r"[\[<>=~!;@ ]", requirement.strip("'"))[0].lower().rstrip(".") or "."


def asked_for() -> set[str]:
    extras = [requirement for extra in PROJECT["optional-dependencies"].values() for requirement in extra]
    carried = re.search(r"^CARRIED := (.*)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert carried is not None
    return {distribution(requirement) for requirement in [*PROJECT["dependencies"], *extras, *carried[1].split()]}


def remedies() -> list[tuple[str, str]]:
    files = [path for folder in FOLDERS for kind in ("*.py", "*.md") for path in (ROOT / folder).rglob(kind)]
    found = []
    for path in [*files, ROOT / "README.md"]:
        for line in path.read_text("utf-8").splitlines():
            found += [
                (str(path.relative_to(ROOT)), word) for match in INSTALL.finditer(line) for word in match[1].split()
            ]
    return found


def test_every_remedy_names_a_package_that_the_project_asks_for() -> None:
    told = [(path, distribution(word)) for path, word in remedies()]
    assert len(told) > 15
    known = asked_for() | OTHERS | {PROJECT["name"]}
    assert [(path, name) for path, name in told if name not in known and not name.startswith("dist/")] == []


def test_nothing_tells_to_install_by_a_name_that_is_a_strangers() -> None:
    """`homunculus` on the index is another's package."""
    files = [path for folder in FOLDERS for kind in ("*.py", "*.md") for path in (ROOT / folder).rglob(kind)]
    texts = {path: path.read_text("utf-8") for path in [*files, ROOT / "README.md"]}
    assert [
        str(path) for path, text in texts.items() if re.search(r"install '?homunculus(?!-eye)|homunculus\[", text)
    ] == []


def test_the_readme_tells_of_every_extra() -> None:
    told = set(re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+ \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
    assert set(PROJECT["optional-dependencies"]) <= told


def test_every_licence_that_is_named_ships_with_its_text() -> None:
    page = (ROOT / "THIRD_PARTY.md").read_text("utf-8")
    named = set(re.findall(r"\]\((LICENSES/[^)]+)\)", page))
    assert named == {f"LICENSES/{path.name}" for path in (ROOT / "LICENSES").iterdir()}
    for name in named:
        assert len((ROOT / name).read_text("utf-8")) > 1000, name
    shipped = {str(path.relative_to(ROOT)) for pattern in PROJECT["license-files"] for path in ROOT.glob(pattern)}
    assert named | {"LICENSE", "THIRD_PARTY.md"} == shipped


def test_every_font_stands_under_a_licence() -> None:
    index = json.loads((ROOT / "homunculus/lab/needle/data/glyphs.json").read_text("utf-8"))
    fonts = {face["font"] for face in index}
    assert len(fonts) > 50
    told = re.sub(r"\W+", "", (ROOT / "homunculus/lab/needle/data/SOURCES.md").read_text("utf-8")).lower()
    lost = {font for font in fonts if re.sub(r"\W+", "", font.split()[0]).lower() not in told}
    assert lost == set()
