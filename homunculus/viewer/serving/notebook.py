"""`hm.view`: the viewer inside a cell of a notebook."""

from __future__ import annotations

import html
import threading
import weakref
from pathlib import Path
from typing import Any

from torch import Tensor

from homunculus.allocators import default
from homunculus.allocators.given_map import as_map
from homunculus.bridge.errors import ClosedError
from homunculus.bridge.pictures.entrance import Picture
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.values import one_text, whole
from homunculus.loop.options import Options
from homunculus.loop.record import pairs
from homunculus.viewer.command import Viewing, ViewOptions
from homunculus.viewer.guide import EyeGuide, MapGuide
from homunculus.viewer.headless import Settings
from homunculus.viewer.serving.server import Served, ViewServer

_lock = threading.Lock()
_server: ViewServer | None = None  # one a process, while it shows anything


class CellView:
    """A viewer that shows itself in a notebook's cell. It ends by `close`, with the object, or with the process.

    address: where a browser on this machine finds it. html: the frame around it.
    """

    def __init__(self, server: ViewServer, token: str, through: str, height_px: int) -> None:
        self.address = server.address(token)
        self._source = (
            f"{through.replace('{port}', str(server.port)).rstrip('/')}/?token={token}" if through else self.address
        )
        self._height_px = height_px
        self._finalizer = weakref.finalize(self, server.forget, token)
        self._finalizer.atexit = False  # the server ends by itself

    @property
    def closed(self) -> bool:
        return not self._finalizer.alive

    def close(self) -> None:
        """Frees what it holds; its cell shows no more. Idempotent."""
        self._finalizer()

    def _repr_html_(self) -> str:
        if self.closed:
            return "<p>This viewer is closed.</p>"
        source = html.escape(self._source, quote=True)
        return (
            f'<iframe src="{source}" title="homunculus" style="width: 100%; height: {self._height_px}px; border: 0" '
            'allow="fullscreen"></iframe>'
        )

    def __repr__(self) -> str:
        return f"CellView({'closed' if self.closed else self.address.partition('?')[0]})"


def view(
    image: Picture,
    *,
    relevance: Tensor | Array | None = None,
    height_px: int = 560,
    through: str = "",
    out: str | Path = ".",
    **settings: Any,
) -> CellView:
    """The viewer of `homunculus view`, live inside a notebook's cell: the mouse is the gaze, and H shows the keys.

    image: what `look` takes, files, PIL images, arrays and tensors; a video plays. relevance: a map [h, w] to show, to spend tokens by and
    to look by. height_px: of the cell. out: where S and P write, on the machine of the kernel. settings: how the first moment differs
    from the viewer's own, by the names of `viewer.headless.Settings`: at, view, side_by_side, budget, patch_size, allocator, quality,
    e0_px, grid, query.
    through: where a browser on another machine reaches this one's ports, `{port}` in place of the number, as jupyter-server-proxy has
    it: "/user/me/proxy/{port}". By default the cell shows an address of the kernel's own machine.
    A server runs in a thread of this process for as long as it shows anything; the notebook's event loop is left alone.
    Raises ImageError or PlanError for bad input, and BackendUnavailableError without OpenGL or the extra `serve`.

    >>> with_mouse = hm.view("examples/data/photograph.jpg", at=(0.43, 0.22), budget=100)
    >>> with_mouse._repr_html_()
    '<iframe src="http://127.0.0.1:...
    >>> with_mouse.close()
    """
    whole("height_px", height_px)
    one_text("through", through)
    if "at" in settings:
        settings["at"] = pairs(settings["at"])
    settings.setdefault("allocator", default(relevance is not None or bool(settings.get("query"))))
    first = Settings(**settings)
    Options(
        budget=first.budget, allocator=first.allocator, quality=first.quality, patch_size=first.patch_size
    )  # which judges them
    channels = [] if relevance is None else [("relevance", as_map(relevance).detach().float().cpu())]
    guide = MapGuide(channels[0][1]) if channels else EyeGuide()
    viewing = Viewing(ViewOptions([image], first, out=Path(out)), guide, channels, None)
    server, token = _shown(Served(viewing.session, names=None if through else (), framed=True))
    return CellView(server, token, through, height_px)


def _shown(shown: Served) -> tuple[ViewServer, str]:
    """By the process's server, or a new one where there is none or it is just ending."""
    global _server
    with _lock:
        if _server is not None and not _server.ended:
            try:
                return _server, _server.show(shown)
            except ClosedError:
                pass
        _server = ViewServer(brief=True)
        try:
            return _server, _server.show(shown)
        except BaseException:
            _server.close()
            raise
