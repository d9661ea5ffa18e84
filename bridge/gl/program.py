"""A compiled compute shader that is told only the uniforms that have changed."""

from __future__ import annotations

from typing import Any


class Program:
    """Used like moderngl's own, on the context's thread. A uniform keeps its value from one run to the next, so what it has is not sent
    again: a block of uniforms would be one upload a call, this is none where a call is like the one before.
    """

    def __init__(self, shader: Any) -> None:
        self._shader = shader
        self._values: dict[str, object] = {}  # what each uniform holds

    def __setitem__(self, name: str, value: object) -> None:
        if self._values.get(name) != value:
            self._shader[name] = value
            self._values[name] = value

    def run(self, columns: int, rows: int = 1, layers: int = 1) -> None:
        self._shader.run(columns, rows, layers)

    def release(self) -> None:
        self._shader.release()
