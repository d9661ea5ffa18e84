"""A real browser for tests: Debian's chromium without a screen, driven by its DevTools protocol over one web socket.

Source: chromedevtools.github.io/devtools-protocol, the domains Target, Page, Runtime, Input, Network and Emulation.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from websockets.sync.client import connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
START_S, ANSWER_S = 60.0, 30.0
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-extensions", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--no-first-run", "--no-default-browser-check", "--mute-audio",
    "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding",
    "--remote-debugging-port=0",
)  # fmt: skip
KEYS = {"Escape": 27, "Enter": 13, "Backspace": 8, "ArrowLeft": 37, "ArrowRight": 39}
BUTTONS = {"left": 1, "right": 2}


class Browser:
    """One process; close it after use."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        self._folder = folder
        self._opened = ExitStack()
        self._log = self._opened.enter_context((folder / "log").open("w"))
        command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        self._tabs: dict[str, Tab] = {}
        self._last = 0
        self._answers: dict[int, dict[str, Any]] = {}
        try:
            self._socket = self._opened.enter_context(connect(self._address(), max_size=None, compression=None))
        except BaseException:
            self._end()
            raise

    @property
    def process_id(self) -> int:
        return self._process.pid

    def _address(self) -> str:
        told, end = self._folder / "profile" / "DevToolsActivePort", monotonic() + START_S
        while not (told.exists() and len(lines := told.read_text().splitlines()) == 2):
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert monotonic() < end, "chromium tells no address"
            sleep(0.05)
        return f"ws://127.0.0.1:{lines[0]}{lines[1]}"

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """What a command gives."""
        self._last += 1
        number = self._last
        wanted = {"id": number, "method": method, "params": parameters}
        self._socket.send(json.dumps(wanted if session is None else {**wanted, "sessionId": session}))
        end = monotonic() + ANSWER_S
        while number not in self._answers:
            self._hear(end - monotonic())
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        result: dict[str, Any] = answer["result"]
        return result

    def _hear(self, most_s: float) -> None:
        heard = json.loads(self._socket.recv(timeout=most_s))
        if "id" in heard:
            self._answers[heard["id"]] = heard
        elif heard.get("sessionId") in self._tabs:
            self._tabs[heard["sessionId"]].events.append(heard)

    def tab(self, address: str, size: tuple[int, int] = (1280, 720)) -> Tab:
        """A new window of (width, height), since a hidden tab sees nothing; with a store of its own."""
        target = self.call("Target.createTarget", url="about:blank", newWindow=True)["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Network", "Log"):
            tab.call(f"{domain}.enable")
        tab.call("Emulation.setDeviceMetricsOverride", width=size[0], height=size[1], deviceScaleFactor=1, mobile=False)
        tab.call("Page.navigate", url=address)
        tab.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        return tab

    def close(self) -> None:
        try:
            self.call("Browser.close")
        finally:
            self._end()

    def _end(self) -> None:
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._opened.close()


class Tab:
    """events: what the browser told of it, in order."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self._browser, self._session, self._target = browser, session, target
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def ask(self, script: str) -> Any:
        """The value of an expression, in JSON types; of a promise once it is kept."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, script: str, wait_s: float = 15.0) -> Any:
        """The value once it is true."""
        end = monotonic() + wait_s
        while not (value := self.ask(script)):
            assert monotonic() < end, f"not reached: {script}"
            sleep(0.02)
        return value

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """kind: Moved, Pressed, Released or Wheel; x, y: in CSS pixels of the page."""
        self.call("Input.dispatchMouseEvent", type=f"mouse{kind}", x=x, y=y, **more)

    def click(self, x: float, y: float, button: str = "left", **more: Any) -> None:
        self.mouse("Moved", x, y)
        for kind, held in (("Pressed", BUTTONS[button]), ("Released", 0)):
            self.mouse(kind, x, y, button=button, buttons=held, clickCount=1, **more)

    def key(self, key: str) -> None:
        """As KeyboardEvent.key names it."""
        typed = {"text": key} if len(key) == 1 else {"windowsVirtualKeyCode": KEYS[key]}
        self.call("Input.dispatchKeyEvent", type="keyDown" if len(key) == 1 else "rawKeyDown", key=key, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def picture(self) -> bytes:
        """PNG of the page."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    def asked_for(self) -> list[str]:
        """Every address that the page made a request for, sockets included."""
        told = [(event["method"], event["params"]) for event in self.events]
        requests = [params["request"]["url"] for method, params in told if method == "Network.requestWillBeSent"]
        return requests + [params["url"] for method, params in told if method == "Network.webSocketCreated"]

    def complaints(self) -> list[str]:
        """Errors of scripts, and of the page's policy."""
        told = [(event["method"], event["params"]) for event in self.events]
        return [json.dumps(params) for method, params in told if method == "Runtime.exceptionThrown"] + [
            params["entry"]["text"]
            for method, params in told
            if method == "Log.entryAdded" and params["entry"]["level"] == "error"
        ]

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)
