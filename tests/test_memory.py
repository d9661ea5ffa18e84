"""What a long run leaves behind."""

import gc
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import white_noise

from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.plan import SamplePlan

ALLOWED_BYTES = 20 << 20


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads resident memory from /proc")


@pytest.mark.slow
@pytest.mark.gl
@needs_proc
def test_ten_thousand_samples_leave_memory_as_it_was(gl_unit: GLUnit) -> None:
    """Patches of 16 KiB each time: one in eight that is forgotten shows."""
    plan = SamplePlan.squares(
        torch.rand(21, 2, generator=torch.Generator().manual_seed(0)) * 256, torch.full((21,), 40.0), 8
    )
    with gl_unit.pyramid(white_noise(256, 256)) as pyramid:
        for call in range(10_000):
            patches = gl_unit.sample(pyramid, plan, quality="fast")
            if call == 100:
                before = resident_bytes()
    assert float(patches.pixels.mean()) > 0
    grown = resident_bytes() - before
    print(f"10,000 samples: resident memory grew by {grown / 2**20:.1f} MiB")
    assert grown <= ALLOWED_BYTES


@pytest.mark.slow
@pytest.mark.gl
@needs_proc
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "only forgotten"])
def test_two_hundred_pyramids_of_changing_size_leave_memory_as_it_was(gl_unit: GLUnit, closed: bool) -> None:
    sizes = np.random.default_rng(0).integers(1, 900, (300, 2))
    for number, (height, width) in enumerate(sizes):
        pyramid = gl_unit.pyramid(white_noise(height, width))
        if closed:
            pyramid.close()
        if number == 99:
            gl_unit.pyramid(white_noise(900, 900)).close()
            before = resident_bytes()
    del pyramid
    gl_unit.pyramid(white_noise(900, 900)).close()
    grown = resident_bytes() - before
    print(f"200 pyramids: resident memory grew by {grown / 2**20:.1f} MiB")
    assert grown <= ALLOWED_BYTES
    assert gl_unit.context.live["texture"] <= 2


@pytest.mark.slow
@pytest.mark.gl
@needs_proc
def test_ten_thousand_pushes_leave_nothing(gl_unit: GLUnit) -> None:
    """Live GL objects, the pool's spares, Python's objects and resident memory are after 10,000 frames as after 1,000, cuts and all."""
    frames = [white_noise(40, 56, seed) // (1 + seed % 2) for seed in range(6)]

    def there() -> tuple[dict[str, int], int, int]:
        gc.collect()
        live = gl_unit.context.thread.call(lambda: dict(gl_unit.context.live))
        return live, len(gl_unit._pool._spares), len(gc.get_objects())

    with gl_unit.clip((40, 56), frames=4) as clip:
        for number in range(10_000):
            clip.push(frames[number // 500 % 6])
            if number == 999:
                (live, spares, objects), before = there(), resident_bytes()
        after_live, after_spares, after_objects = there()
        grown = resident_bytes() - before
        assert clip.timeline.count == 10_000
        assert clip.timeline.cuts == ()
    print(f"9,000 pushes: resident memory grew by {grown / 2**20:.1f} MiB, {after_objects - objects} objects")
    assert (after_live, after_spares) == (live, spares)
    assert after_objects - objects < 20
    assert grown <= ALLOWED_BYTES / 4
