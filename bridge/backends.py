"""The backends: one row each. Nothing else names one, and a row imports its unit when that is first asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class BackendRow:
    """unit: the module and the class of its TextureUnit. options: what that takes beside the reason; `auto` hands on what applies.

    works: why `auto` took it, beside what was wrong with those before it. cuda: whether it needs an NVIDIA GPU; of those that do
    the fastest is taken. reference: the readable one, by which the others are measured: it has float64 and gives gradients.
    """

    unit: str
    options: frozenset[str]
    works: str = ""
    cuda: bool = False
    reference: bool = False

    def load(self) -> Any:
        """The unit's class, a `TextureUnit`, which reads this table and so is not imported."""
        module, name = self.unit.split(":")
        return getattr(import_module(module), name)

    def opened(self, reason: str, options: Mapping[str, Any]) -> Any:
        """A unit, opened with those of the options that it takes."""
        taken = {name: value for name, value in options.items() if name in self.options}
        return self.load()(reason=reason, **taken)


_HERE = "homunculus.bridge"
# By name, in the order in which `auto` tries them.
BACKENDS: dict[str, BackendRow] = {
    "gl-cuda": BackendRow(
        f"{_HERE}.gl.cuda:GLCudaUnit", frozenset({"device", "device_index"}), "works here", cuda=True
    ),
    "cuda": BackendRow(f"{_HERE}.cuda.unit:CudaUnit", frozenset({"device"}), "works here", cuda=True),
    "gl": BackendRow(f"{_HERE}.gl.unit:GLUnit", frozenset({"device_index"}), "OpenGL 4.3 through EGL works here"),
    "torch": BackendRow(f"{_HERE}.twin.unit:TwinUnit", frozenset({"device", "dtype"}), reference=True),
}
REFERENCE = next(name for name, row in BACKENDS.items() if row.reference)
INSTEAD = f"use backend={REFERENCE!r}"  # the end of many a remedy: it works wherever torch does


def choices() -> str:
    """The names that `open_unit` takes, as a message tells them."""
    return ", ".join(["auto", *BACKENDS])
