"""The viewer in browsers: what the server lets in and answers, and a real browser whose mouse is the gaze."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pytest
from browser import CHROMIUM, Browser, Tab
from pictures import dead_leaves
from PIL import Image
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

import homunculus as hm
from homunculus.bridge.errors import BackendUnavailableError, DataError, PlanError
from homunculus.bridge.gl.context import open_context
from homunculus.bridge.gl.unit import GLUnit
from homunculus.viewer import keys
from homunculus.viewer.controls import controls
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.serving import access, notebook
from homunculus.viewer.serving.messages import MOST_WAITING, Inbox, message
from homunculus.viewer.serving.screen import Screen, encoded
from homunculus.viewer.serving.server import Served, ViewServer
from homunculus.viewer.serving.visits import MOST
from homunculus.viewer.session import Session

pytestmark = pytest.mark.timeout(120)
ROOT = Path(__file__).parents[1]
Arrive = Callable[..., "Page"]
SIZE = (300, 400)  # of the picture and of canvases of a fixed size
PICTURE = (dead_leaves(400, 3, smallest_px=14, largest_px=120)[:300] * 255).round().astype(np.uint8)


def until(condition: Callable[[], Any], wait_s: float = 15.0) -> Any:
    end = time.monotonic() + wait_s
    while not (value := condition()):
        assert time.monotonic() < end, "not reached"
        time.sleep(0.01)
    return value


# What a stranger may try.


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1:8417", True),
        ("localhost", True),
        ("LOCALHOST:1", True),
        ("[::1]:8417", True),
        ("192.168.1.7:80", True),
        ("lab:8417", True),
        ("evil.example", False),
        ("localhost.evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("user@127.0.0.1", False),
        ("", False),
    ],
)
def test_a_name_that_a_stranger_may_have_pointed_here_is_not_known(host: str, known: bool) -> None:
    assert access.known_host(host, ["Lab"]) is known


@pytest.mark.parametrize(
    ("origin", "own"),
    [
        (None, True),
        ("http://127.0.0.1:5", True),
        ("https://127.0.0.1:5", True),
        ("http://127.0.0.1:6", False),
        ("null", False),
        ("http://evil.example", False),
        ("file://127.0.0.1:5", False),
        ("", False),
    ],
)
def test_a_socket_is_opened_by_the_servers_own_page(origin: str | None, own: bool) -> None:
    assert access.own_origin(origin, "127.0.0.1:5") is own


def test_tokens_are_long_and_differ() -> None:
    tokens = {access.new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 32
    assert access.found("b", {"a": 1, "b": 2}) == 2
    assert access.found("é\ud800", {"a": 1}) is None


GOOD = [
    {"kind": "move", "x": 1, "y": 2.5},
    {"kind": "press", "x": 1, "y": 2, "button": "Left", "shift": False},
    {"kind": "release", "x": 1, "y": 2, "button": "Right"},
    {"kind": "wheel", "x": 1, "y": 2, "turns": -1.5},
    {"kind": "key", "name": "Esc"},
    {"kind": "type", "letter": "é"},
    {"kind": "put", "name": "budget", "value": 91},
    {"kind": "size", "width": 640, "height": 400, "scale": 1.5},
    {"kind": "seen", "number": 3},
]
BAD = [
    "", "[]", "null", "{", "[" * 10_000, "x" * 1000, '{"kind": "move"}', '{"kind": ["move"], "x": 1, "y": 1}',
    '{"kind": "move", "x": NaN, "y": 1}', '{"kind": "move", "x": 1e400, "y": 1}', '{"kind": "move", "x": "1", "y": 1}',
    '{"kind": "move", "x": true, "y": 1}', '{"kind": "move", "x": 1, "y": 1, "z": 1}', '{"kind": "wheel", "x": 1, "y": 1, "turns": 1e9}',
    '{"kind": "size", "width": 0, "height": 1, "scale": 1}', '{"kind": "size", "width": 1e3, "height": 1, "scale": 1}',
    '{"kind": "size", "width": 99999, "height": 1, "scale": 1}', '{"kind": "type", "letter": "ab"}',
    '{"kind": "type", "letter": "\\u0000"}',
    '{"kind": "type", "letter": "\\ud800"}', '{"kind": "key", "name": "F1"}',
    '{"kind": "press", "x": 1, "y": 1, "button": [], "shift": false}',
]  # fmt: skip


@pytest.mark.parametrize("said", GOOD, ids=lambda said: said["kind"])
def test_every_message_is_read(said: dict[str, Any]) -> None:
    assert message(json.dumps(said)) == said


@pytest.mark.parametrize("text", BAD, ids=lambda text: text[:40])
def test_what_is_no_message_is_refused_with_words(text: str) -> None:
    with pytest.raises(DataError, match="reload the page"):
        message(text)


def test_of_moves_the_newest_counts_and_no_click_is_lost() -> None:
    inbox = Inbox()
    move = [{"kind": "move", "x": x, "y": 0} for x in range(9)]
    press, release = GOOD[1], GOOD[2]
    wheel = {"kind": "wheel", "x": 5, "y": 6, "turns": 30.0}
    for one in (move[0], move[1], press, move[2], move[3], release, release, move[4], GOOD[3], wheel, wheel):
        inbox.put(one)
    assert inbox.take() == [move[1], press, move[3], release, release, move[4], {**wheel, "turns": 40.0}]
    assert inbox.take() == []
    for _ in range(MOST_WAITING):
        inbox.put(press)
    with pytest.raises(DataError, match=f"{MOST_WAITING} messages"):
        inbox.put(press)


def test_a_picture_keeps_the_colours_of_thin_lines(
    arrive: Arrive,
) -> None:
    lines = np.full((64, 64, 3), 255, np.uint8)
    lines[:, ::8] = (220, 20, 60)
    shown = np.asarray(Image.open(io.BytesIO(encoded(lines))))
    assert np.abs(shown.astype(int) - lines).mean() < 3


# The server, by its own protocol.


@pytest.fixture(scope="module")
def server(gl_works: str) -> Iterator[ViewServer]:
    live = open_context().live
    before = {name: count for name, count in live.items() if count}
    with closing(ViewServer()) as opened:
        yield opened
    assert opened.ended
    assert {name: count for name, count in live.items() if count} == before, "GL objects are left behind"


def session(unit: GLUnit, size: tuple[int, int]) -> Session:
    return Session(unit, Playlist([PICTURE]), size)


@pytest.fixture
def token(server: ViewServer) -> Iterator[str]:
    """Of a viewer of its own, on a canvas of SIZE; every session of it is freed."""
    shown = server.show(Served(session, SIZE))
    yield shown
    server.forget(shown)
    until(lambda: server.visits.count == 0)


@pytest.fixture
def arrive(server: ViewServer, token: str) -> Iterator[Arrive]:
    """Opens pages of a viewer, which leave with the test."""
    with ExitStack() as stack:

        def opened(id: str = "") -> Page:
            page = Page(server, token, id)
            stack.callback(page.leave)
            return page

        yield opened


class Page:
    """What the page's script does, by hand."""

    def __init__(self, server: ViewServer, token: str, id: str = "") -> None:
        self.id = id or secrets.token_hex(16)
        address = f"ws://127.0.0.1:{server.port}/socket?token={token}&id={self.id}"
        self._opened = ExitStack()
        self.socket = self._opened.enter_context(connect(address, compression=None, max_size=None))
        self.hello: dict[str, Any] = {}
        self.state: dict[str, Any] = {}

    def frame(self, wait_s: float = 15.0) -> np.ndarray[Any, Any]:
        """The next picture, which is said to be seen."""
        while True:
            heard = self.socket.recv(timeout=wait_s)
            if isinstance(heard, bytes):
                self.say("seen", number=struct.unpack(">I", heard[:4])[0])
                self.picture = np.asarray(Image.open(io.BytesIO(heard[4:])))
                return self.picture
            told = json.loads(heard)
            if told.pop("kind") == "hello":
                self.hello = told
            else:
                self.state = told

    def say(self, kind: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"kind": kind, **fields}))

    def until(self, condition: Callable[[], Any]) -> None:
        end = time.monotonic() + 15
        while not condition():
            assert time.monotonic() < end
            self.frame()

    def leave(self) -> None:
        self._opened.close()

    def closed(self) -> tuple[int, str]:
        """The code and the words with which the server closes."""
        with pytest.raises(ConnectionClosed) as told:
            self.until(lambda: False)
        assert told.value.rcvd is not None
        return told.value.rcvd.code, told.value.rcvd.reason


def status(address: str, **headers: str) -> int:
    try:
        return int(urlopen(Request(address, headers=headers), timeout=10).status)
    except HTTPError as error:
        error.close()
        return error.code


@pytest.mark.gl
def test_a_stranger_sees_neither_page_nor_picture(server: ViewServer, token: str) -> None:
    address = server.address(token)
    assert status(address) == 200
    plain = f"http://127.0.0.1:{server.port}/"
    assert [status(one) for one in (plain, f"{plain}?token=", address[:-1], f"{address}x")] == [403] * 4
    assert status(address, Host="evil.example") == 403
    assert status(f"{plain}favicon.ico") == 404
    beginning = address.replace("http", "ws").replace("/?", "/socket?")
    for wrong, origin in ((f"{beginning}x&id={'a' * 32}", None), (f"{beginning}&id={'a' * 32}", "http://evil.example")):
        with pytest.raises(InvalidStatus) as told, connect(wrong, origin=origin):
            pass
        assert told.value.response.status_code == 403
    mine = f"127.0.0.1:{server.port}"
    with connect(f"{beginning}&id={'b' * 32}", origin=f"http://{mine}") as own:  # as a proxy comes that is told to
        assert json.loads(own.recv(timeout=10))["kind"] == "hello"
    until(lambda: server.visits.count == 1)
    with pytest.raises(InvalidStatus), connect(f"{beginning}&id=../.."):
        pass
    assert server.visits.count == 1


@pytest.mark.gl
def test_the_page_may_speak_to_its_own_origin_alone(server: ViewServer, token: str) -> None:
    with urlopen(server.address(token), timeout=10) as answer:
        policy, page = answer.headers["Content-Security-Policy"], answer.read().decode()
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(?:https?:)?//\w", re.sub(r"^// .*$|\s// .*$", "", page, flags=re.MULTILINE))


@pytest.mark.gl
def test_the_mouse_is_the_gaze_and_the_picture_that_of_a_session(
    arrive: Arrive, server: ViewServer, token: str
) -> None:
    page = arrive()
    assert page.frame().shape == (*SIZE, 3)
    assert [one["name"] for one in page.hello["controls"]] == [one.name for one in controls()]
    assert [tuple(row) for row in page.hello["keys"]] == keys.rows()
    page.say("put", name="allocator", value="log_polar")  # whose plan is there at once
    page.say("move", x=100, y=60)
    page.until(lambda: page.state["values"]["allocator"] == "log_polar")
    page.say("press", x=100, y=60, button="Left", shift=False)
    mine = next(iter(server.visits._by_id.values())).screen.session

    def alike() -> bool:
        shown = server.unit.context.thread.call(mine.canvas.read).numpy()
        return bool(np.abs(page.picture.astype(int) - shown).mean() < 4)

    page.until(lambda: mine.state.held and not mine.retina.waiting and alike())
    assert 0 < mine.state.gaze[0] < 200


@pytest.mark.gl
def test_a_setting_changes_by_its_control_and_a_key_by_the_table(
    arrive: Arrive, server: ViewServer, token: str
) -> None:
    page = arrive()
    page.frame()
    page.say("put", name="budget", value=91)
    page.until(lambda: page.state["values"]["budget"] == 91)
    page.say("type", letter="g")
    page.until(lambda: page.state["values"]["grid"])
    page.say("put", name="allocator", value="adaptive_stratified")
    page.until(lambda: page.state["values"]["e0_px"] is None)
    for letter in "/Hi P":
        page.say("type", letter=letter)
    page.say("key", name="Enter")
    page.until(lambda: page.state["values"]["query"] == "Hi P")


@pytest.mark.gl
def test_no_frame_is_sent_before_the_last_was_seen(arrive: Arrive, server: ViewServer, token: str) -> None:
    page = arrive()
    page.frame()
    page.say("put", name="query", value="a")
    while not isinstance(heard := page.socket.recv(timeout=10), bytes):
        pass
    for place in range(20):
        page.say("move", x=10 * place, y=50)
        time.sleep(0.01)
    with pytest.raises(TimeoutError):
        page.socket.recv(timeout=0.3)
    page.say("seen", number=struct.unpack(">I", heard[:4])[0])
    page.frame()
    mine = next(iter(server.visits._by_id.values())).screen.session
    until(lambda: mine.state.gaze[0] > 150)  # the newest of the moves


@pytest.mark.gl
@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        '{"kind": "put", "name": "budget", "value": "many"}',
        '{"kind": "put", "name": "x", "value": 1}',
        b"\x00",
    ],
)
def test_a_message_that_cannot_be_meant_ends_its_socket_with_words(
    arrive: Arrive, server: ViewServer, token: str, text: str | bytes
) -> None:
    page, other = arrive(), arrive()
    page.frame()
    other.frame()
    page.socket.send(text)
    code, reason = page.closed()
    assert code == 4003
    assert "reload the page" in reason or "message" in reason or "page offers" in reason
    other.say("put", name="budget", value=64)
    other.until(lambda: other.state["values"]["budget"] == 64)


@pytest.mark.gl
def test_too_large_a_message_ends_its_socket(arrive: Arrive, server: ViewServer, token: str) -> None:
    page = arrive()
    page.frame()
    page.socket.send("x" * 20_000)
    assert page.closed()[0] == 1009
    assert status(server.address(token)) == 200


@pytest.mark.gl
def test_who_comes_back_finds_all_as_it_was_and_the_newer_place_wins(
    arrive: Arrive, server: ViewServer, token: str
) -> None:
    page = arrive()
    page.frame()
    page.say("put", name="budget", value=64)
    page.until(lambda: page.state["values"]["budget"] == 64)
    page.leave()
    again = arrive(page.id)
    again.frame()
    assert again.state["values"]["budget"] == 64
    third = arrive(page.id)
    third.frame()
    assert again.closed() == (4001, "opened in another place")
    assert third.state["values"]["budget"] == 64
    assert server.visits.count == 1


@pytest.mark.gl
def test_a_session_is_freed_when_its_browser_stays_away(
    arrive: Arrive, server: ViewServer, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.visits, "kept_s", 0.1)
    page = arrive()
    page.frame()
    page.leave()
    until(lambda: server.visits.count == 0)
    another = arrive()
    another.frame()
    another.say("key", name="Esc")
    assert another.closed() == (4000, "closed with Esc")
    until(lambda: server.visits.count == 0)


@pytest.mark.gl
def test_no_more_browsers_look_than_there_is_room_for(arrive: Arrive, server: ViewServer, token: str) -> None:
    pages = [arrive() for _ in range(MOST)]
    for page in pages:
        page.frame()
    assert arrive().closed() == (4003, f"{MOST} browsers look already. Close one of them")
    pages[0].leave()
    until(lambda: any(visit.link is None for visit in server.visits._by_id.values()))
    arrive().frame()
    assert server.visits.count == MOST


@pytest.mark.gl
def test_a_large_window_is_drawn_smaller_and_stretched(server: ViewServer) -> None:
    made = server.unit.context.thread.call(session, server.unit, (1, 1))
    screen = Screen(made, fixed=False)
    assert screen.frame() is None, "the page has not told its size"
    screen.inbox.put({"kind": "size", "width": 8000, "height": 4000, "scale": 2.0})
    frame = screen.frame()
    assert frame is not None
    width, height = Image.open(io.BytesIO(frame.jpeg)).size
    assert width * height <= 1920 * 1200
    assert width / height == pytest.approx(2, abs=0.01)
    assert made.scale == pytest.approx(2.0 * width / 8000, rel=0.01)
    screen.close()
    screen.close()
    assert screen.frame() is None


def test_a_port_that_is_taken_is_told_of_with_the_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            BackendUnavailableError, match=f"port {port} of 127.0.0.1 cannot be listened on .*--serve 0"
        ):
            ViewServer(port=port)
    with pytest.raises(BackendUnavailableError, match=r"no host 'no\.such\.host\.invalid' here"):
        ViewServer("no.such.host.invalid")


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(BackendUnavailableError, match="pip install starlette uvicorn websockets"):
        ViewServer()


# `hm.view`


@pytest.mark.gl
def test_a_cell_shows_a_viewer_until_it_is_closed(gl_works: str) -> None:
    cell = hm.view(PICTURE, at=(0.25, 0.5), budget=91, height_px=300)
    assert f'src="{cell.address}"' in cell._repr_html_()
    with urlopen(cell.address, timeout=10) as answer:
        assert "frame-ancestors" not in answer.headers["Content-Security-Policy"]
    other = hm.view(PICTURE, through="/user/me/proxy/{port}")
    running = notebook._server
    assert running is not None
    assert re.search(rf'src="/user/me/proxy/{running.port}/\?token=[\w-]+"', other._repr_html_())
    behind = other._repr_html_().partition("token=")[2].partition('"')[0]
    address = f"ws://127.0.0.1:{running.port}/socket?token={behind}&id={'a' * 32}"
    with connect(address, origin="https://hub.example") as proxied:
        assert json.loads(proxied.recv(timeout=10))["kind"] == "hello"
    token = cell.address.rpartition("=")[2]
    page = Page(running, token)
    page.say("size", width=200, height=150, scale=1)
    page.frame()
    assert page.state["values"]["budget"] == 91
    cell.close()
    assert page.closed()[0] == 4000
    page.leave()
    assert status(cell.address) == 403
    assert cell._repr_html_() == "<p>This viewer is closed.</p>"
    del other
    until(lambda: running.ended)
    until(lambda: not running._thread.is_alive())
    again = hm.view(PICTURE)
    assert status(again.address) == 200
    again.close()


def test_what_a_cell_cannot_show_is_refused_at_once(gl_works: str) -> None:
    with pytest.raises(PlanError, match="lies outside"):
        hm.view(PICTURE, at=(2, 0))
    with pytest.raises(PlanError, match="budget"):
        hm.view(PICTURE, budget=0)
    with pytest.raises(hm.ImageReadError):
        hm.view("no such file.png")
    with pytest.raises(PlanError, match="height_px"):
        hm.view(PICTURE, height_px=0)
    assert notebook._server is None or until(lambda: notebook._server.ended)


# A browser.


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One for all tests; without it they are skipped, or fail where EXPECT_CHROMIUM=1."""
    if CHROMIUM is None:
        told = "chromium is not installed; on Debian: apt install chromium"
        pytest.fail(f"EXPECT_CHROMIUM=1, but: {told}") if os.environ.get("EXPECT_CHROMIUM") == "1" else pytest.skip(
            told
        )
    with closing(Browser(tmp_path_factory.mktemp("chromium"))) as opened:
        yield opened


@pytest.fixture
def tab(browser: Browser, server: ViewServer, token: str) -> Iterator[Tab]:
    opened = browser.tab(server.address(token), (700, 320))
    opened.until("canvas.width > 1")
    yield opened
    opened.close()


VALUE = "document.querySelector('[name={}]').value"


def gaze_of(server: ViewServer) -> tuple[float, float]:
    return mine(server).state.gaze


def mine(server: ViewServer, place: int = -1) -> Session:
    return list(server.visits._by_id.values())[place].screen.session


def on_page(tab: Tab, x: float, y: float) -> tuple[float, float]:
    """Where a place of the canvas is in the page."""
    left, top, step = tab.ask(
        "(() => { const b = canvas.getBoundingClientRect(); return [b.left, b.top, b.width / canvas.width]; })()"
    )
    return left + x * step, top + y * step


def pixels(tab: Tab) -> np.ndarray[Any, Any]:
    """What the page's canvas holds, [h, w, 3]."""
    script = "(async () => { const b = await new Promise(r => canvas.toBlob(r)); const t = await new Response(b).arrayBuffer(); "
    script += "let s = ''; for (const c of new Uint8Array(t)) s += String.fromCharCode(c); return btoa(s); })()"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(tab.ask(script)))).convert("RGB"))


def settled(tab: Tab, server: ViewServer) -> np.ndarray[Any, Any]:
    """The page's picture, once it is that of its session."""
    drawn = mine(server)

    def same() -> np.ndarray[Any, Any] | None:
        shown = pixels(tab)
        own = server.unit.context.thread.call(drawn.canvas.read).numpy()
        alike = shown.shape == own.shape and np.abs(shown.astype(int) - own).mean() < 4
        return shown if alike and not drawn.retina.waiting else None

    end = time.monotonic() + 15
    while (shown := same()) is None:
        assert time.monotonic() < end
    return shown


@pytest.mark.slow
@pytest.mark.gl
def test_in_a_browser_the_mouse_is_the_gaze_where_it_points(tab: Tab, server: ViewServer) -> None:
    tab.mouse("Moved", *on_page(tab, 100, 80))
    until(lambda: gaze_of(server)[0] < 160)
    first, shown = gaze_of(server), settled(tab, server)
    tab.mouse("Moved", *on_page(tab, 300, 140))
    until(lambda: gaze_of(server)[0] > first[0] + 100)
    second = settled(tab, server)
    changed = np.abs(shown.astype(int) - second).max(-1) > 60
    assert changed[70:90, 90:110].any(), "the cross that was there is gone"
    assert changed[130:150, 290:310].any(), "and is here"
    assert tab.complaints() == []


@pytest.mark.slow
@pytest.mark.gl
def test_in_a_browser_clicks_wheel_and_keys_do_what_the_table_says(tab: Tab, server: ViewServer) -> None:
    session = mine(server)
    tab.click(*on_page(tab, 120, 90))
    until(lambda: session.state.held)
    tab.mouse("Pressed", *on_page(tab, 250, 130), button="left", buttons=1, clickCount=1, modifiers=8)
    tab.mouse("Released", *on_page(tab, 250, 130), button="left", buttons=0, clickCount=1, modifiers=8)
    until(lambda: len(session.state.fixations) == 2)
    tab.mouse("Wheel", *on_page(tab, 120, 90), deltaX=0, deltaY=-300)
    until(lambda: session.state.zoom == pytest.approx(keys.ZOOM_STEP**3))
    center = session.state.center
    tab.mouse("Pressed", *on_page(tab, 120, 90), button="right", buttons=2, clickCount=1)
    tab.mouse("Moved", *on_page(tab, 100, 80), button="right", buttons=2)
    tab.mouse("Released", *on_page(tab, 100, 80), button="right", buttons=0, clickCount=1)
    until(lambda: session.state.center != center)
    tab.key("2")
    tab.until("document.querySelector('[name=view]:checked').value === 'reconstruction'")
    for key in ("/", "O", "x", "Backspace", "Enter"):
        tab.key(key)
    tab.until(f"{VALUE.format('query')} === 'O'")
    until(lambda: not session.state.typing)
    tab.key("h")
    until(lambda: session.state.help)
    tab.key("Escape")
    until(lambda: not session.state.help)


@pytest.mark.slow
@pytest.mark.gl
def test_in_a_browser_each_control_changes_its_setting(tab: Tab, server: ViewServer) -> None:
    session = mine(server)
    change = "(() => {{ const one = document.querySelector('[name={}]'); one.value = {}; one.dispatchEvent(new Event('{}')); }})()"
    tab.ask(change.format("budget", 91 - 16, "input"))
    tab.ask(change.format("allocator", "'log_polar'", "change"))
    tab.ask(change.format("quality", "'fast'", "change"))
    tab.ask(change.format("e0_px", 200, "input"))
    tab.ask(change.format("query", "'red'", "input"))
    for name in ("side_by_side", "grid", "help"):
        tab.ask(f"document.querySelector('[name={name}]').click()")
    until(lambda: session.state.help)
    state = session.state
    assert (state.budget, state.allocator, state.quality, state.query) == (91, "log_polar", "fast", "red")
    assert state.e0_px == pytest.approx(2 * 2000**0.5)
    assert state.side_by_side
    assert state.grid
    tab.ask("document.querySelector('[name=view][value=lod]').click()")
    until(lambda: session.state.view == "lod" and not session.state.side_by_side)
    tab.ask("document.querySelector('[name=reset]').click()")
    until(lambda: session.state.budget == 273)
    tab.until(f"{VALUE.format('budget')} === '{273 - 16}'")


@pytest.mark.slow
@pytest.mark.gl
def test_in_a_browser_a_lost_connection_comes_back_by_itself(tab: Tab, server: ViewServer) -> None:
    session, visit = mine(server), list(server.visits._by_id.values())[-1]
    tab.key("g")
    until(lambda: session.state.grid)
    before = visit.link
    for connection in list(server._server.server_state.connections):
        server._loop.call_soon_threadsafe(connection.transport.abort)
    until(lambda: visit.link is not None and visit.link is not before)
    tab.until("told.hidden")
    assert mine(server) is session, "the same session"
    tab.mouse("Moved", *on_page(tab, 300, 140))
    until(lambda: gaze_of(server)[0] > 200)
    settled(tab, server)


@pytest.mark.slow
@pytest.mark.gl
def test_two_browsers_at_once_look_at_different_places(
    browser: Browser, server: ViewServer, tab: Tab, token: str
) -> None:
    other = browser.tab(server.address(token), (700, 320))
    other.until("canvas.width > 1")
    one, two = mine(server, 0), mine(server, 1)
    assert one is not two
    tab.mouse("Moved", *on_page(tab, 60, 60))
    other.mouse("Moved", *on_page(other, 340, 140))
    until(lambda: one.state.gaze[0] < 150 and two.state.gaze[0] > 250)
    other.key("2")
    until(lambda: two.state.view == "reconstruction")
    assert one.state.view == "footprints"
    until(lambda: np.abs(pixels(tab).astype(int) - pixels(other)).mean() > 4)
    other.close()


@pytest.mark.slow
@pytest.mark.gl
def test_no_request_leaves_the_machine(tab: Tab, server: ViewServer) -> None:
    tab.mouse("Moved", *on_page(tab, 100, 100))
    settled(tab, server)
    asked = tab.asked_for()
    assert len(asked) >= 2
    own = (f"http://127.0.0.1:{server.port}/", f"ws://127.0.0.1:{server.port}/")
    assert [one for one in asked if not one.startswith((*own, "data:", "blob:"))] == []
    assert tab.complaints() == []


@pytest.mark.slow
@pytest.mark.gl
def test_a_wrong_token_shows_no_page(browser: Browser, server: ViewServer, token: str) -> None:
    stranger = browser.tab(f"{server.address(token)}x")
    assert "not, or no longer" in stranger.ask("document.body.innerText")
    stranger.close()


@pytest.mark.slow
@pytest.mark.gl
def test_a_cell_works_inside_a_page_of_another_origin(browser: Browser, gl_works: str, tmp_path: Path) -> None:
    cell = hm.view(PICTURE, height_px=300)
    (tmp_path / "notebook.html").write_text(f"<!doctype html><body>{cell._repr_html_()}</body>")
    page = browser.tab((tmp_path / "notebook.html").as_uri(), (800, 400))
    assert notebook._server is not None
    visits = notebook._server.visits
    until(lambda: visits.count == 1)
    session = next(iter(visits._by_id.values())).screen.session
    until(lambda: session.canvas.size[0] == 300)
    page.mouse("Moved", 120, 80)
    until(lambda: session.state.gaze[0] < 150)
    page.close()
    cell.close()


# The command.


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.skipif(os.name == "nt", reason="signals are of POSIX")
def test_the_command_prints_one_address_and_ctrl_c_ends_it(gl_works: str) -> None:
    command = [sys.executable, "-m", "homunculus", "view", "--serve", "0", "examples/data/photograph.jpg"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=ROOT, start_new_session=True) as running:
        try:
            assert running.stdout is not None
            address = running.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/\?token=[\w-]{32,}", address), address
            assert status(address) == 200
            running.send_signal(signal.SIGINT)
            rest, errors = running.communicate(timeout=10)
        finally:
            running.kill()
    assert (running.returncode, rest, errors.strip()) == (130, "", "interrupted")
