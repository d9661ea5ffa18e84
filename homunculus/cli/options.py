"""Options that several commands share, and how a dataclass of options becomes a command's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from homunculus.cli.names import BACKENDS, QUALITIES, one_of

if TYPE_CHECKING:
    from homunculus.bridge.pictures.files import PictureFile
    from homunculus.bridge.slides.file import TileFile

Budget = Annotated[int, typer.Option(help="How many tokens.")]
PatchSize = Annotated[int, typer.Option(help="Texels along a side of a patch.")]
Quality = Annotated[str, typer.Option(help="fast, sharp or high.", autocompletion=one_of(QUALITIES[:3]))]
Backend = Annotated[
    str | None,
    typer.Option(help=f"{', '.join(BACKENDS)}; auto is the fastest that works.", autocompletion=one_of(BACKENDS)),
]
HeadFile = Annotated[Path | None, typer.Option(help="Learned relevance, from `homunculus train relevance`.")]
Trust = Annotated[
    list[Path] | None,
    typer.Option(help="A folder outside the data's to which its paths and links may lead; repeat it."),
]


@dataclass(frozen=True)
class PictureReading:
    """How a picture file is read."""

    page: Annotated[int, typer.Option(min=0, help="Which page or frame of a file of several, counted from 0.")] = 0
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="The limit on width times height of a file; by default Pillow's.")
    ] = None
    icc: Annotated[
        bool, typer.Option("--icc/--no-icc", help="Honour an ICC profile or gamma, or take values as stored.")
    ] = True

    def file(self, path: str | Path) -> PictureFile:
        """The file as it is to be read; HEIC too, where pillow-heif is installed."""
        from homunculus.bridge.pictures.endings import admit_heic
        from homunculus.bridge.pictures.files import PictureFile

        admit_heic(str(path))
        return PictureFile(str(path), self.page, self.max_pixels, self.icc)

    def slide(self, file: PictureFile) -> TileFile | None:
        """The file opened in tiles, where that is how it is read."""
        from homunculus.bridge.slides.open import in_tiles

        return in_tiles(file)


def expanded(command: Callable[..., None]) -> Callable[..., None]:
    """The command, for typer: each parameter whose type is a dataclass gives way to that dataclass' fields, options in their order.
    The command is called with the dataclass that they make. No two may have one name."""
    groups: dict[str, type] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        group = parameter.annotation
        if not is_dataclass(group) or not isinstance(group, type):
            parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = group
        hints = get_type_hints(group, include_extras=True)
        options = inspect.signature(group).parameters.values()
        parameters += [option.replace(kind=option.KEYWORD_ONLY, annotation=hints[option.name]) for option in options]

    @wraps(command)
    def called(**values: Any) -> None:
        made = {
            name: group(**{field.name: values.pop(field.name) for field in fields(group)})
            for name, group in groups.items()
        }
        command(**values, **made)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def points_of(at: list[str] | None) -> list[tuple[float, float]] | None:
    """Fractions (x, y), or None where there are none. Refuses what is not two numbers."""
    return [pair(text) for text in at] if at else None


def pair(
    text: str, between: str = ",", what: str = "point; give two fractions, as in --at 0.62,0.31"
) -> tuple[float, float]:
    """Two numbers. what: what they are, and how they are given, for the refusal."""
    try:
        first, second = (float(part) for part in text.split(between))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a {what}") from None
    return first, second
