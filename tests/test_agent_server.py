"""`homunculus agent` as its users run it: a process, and a client of the same protocol's own SDK."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pictures import dead_leaves
from PIL import Image

pytest.importorskip("mcp")

import anyio
from mcp import Client, StdioServerParameters, stdio_client
from typer.testing import CliRunner

from homunculus.cli.commands import app

LEAVES = (dead_leaves(256) * 255).round().astype(np.uint8)
# Tells on stderr which pictures Python opens, prints where it must not, and is the command otherwise.
PROGRAM = """
import os, sys
def hook(event, told):
    if event == "open" and str(told[0]).endswith(".png"):
        os.write(2, f"opened {told[0]}\\n".encode())
sys.addaudithook(hook)
from homunculus.cli import mcp_server
look = mcp_server._look
def loud(tool, given):
    print("printed by a library")
    os.write(1, b"written by a driver\\n")
    if given.get("image") == "burst":
        raise RuntimeError("burst")
    return look(tool, given)
mcp_server._look = loud
serve = mcp_server.serve
def serving(tool):
    serve(tool)
    os.write(2, f"process {os.getpid()} has served\\n".encode())
mcp_server.serve = serving
from homunculus.cli import main
main()
"""
ENDED_WITHIN_S = 10.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("served")
    (root / "inside").mkdir()
    (root / "outside").mkdir()
    Image.fromarray(LEAVES).save(root / "inside" / "leaves.png")
    Image.fromarray(LEAVES).save(root / "outside" / "secret.png")
    (root / "inside" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing else")
    (root / "inside" / "link.png").symlink_to(root / "outside" / "secret.png")
    (root / "inside" / "away").symlink_to(root / "outside")
    return root / "inside"


def pixels(block: Any) -> np.ndarray[Any, Any]:
    assert block.mime_type == "image/png"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(block.data))))


async def talk(folder: Path, log: Any) -> None:
    arguments = ["-c", PROGRAM, "agent", str(folder), "--budget", "100", "--backend", "torch"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONWARNINGS"}
    server = StdioServerParameters(
        command=sys.executable, args=arguments, env=environment, cwd=Path(__file__).parents[1]
    )
    async with Client(stdio_client(server, errlog=log)) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert set(tools) == {"look", "list_pictures"}
        assert tools["look"].input_schema["required"] == ["image"]
        assert tools["look"].annotations is not None
        assert tools["look"].annotations.read_only_hint
        named = await client.call_tool("list_pictures", {})
        assert json.loads(named.content[0].text) == {"names": ["broken.png", "leaves.png"], "left_out": 0}
        await look(client)
        await refusals(client)
        await together(client)


async def look(client: Client) -> None:
    seen = await client.call_tool("look", {"image": "leaves.png", "region": [30, 40, 130, 140]})
    text, picture = seen.content
    assert not seen.is_error
    assert np.array_equal(pixels(picture), LEAVES[40:140, 30:130])
    facts = json.loads(text.text)
    assert seen.structured_content == facts
    assert facts["tokens"] == 49
    assert facts["pictures"] == [{"shows": "region", "box_px": [30, 40, 130, 140], "scale": 1.0}]
    found = await client.call_tool("look", {"image": "leaves.png", "words": "red, top left, zygote"})
    assert "zygote" in json.loads(found.content[0].text)["understood"]
    assert pixels(found.content[1]).shape == (256, 256, 3)


async def refusals(client: Client) -> None:
    for name, given, told in (
        ("look", {"image": "leaves.png", "region": [0, 0, 300, 9]}, "PlanError: the region [0, 0, 300, 9] does not lie inside the picture"),
        ("look", {"image": "leaves.png", "region": "everything"}, "the picture is 256 x 256 px (width x height); give [x1, y1, x2, y2]"),
        ("look", {"image": "broken.png"}, "ImageReadError: broken.png cannot be read"),
        ("look", {"image": "link.png"}, "DataError: image 'link.png' is a symbolic link"),
        ("look", {"image": "away/secret.png"}, "is a symbolic link, or lies behind one"),
        ("look", {"image": "../outside/secret.png"}, "leads upwards by '..'"),
        ("look", {"image": "file:///etc/passwd"}, "is an address"),
        ("look", {"image": "leafs.png"}, "such as 'leaves.png'"),
        ("look", {"image": "leaves.png", "budget": "many"}, "PlanError: budget is 'many'"),
        ("look", {"image": "burst"}, "RuntimeError: burst"),
        ("list_pictures", {"folder": "/"}, "list_pictures takes no folder"),
        ("zoom", {}, "there is no tool 'zoom'; there are look, list_pictures"),
    ):  # fmt: skip
        refused = await client.call_tool(name, given)
        assert refused.is_error
        assert told in refused.content[0].text
        again = await client.call_tool("look", {"image": "leaves.png", "region": [0, 0, 20, 20]})
        assert np.array_equal(pixels(again.content[1]), LEAVES[:20, :20])


async def together(client: Client) -> None:
    seen: dict[int, Any] = {}

    async def ask(place: int) -> None:
        box = [place, 2 * place, place + 50, 2 * place + 30]
        seen[place] = (await client.call_tool("look", {"image": "leaves.png", "region": box})).content[1]

    async with anyio.create_task_group() as tasks:
        for place in range(0, 80, 10):
            tasks.start_soon(ask, place)
    for place, picture in seen.items():
        assert np.array_equal(pixels(picture), LEAVES[2 * place : 2 * place + 30, place : place + 50])


@pytest.mark.slow
def test_a_client_lists_the_tools_calls_and_gets_pictures_and_refusals(folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log:
        anyio.run(talk, folder, log)
    told = (tmp_path / "log").read_text()
    opened = {Path(line.removeprefix("opened ")) for line in told.splitlines() if line.startswith("opened ")}
    assert folder / "leaves.png" in opened
    assert not any("outside" in str(path) or path.name == "link.png" for path in opened)
    assert "printed by a library" in told
    assert "written by a driver" in told
    assert "RuntimeError: burst" in told
    served = re.search(r"process (\d+) has served", told)  # since its stdin was closed: nobody had to end it
    assert served is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(served[1]), 0)


@pytest.mark.slow
def test_an_interrupt_ends_it_at_once(folder: Path) -> None:
    command = [sys.executable, "-m", "homunculus", "agent", str(folder), "--backend", "torch"]
    client = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    begin = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": client}
    pipe, root = subprocess.PIPE, Path(__file__).parents[1]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=root) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            assert server.stderr is not None
            print(json.dumps(begin), file=server.stdin, flush=True)
            assert json.loads(server.stdout.readline())["result"]["serverInfo"]["name"] == "homunculus"
            server.send_signal(signal.SIGINT)
            assert server.wait(ENDED_WITHIN_S) == 130
            assert server.stdout.read() == ""
            assert server.stderr.read() == "interrupted\n"
        finally:
            server.kill()


def test_what_cannot_be_served_is_refused_before_anything_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(folder: Path) -> str:
        done = CliRunner().invoke(app, ["agent", str(folder)])
        assert (done.exit_code, done.stdout) == (2, "")
        return done.stderr

    assert f"{tmp_path / 'none'} is no folder; give a folder of pictures" in refused(tmp_path / "none")
    monkeypatch.setitem(sys.modules, "mcp.server.lowlevel", None)
    told = refused(tmp_path)
    assert "the tool server needs mcp" in told
    assert "Run: pip install 'homunculus-eye[agent]'" in told
