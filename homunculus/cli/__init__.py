"""The command line: `homunculus look page.png --at 0.62,0.31 --out out/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from homunculus.bridge.interrupts import run

if TYPE_CHECKING:
    from homunculus.cli.commands import app as app


def main() -> None:
    run(_commands)


def _commands() -> None:
    from homunculus.cli.commands import app

    app()


def __getattr__(name: str) -> Any:
    """The commands, imported when they are asked for (PEP 562): until then an interrupt finds nothing half done."""
    if name == "app":
        from homunculus.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
