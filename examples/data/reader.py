"""An eye tracker for want of one: a reader's gaze along the lines of a page, sent over the Lab Streaming Layer, then it ends.

    python reader.py LINES WORDS SECONDS_A_WORD HZ

Fixations in fractions of the page, each left by a saccade of 30 ms, with a little noise. Needs pylsl.
"""

import sys
import time

import numpy as np
import pylsl

lines, words, stop_s, rate_hz = (float(word) for word in sys.argv[1:])
info = pylsl.StreamInfo("reader", "Gaze", 2, rate_hz, "float32", "examples/data/reader.py")
info.set_channel_types(["ScreenX", "ScreenY"])
info.set_channel_units(["normalized", "normalized"])
outlet, random, start = pylsl.StreamOutlet(info), np.random.default_rng(0), time.perf_counter()
while not outlet.have_consumers() and time.perf_counter() - start < 20:
    time.sleep(0.01)

line, word = np.divmod(np.arange(lines * words), words)
edges_s = np.stack([np.arange(len(line)) * stop_s, np.arange(1, len(line) + 1) * stop_s - 0.03], 1).ravel()
for moment_s in np.arange(0, len(line) * stop_s, 1 / rate_hz):
    x, y = (np.interp(moment_s, edges_s, np.repeat(stops, 2)) for stops in ((word + 0.6) / words, (line + 0.5) / lines))
    outlet.push_sample([x + random.normal(0, 0.0005), y + random.normal(0, 0.0005)])
    time.sleep(1 / rate_hz)
