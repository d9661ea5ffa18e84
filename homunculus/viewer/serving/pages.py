"""What a browser asks for: the page, and the socket over which the viewer comes to it."""

from __future__ import annotations

import asyncio
import re
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.files.reading import content_of
from homunculus.viewer.serving import access
from homunculus.viewer.serving.messages import message
from homunculus.viewer.serving.screen import ServedFrame
from homunculus.viewer.serving.visits import Visit, Visits

PAGE = Path(__file__).with_name("page.html")
TICK_S, CALM_TICK_S, CALM_AFTER_S = 1 / 60, 0.1, 0.5  # how often something new is looked for, and once nothing happens
ID = re.compile(r"[0-9a-f]{16,64}")
LEFT, REFUSED, BROKEN = 4000, 4003, 1011  # closing codes; the page comes back after others
LONGEST_REASON = 120  # bytes, as RFC 6455 has room for


def application(find: Callable[[str], Any], visits: Visits) -> Any:
    """The ASGI application. find: what a token shows."""
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, PlainTextResponse
    from starlette.routing import Route, WebSocketRoute

    page = content_of(PAGE).decode()

    async def show(request: Any) -> Any:
        shown = admitted(request, find)
        if shown is None:
            return PlainTextResponse(
                "This address is not, or no longer, the viewer's; open the one that it printed.", 403
            )
        return HTMLResponse(page, headers=access.headers(page, framed=shown.framed))

    async def speak(connection: Any) -> None:
        shown, id = admitted(connection, find), connection.query_params.get("id", "")
        if shown is None or not ID.fullmatch(id):
            await connection.close()  # which is answered with 403
            return
        await connection.accept()
        await Link(connection, visits).serve(shown, id)

    return Starlette(routes=[Route("/", show), WebSocketRoute("/socket", speak)])


def admitted(connection: Any, find: Callable[[str], Any]) -> Any:
    """What a request may see; None where it is a stranger's."""
    shown = find(connection.query_params.get("token", ""))
    if shown is None or shown.names is None:
        return shown
    host, origin = (connection.headers.get(name) for name in ("host", "origin"))
    known = access.own_origin(origin, host or "") and access.known_host(host or "", shown.names)
    return shown if known else None


class Link:
    """One socket. The latest frame wins: the next is drawn once the last has been seen."""

    def __init__(self, connection: Any, visits: Visits) -> None:
        self._socket, self._visits = connection, visits
        self._number = 0
        self._seen, self._heard = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()

    async def serve(self, shown: Any, id: str) -> None:
        """Until it is closed, by either side. Whatever goes wrong ends this socket, and nothing else."""
        from starlette.websockets import WebSocketDisconnect

        visit = None
        try:
            visit = await self._visits.enter(shown, id, self)
            await self._both(visit)
        except WebSocketDisconnect:
            pass
        except HomunculusError as error:
            await self.refuse(REFUSED, str(error))
        except Exception as error:
            traceback.print_exception(error, file=sys.stderr)
            await self.refuse(BROKEN, f"{type(error).__name__}: {error}")
        finally:
            if visit is not None:
                self._visits.leave(visit, self)

    async def _both(self, visit: Visit) -> None:
        tasks = [asyncio.create_task(work) for work in (self._listen(visit), self._show(visit))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, visit: Visit) -> None:
        from starlette.websockets import WebSocketDisconnect

        while True:
            received = await self._socket.receive()
            if received["type"] == "websocket.disconnect":
                raise WebSocketDisconnect
            said = message(received.get("text") or "")
            if said["kind"] != "seen":
                visit.screen.inbox.put(said)
                self._heard.set()
            elif said["number"] == self._number:
                self._seen.set()

    def _wake(self) -> None:
        """On any thread, also once the loop has ended."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._heard.set)

    async def _show(self, visit: Visit) -> None:
        screen = visit.screen
        screen.session.following.wake = self._wake
        await self._socket.send_json({"kind": "hello", **screen.described()})
        screen.draw_again()
        told: object = None
        moved_s = monotonic()
        while True:
            frame = await self._visits.beside(screen.frame)
            if screen.closing:
                await self.refuse(LEFT, "closed with Esc")
                await self._visits.end(visit)
                return
            if frame is not None:
                told = await self._tell(frame, told)
            if frame is not None and frame.jpeg is not None:
                await self._send(frame.jpeg)
                moved_s = monotonic()
                await self._seen.wait()
            else:
                await self._wait_to_hear(TICK_S if monotonic() - moved_s < CALM_AFTER_S else CALM_TICK_S)

    async def _tell(self, frame: ServedFrame, told: object) -> object:
        news = {"kind": "state", "values": frame.values, "title": frame.title}
        if news != told:
            await self._socket.send_json(news)
        return news

    async def _send(self, jpeg: bytes) -> None:
        self._number = (self._number + 1) % 2**32
        self._seen.clear()
        await self._socket.send_bytes(struct.pack(">I", self._number) + jpeg)

    async def _wait_to_hear(self, most_s: float) -> None:
        try:
            await asyncio.wait_for(self._heard.wait(), most_s)
        except TimeoutError:
            return
        self._heard.clear()

    async def refuse(self, code: int, reason: str) -> None:
        """Closes the socket with words, unless it is closed already."""
        from starlette.websockets import WebSocketDisconnect

        words = reason.encode("utf-8")[:LONGEST_REASON].decode("utf-8", "ignore")
        with suppress(RuntimeError, WebSocketDisconnect):
            await self._socket.close(code, words)
