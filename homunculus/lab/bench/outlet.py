"""An eye tracker that is none: this file run with NAME RATE_HZ SECONDS sends a gaze that jumps about the picture."""

from __future__ import annotations

import math
import sys
from time import sleep

import pylsl

FIXATION_S = 0.25
CHANNELS = (("ScreenX", "normalized"), ("ScreenY", "normalized"), ("Confidence", "normalized"))


def outlet(name: str, rate_hz: float) -> pylsl.StreamOutlet:
    """Of one eye's place in fractions of the picture, as trackers describe it."""
    info = pylsl.StreamInfo(name, "Gaze", len(CHANNELS), rate_hz, "double64", name)
    channels = info.desc().append_child("channels")
    for kind, unit in CHANNELS:
        channel = channels.append_child("channel")
        for key, value in (("label", kind.lower()), ("type", kind), ("unit", unit), ("coordinate_system", "picture")):
            channel.append_child_value(key, value)
    return pylsl.StreamOutlet(info)


def send(name: str, rate_hz: float, seconds: float) -> None:
    """Sends samples at their times, each stamped when it goes."""
    stream = outlet(name, rate_hz)
    start_s = pylsl.local_clock()
    for number in range(round(rate_hz * seconds)):
        wait_s = start_s + number / rate_hz - pylsl.local_clock()
        if wait_s > 0:
            sleep(wait_s)
        place = number / rate_hz // FIXATION_S
        point = [0.5 + 0.45 * math.cos(2.4 * place), 0.5 + 0.45 * math.sin(2.4 * place)]
        stream.push_sample([*point, 1.0], pylsl.local_clock())


if __name__ == "__main__":
    send(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
