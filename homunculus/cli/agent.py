"""The command `homunculus agent`: a server of tools for a model that asks to look, by the Model Context Protocol over stdin and stdout."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from homunculus.cli.options import Backend


def agent(
    folders: Annotated[list[Path], typer.Argument(help="Folders of pictures; nothing outside them is read.")],
    *,
    budget: Annotated[int, typer.Option(help="Tokens of a look that names none.")] = 1024,
    most: Annotated[int, typer.Option(help="Tokens that a look may ask for.")] = 4096,
    model: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="What reads the words of a look: a folder or hub name, CLIP, SigLIP, ..."),
    ] = None,
    read: Annotated[
        bool, typer.Option("--read/--no-read", help="Read text for words that nothing else understands (extra: ocr).")
    ] = True,
    max_pixels: Annotated[
        int | None, typer.Option(min=1, help="The limit on width times height of a file; by default Pillow's.")
    ] = None,
    backend: Backend = None,
) -> None:
    """Serve `look` to a language model's program, over stdin and stdout (MCP): it names a picture and a box or words, and gets a picture
    of what the tokens there see. Needs the extra agent."""
    with redirect_stdout(sys.stderr):  # stdout is the protocol's
        from homunculus.cli.mcp_server import check_installed, serve
        from homunculus.loop.folders import PictureFolders
        from homunculus.loop.run.settings import RunSettings
        from homunculus.loop.tool import LookTool

        check_installed()
        settings = RunSettings(budget=budget, model=model, read=read, backend=backend)
        tool = LookTool(PictureFolders(folders), settings, most=most, max_pixels=max_pixels)
    with tool:
        serve(tool)
