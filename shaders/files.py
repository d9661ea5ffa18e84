"""The loader: text with its includes expanded and its lines named."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources

_INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"\s*$')
_VERSION = re.compile(r"^\s*#\s*version\b")
# "0:12(3): error" Mesa; "0(12) : error" NVIDIA; "ERROR: 0:12: " AMD, Intel and the Khronos reference compiler
_LOCATION = re.compile(r"\b(\d+)(?::(\d+)(?:\((\d+)\))?|\((\d+)\))(?=\s*:)")


@dataclass(frozen=True)
class Source:
    """Shader text ready to compile, and the files that the numbers in its `#line` directives stand for."""

    name: str
    text: str
    files: tuple[str, ...]


def names(folder: str = "") -> list[str]:
    """Every GLSL file in the package, those of a folder as `folder/name`, sorted."""
    found: list[str] = []
    for entry in resources.files(__package__).joinpath(folder).iterdir():
        name = f"{folder}/{entry.name}" if folder else entry.name
        if entry.is_dir():
            found += names(name)
        elif entry.name.endswith((".comp", ".glsl", ".vert", ".frag")):
            found.append(name)
    return sorted(found)


def source(name: str, **defines: int | float | str) -> Source:
    """The text of shader `name` with every `#include "file"` expanded once and `defines` placed after `#version`.

    `#line` directives keep the compiler's line numbers those of the author's files. CUDA files have no `#version`: there the defines
    come first, and the directives name files. Raises FileNotFoundError for a file that does not exist, naming the file and line that
    asked for it, and ValueError for a shader without `#version`.
    """
    files: list[str] = []
    lines = _expand(name, files, f"source({name!r})")
    if name.endswith((".cu", ".cuh")):
        head = [f"#define {key} {value}" for key, value in defines.items()]
        return Source(name, "\n".join([*head, f'#line 1 "{name}"', *lines]) + "\n", tuple(files))
    for number, line in enumerate(lines):
        if _VERSION.match(line):
            head = [f"#define {key} {value}" for key, value in defines.items()]
            lines[number + 1 : number + 1] = [*head, f"#line {number + 2} 0"]
            return Source(name, "\n".join(lines) + "\n", tuple(files))
    raise ValueError(
        f"{name} has no #version line; only a file that has one can be compiled, the others are for #include"
    )


def _expand(name: str, files: list[str], wanted_by: str) -> list[str]:
    file = resources.files(__package__).joinpath(name)
    if not file.is_file():
        raise FileNotFoundError(f"{wanted_by} asks for shader {name!r}; the package has {', '.join(names())}")
    index = f'"{name}"' if name.startswith("cuda/") else str(len(files))
    files.append(name)
    lines: list[str] = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        include = _INCLUDE.match(line)
        if include is None:
            lines.append(line)
            continue
        if include[1] not in files:
            lines.append(f'#line 1 "{include[1]}"' if include[1].startswith("cuda/") else f"#line 1 {len(files)}")
            lines += _expand(include[1], files, f"{name}:{number}")
        lines.append(f"#line {number + 1} {index}")
    return lines


def explain(log: str, files: tuple[str, ...]) -> str:
    """A compiler's log with the `#line` numbers replaced by `file:line`."""

    def replace(match: re.Match[str]) -> str:
        index, line, column, other = match.groups()
        if int(index) >= len(files):
            return match[0]
        return f"{files[int(index)]}:{line or other}" + (f":{column}" if column else "")

    return _LOCATION.sub(replace, log)
