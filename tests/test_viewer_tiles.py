"""The viewer on a picture in tiles, without a window: what it shows while they arrive."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from slides import Procedural

from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.tiles.source import TileLevel
from homunculus.viewer import headless
from homunculus.viewer import state as states
from homunculus.viewer.headless import Settings
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session

pytestmark = [pytest.mark.gl]
SIZE = (5000, 7000)


class Slow:
    """A procedural picture whose fine tiles come when they may."""

    name, fingerprint = "slow", "slow"

    def __init__(self) -> None:
        self.picture, self.may_come = Procedural(SIZE), threading.Event()
        self.levels = [
            TileLevel((-(-SIZE[0] >> step), -(-SIZE[1] >> step)), (256, 256), (2.0**step, 2.0**step))
            for step in range(4)
        ]

    def read(self, level: int, row: int, column: int) -> np.ndarray[Any, Any]:
        if level < 2:
            assert self.may_come.wait(20)
        height, width = (
            min(256, side - place * 256) for side, place in zip(self.levels[level].size, (row, column), strict=True)
        )
        return self.picture.region(row * 256, column * 256, height, width, 2**level)

    def close(self) -> None:
        self.may_come.set()


@pytest.mark.slow
def test_tiles_arrive_coarse_to_fine_and_the_window_does_not_wait(
    gl_unit: GLUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    monkeypatch.setattr(Playlist, "open", lambda playlist: slow)

    def job(session: Session) -> tuple[list[float], torch.Tensor, torch.Tensor]:
        session.chrome = True
        session.change(states.fix(session.state, (3000.0, 2100.0)))
        shares = []
        while session.retina.plan is None:
            session.frame()
        session.frame()
        shares.append(session.retina.tokens.resident)
        assert session.pending
        assert f"{100 * shares[0]:.0f} % of the tiles are here" in session._words()
        ground = session.canvas.read()
        slow.may_come.set()
        for _ in range(2000):
            if not session.retina.arriving:
                break
            session.frame()
            shares.append(session.retina.tokens.resident)
        seen = gl_unit.sample(session.pyramid, session.retina.plan).pixels
        assert torch.equal(session.retina.tokens.patches().pixels, seen)
        assert not any("of the tiles" in word for word in session._words())
        return shares, ground, session.canvas.read()

    shares, ground, _ = headless.in_session(job, ["slow"], Settings(), size=(300, 420), unit=gl_unit)
    assert 0 < shares[0] < 1
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert float(ground.float().std()) > 10  # the picture is there from the first frame on


@pytest.mark.slow
def test_a_screenshot_waits_for_its_tiles(gl_unit: GLUnit, tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    pytest.importorskip("imagecodecs")
    import slides

    slide = slides.write(tmp_path / "a.ome.tif", SIZE, kind="ome", steps=(1, 2, 4, 8), compression="deflate")
    at = [(0.4, 0.3)]
    settings = Settings(at=at, view="reconstruction", allocator="log_polar")
    seen = headless.picture([str(slide.path)], settings, size=(250, 350), unit=gl_unit).numpy()
    expected = slide.picture.region(0, 0, 250, 350, 16).astype(float)  # 16 and 20 px a pixel: near enough for means
    assert seen.shape == (250, 350, 3)
    assert abs(seen.mean() - expected.mean()) < 25
    zoomed = []

    def job(session: Session) -> None:
        session.change(states.zoomed(session.state, 16.0, session.state.gaze))
        session.frame(wait_s=60)
        assert session.retina.tokens.resident == 1
        zoomed.append(session.canvas.read().numpy())

    headless.in_session(job, [str(slide.path)], settings, size=(250, 350), unit=gl_unit)
    x, y = 0.4 * SIZE[1], 0.3 * SIZE[0]
    step = SIZE[0] / 250 / 16
    around = slide.picture.region(round(y - 20 * step), round(x - 20 * step), round(40 * step), round(40 * step))
    middle = zoomed[0][105:145, 155:195].astype(float)
    assert np.abs(middle.mean((0, 1)) - around.mean((0, 1))).max() < 6
