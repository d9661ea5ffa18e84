"""Rows by name: one table for everything of which there are several, filled by one line at each class or function.

    registry: Registry[Allocator] = Registry("allocator", PlanError, make=True)

    @registry.register("stratified")
    class Stratified: ...

The table stands in the module that its rows import; the package's `discover` makes a file in its folder all that a new row needs.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Generic, TypeVar

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.values import shown

Row = TypeVar("Row")
Registered = TypeVar("Registered")


class Registry(Mapping[str, Row], Generic[Row]):
    """A mapping of names to rows, in the order in which they were registered.

    kind: what a row is called in a refusal. error: its type. remedy: what else helps, after the known names.
    make: whether a class that is registered is called without arguments, and what it makes is the row.
    """

    def __init__(
        self, kind: str, error: Callable[[str], HomunculusError], remedy: str = "", *, make: bool = False
    ) -> None:
        self.kind, self.error, self.remedy, self.make = kind, error, remedy, make
        self._rows: dict[str, Row] = {}

    def register(self, name: str) -> Callable[[Registered], Registered]:
        """Decorates a class or function, or takes an object, to be the row of this name; a row that had it gives way."""

        def keep(found: Registered) -> Registered:
            self._rows[name] = found() if self.make and isinstance(found, type) else found  # type: ignore[assignment]
            return found

        return keep

    def get(self, name: object) -> Row:  # type: ignore[override]
        """The row of this name. Raises the registry's error for an unknown one, telling the known."""
        if not isinstance(name, str) or name not in self._rows:
            told = f"choose one of {', '.join(self._rows)}" + (f", or {self.remedy}" if self.remedy else "")
            raise self.error(f"{self.kind} {shown(name)} is unknown; {told}")
        return self._rows[name]

    def discover(self, package: str) -> None:
        """Imports every module of a package, so that the rows they register are here."""
        for module in pkgutil.iter_modules(import_module(package).__path__, package + "."):
            import_module(module.name)

    def __getitem__(self, name: str) -> Row:
        return self._rows[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Registry({self.kind}: {', '.join(self._rows) or 'none'})"
