"""What the view `acuity` cuts, by the spectra of noise, and what it leaves."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pictures import dead_leaves
from slides import Procedural

import homunculus as hm
from homunculus.bridge.errors import HomunculusError, PlanError
from homunculus.bridge.gl.draw.canvas import Area, Canvas
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.pictures.planes import Planes
from homunculus.bridge.pyramid import Pyramid
from homunculus.layouts.acuity import E2_DEG, coarseness, cutoff_cpd, tokens_needed
from homunculus.viewer import headless
from homunculus.viewer import state as states
from homunculus.viewer.headless import Settings
from homunculus.viewer.painter import COLORS
from homunculus.viewer.screen import px_per_degree
from homunculus.viewer.session import Session

pytestmark = pytest.mark.gl
PATCH = 64
VARIANCE = (256**2 - 1) / 12  # of bytes, all as likely
SIZE = (384, 512)
Values = NDArray[np.float64]


def noise(size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)


def seen(
    unit: GLUnit, pyramid: Pyramid, area: Area, gaze: list[tuple[float, float]] | None = None, ppd: float = 1.0
) -> Values:
    """What the canvas shows, 0..255, of a picture of ppd pixels a degree to an eye; to any eye where none looks."""

    def work() -> torch.Tensor:
        canvas = Canvas(unit, (area.height, area.width), COLORS)
        try:
            canvas.begin("ground", lambda: canvas.picture(area, pyramid, 0.0))
            if gaze is not None:
                canvas.acuity(area, pyramid, gaze, coarseness(ppd), E2_DEG * ppd)
            return canvas.read()
        finally:
            canvas.close()

    return unit.context.thread.call(work).numpy().astype(np.float64)


def attenuations(
    drawn: Values, shown: Values, gaze: list[tuple[float, float]], ppd: float, zoom: float = 1.0
) -> dict[float, tuple[float, float, float]]:
    """By ring, a quarter of a level each, dB: of the power beyond the cut-off, and of gratings of a half and a quarter of it.

    Both in canvas pixels, of which ppd are a degree; gaze in these. Patches of 64 px under a Hann window, four or more a ring; rings are
    where the cut-off lies below the picture's Nyquist frequency. Enlarged, the power is held against that of the noise itself, of which
    interpolation has taken a part.
    """
    nyquist = 0.5 / max(zoom, 1)
    window = np.outer(*[np.hanning(PATCH + 2)[1:-1]] * 2)
    axes = np.meshgrid(*[np.fft.fftfreq(PATCH)] * 2)
    frequency, held = np.hypot(*axes), np.maximum(*np.abs(axes)) <= nyquist
    sums: dict[float, Values] = {}
    for top in range(0, drawn.shape[0] - PATCH + 1, PATCH // 2):
        for left in range(0, drawn.shape[1] - PATCH + 1, PATCH // 2):
            middle = left + PATCH / 2, top + PATCH / 2
            degrees = min(math.dist(middle, point) for point in gaze) / ppd
            cutoff = float(cutoff_cpd(degrees)) / ppd  # cycles a pixel
            if cutoff >= nyquist:
                continue
            part = np.s_[top : top + PATCH, left : left + PATCH]
            after, before = (np.fft.fft2((side[part] - side[part].mean()) * window) for side in (drawn, shown))
            total = sums.setdefault(math.floor(-4 * math.log2(2 * cutoff)) / 4, np.zeros(7))
            beyond = (frequency > cutoff) & held
            white = zoom**2 * VARIANCE * (window**2).sum() * beyond.sum()
            total[0] += (np.abs(after[beyond]) ** 2).sum()
            total[1] += white if zoom > 1 else (np.abs(before[beyond]) ** 2).sum()
            total[6] += 1
            for k, share in ((2, 1 / 2), (4, 1 / 4)):
                band = np.abs(frequency - share * cutoff) < 0.012
                total[k : k + 2] += (after[band] * before[band].conj()).sum().real, (np.abs(before[band]) ** 2).sum()
    return {
        ring: (10 * math.log10(s[0] / s[1]), 20 * math.log10(s[2] / s[3]), 20 * math.log10(s[4] / s[5]))
        for ring, s in sorted(sums.items())
        if s[6] >= 4
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gaze", "ppd"), [([(0.0, 384.0)], 50.0), ([(256.0, 192.0)], 37.9), ([(30.0, 30.0), (500.0, 380.0)], 90.0)]
)
def test_noise_beyond_the_cut_off_loses_20_db_in_every_ring(
    gl_unit: GLUnit, gaze: list[tuple[float, float]], ppd: float
) -> None:
    picture = noise(SIZE)
    drawn = seen(gl_unit, gl_unit.pyramid(picture), Area(0, 0, SIZE[1], SIZE[0]), gaze, ppd)
    found = attenuations(drawn[..., 1], picture[..., 1].astype(np.float64), gaze, ppd)
    assert len(found) >= 4
    for ring, (beyond, at_half, at_quarter) in found.items():
        assert beyond <= -20, ring
        assert -6 <= at_half <= -3.5, ring
        assert -2.5 <= at_quarter <= -0.5, ring


@pytest.mark.slow
@pytest.mark.parametrize(("zoom", "ppd"), [(1 / 2, 60.0), (1.5, 120.0), (4.0, 400.0)])
def test_a_picture_zoomed_in_or_out_is_cut_at_the_angle_it_is_seen_at(gl_unit: GLUnit, zoom: float, ppd: float) -> None:
    """Against the picture as the canvas shows it to any eye."""
    height, width = SIZE
    picture = noise((round(height / zoom) + 16, round(width / zoom) + 32))
    area = Area(0, 0, width, height, (16.0, 8.0), 1 / zoom)
    gaze = [(20.0, 10.0)]
    pyramid = gl_unit.pyramid(picture)
    drawn = seen(gl_unit, pyramid, area, gaze, ppd / zoom)
    shown = seen(gl_unit, pyramid, area)
    on_canvas = [((gaze[0][0] - 16) * zoom, (gaze[0][1] - 8) * zoom)]
    found = attenuations(drawn[..., 1], shown[..., 1], on_canvas, ppd, zoom)
    assert len(found) >= 4
    for ring, (beyond, at_half, at_quarter) in found.items():
        assert beyond <= -20, ring
        assert at_half >= -6.5, ring
        assert at_quarter >= -3.5, ring  # of the widest rings one period fills the patch


def test_where_one_looks_the_picture_is_itself(gl_unit: GLUnit) -> None:
    picture = noise((128, 192))
    area = Area(0, 0, 192, 128)
    drawn = seen(gl_unit, gl_unit.pyramid(picture), area, [(96.0, 64.0)], 37.9)
    assert np.array_equal(drawn[44:84, 76:116], picture[44:84, 76:116])
    assert np.abs(drawn - picture)[:8].mean() > 5
    squares = seen(
        gl_unit, gl_unit.pyramid(picture), replace(area, origin_px=(90.0, 60.0), step_px=1 / 16), [(96.0, 64.0)], 2.4
    )
    assert np.abs(squares - picture[60:68, 90:102].repeat(16, 0).repeat(16, 1))[32:96, 64:128].max() <= 1


def test_of_more_fixations_than_it_takes_the_last_ones_count(gl_unit: GLUnit) -> None:
    pyramid, area = gl_unit.pyramid(noise((128, 192))), Area(0, 0, 192, 128)
    many = seen(gl_unit, pyramid, area, [(10.0, 10.0)] * 72 + [(180.0, 100.0)] * 128, 37.9)
    assert np.array_equal(many, seen(gl_unit, pyramid, area, [(180.0, 100.0)], 37.9))


def test_the_view_and_its_status_line_say_how_it_is_seen(gl_unit: GLUnit) -> None:
    def job(session: Session) -> tuple[list[str], float]:
        session.chrome = True
        session.frame(wait_s=60)
        session.status.settle(session.state, session.retina.plan, 10)
        session.frame()
        return session._words(), session.state.px_per_degree

    leaves = (dead_leaves(256, 3) * 255).astype(np.uint8)
    far = Settings(view="acuity", distance_cm=120)
    words, ppd = headless.in_session(job, [leaves], far, unit=gl_unit, size=(600, 512))
    expected = tokens_needed((256, 256), ppd / 2)  # shown twice as large
    assert f"an eye needs {expected:.0f} tokens" in words
    assert 150 < expected < 250
    assert not any("an eye needs" in word for word in headless.in_session(job, [leaves], Settings(), unit=gl_unit)[0])
    shown = [headless.picture([leaves], replace(far, distance_cm=cm), unit=gl_unit).float() for cm in (60, 120, 600)]
    roughness = [float(image.diff(dim=0).abs().mean()) for image in shown]
    assert roughness == sorted(roughness, reverse=True)


@pytest.mark.slow
def test_a_picture_in_tiles_is_seen_by_the_levels_that_are_kept_whole(gl_unit: GLUnit) -> None:
    picture = Procedural((1600, 2400)).region(0, 0, 1600, 2400)
    area = Area(0, 0, 300, 200, (0.0, 0.0), 8.0)
    whole = gl_unit.pyramid(picture)
    with hm.open_tiles(picture) as source, gl_unit.pyramid(source) as tiles:
        for ppd in (300.0, 900.0):
            drawn, expected = (seen(gl_unit, pyramid, area, [(900.0, 600.0)], ppd) for pyramid in (tiles, whole))
            assert expected.std() > 10
            assert tiles.tail_level > 0
            assert np.abs(drawn - expected).max() <= 4  # rounded at levels of their own


def test_planes_are_refused_as_for_any_view(gl_unit: GLUnit) -> None:
    pyramid = gl_unit.pyramid(Planes.of_rgb(noise((64, 64))))
    with pytest.raises(HomunculusError, match="a canvas"):
        seen(gl_unit, pyramid, Area(0, 0, 64, 64), [(1.0, 1.0)], 40)


def test_degrees_of_a_screen_come_from_its_width_and_distance() -> None:
    start = states.start(SIZE)
    assert start.px_per_degree == pytest.approx(600 * math.tan(math.radians(0.01)) / 0.01 * 1920 / 531, rel=1e-6)
    far = Settings(distance_cm=120, screen_cm=106.2).applied(start)
    assert far.px_per_degree == pytest.approx(start.px_per_degree)
    assert Settings().applied(start, screen_px=3840).px_per_degree == pytest.approx(2 * start.px_per_degree)
    assert px_per_degree(30) == pytest.approx(start.px_per_degree / 2)
    assert states.reset(far, start).px_per_degree == start.px_per_degree
    with pytest.raises(PlanError, match="distance-cm is 0; it must be a finite number, at least 1"):
        Settings(distance_cm=0).applied(start)
    with pytest.raises(PlanError, match=r"px_per_degree is 0; it must lie in 0\.1\.\.10000\. Give --distance-cm"):
        replace(start, px_per_degree=0.0)
