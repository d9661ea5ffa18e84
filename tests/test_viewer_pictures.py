"""What the viewer draws without a window: held to stored pictures, to the CPU's reconstruction, and to `unit.sample`.

REFERENCE=write stores the pictures anew; look at them before committing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from PIL import Image
from torch import Tensor

import homunculus as hm
from homunculus.bridge.errors import GLError, ImageTooLargeError, PlanError, ShaderError
from homunculus.bridge.gl.draw.canvas import Area, Canvas
from homunculus.bridge.gl.draw.tokens import Tokens
from homunculus.bridge.gl.unit import GLUnit
from homunculus.relevance.gaze.scanpath import Fixation, GazePath
from homunculus.report.footprints import lod_color
from homunculus.report.heat import HEAT
from homunculus.viewer import areas, headless, keys
from homunculus.viewer import state as states
from homunculus.viewer.headless import Settings
from homunculus.viewer.painter import COLORS, Moment, Painter
from homunculus.viewer.session import Session
from homunculus.viewer.view import CanvasView, registry

pytestmark = pytest.mark.gl
REFERENCE = Path(__file__).parent / "reference"
SIZE = (200, 320)
AT = ((0.43, 0.36),)
TOLERANCE = 2.0


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "leaves.png"
    leaves = dead_leaves(320, 3, smallest_px=14, largest_px=120)[: SIZE[0]]
    Image.fromarray((leaves * 255).round().astype(np.uint8)).save(path)
    return path


def two_peaks() -> Tensor:
    y, x = torch.meshgrid((torch.arange(24) + 0.5) / 24, (torch.arange(32) + 0.5) / 32, indexing="ij")
    return torch.exp(-((x - 0.7) ** 2 + (y - 0.3) ** 2) / 0.01) + 0.5 * torch.exp(
        -((x - 0.2) ** 2 + (y - 0.8) ** 2) / 0.02
    )


CHANNELS = [("sum", two_peaks()), ("participatory", two_peaks().flip(1))]
CASES: dict[str, Settings] = {
    **{view: Settings(AT, view, budget=91, allocator="log_polar") for view in registry},
    "footprints-of-the-chart": Settings(AT, "footprints", budget=91, allocator="cortical", grid=True),
    "reconstruction-by-relevance": Settings(AT, "reconstruction", budget=91, allocator="stratified"),
    "side-by-side": Settings(AT, side_by_side=True, budget=91, allocator="log_polar", grid=True),
}


def worst(drawn: Tensor, expected: Tensor) -> float:
    return float((drawn.float() - expected.float()).abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_each_view_is_drawn_as_it_was(gl_unit: GLUnit, image: Path, case: str) -> None:
    size = (300, 480) if case == "side-by-side" else None
    drawn = headless.picture([image], CASES[case], unit=gl_unit, channels=CHANNELS, size=size)
    path = REFERENCE / f"view-{case}.png"
    if os.environ.get("REFERENCE") == "write":
        Image.fromarray(drawn.numpy()).save(path, optimize=True)
    expected = torch.from_numpy(hm.read_image(path))
    assert drawn.shape == expected.shape
    if gl_unit.software:
        assert worst(drawn, expected) <= TOLERANCE
    else:  # rasterisers place the ends of lines differently
        assert float((drawn.float() - expected.float()).abs().mean()) <= TOLERANCE


def seen_by_session(gl_unit: GLUnit, image: Path, settings: Settings, job: Callable[[Session], None]) -> None:
    def work(session: Session) -> None:
        session.frame(wait_s=60)
        job(session)

    headless.in_session(work, [image], settings, unit=gl_unit, channels=CHANNELS)


@pytest.mark.slow
@pytest.mark.parametrize("quality", ["fast", "high"])
@pytest.mark.parametrize(
    "settings",
    [
        Settings(AT, "reconstruction", budget=91),
        Settings(((0.02, 0.97),), "reconstruction", budget=91),
        Settings((*AT, (0.9, 0.8)), "reconstruction", budget=91),
        Settings(AT, "reconstruction", budget=91, e0_px=40),
        Settings(AT, "reconstruction", budget=60, patch_size=14),
        *(
            Settings(AT, "reconstruction", budget=91, allocator=name)
            for name in ("log_polar", "cortical", "foveated_pyramid", "stratified", "coverage_top_k")
        ),
    ],
    ids=lambda s: f"{s.allocator}-{len(s.at)}-{s.patch_size}-{s.e0_px}",
)
def test_the_reconstruction_is_that_of_the_patches_that_sample_gives(
    gl_unit: GLUnit, image: Path, settings: Settings, quality: str
) -> None:
    def check(session: Session) -> None:
        assert session.retina.plan is not None
        patches = gl_unit.sample(session.pyramid, session.retina.plan, quality=session.state.quality)
        assert torch.equal(session.retina.tokens.patches().pixels, patches.pixels)
        expected = hm.reconstruct(patches.pixels, session.retina.plan, session.state.size)
        drawn = session.canvas.read().permute(2, 0, 1) / 255
        error = (drawn - expected.pixels).abs().amax(0) * 255
        assert float(error.max()) <= TOLERANCE, f"{int((error > TOLERANCE).sum())} pixels differ"

    seen_by_session(gl_unit, image, replace(settings, quality=quality), check)


def test_the_chart_is_the_cortical_layouts_own_picture(gl_unit: GLUnit, image: Path) -> None:
    def check(session: Session) -> None:
        assert session.retina.chart is not None
        plan = hm.layouts.cortical(session.state.size, session.state.gaze, 91, a_px=session.retina.chart.a_px)
        patches = gl_unit.sample(session.pyramid, plan)
        expected = plan.chart.picture(patches.pixels)
        area = headless_area(session.retina.chart.wedges * 16, session.retina.chart.rings * 16)
        session.canvas.resize((area.height, area.width))
        session.canvas.begin("chart", lambda: None)
        session.canvas.cortex(area, session.retina.tokens, session.retina.chart)
        drawn = session.canvas.read().permute(2, 0, 1) / 255
        inside = plan.chart.picture(patches.inside[:, None, None, None].expand(-1, 3, 16, 16)) == 1
        assert float(((drawn - expected).abs() * 255)[inside].max()) <= TOLERANCE

    seen_by_session(gl_unit, image, Settings(AT, "cortex", budget=91, allocator="cortical"), check)


def headless_area(width: int, height: int) -> Area:
    return Area(0, 0, width, height)


def test_the_difference_is_that_of_reconstruction_and_picture(gl_unit: GLUnit, image: Path) -> None:
    settings = Settings(AT, "reconstruction", budget=91)
    seen = headless.picture([image], settings, unit=gl_unit).float()
    drawn = headless.picture([image], replace(settings, view="difference"), unit=gl_unit).float()
    away = (seen - torch.from_numpy(hm.read_image(image)).float()).abs().amax(-1) / 255
    stops = torch.tensor(HEAT, dtype=torch.float32)
    place = away * (len(stops) - 1)
    low = place.floor().clamp(max=len(stops) - 2).long()
    expected = torch.lerp(stops[low], stops[low + 1], (place - low)[..., None])
    assert worst(drawn, expected) <= 4  # the reconstruction read back is rounded, and a stop is 1/8 of the scale


def test_levels_of_detail_have_the_colours_of_the_report(gl_unit: GLUnit, image: Path) -> None:
    def check(session: Session) -> None:
        assert session.retina.plan is not None
        drawn = session.canvas.read().numpy()
        finest = int(session.retina.plan.lod.argmin())
        x, y = (int(value) for value in session.retina.plan.centers[finest])
        assert np.abs(drawn[y, x] - np.array(lod_color(float(session.retina.plan.lod[finest])))).max() <= TOLERANCE

    seen_by_session(gl_unit, image, Settings(AT, "lod", budget=91, allocator="foveated_pyramid"), check)


def test_a_picture_zoomed_out_or_in_stays_where_it_is(gl_unit: GLUnit, image: Path) -> None:
    """The reconstruction at half and at three times the size, against the full one resized."""
    settings = Settings(AT, "reconstruction", budget=91, allocator="foveated_pyramid")
    full = Image.fromarray(headless.picture([image], settings, unit=gl_unit).numpy())
    for width, height in ((160, 100), (960, 600)):
        drawn = headless.picture([image], settings, unit=gl_unit, size=(height, width)).float()
        expected = torch.from_numpy(np.array(full.resize((width, height), Image.Resampling.BILINEAR))).float()
        assert float((drawn - expected).abs().mean()) <= 4


def test_a_moving_gaze_costs_no_visit_to_the_host(gl_unit: GLUnit, image: Path) -> None:
    def job(session: Session) -> None:
        session.frame()
        before = replace(gl_unit.stats)
        for step in range(10):
            session.follow((100.0 + step, 60.0))
            session.frame()
        assert gl_unit.stats.bytes_to_host == before.bytes_to_host
        assert gl_unit.stats.bytes_to_device - before.bytes_to_device == 10 * 8

    headless.in_session(job, [image], Settings(allocator="log_polar"), unit=gl_unit)


def test_words_are_drawn_where_they_are_asked_for(gl_unit: GLUnit, image: Path) -> None:
    with_words = headless.picture([image], Settings(AT), unit=gl_unit, size=(400, 640), words=True)
    without = headless.picture([image], Settings(AT), unit=gl_unit, size=(400, 640))
    assert not torch.equal(with_words, without)
    lower = with_words[-45:].float()  # the lines that a long status would need
    assert float(lower.min()) < 40
    assert float(lower.max()) > 200, "no text in the status line"


def test_a_video_follows_the_scanpath_and_leaves_nothing_else(gl_unit: GLUnit, image: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    path = GazePath((Fixation(60, 60, 0, 200), Fixation(250, 150, 200, 200)))
    out = tmp_path / "out.mp4"
    shown: list[int] = []

    def progress(frames: object, count: int) -> object:
        shown.append(count)
        return frames

    settings = Settings(
        view="reconstruction", allocator="foveated_pyramid"
    )  # without lines, whose colours H.264 halves
    count = headless.video(out, [image], settings, path, fps=10, unit=gl_unit, progress=progress)  # type: ignore[arg-type]
    assert shown == [count] == [4]
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]
    with av.open(str(out)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert len(frames) == 4
    assert frames[0].shape == (200, 320, 3)
    still = headless.picture([image], replace(settings, at=((60 / 320, 60 / 200),)), unit=gl_unit).numpy()
    assert np.abs(frames[1].astype(int) - still).mean() < 8
    assert np.abs(frames[3].astype(int) - frames[0]).mean() > 0.5
    with pytest.raises(PlanError, match=r"out\.gif has no ending of a video; use one of \.mp4"):
        headless.video(tmp_path / "out.gif", [image], Settings(), path)
    outside = GazePath((Fixation(6000, 60, 0, 200),))
    with pytest.raises(PlanError, match=r"fixation 1 of the scanpath is \(6000, 60\)"):
        headless.video(tmp_path / "b.mp4", [image], Settings(), outside, unit=gl_unit)
    assert [file.name for file in tmp_path.iterdir()] == ["out.mp4"]


def test_refusals_name_value_limit_and_remedy(gl_unit: GLUnit, image: Path) -> None:
    with pytest.raises(PlanError, match=r"fixation \(1\.2, 0\) lies outside the picture; give fractions from 0 to 1"):
        headless.picture([image], Settings(((1.2, 0.0),)), unit=gl_unit)
    with pytest.raises(ImageTooLargeError, match="the canvas is 99999 x 10 px; this device draws on 1 to"):
        headless.picture([image], Settings(), unit=gl_unit, size=(10, 99999))
    with pytest.raises(PlanError, match=r"budget is 0; it must be at least 1"):
        headless.picture([image], Settings(AT, budget=0), unit=gl_unit)
    context = gl_unit.context
    with pytest.raises(ShaderError, match=r"(?s)view/picture\.frag does not compile: .*picture\.frag:\d+"):
        context.thread.call(context.drawing, "view/image.vert", "view/picture.frag", {"textureLod": "oops"})
    assert issubclass(GLError, Exception)


def test_closing_twice_and_out_of_order_is_harmless(gl_unit: GLUnit) -> None:
    def work() -> None:
        canvas, tokens = Canvas(gl_unit, (20, 30), COLORS), Tokens(gl_unit)
        canvas.close()
        tokens.close()
        tokens.close()

    gl_unit.context.thread.call(work)


def test_another_view_is_one_class_shown_alone_and_beside_the_others(
    gl_unit: GLUnit, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_rows", dict(registry))

    @registry.register("picture")
    class PictureView(CanvasView):
        title = "the picture alone"
        paleness = 0.0

        def draw(self, painter: Painter, moment: Moment, area: Area) -> None:
            painter.marks(moment, area)

    drawn = headless.picture([image], Settings(AT, "picture"), unit=gl_unit)
    assert torch.equal(drawn, torch.from_numpy(hm.read_image(image)))
    size = (300, 480)
    beside = headless.picture([image], Settings(AT, side_by_side=True), unit=gl_unit, channels=CHANNELS, size=size)
    shown = areas.panels(replace(states.start(SIZE), side_by_side=True), size)
    assert [view for view, _ in shown] == [*list(registry)[:7], "picture"]
    for view, area in (shown[1], shown[7]):
        alone = headless.picture([image], Settings(AT, view), unit=gl_unit, size=(area.height, area.width))
        there = beside[area.top : area.top + area.height, area.left : area.left + area.width]
        assert worst(there, alone) <= TOLERANCE, view
    assert ("8", "the picture alone") in keys.rows()

    def job(session: Session) -> None:
        assert keys.dispatch(session, keys.Event("8"))
        assert session.state.view == "picture"

    headless.in_session(job, [image], Settings(AT), unit=gl_unit)


def test_no_pixel_is_lost_between_two_patches(gl_unit: GLUnit) -> None:
    """At 330 of 512 px, centres of pixels lie on borders of leaves: the root, which lies under all, shows through nowhere."""

    def check(session: Session) -> None:
        session.frame(wait_s=60)
        plan = session.retina.plan
        assert plan is not None
        root = torch.tensor(lod_color(float(plan.lod.max())))
        assert int((plan.lod == plan.lod.max()).sum()) == 1
        assert not bool((session.canvas.read() == root).all(-1).any())

    settings = Settings(((0.43, 0.22),), "lod", allocator="quadtree")
    headless.in_session(check, [np.full((512, 512, 3), 90, np.uint8)], settings, unit=gl_unit, size=(330, 330))
