"""The window under a virtual screen, driven by real events: every key and mouse action, on the state and on the picture."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import json
import math
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import monotonic

import numpy as np
import pytest
import slides
import torch
from pictures import dead_leaves
from PIL import Image, ImageGrab
from test_memory import ALLOWED_BYTES, needs_proc, resident_bytes
from torch import Tensor

from homunculus import allocators
from homunculus.bridge.errors import ClosedError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.pictures.files import read_image
from homunculus.relevance.gaze.scanpath import Fixation, GazePath, read_scanpath
from homunculus.viewer import Guidance, areas, keys
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session
from homunculus.viewer.state import Point
from homunculus.viewer.view import registry
from homunculus.viewer.window import Window, import_glfw, monitor_px

pytestmark = [pytest.mark.gl, pytest.mark.timeout(180)]
ROOT = Path(__file__).parents[1]
ALONE = "HOMUNCULUS_SOAK_ALONE"
SOAK_S = float(os.environ.get("SOAK_S", "8"))
# How xdotool calls the keys of the table.
XKEYS = {"[": "bracketleft", "]": "bracketright", ",": "comma", ".": "period", "/": "slash", "Space": "space"}
XKEYS |= {"Esc": "Escape", "Enter": "Return", "Backspace": "BackSpace", "Shift+P": "shift+p"}


class Corners:
    """A small guide of two maps: darkness, and nearness to the middle; it looks at the four corners."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked: list[str] = []

    def look(self, picture: np.ndarray, query: str) -> Guidance:
        self.asked.append(query)
        assert self.may_answer.wait(20)
        height, width = picture.shape[:2]
        dark = 1 - torch.from_numpy(picture.copy()).float().mean(-1)[::8, ::8] / 255
        y, x = torch.meshgrid(torch.linspace(-1, 1, 12), torch.linspace(-1, 1, 16), indexing="ij")
        corners = [(width * x, height * y) for x in (0.2, 0.8) for y in (0.2, 0.8)]
        return Guidance({"participatory": dark.clamp(min=0), "perspectival": torch.exp(-(x**2 + y**2))}, corners)


class Driven:
    """A window whose mouse and keys are moved by xdotool."""

    def __init__(self, window: Window, guide: Corners) -> None:
        self.window, self.guide = window, guide
        self.frames = 0
        self.settle()
        self.until(self.quiet)

    @property
    def session(self) -> Session:
        assert self.window.session is not None
        return self.window.session

    def xdo(self, *command: object) -> None:
        subprocess.run(["xdotool", *map(str, command)], check=True, timeout=20)
        self.settle()

    def key(self, *names: str) -> None:
        self.xdo("key", "--delay", 1, *(XKEYS.get(name, name.lower() if len(name) == 1 else name) for name in names))

    def settle(self, frames: int = 8) -> None:
        for _ in range(frames):
            self.frames += self.window.step(0.02)

    def until(self, condition: Callable[[], object], wait_s: float = 20) -> None:
        end = monotonic() + wait_s
        while not condition():
            assert monotonic() < end, f"not reached; the viewer says {self.session.note!r}, state {self.session.state}"
            self.window.step(0.02)

    def picture(self) -> Tensor:
        """What the canvas holds, and so the window shows."""
        self.until(self.quiet)
        return self.session.canvas.read()

    def quiet(self) -> bool:
        """Whether the plan on the canvas is the one asked for."""
        session = self.session
        return session.retina.plan is not None and not session.retina.waiting and not self.window.step(0.0)

    def place(self, point: Point) -> tuple[int, int]:
        """Where a point of the picture is in the window."""
        view, area = self.session.painter.panels(self.session.state, self.session.chrome_px)[0]
        assert not registry[view].cortical
        x, y = areas.to_canvas(area, point)
        return round(x), round(y)

    def move(self, point: Point) -> None:
        self.xdo("mousemove", *self.place(point))

    def near(self, point: Point, tolerance_px: float = 3) -> bool:
        return math.dist(self.session.state.gaze, point) <= tolerance_px


def pictures(folder: Path) -> list[Path]:
    paths = []
    for number in (3, 4):
        leaves = (dead_leaves(640, number, smallest_px=14, largest_px=120)[:400] * 255).round().astype(np.uint8)
        paths.append(folder / f"leaves-{number}.png")
        Image.fromarray(leaves).save(paths[-1])
    return paths


def open_window(folder: Path, *, scanpath: GazePath | None = None, panel: bool = False) -> Driven:
    guide = Corners()
    folder.mkdir(exist_ok=True)
    pictures(folder)

    def make(unit: GLUnit, size: tuple[int, int]) -> Session:
        source = Playlist([folder])
        return Session(unit, source, size, guide=guide, played=scanpath, out=folder / "out")

    return Driven(Window(make, (400, 640), panel=panel), guide)


@pytest.fixture
def driven(display: str, tmp_path: Path) -> Iterator[Driven]:
    opened = open_window(tmp_path / "shown")
    context = opened.window._context
    assert context is not None
    yield opened
    assert context.moderngl.error == "GL_NO_ERROR" if not context.thread.stopped else True
    opened.window.close()
    left = {name: count for name, count in context.live.items() if count}
    assert not left, f"GL objects left behind: {left}"


def picture_size(path: Path) -> tuple[int, int]:
    height, width = read_image(path).shape[:2]
    return width, height


def differ(one: Tensor, other: Tensor) -> float:
    """The share of pixels that differ."""
    return float(((one.int() - other.int()).abs().amax(-1) > 8).float().mean())


@pytest.mark.slow
def test_the_width_of_the_monitor_is_known(driven: Driven, display: str) -> None:
    told = subprocess.run(["xdotool", "getdisplaygeometry"], capture_output=True, text=True, check=True).stdout
    assert monitor_px() == int(told.split()[0])


@pytest.mark.slow
def test_the_mouse_is_the_gaze_and_tokens_follow(driven: Driven) -> None:
    driven.move((80, 60))
    assert driven.near((80, 60))
    before = driven.picture()
    driven.move((480, 300))
    assert driven.near((480, 300))
    assert differ(before, driven.picture()) > 0.03
    unit, session = driven.window._unit, driven.session
    assert unit is not None
    assert session.retina.plan is not None
    assert torch.equal(session.retina.tokens.patches().pixels, unit.sample(session.pyramid, session.retina.plan).pixels)


@pytest.mark.slow
def test_what_the_window_shows_is_the_canvas(driven: Driven, display: str) -> None:
    driven.move((80, 60))
    drawn = driven.picture()
    shown = np.array(ImageGrab.grab(xdisplay=display).convert("RGB"))
    height, width = drawn.shape[:2]
    assert np.abs(shown[:height, :width].astype(int) - drawn.numpy()).max() <= 1


@pytest.mark.slow
def test_a_click_counts_where_the_pointer_rests_though_no_move_was_heard_of(driven: Driven) -> None:
    driven.move((80, 60))
    driven.window._hand.place, driven.window._heard = (0.0, 0.0), False
    driven.xdo("click", 1)
    assert driven.session.state.held
    assert driven.near((80, 60))


@pytest.mark.slow
def test_a_click_fixes_another_frees_and_a_drag_follows(driven: Driven) -> None:
    driven.move((80, 60))
    driven.xdo("click", 1)
    assert driven.session.state.held
    driven.move((480, 300))
    assert driven.near((80, 60)), "a fixed gaze stays"
    driven.xdo("click", 1)
    assert driven.near((480, 300))
    before = driven.picture()
    driven.xdo("mousedown", 1, "mousemove", *driven.place((120, 100)))
    driven.xdo("mousemove", *driven.place((60, 40)), "mouseup", 1)
    assert driven.near((60, 40))
    assert driven.session.state.held
    assert differ(before, driven.picture()) > 0.02
    driven.xdo("click", 1)
    assert not driven.session.state.held
    driven.move((200, 100))
    assert driven.near((200, 100))


@pytest.mark.slow
def test_shift_click_adds_a_fixation(driven: Driven) -> None:
    driven.move((80, 60))
    driven.xdo("click", 1)
    one = driven.picture()
    driven.xdo("mousemove", *driven.place((500, 300)), "keydown", "shift", "click", 1, "keyup", "shift")
    assert len(driven.session.state.fixations) == 2
    assert driven.near((500, 300))
    assert differ(one, driven.picture()) > 0.03


@pytest.mark.slow
def test_the_wheel_zooms_at_the_cursor_and_a_right_drag_pans(driven: Driven) -> None:
    driven.move((80, 60))
    driven.xdo("click", 1)
    before = driven.picture()
    place = driven.place((200, 120))
    driven.xdo("mousemove", *place, "click", 4, "click", 4, "click", 4)
    assert driven.session.state.zoom == pytest.approx(keys.ZOOM_STEP**3)
    assert math.dist(driven.place((200, 120)), place) <= 3
    zoomed = driven.picture()
    assert differ(before, zoomed) > 0.2
    driven.xdo("mousedown", 3, "mousemove", place[0] - 40, place[1] - 30, "mouseup", 3)
    assert math.dist(driven.place((200, 120)), (place[0] - 40, place[1] - 30)) <= 3
    assert differ(zoomed, driven.picture()) > 0.1
    driven.xdo(*("click", 5) * 8)
    assert driven.session.state.zoom == 1
    assert driven.session.state.center is None


@pytest.mark.slow
def test_the_digits_switch_views_and_c_shows_all(driven: Driven) -> None:
    driven.move((80, 60))
    driven.xdo("click", 1)
    driven.session.show_channels([("sum", torch.rand(8, 8)), ("one", torch.rand(8, 8))])
    seen = []
    for number, view in enumerate(registry, 1):
        driven.key(str(number))
        assert driven.session.state.view == view
        seen.append(driven.picture())
    for index, picture in enumerate(seen):
        assert all(differ(picture, other) > 0.03 for other in seen[:index]), list(registry)[index]
    driven.key("4")
    first = driven.picture()
    driven.key("4")
    assert driven.session.state.channel == 1
    assert differ(first, driven.picture()) > 0.03
    driven.key("c")
    assert driven.session.state.side_by_side
    together = driven.picture()
    assert differ(first, together) > 0.3
    for number, view in enumerate(registry, 1):
        driven.key(str(number))
        assert driven.session.state.view == view
        assert differ(together, driven.picture()) > 0.3
        driven.key("c")
    driven.key("C")
    assert not driven.session.state.side_by_side


@pytest.mark.slow
def test_ctrl_c_ends_the_window_also_while_an_event_is_handled(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    session = driven.session

    def interrupted(point: Point) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        session.closing = True  # or a lost interrupt would leave the window open for ever

    driven.key("p")
    monkeypatch.setattr(session, "follow", interrupted)
    subprocess.run(["xdotool", "mousemove", "200", "120"], check=True, timeout=20)
    with pytest.raises(KeyboardInterrupt):
        driven.window.run()
    assert driven.window.session is None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [path.suffix for path in session.outputs.saved] == [".csv"], "what was being recorded is kept"


@pytest.mark.slow
def test_a_window_on_egl_as_wayland_has_it(display: str, tmp_path: Path) -> None:
    glfw = import_glfw()
    assert glfw.init()
    glfw.window_hint(glfw.CONTEXT_CREATION_API, glfw.EGL_CONTEXT_API)
    driven = open_window(tmp_path / "shown")  # which takes that hint over, and forgets it when it is closed
    try:
        assert glfw.get_window_attrib(driven.window._handle, glfw.CONTEXT_CREATION_API) == glfw.EGL_CONTEXT_API
        driven.move((480, 300))
        drawn = driven.picture()  # waits for the plan that was asked for
        shown = np.array(ImageGrab.grab(xdisplay=display).convert("RGB"))
        assert np.abs(shown[: drawn.shape[0], : drawn.shape[1]].astype(int) - drawn.numpy()).max() <= 1
    finally:
        driven.window.close()


@pytest.mark.slow
def test_keys_change_the_eye(driven: Driven) -> None:
    driven.move((80, 60))
    driven.xdo("click", 1)
    session = driven.session

    def changes(key: str, share: float = 0.01) -> None:
        before = driven.picture()
        driven.key(key)
        assert differ(before, driven.picture()) > share, key

    changes("]", share=0.005)  # the leaves of a quadtree split one by one
    wide = session.state.e0_px
    assert wide is not None
    changes("[", share=0.005)
    assert session.state.e0_px == pytest.approx(wide / 2**0.25)
    changes(".")
    assert session.state.budget == len(session.retina.plan or []) == 400
    changes(",")
    assert session.state.budget == 273
    names = list(allocators.registry)
    place = names.index(session.state.allocator)
    changes("a")
    assert session.state.allocator == names[(place + 1) % len(names)]
    changes("A")
    assert session.state.allocator == names[(place + 2) % len(names)]
    driven.key("2")
    before = driven.picture()
    driven.key("q")
    assert session.state.quality == "fast"
    assert not torch.equal(before, driven.picture())
    changes("g")
    assert session.state.grid
    changes("r")
    assert session.state == replace(session.first, view="reconstruction")


@pytest.mark.slow
def test_an_allocator_that_lacks_something_says_so_and_the_window_lives(driven: Driven) -> None:
    def choose(allocator: str) -> None:
        while driven.session.state.allocator != allocator:
            driven.key("a")

    choose("foveated_pyramid")
    driven.key("1", "]")
    assert driven.session.state.e0_px is not None
    driven.key("r")
    choose("adaptive_stratified")
    driven.key("]")
    assert driven.session.state.e0_px is None
    driven.key("bracketright")
    assert driven.session.note.startswith("adaptive_stratified has no e0; ")
    assert "log_polar" in driven.session.note
    assert driven.window.open


@pytest.mark.slow
def test_help_shows_every_key_and_escape_leaves(driven: Driven) -> None:
    before = driven.picture()
    driven.key("h")
    assert driven.session.state.help
    assert differ(before, driven.picture()) > 0.3
    driven.key("Esc")
    assert not driven.session.state.help
    assert driven.window.open
    driven.key("Esc")
    assert not driven.window.open


@pytest.mark.slow
def test_s_saves_the_picture_and_the_plan(driven: Driven) -> None:
    driven.move((80, 60))
    drawn = driven.picture()
    driven.key("s")
    picture, plan = driven.session.outputs.saved
    driven.session.outputs.join()
    assert np.array_equal(read_image(picture), drawn.numpy())
    facts = json.loads(plan.read_text())
    assert len(facts["footprints"]) == facts["budget"] == 273
    assert facts["fixations_px"] == [list(driven.session.state.gaze)]
    driven.key("s")
    assert len({path.name for path in driven.session.outputs.saved}) == 4


@pytest.mark.slow
def test_p_records_then_plays(driven: Driven) -> None:
    driven.move((80, 60))
    driven.key("p")
    assert driven.session.following.log.recording
    driven.move((480, 300))
    driven.move((60, 150))
    driven.key("p")
    (path,) = driven.session.outputs.saved
    recorded = read_scanpath(path)
    assert [(round(f.x_px), round(f.y_px)) for f in recorded.fixations][-1] == (60, 150)
    assert len(recorded.fixations) >= 3
    driven.move((300, 20))
    driven.key("p")
    assert driven.session.following.player.playing
    driven.until(lambda: not driven.session.following.player.playing)
    assert driven.near((60, 150))
    driven.key("Shift+P")
    assert driven.session.following.log.recording
    driven.key("Shift+P")
    assert len(driven.session.outputs.saved) == 2


@pytest.mark.slow
def test_space_lets_the_model_look_for_the_typed_query_while_the_window_lives(driven: Driven) -> None:
    driven.key("/", "c", "a", "t", "Space", "Q", "Enter")
    assert driven.session.state.query == "cat q"
    assert driven.session.state.quality == "high", "a typed letter is no key"
    driven.key("Space")
    driven.until(lambda: driven.guide.asked == ["cat q"])
    driven.move((80, 60))
    assert driven.near((80, 60)), "the window answers while the model looks"
    driven.guide.may_answer.set()
    driven.until(lambda: driven.session.following.player.playing)
    assert [name for name, _ in driven.session.channels] == ["sum", "participatory", "perspectival"]
    seen = set()
    driven.until(lambda: seen.add(driven.session.state.gaze) or not driven.session.following.player.playing)
    assert len(seen) >= 4
    assert driven.near((0.8 * 640, 0.8 * 400))


@pytest.mark.slow
def test_arrows_step_through_a_folder_and_a_dropped_file_is_opened(driven: Driven, tmp_path: Path) -> None:
    before = driven.picture()
    driven.key("Right")
    assert driven.session.source.name == "leaves-4.png"
    assert differ(before, driven.picture()) > 0.3
    driven.key("Left")
    assert driven.session.source.name == "leaves-3.png"
    Image.new("RGB", (90, 120), (200, 30, 30)).save(tmp_path / "dropped.png")
    driven.window._on_drop(None, [str(tmp_path / "dropped.png")])
    driven.settle()
    assert driven.session.state.size == (120, 90)
    (tmp_path / "bad.png").write_text("no picture")
    driven.window._on_drop(None, [str(tmp_path / "bad.png")])
    driven.settle()
    assert driven.session.source.name == "dropped.png"
    assert "is not a picture" in driven.session.note


@pytest.mark.slow
def test_a_slide_is_looked_at_while_its_tiles_arrive(driven: Driven, tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    slide = slides.write(tmp_path / "a.svs", (6000, 9000))
    driven.window._on_drop(None, [str(slide.path)])
    driven.settle()
    session = driven.session
    assert session.state.size == (6000, 9000)
    assert session.source.name == "a.svs"
    driven.until(driven.quiet)
    before = driven.picture()
    driven.move((6000, 2000))
    assert driven.near((6000, 2000))
    driven.until(lambda: driven.quiet() and not session.retina.arriving)
    assert session.retina.tokens.resident == 1
    seen = session.unit.sample(session.pyramid, session.retina.plan).pixels
    assert torch.equal(session.retina.tokens.patches().pixels, seen)
    finest = int(session.retina.plan.side_px.argmin())
    x, y = (int(side) for side in session.retina.plan.corners[finest, 0].tolist())
    there = torch.from_numpy(slide.picture.region(y, x, 16, 16)).permute(2, 0, 1) / 255
    assert float((seen[finest] - there).abs().mean()) < 0.05  # the file is a JPEG
    driven.xdo("click", 4, "click", 4, "click", 4)
    assert session.state.zoom > 1
    assert differ(before, driven.picture()) > 0.1


@pytest.mark.slow
def test_a_video_plays(display: str, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for number in range(10):
            pixels = np.full((96, 160, 3), 20 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())

    def make(unit: GLUnit, size: tuple[int, int]) -> Session:
        return Session(unit, Playlist([path]), size, out=tmp_path)

    driven = Driven(Window(make, (300, 400), panel=False), Corners())
    try:
        driven.until(lambda: driven.session.pictures_seen > 14)
        driven.move((40, 50))
        assert driven.near((40, 50))
    finally:
        driven.window.close()


@pytest.mark.slow
def test_the_panel_takes_its_own_events_and_no_others(display: str, tmp_path: Path) -> None:
    pytest.importorskip("imgui_bundle")
    driven = open_window(tmp_path / "shown", panel=True)
    try:
        assert driven.window.panel is not None
        columns = driven.session.canvas.size[1]
        assert columns == 640 - driven.window.panel.width_px
        driven.move((80, 60))
        assert driven.near((80, 60))
        driven.xdo("mousemove", columns + 60, 20, "click", 1)
        driven.settle()
        driven.xdo("key", "--delay", 20, "c", "a", "t")
        assert driven.session.state.query == "cat"
        assert not driven.session.state.side_by_side
        driven.xdo("key", "Escape")
        driven.move((200, 100))
        driven.xdo("click", 1)
        driven.key("c")
        assert driven.session.state.side_by_side
        assert driven.window.open
    finally:
        driven.window.close()


@pytest.mark.slow
def test_resizing_keeps_the_gaze_on_its_place(driven: Driven) -> None:
    driven.move((80, 60))
    driven.xdo("click", 1)
    driven.window._glfw.set_window_size(driven.window._handle, 500, 500)
    driven.until(lambda: driven.session.canvas.size == (500, 500))
    assert driven.near((80, 60))
    driven.move((200, 100))
    driven.xdo("click", 1)
    assert driven.near((200, 100))


@pytest.mark.slow
def test_other_threads_may_use_the_units_context(driven: Driven) -> None:
    unit, pyramid, plan = driven.window._unit, driven.session.pyramid, driven.session.retina.plan
    assert unit is not None
    assert plan is not None
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(unit.sample(pyramid, plan)))
    thread.start()
    driven.until(lambda: bool(found))
    thread.join()
    assert len(found[0]) == 273  # type: ignore[arg-type]
    context = unit.context
    driven.window.close()
    with pytest.raises(ClosedError, match="open another unit"):
        context.thread.call(lambda: None)


class ClientMessage(ctypes.Structure):
    """XClientMessageEvent, padded to an XEvent."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("serial", ctypes.c_ulong),
        ("send_event", ctypes.c_int),
        ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong),
        ("message_type", ctypes.c_ulong),
        ("format", ctypes.c_int),
        ("data", ctypes.c_long * 5),
        ("padding", ctypes.c_long * 24),
    )


def ask_to_close(display: str, title: str) -> None:
    """What a window manager sends when somebody clicks its cross: WM_DELETE_WINDOW."""
    found = subprocess.run(["xdotool", "search", "--name", title], capture_output=True, text=True, check=True)
    window = int(found.stdout.split()[0])
    x11 = ctypes.CDLL(ctypes.util.find_library("X11"))
    x11.XOpenDisplay.restype = ctypes.c_void_p
    x11.XInternAtom.restype = ctypes.c_ulong
    server = ctypes.c_void_p(x11.XOpenDisplay(display.encode()))
    protocols, delete = (x11.XInternAtom(server, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = ClientMessage(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    x11.XSendEvent(server, ctypes.c_ulong(window), 0, ctypes.c_long(0), ctypes.byref(message))
    x11.XCloseDisplay(server)


@pytest.mark.slow
@pytest.mark.parametrize("when", ["playing", "recording", "saving"])
def test_closing_by_the_window_manager_loses_nothing(display: str, tmp_path: Path, when: str) -> None:
    path = GazePath((Fixation(60, 60, 0, 5000), Fixation(250, 150, 5000, 5000))) if when == "playing" else None
    driven = open_window(tmp_path / "shown", scanpath=path)
    driven.move((80, 60))
    driven.key("s" if when == "saving" else "p")
    session = driven.session
    ask_to_close(display, title="leaves-3.png - homunculus")
    driven.window.run()
    assert driven.window.session is None
    out = tmp_path / "shown/out"
    if when == "playing":
        assert not out.exists()
    elif when == "recording":
        assert read_scanpath(out / "scanpath-001.csv").fixations
    else:
        assert picture_size(out / "view-001.png") == (640, 400)
        assert len(json.loads((out / "view-001.json").read_text())["footprints"]) == 273
    assert session.closing or when
    assert not list(tmp_path.rglob("*.part"))


def run_command(warm: dict[str, str], environment: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    command = ["/usr/bin/env", "homunculus", "view", ROOT / "examples/data/photograph.jpg", *more]
    kept = {name: value for name, value in warm.items() if name not in ("DISPLAY", "WAYLAND_DISPLAY")}
    return subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**kept, **environment},
        timeout=120,
    )


@pytest.mark.slow
def test_without_a_display_it_says_why_and_what_else_works(gl_works: str, warm: dict[str, str], tmp_path: Path) -> None:
    done = run_command(warm, {})
    assert done.returncode == 2
    assert "no window can be opened: X11" in done.stderr.replace("\n", " ")
    assert "--screenshot out.png" in done.stderr
    assert "Traceback" not in done.stderr
    out = tmp_path / "seen.png"
    assert (
        run_command(warm, {}, "--at", "0.43,0.22", "--view", "reconstruction", "--screenshot", str(out)).returncode == 0
    )
    assert picture_size(out) == (512, 512)


@pytest.mark.slow
def test_without_opengl_4_3_it_says_why_and_what_else_works(display: str, warm: dict[str, str]) -> None:
    done = run_command(warm, {"DISPLAY": display, "MESA_GL_VERSION_OVERRIDE": "3.3"})
    assert done.returncode == 2
    assert "no window with OpenGL 4.3 can be opened" in done.stderr
    assert "--screenshot out.png" in done.stderr
    assert "Traceback" not in done.stderr


def held_bytes() -> int:
    """Resident memory without what malloc keeps for later, which swings by 30 MiB here."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    return resident_bytes()


@pytest.mark.slow
@needs_proc
@pytest.mark.timeout(SOAK_S + 180)
def test_a_soak_of_random_input_leaves_no_error_and_no_leak(request: pytest.FixtureRequest) -> None:
    """All keys but Esc, all mouse actions, anywhere. S is left to its own test: it would fill the disk.

    In a process of its own: what a thousand tests before it left in the heap is not the viewer's.
    """
    if not os.environ.get(ALONE):
        command = [sys.executable, "-m", "pytest", "-s", "-q", "-p", "no:cacheprovider", __file__, "-k", "soak"]
        found = subprocess.run(command, env=os.environ | {ALONE: "1"}, capture_output=True, text=True)
        print(found.stdout)
        assert found.returncode == 0, found.stdout + found.stderr
        return
    driven: Driven = request.getfixturevalue("driven")
    chance = random.Random(0)
    names = [b.name for b in keys.bindings() if len(b.name) == 1 and b.name not in "S/"] + ["Space", "Left", "Right"]
    driven.guide.may_answer.set()

    def some() -> list[object]:
        place = chance.randrange(640), chance.randrange(400)
        return chance.choice(
            [
                ["mousemove", *place],
                ["mousemove", *place, "click", chance.choice([1, 4, 4, 5, 5])],
                ["mousemove", *place, "keydown", "shift", "click", 1, "keyup", "shift"],
                ["mousedown", chance.choice([1, 3]), "mousemove", *place, "mouseup", 1, "mouseup", 3],
                ["key", XKEYS.get(name := chance.choice(names), name)],
            ]
        )

    def soak(seconds: float) -> None:
        end = monotonic() + seconds
        while monotonic() < end:
            driven.xdo(*(word for _ in range(6) for word in some()))
            assert driven.window.open
            if len(driven.session.state.fixations) > 4:
                driven.key("r")

    # First everything once, at the largest budget: buffers grow to the largest plan seen, and stay.
    driven.key("c", *"......")
    assert driven.session.state.budget == 2048
    for _ in allocators.registry:
        driven.key("a")
        driven.until(lambda: not driven.session.retina.waiting)
        driven.settle()
    driven.key("r")
    soak(min(30.0, SOAK_S))
    before, frames = held_bytes(), driven.frames
    soak(SOAK_S)
    grown = held_bytes() - before
    print(f"{SOAK_S:.0f} s of random input, {driven.frames - frames} frames: memory grew by {grown / 2**20:.1f} MiB")
    assert grown <= ALLOWED_BYTES
