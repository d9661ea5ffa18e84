"""The server: one thread of its own with one event loop, one unit that draws for all, a session for each browser."""

from __future__ import annotations

import asyncio
import atexit
import socket
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from homunculus.bridge.errors import BackendUnavailableError, ClosedError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.viewer import headless
from homunculus.viewer.serving import access
from homunculus.viewer.serving.messages import LARGEST_BYTES
from homunculus.viewer.serving.visits import Visits
from homunculus.viewer.session import Session

LOOPBACK = "127.0.0.1"
CLOSING_S = 10.0
Make = Callable[[GLUnit, tuple[int, int]], Session]


def check_installed() -> None:
    """Raises BackendUnavailableError, with the remedy, without what serves pages and sockets."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ImportError as error:
        raise BackendUnavailableError(
            f"the viewer in a browser needs starlette, uvicorn and websockets ({error})",
            "run: pip install starlette uvicorn websockets",
        ) from None


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: one that is free. Raises BackendUnavailableError where it cannot."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise BackendUnavailableError(
            f"there is no host {host!r} here ({error})", "give an address of this machine's, such as 127.0.0.1"
        ) from None
    family, kind, protocol, _, place = found[0]
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(place)
        opened.listen(64)
    except OSError as error:
        opened.close()
        raise BackendUnavailableError(
            f"port {port} of {host} cannot be listened on ({error.strerror or error})",
            "choose another, as in --serve 8500, or --serve 0 for one that is free",
        ) from None
    return opened


@dataclass(frozen=True, eq=False)
class Served:
    """What one address shows. make: a session, given the unit and the canvas' (height, width). size: of every canvas; None: as each page
    asks for. names: by which hosts' names it is reached, beside addresses; None: behind a proxy, which may change Host and
    not Origin, so that the token alone decides. framed: whether other pages may frame it."""

    make: Make
    size: tuple[int, int] | None = None
    names: Collection[str] | None = ()
    framed: bool = False


class ViewServer:
    """Listens as soon as it is made, until `close`, or the end of the process.

    brief: whether it also ends with the last thing that it shows. opened: opens the unit.
    Raises BackendUnavailableError with the remedy for what is missing: a package, OpenGL, the port.
    """

    def __init__(
        self,
        host: str = LOOPBACK,
        port: int = 0,
        *,
        brief: bool = False,
        opened: Callable[[], GLUnit] = headless.open_gl,
    ) -> None:
        check_installed()
        self.host, self._brief = host, brief
        self._socket = listening(host, port)
        self.port = int(self._socket.getsockname()[1])
        self._shown: dict[str, Served] = {}
        self._lock = threading.Lock()
        self._ended = False
        self._loop = asyncio.new_event_loop()
        try:
            self.unit = opened()
        except BaseException:
            self._socket.close()
            self._loop.close()
            raise
        self.visits = Visits(self.unit)
        self._server = self._made()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="homunculus-server", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _made(self) -> Any:
        import uvicorn

        from homunculus.viewer.serving.pages import application

        return uvicorn.Server(
            uvicorn.Config(
                application(self.find, self.visits),
                log_config=None,
                log_level="critical",  # of requests; what goes wrong in a socket is told there
                access_log=False,  # which would tell the token
                lifespan="off",
                server_header=False,
                ws_max_size=LARGEST_BYTES,
                ws_per_message_deflate=False,  # pictures are compressed already
                timeout_graceful_shutdown=2,
            )
        )

    def show(self, shown: Served) -> str:
        """Shows one thing more, and returns its token. Raises whatever making a session raises, and ClosedError where the server ended."""
        first = self.unit.context.thread.call(shown.make, self.unit, shown.size or (1, 1))
        with self._lock:
            if not self._ended:
                token = access.new_token()
                self._shown[token] = shown
                self.visits.keep_for_first(shown, first)
                return token
        self.unit.context.thread.call(first.close)
        raise ClosedError("this server has ended; show it on another")

    def find(self, token: str) -> Served | None:
        return access.found(token, self._shown)

    def address(self, token: str) -> str:
        """Where a browser on this machine, or one that reaches its host, finds it."""
        host = self.host
        if host in ("0.0.0.0", "::", ""):
            host = socket.gethostname()
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/?token={token}"

    def forget(self, token: str) -> None:
        """Shows it no longer, and frees its sessions. On any thread, a finalizer's too: it waits for nothing."""
        self._soon(self._forget, token)

    def _forget(self, token: str) -> None:
        with self._lock:
            shown = self._shown.pop(token, None)
            self._ended = self._ended or (self._brief and not self._shown)
        if shown is not None:
            self.visits.forget(shown)
        self._server.should_exit = self._server.should_exit or self._ended

    def _soon(self, work: Callable[..., object], *arguments: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(work, *arguments)
        except RuntimeError:  # the loop has ended, and everything with it
            self._ended = True

    def wait(self) -> None:
        """Until it ends; KeyboardInterrupt is raised meanwhile."""
        self._done.wait()

    def close(self) -> None:
        """Ends it, and waits until all is freed. Idempotent; on any thread."""
        atexit.unregister(self.close)
        with self._lock:
            self._ended = True
        self._server.should_exit = True
        if threading.current_thread() is not self._thread:
            self._done.wait(CLOSING_S)

    @property
    def ended(self) -> bool:
        return self._ended

    def _run(self) -> None:
        try:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(self._server.serve([self._socket]))
        finally:
            self._ended = True
            self.visits.close()
            self.unit.close()
            self._socket.close()
            self._loop.close()
            self._done.set()
