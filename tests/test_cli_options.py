"""A dataclass of options becomes a command's own options: in order, with their defaults, checks and help, whole when it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from homunculus.cli.commands import app
from homunculus.cli.options import expanded, pair, points_of

Many = Annotated[list[str] | None, typer.Option(help="Repeat it.")]


@dataclass(frozen=True)
class Paint:
    thickness: Annotated[int, typer.Option(min=1, help="Of the coat.")] = 2
    color: Annotated[str, typer.Option("--color", "--colour", help="Its name.")] = "red"
    dry: Annotated[bool, typer.Option("--dry/--wet", help="Whether it waits.")] = True
    names: Many = None

    @property
    def told(self) -> str:
        return f"{self.thickness} {self.color} {self.dry} {self.names}"


@dataclass(frozen=True)
class Wall:
    height: Annotated[float, typer.Option(help="In metres; it must be told.")]


def said(*arguments: str) -> tuple[int, str]:
    program = typer.Typer(rich_markup_mode=None, add_completion=False)

    @program.command()
    @expanded
    def paint(
        wall: Annotated[str, typer.Argument(help="Which.")],
        *,
        before: Annotated[str, typer.Option(help="First.")] = "",
        paint: Paint,
        size: Wall,
        after: Annotated[str, typer.Option(help="Last.")] = "",
    ) -> None:
        """Paints a wall."""
        assert isinstance(paint, Paint)
        assert isinstance(size, Wall)
        typer.echo(f"{wall}: {before or '-'} {paint.told} {size.height} {after or '-'}")

    done = CliRunner().invoke(program, list(arguments), env={"COLUMNS": "100"})
    return done.exit_code, done.stdout + done.stderr


def test_the_fields_are_options_and_the_command_gets_the_dataclass() -> None:
    assert said("north", "--height", "3") == (0, "north: - 2 red True None 3.0 -\n")
    given = ("--thickness", "5", "--colour", "blue", "--wet", "--names", "a", "--names", "b", "--after", "x")
    assert said("north", "--height", "3", *given) == (0, "north: - 5 blue False ['a', 'b'] 3.0 x\n")


def test_help_has_them_in_their_order_with_defaults() -> None:
    code, shown = said("--help")
    assert code == 0
    assert "Paints a wall." in shown
    names = [line.split()[0] for line in shown.splitlines() if line.strip().startswith("--")]
    assert names == ["--before", "--thickness", "--color,", "--dry", "--names", "--height", "--after", "--help"]
    for told in ("Of the coat.", "[default: 2; x>=1]", "[default: dry]", "[required]"):
        assert told in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--height", "3", "--thickness", "0"), "Invalid value for '--thickness'"),
        (("--height", "3", "--thickness", "x"), "valid integer"),
        (("--thickness", "3"), "Missing option '--height'"),
        (("--height", "3", "--paint", "x"), "No such option"),
    ],
)
def test_what_typer_refuses_is_refused_as_ever(arguments: tuple[str, ...], told: str) -> None:
    code, shown = said("north", *arguments)
    assert code == 2
    assert told in shown


def test_no_command_takes_two_options_of_one_name() -> None:
    program = typer.main.get_command(app)
    commands = dict(getattr(program, "commands"))  # noqa: B009
    for group in ("train", "evaluate", "experiment"):
        commands |= {f"{group} {name}": command for name, command in commands.pop(group).commands.items()}
    assert len(commands) == 19
    for name, command in commands.items():
        words = [word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)]
        assert len(set(words)) == len(words), name


@pytest.mark.parametrize(
    ("given", "port"),
    [(["--serve"], 8417), (["--serve", "8500"], 8500), (["--serve=0"], 0), ([], None), (["--serve", "--grid"], 8417)],
)
def test_a_page_is_served_at_the_usual_port_or_at_one_that_is_told(given: list[str], port: int | None) -> None:
    command = getattr(typer.main.get_command(app), "commands")["view"]  # noqa: B009
    for words in (["a.png", *given], [*given, "a.png"]):
        parameters = command.make_context("view", list(words)).params
        assert (parameters["serve"], parameters["images"]) == (port, ["a.png"])


def test_two_groups_with_one_name_are_refused_where_they_are_written() -> None:
    with pytest.raises(ValueError, match="duplicate parameter name: 'thickness'"):

        @expanded
        def twice(one: Paint, other: Paint) -> None: ...


def test_points_are_two_numbers_each() -> None:
    assert points_of(None) is None
    assert points_of([]) is None
    assert points_of(["0.5,0.25", "1,0"]) == [(0.5, 0.25), (1.0, 0.0)]
    assert pair("1280x800", "x") == (1280.0, 800.0)
    with pytest.raises(typer.BadParameter, match="'a' is not a size; give pixels"):
        pair("a", "x", "size; give pixels")
