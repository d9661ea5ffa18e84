"""The names that options take, for the shell to complete, without their registries, which import torch. A test holds the two equal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

BACKENDS = ("auto", "gl-cuda", "cuda", "gl", "torch")
QUALITIES = ("fast", "sharp", "high", "exact")
VIEWS = "viewer/views"  # the folder whose files register them
ROW = re.compile(r"^@?registry\.register\(\"([\w-]+)\"\)", re.MULTILINE)


def registered(folder: str) -> list[str]:
    """The names that the files of a folder register, read off their text."""
    files = sorted((Path(__file__).parents[1] / folder).glob("*.py"))
    return [name for file in files for name in ROW.findall(file.read_text("utf-8"))]


ALLOCATORS = tuple(sorted({*registered("layouts"), *registered("allocators")}))


def one_registered(folder: str) -> Callable[[str], list[str]]:
    """As `one_of`; the files are read when the Tab key is pressed."""
    return lambda incomplete: [name for name in registered(folder) if name.startswith(incomplete)]


def one_of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What an option's `autocompletion` calls with the word begun."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete


Backend = Annotated[
    str | None,
    typer.Option(
        help="auto, gl-cuda, cuda, gl or torch; auto is the fastest that works.", autocompletion=one_of(BACKENDS)
    ),
]
Quality = Annotated[str, typer.Option(help="fast, sharp or high.", autocompletion=one_of(QUALITIES[:3]))]
Trust = Annotated[
    list[Path] | None,
    typer.Option(help="A folder outside the data's to which its paths and links may lead; repeat it."),
]
