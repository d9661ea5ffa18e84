"""`homunculus view --serve`: until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing

from homunculus.viewer.serving.server import LOOPBACK, Make, Served, ViewServer

OWN = (LOOPBACK, "localhost", "::1")


def serve(
    make: Make,
    host: str,
    port: int,
    size: tuple[int, int] | None,
    print: Callable[[str], object],
    tell: Callable[[str], object],
) -> None:
    """Serves one viewer to any number of browsers, and prints its address. tell: hears a warning where others than this machine may
    reach it. Raises BackendUnavailableError, what making a session raises, and KeyboardInterrupt."""
    with closing(ViewServer(host, port)) as server:
        token = server.show(Served(make, size, names=(host, socket.gethostname())))
        print(server.address(token))
        if host not in OWN:
            tell(
                f"Warning: {host} can be reached from other machines. Whoever has the address sees and steers the viewer, and nothing "
                "that is sent is encrypted: put a proxy with TLS before it, or leave --host out and use ssh -L"
            )
        server.wait()
