"""The names that options take, for the shell to complete, without their registries, which import torch. A test holds the two equal."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from homunculus.bridge import backends

BACKENDS = ("auto", *backends.BACKENDS)
QUALITIES = ("fast", "sharp", "high", "exact")
ENGINES = ("local", "ray")
ROW = re.compile(r"^@?registry\.register\(\"([\w-]+)\"\)", re.MULTILINE)


def registered(folder: str) -> list[str]:
    """The names that the files of a folder register, read off their text."""
    files = sorted((Path(__file__).parents[1] / folder).glob("*.py"))
    return [name for file in files for name in ROW.findall(file.read_text("utf-8"))]


ALLOCATORS = tuple(sorted({*registered("layouts"), *registered("allocators")}))
VIEWS = tuple(registered("viewer/views"))
PRUNINGS = tuple(registered("lab/baselines/pruning"))
DTYPES = ("float32", "bfloat16", "float16")


def one_of(names: tuple[str, ...]) -> Callable[[str], list[str]]:
    """What an option's `autocompletion` calls with the word begun."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    return complete
