"""An eye tracker's stream in a process of its own, which sends at its rate what it was told last. Streams of other processes of tests, and
of the laboratory around them, are not seen: each process has a session of its own."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CONFIG = """[ports]
IPv6 = disable
[multicast]
ResolveScope = machine
[lab]
KnownPeers = {{127.0.0.1}}
SessionID = {session}
[log]
level = -3
"""
NORMALIZED = [
    {"type": "ScreenX", "unit": "normalized"},
    {"type": "ScreenY", "unit": "normalized"},
    {"type": "Confidence"},
]


def stay_apart() -> None:
    """Before liblsl is loaded."""
    if "LSLAPICFG" not in os.environ:
        handle, path = tempfile.mkstemp(suffix=".cfg")
        atexit.register(Path(path).unlink, missing_ok=True)
        with os.fdopen(handle, "w") as file:
            file.write(CONFIG.format(session=uuid.uuid4().hex))
        os.environ["LSLAPICFG"] = path


class Outlet:
    """channels: what the stream says of each, keys as in XDF's meta-data; count: of columns, where it is not theirs. kind: of numbers, as
    LSL calls it, or string. shift_s: by which its stamps are wrong."""

    def __init__(
        self,
        name: str,
        channels: Sequence[dict[str, str]] = NORMALIZED,
        *,
        rate_hz: float = 120,
        count: int = 0,
        values: Sequence[float] = (0.5, 0.5, 1),
        shift_s: float = 0,
        kind: str = "double64",
    ) -> None:
        told = {
            "name": name,
            "channels": list(channels),
            "rate_hz": rate_hz,
            "count": count,
            "shift_s": shift_s,
            "kind": kind,
        }
        self.process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(told)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.send(*values)
        assert self.process.stdout is not None
        self.process.stdout.readline()

    def send(self, *values: float) -> None:
        """From now on; nothing where none are given."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(values) + "\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """As by -9."""
        self.process.kill()
        self.process.communicate()

    def __enter__(self) -> Outlet:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


def main(told: dict[str, Any]) -> None:
    import pylsl

    columns = told["count"] or len(told["channels"])
    info = pylsl.StreamInfo(told["name"], "Gaze", columns, told["rate_hz"], told["kind"], f"source of {told['name']}")
    described = info.desc().append_child("channels")
    for channel in told["channels"]:
        child = described.append_child("channel")
        for key, value in channel.items():
            child.append_child_value(key, value)
    now: list[list[float]] = [json.loads(sys.stdin.readline())]
    outlet = pylsl.StreamOutlet(info)
    print("up", flush=True)

    def listen() -> None:
        for line in sys.stdin:
            now.append(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    start, number = time.perf_counter(), 0
    while True:
        if now[-1]:
            numbers = (now[-1] + [0.0] * columns)[:columns]
            outlet.push_sample(
                list(map(str, numbers)) if told["kind"] == "string" else numbers, pylsl.local_clock() + told["shift_s"]
            )
        number += 1
        time.sleep(max(0, start + number / told["rate_hz"] - time.perf_counter()))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
else:
    stay_apart()
