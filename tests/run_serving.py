"""How fast the viewer is in a browser on this machine, for a person to repeat; prints JSON.

python tests/run_serving.py --seconds 10 --size 1280x720 --view footprints

A chromium without a screen shows it while its mouse moves all the time. Told are the frames a second that the page has drawn, and CPU
milliseconds a frame: of the server's process and of the browser's together, and of the server's parts, each the least of many.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import psutil
from browser import Browser, Tab

from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.pictures.files import read_image
from homunculus.viewer.headless import Settings
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.serving.screen import encoded
from homunculus.viewer.serving.server import Served, ViewServer
from homunculus.viewer.session import Session
from homunculus.viewer.state import look_at

WARM_S = 2.0
MOUSE_HZ = 60
PHOTOGRAPH = Path(__file__).parents[1] / "examples/data/photograph.jpg"
COUNT = """
window.pictures = 0;
brush.drawImage = function (...what) { CanvasRenderingContext2D.prototype.drawImage.apply(this, what); pictures += 1; };
0"""
REPEATS = 20


def cpu_s(process: psutil.Process) -> float:
    """Of it and of all below it."""
    found = 0.0
    for one in (process, *process.children(recursive=True)):
        try:
            found += sum(one.cpu_times()[:2])
        except psutil.Error:
            continue
    return found


def least_ms(work: Any, prepare: Any = lambda: None) -> float:
    """CPU milliseconds of this process, the least of many."""
    found = []
    for _ in range(REPEATS):
        prepare()
        start = time.process_time()
        work()
        found.append(1000 * (time.process_time() - start))
    return round(min(found), 1)


def parts(server: ViewServer, make: Any, size: tuple[int, int]) -> dict[str, float]:
    """CPU ms of each part of a frame in the server."""

    def work() -> dict[str, float]:
        session = make(server.unit, size)
        places = iter(range(10**6))

        def moved() -> None:
            step = next(places)
            height, width = session.state.size
            session.change(look_at(session.state, (width * (step * 0.618 % 1), height * (step * 0.414 % 1))))

        def plan() -> None:
            session.retina.plan_for(session._request(), 10)

        def sample() -> None:
            session.retina.sample(session.sight, session.state, minified=False)

        def planned() -> None:
            moved()
            plan()

        def sampled() -> None:
            planned()
            sample()

        session.frame(wait_s=10)
        try:
            return {
                "plan": least_ms(plan, moved),
                "sample": least_ms(sample, planned),
                "draw, with words": least_ms(session.frame, sampled),
                "read back": least_ms(session.canvas.read),
                "encode": least_ms(partial(encoded, session.canvas.read().numpy())),
            }
        finally:
            session.close()

    return server.unit.context.thread.call(work)


def shown(tab: Tab, seconds: float, size: tuple[int, int]) -> tuple[int, float]:
    """Frames that the page has drawn while its mouse moves, and how long that took."""
    tab.ask(COUNT)
    height, width = size
    start, step = time.perf_counter(), 0
    while time.perf_counter() < start + seconds:
        step += 1
        tab.mouse("Moved", width * (0.2 + 0.6 * (step * 0.00618 % 1)), height * (0.2 + 0.6 * (step * 0.00414 % 1)))
        time.sleep(1 / MOUSE_HZ)
    return tab.ask("pictures"), time.perf_counter() - start


def measured(seconds: float, size: tuple[int, int], settings: Settings) -> dict[str, Any]:
    picture = read_image(PHOTOGRAPH)

    def make(unit: GLUnit, canvas: tuple[int, int]) -> Session:
        session = Session(unit, Playlist([picture]), canvas)
        session.change(settings.applied(session.state))
        return session

    with tempfile.TemporaryDirectory() as folder, closing(ViewServer()) as server:
        own = parts(server, make, size)
        token = server.show(Served(make, size))
        with closing(Browser(Path(folder))) as browser:
            tab = browser.tab(server.address(token), (size[1] + 272, size[0]))
            tab.until("canvas.width > 1")
            shown(tab, WARM_S, size)
            processes = {"server and this script": psutil.Process(), "browser": psutil.Process(browser.process_id)}
            server_s, browser_s = times(processes)
            load = os.getloadavg()[0]
            count, took_s = shown(tab, seconds, size)
            ends = times(processes)
            footer = tab.ask("document.querySelector('footer').textContent")
            return {
                "frames a second": round(count / took_s, 1),
                "frames": count,
                "the page says": footer,
                "CPU ms a frame, server and this script": round(1000 * (ends[0] - server_s) / count, 1),
                "CPU ms a frame, browser": round(1000 * (ends[1] - browser_s) / count, 1),
                "CPU ms a frame in the server, the least of many": own,
                "load before": round(load, 1),
                "renderer": server.unit.renderer,
                "cores": os.cpu_count(),
                "settings": {
                    "size": size,
                    "view": settings.view,
                    "allocator": settings.allocator,
                    "quality": settings.quality,
                },
            }


def times(processes: dict[str, psutil.Process]) -> list[float]:
    own, browser = processes.values()
    return [sum(own.cpu_times()[:2]), cpu_s(browser)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--view", default="footprints")
    parser.add_argument("--allocator", default="quadtree")
    parser.add_argument("--quality", default="high")
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    settings = Settings(view=asked.view, allocator=asked.allocator, quality=asked.quality)
    print(json.dumps(measured(asked.seconds, (height, width), settings), indent=1))


if __name__ == "__main__":
    main()
