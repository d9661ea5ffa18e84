"""The viewer's state, keys, scanpaths and guides: everything that needs no device."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from homunculus.bridge.errors import ClosedError, ImageReadError, PlanError
from homunculus.cli import app
from homunculus.loop import Homunculus
from homunculus.relevance.gaze.scanpath import Fixation, GazePath, Recorder, read_scanpath, write_scanpath
from homunculus.viewer import Guidance, MapGuide, areas, keys
from homunculus.viewer import state as states
from homunculus.viewer.guide import EyeGuide
from homunculus.viewer.playlist import listed
from homunculus.viewer.state import start
from homunculus.viewer.view import CanvasView, registry

MANUAL = Path(__file__).parents[1] / "docs/viewer.md"
STATE = start((400, 600))


def test_the_manual_shows_the_table_that_the_keys_are_made_from() -> None:
    assert keys.markdown() in MANUAL.read_text("utf-8")


def test_every_key_of_the_table_is_bound_once_and_explained() -> None:
    names = [binding.name for binding in keys.bindings()]
    assert len(set(names)) == len(names)
    assert {"1", "6", "C", "[", "]", ",", ".", "A", "Q", "G", "R", "S", "P", "Space", "H", "Esc", "Wheel"} <= set(names)
    assert sum(len(row[0].split("  ")) for row in keys.rows()) == len(names)
    assert all(binding.does for binding in keys.bindings())


def test_a_new_fixation_replaces_and_an_added_one_joins() -> None:
    fixed = states.fix(STATE, (100, 50))
    assert fixed.held
    assert fixed.fixations == ((100, 50),)
    more = states.add_fixation(fixed, (700, -5))
    assert more.fixations == ((100, 50), (600.0, 0.0))
    assert states.look_at(more, (20, 30)).fixations == ((100, 50), (20, 30))
    assert states.free(more).fixations == ((600.0, 0.0),)
    assert states.add_fixation(STATE, (7, 8)).fixations == ((7, 8),)


def test_budgets_qualities_and_allocators_go_round() -> None:
    assert states.change_budget(STATE, 1).budget == 400
    assert states.change_budget(STATE, -1).budget == 196
    assert states.change_budget(replace(STATE, budget=16), -1).budget == 16
    state, seen = STATE, []
    for _ in range(3):
        state = states.next_quality(state)
        seen.append(state.quality)
    assert sorted(seen) == ["fast", "high", "sharp"]
    state, seen = STATE, []
    while not seen or state.allocator != STATE.allocator:
        state = states.next_allocator(state)
        seen.append(state.allocator)
    assert len(seen) == len(set(seen)) > 5


def test_e0_starts_from_what_the_budget_asks_for() -> None:
    up = states.change_e0(STATE, 4, fitted_px=100)
    assert up.e0_px == pytest.approx(200)
    assert states.change_e0(up, -4, fitted_px=1).e0_px == pytest.approx(100)


def test_reset_keeps_view_and_query() -> None:
    state = replace(STATE, view="lod", query="text", budget=16, zoom=4.0, center=(1, 1), held=True, grid=True)
    assert states.reset(state, STATE) == replace(STATE, view="lod", query="text")


def test_unknown_names_are_refused_with_what_there_is() -> None:
    with pytest.raises(PlanError, match=r"view 'x' is unknown; choose one of footprints, reconstruction"):
        replace(STATE, view="x")
    with pytest.raises(PlanError, match="budget is 0; it must be at least 1"):
        replace(STATE, budget=0)
    with pytest.raises(PlanError, match=r"e0 is -3 px; it must lie in 1\.\.1e\+06"):
        replace(STATE, e0_px=-3)
    with pytest.raises(PlanError, match="allocator 'x' is unknown"):
        replace(STATE, allocator="x")


def test_a_fitted_picture_stands_in_the_middle_on_whole_pixels() -> None:
    area = areas.placed(STATE, 10, 20, 901, 401)
    assert area.step_px == pytest.approx(400 / 401)
    assert areas.to_canvas(area, (0, 0))[0] == pytest.approx(round(10 + (901 - 600 * 401 / 400) / 2))
    x, y = areas.to_image(area, areas.to_canvas(area, (123.0, 45.0)))
    assert (x, y) == pytest.approx((123, 45))
    exact = areas.placed(STATE, 0, 0, 600, 400)
    assert (exact.step_px, exact.origin_px) == (1.0, (0.0, 0.0))


def test_zoom_keeps_the_point_under_the_cursor() -> None:
    state = STATE
    for turns, place in ((3, (500.0, 100.0)), (2, (40.0, 390.0)), (-2, (300.0, 200.0))):
        area = areas.placed(state, 0, 0, 900, 600)
        before = areas.to_image(area, place)
        factor = keys.ZOOM_STEP**turns
        state = states.zoomed(state, state.zoom * factor, areas.center_after_zoom(area, place, factor))
        after = areas.to_image(areas.placed(state, 0, 0, 900, 600), place)
        assert math.dist(before, after) <= 2 * area.step_px


@pytest.mark.parametrize("count", range(1, 10))
def test_side_by_side_shows_all_views_as_large_as_can_be_without_overlap(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    views = [f"view {number}" for number in range(count)]
    monkeypatch.setattr(registry, "_rows", {view: CanvasView() for view in views})
    for size in ((600, 900), (900, 600)):
        shown = areas.panels(replace(STATE, view=views[0], side_by_side=True), size)
        assert [view for view, _ in shown] == views
        taken = np.zeros(size, int)
        for _, area in shown:
            assert area.left + area.width <= size[1]
            assert area.top + area.height <= size[0]
            taken[area.top : area.top + area.height, area.left : area.left + area.width] += 1
        assert taken.max() == 1
        cells = [(columns, -(-count // columns)) for columns in range(1, count + 1)]
        largest = max(min(size[1] / columns / 600, size[0] / rows / 400) for columns, rows in cells)
        assert 1 / max(area.step_px for _, area in shown) >= largest - 0.02


def test_a_number_shows_its_view_alone_whatever_was_shown() -> None:
    for shown in registry:
        for wanted in registry:
            state = states.show(replace(STATE, view=shown, side_by_side=True, channel=2), wanted)
            assert (state.view, state.side_by_side, state.channel) == (wanted, False, 2)
    assert states.show(states.show(STATE, "relevance"), "relevance").channel == STATE.channel + 1


def test_a_scanpath_survives_its_file(tmp_path: Path) -> None:
    path = GazePath((Fixation(1.5, 2.25, 0, 200), Fixation(30, 4, 250, 100)))
    write_scanpath(tmp_path / "gaze.csv", path)
    assert (tmp_path / "gaze.csv").read_text().splitlines()[0] == "x_px,y_px,onset_ms,duration_ms"
    assert read_scanpath(tmp_path / "gaze.csv") == path
    assert [file.name for file in tmp_path.iterdir()] == ["gaze.csv"]
    assert path.duration_ms == 350
    assert [path.at(time).x_px for time in (0, 249, 250, 1000)] == [1.5, 1.5, 30, 30]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x,y\n1,2\n", r"has x, y; a scanpath has the columns x_px, y_px, onset_ms, duration_ms"),
        ("x_px,y_px,onset_ms,duration_ms\n", "no rows"),
        ("x_px,y_px,onset_ms,duration_ms\n1,2,0,100\n1,oops,0,1\n", r"line 3: y_px is 'oops'; give a finite number"),
        ("x_px,y_px,onset_ms,duration_ms\n1,2,-5,100\n", r"line 2: onset_ms is '-5'"),
        ("x_px,y_px,onset_ms,duration_ms\n1,nan,0,100\n", r"line 2: y_px is 'nan'"),
        ("x_px;y_px;onset_ms;duration_ms\n1,5;2;0;100\n", r"line 2: x_px is '1,5'; give .*, with a decimal point"),
        ("x_px,y_px,onset_ms,duration_ms\n1,2,nan,100\n", r"line 2: onset_ms is 'nan'; give a finite number"),
        (",,,\n,,,\n", "no rows"),
        ('x_px,y_px,onset_ms,duration_ms\n1,"2,0,100\n', "is no CSV: unexpected end of data"),
    ],
)
def test_a_file_that_is_no_scanpath_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "gaze.csv").write_text(text)
    with pytest.raises(PlanError, match=message):
        read_scanpath(tmp_path / "gaze.csv")


def test_a_scanpath_of_another_picture_is_refused() -> None:
    with pytest.raises(
        PlanError, match=r"fixation 1 of the scanpath is \(30, 4\); this picture has x 0\.\.20 .* none of 2 lies in it"
    ):
        GazePath((Fixation(30, 4, 0, 100), Fixation(-3, 4, 250, 100))).within((10, 20))


def test_fixations_off_the_picture_are_left_out_and_told_of() -> None:
    """Every tracker yields some; the edges belong to the picture."""
    inside = (Fixation(0, 10, 0, 200), Fixation(20, 0, 300, 100))
    path = GazePath((Fixation(-3, 4, 250, 100), *inside, Fixation(5, 10.01, 400, 100)), ("told before",))
    assert path.within((10, 20)) == GazePath(inside)
    assert path.within((10, 20)).remarks == ("told before", "2 of 4 fixations lie off the picture and are left out")
    assert GazePath(inside).within((10, 20)).remarks == ()


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_any_usual_separator_is_read(tmp_path: Path, separator: str, ends: str, mark: str) -> None:
    lines = ["onset_ms,x_px,y_px,duration_ms,pupil", ",,,,", "0,1.5,2.25,200,3", "", "250,30,4,100"]
    text = mark + ends.join(lines).replace(",", separator)
    (tmp_path / "gaze.csv").write_bytes(text.encode())
    expected = GazePath((Fixation(1.5, 2.25, 0, 200), Fixation(30, 4, 250, 100)))
    assert read_scanpath(tmp_path / "gaze.csv") == expected
    assert read_scanpath(tmp_path / "gaze.csv").remarks == ()


@pytest.mark.parametrize("missing", ["", " ", ".", "NaN", "nan", "NA", "n/a", "null", "None", "-", "--", "inf"])
def test_rows_without_an_eye_are_left_out_and_told_of(tmp_path: Path, missing: str) -> None:
    header = "x_px,y_px,onset_ms,duration_ms\n"
    rows = f"{missing},{missing},0,100\n5,{missing},.,.\n1,2,300,100\n"
    (tmp_path / "gaze.csv").write_text(header + rows)
    path = read_scanpath(tmp_path / "gaze.csv")
    assert path == GazePath((Fixation(1, 2, 300, 100),))
    assert path.remarks == ("2 of 3 rows of gaze.csv say nothing of where the eye was and are left out",)
    (tmp_path / "gaze.csv").write_text(header + f"{missing},1,0,100\n" * 2)
    with pytest.raises(
        PlanError, match=r"line 2: x_px is '.*', and none of 2 rows says where the eye was; give finite"
    ):
        read_scanpath(tmp_path / "gaze.csv")


def test_recorded_gaze_becomes_fixations() -> None:
    recorder = Recorder(1000, radius_px=10)
    assert recorder.scanpath() is None
    for now, point in ((1000, (5, 5)), (1100, (8, 9)), (1200, (50, 50)), (1500, (51, 52)), (1600, (52, 50))):
        recorder.see(point, now)
    assert recorder.scanpath() == GazePath((Fixation(5, 5, 0, 200), Fixation(50, 50, 200, 400)))


def test_a_map_is_looked_at_maximum_by_maximum() -> None:
    map_ = torch.zeros(20, 30)
    map_[4, 6], map_[15, 25], map_[4, 7] = 1.0, 0.8, 0.9
    found = MapGuide(map_, fixations=4).look(np.zeros((200, 300, 3), np.uint8), "")
    assert len(found.fixations_px) == 2
    assert math.dist(found.fixations_px[0], (65, 45)) < 8
    assert math.dist(found.fixations_px[1], (255, 155)) < 8


def test_channels_are_the_sum_and_every_map() -> None:
    maps = {"propositional": torch.ones(4, 4), "perspectival": torch.full((2, 2), 2.0)}
    names = [name for name, _ in Guidance(maps).channels]
    assert names == ["sum", "propositional", "perspectival"]
    torch.testing.assert_close(Guidance(maps).channels[0][1], torch.full((4, 4), 3.0))
    assert Guidance({"relevance": torch.ones(2, 2)}).channels[0][0] == "relevance"
    assert Guidance().channels == []


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "notes.txt", "c.mp4"):
        (tmp_path / name).touch()
    assert [Path(path).name for path in listed([tmp_path])] == ["a.jpg", "b.png", "c.mp4"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageReadError, match="holds no picture; known endings"):
        listed([tmp_path / "empty"])


@pytest.mark.slow
def test_the_eye_is_a_guide_that_opens_when_it_is_asked() -> None:
    opened = []

    def eye() -> Homunculus:
        opened.append(Homunculus(backend="torch"))
        return opened[-1]

    picture = np.full((96, 128, 3), 128, np.uint8)
    picture[60:80, 100:120] = (220, 20, 20)
    with closing(EyeGuide(eye, fixations=2)) as guide:
        assert not opened
        found = guide.look(picture, "red")
        assert set(found.maps) == {"propositional", "perspectival", "participatory"}
        assert [name for name, _ in found.channels] == ["sum", *found.maps]
        x, y = found.fixations_px[0]
        assert 96 <= x <= 124
        assert 56 <= y <= 84
        assert set(guide.look(picture, "  ").maps) == {"propositional", "perspectival"}
        assert len(opened) == 1
    with pytest.raises(ClosedError):
        opened[0].unit.pyramid(picture)


@pytest.mark.gl
def test_a_screenshot_of_a_query_looks_where_the_eye_would(gl_unit: object, tmp_path: Path) -> None:
    picture = np.full((96, 128, 3), 128, np.uint8)
    picture[60:80, 100:120] = (220, 20, 20)
    Image.fromarray(picture).save(tmp_path / "a.png")
    arguments = ["view", str(tmp_path / "a.png"), "--query", "red", "--view", "relevance", "--patch-size", "4"]
    done = CliRunner().invoke(app, [*arguments, "--screenshot", str(tmp_path / "b.png")])
    assert done.exit_code == 0, done.stderr
    with Image.open(tmp_path / "b.png") as shown:
        heat = np.asarray(shown.convert("RGB"), np.float64).mean(-1)
    assert heat[60:80, 100:120].mean() > 2 * heat[:40, :60].mean()
