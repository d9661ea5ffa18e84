"""Closed while in use, out of memory, ended in the middle of a call: never a raw error, and what comes next works."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

import homunculus as hm
from homunculus.bridge.pyramid import Pyramid

ROOT = Path(__file__).parents[1]
BACKENDS = ["torch", pytest.param("gl", marks=pytest.mark.gl)]
DAEMONS = """
import sys, threading, time, numpy as np
import homunculus as hm
unit = hm.open_unit(sys.argv[1])
pyramid = unit.pyramid(np.zeros((64, 64, 3), np.uint8))
plan = hm.layouts.grid((64, 64), budget=16)
def work():
    while True:
        unit.sample(pyramid, plan)
for _ in range(3):
    threading.Thread(target=work, daemon=True).start()
time.sleep(0.3)
print("done")
"""
SHORT = """
import resource, sys, numpy as np
import homunculus as hm
image, large = np.zeros((512, 512, 3), np.uint8), np.zeros((9000, 9000, 3), np.uint8)
with hm.open_unit(sys.argv[1]) as unit, unit.pyramid(image) as pyramid:
    fine = hm.layouts.grid((512, 512), budget=16)
    unit.sample(pyramid, fine)
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 400_000_000, resource.RLIM_INFINITY))
    try:
        unit.sample(pyramid, hm.layouts.grid((512, 512), budget=4096, patch_size=128))
    except hm.PlanError as error:
        print(error)
    try:
        unit.pyramid(large, format="rgba32f")
    except (hm.ImageTooLargeError, hm.GLError, hm.ImageError) as error:
        print(type(error).__name__)
    print(len(unit.sample(pyramid, fine)))
"""


def run(program: str, backend: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", program, backend],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=120,
    )


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_daemon_threads_that_sample_at_the_interpreters_end_say_nothing(backend: str) -> None:
    done = run(DAEMONS, backend)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
@pytest.mark.parametrize("backend", BACKENDS)
def test_no_memory_is_a_typed_error_and_the_next_call_works(backend: str) -> None:
    done = run(SHORT, backend)
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert "4096 patches of 128 x 128 texels take 1074 MB" in first
    assert "Sample the plan in parts, or take a smaller patch_size" in first
    assert second in ("ImageTooLargeError", "GLError", "ImageError")
    assert last == "16"


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_pyramid_closed_while_others_sample_gives_the_pixels_or_says_closed(backend: str) -> None:
    image, plan = np.full((64, 64, 3), 255, np.uint8), hm.layouts.quadtree((64, 64), budget=16)
    raw: list[BaseException] = []
    with hm.open_unit(backend) as unit:  # type: ignore[arg-type]

        def sample(pyramid: Pyramid) -> None:
            try:
                while True:
                    assert bool(torch.isclose(unit.sample(pyramid, plan).pixels, torch.ones(())).all())
            except hm.ClosedError:
                pass
            except BaseException as error:
                raw.append(error)

        for turn in range(12):
            pyramid = unit.pyramid(image)
            threads = [threading.Thread(target=sample, args=(pyramid,)) for _ in range(3)]
            for thread in threads:
                thread.start()
            threading.Event().wait(0.004 * turn)
            pyramid.close()
            for thread in threads:
                thread.join()
    assert not raw
