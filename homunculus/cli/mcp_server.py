"""The tool `look` by the Model Context Protocol over stdin and stdout, by its own SDK. Source: modelcontextprotocol.io, 2025-11-25."""

from __future__ import annotations

import atexit
import base64
import gc
import json
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from homunculus import __version__
from homunculus.bridge.errors import BackendUnavailableError, HomunculusError, PlanError
from homunculus.loop.described import list_described
from homunculus.loop.tool import LookTool

TOLD = (
    "Pictures can be looked at as closely as a question needs: list_pictures names them, look shows all of one, a region of it, or "
    "where words lead."
)


def check_installed() -> None:
    """Raises BackendUnavailableError, with the remedy, without the SDK."""
    try:
        import mcp.server.lowlevel  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            f"the tool server needs mcp ({error})", "run: pip install 'homunculus-eye[agent]'"
        ) from None


def serve(tool: LookTool) -> None:
    """Until stdin is closed. What anybody prints meanwhile goes to stderr: the SDK keeps stdout for the protocol."""
    import anyio

    atexit.register(
        gc.freeze
    )  # what torch has loaded would be searched for garbage before the process ends: two seconds for nothing
    anyio.run(_served, tool)


async def _served(tool: LookTool) -> None:
    from anyio.to_thread import run_sync
    from mcp import types
    from mcp.server.lowlevel import Server
    from mcp.server.stdio import stdio_server

    functions: dict[str, tuple[dict[str, Any], Callable[[Mapping[str, Any]], Any]]] = {
        "look": (tool.description, lambda given: _look(tool, given)),
        "list_pictures": (list_described(), lambda given: _listed(tool, given)),
    }

    async def listed(context: Any, parameters: Any) -> Any:
        hints = types.ToolAnnotations(read_only_hint=True, open_world_hint=False)
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=name, description=told["description"], input_schema=told["parameters"], annotations=hints
                )
                for name, (told, _) in functions.items()
            ]
        )

    async def called(context: Any, parameters: Any) -> Any:
        if parameters.name not in functions:
            return _refused(tool, PlanError(f"there is no tool {parameters.name!r}; there are {', '.join(functions)}"))
        function = functions[parameters.name][1]
        try:
            return await run_sync(function, parameters.arguments or {}, abandon_on_cancel=True)
        except Exception as error:  # the next call is to work, whatever went wrong with this one
            return _refused(tool, error)

    server = Server("homunculus", version=__version__, instructions=TOLD, on_list_tools=listed, on_call_tool=called)
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


def _look(tool: LookTool, given: Mapping[str, Any]) -> Any:
    from mcp import types

    found = tool.call(given)
    pictures = [
        types.ImageContent(type="image", data=base64.b64encode(one.png).decode(), mime_type="image/png")
        for one in found.pictures
    ]
    text = types.TextContent(type="text", text=found.text)
    return types.CallToolResult(content=[text, *pictures], structured_content=found.facts)


def _listed(tool: LookTool, given: Mapping[str, Any]) -> Any:
    from mcp import types

    if unknown := sorted(set(given) - {"contains"}):
        raise PlanError(f"list_pictures takes no {', '.join(unknown)}; it takes contains")
    assert tool.folders is not None
    found = tool.folders.names(given.get("contains") or "")._asdict()
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=json.dumps(found))], structured_content=found
    )


def _refused(tool: LookTool, error: Exception) -> Any:
    """A tool error: its kind, what was wrong and the remedy, for the model to ask again. Of folders it has no more than their names."""
    from mcp import types

    if not isinstance(error, HomunculusError | OSError):
        traceback.print_exception(error, file=sys.stderr)
    told = f"{type(error).__name__}: {error}"
    for name, folder in tool.folders.folders.items() if tool.folders is not None else ():
        told = told.replace(f"{folder}/", f"{name}/" if name else "")
    return types.CallToolResult(content=[types.TextContent(type="text", text=told)], is_error=True)
