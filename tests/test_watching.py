"""A video is watched from end to end into a folder: whoever is killed meanwhile, the same files; of a broken one what is good."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from films import film, pictures
from PIL import Image
from safetensors.torch import load_file
from test_writers import names
from tiny_models import tiny
from typer.testing import CliRunner

import homunculus as hm
from homunculus.bridge.clips.timeline import Span
from homunculus.bridge.clips.writer import VideoWriter
from homunculus.bridge.errors import DataError, ImageReadError, WriteError
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.cli.commands import app
from homunculus.loop.watched import WatchState
from homunculus.loop.watching.driver import WatchProgress, watch_video
from homunculus.loop.watching.pictures import film_size, panel_numbers, rate_of
from homunculus.loop.watching.remembered import remembered
from homunculus.loop.watching.shards import read_frames, read_state
from homunculus.report.durations import draw_durations, duration_color, panel_of, seen_by

FRAMES, CUT, BUDGET = 29, 15, 24
SMALL: dict[str, Any] = {"budget": BUDGET, "frames": 4, "shard_frames": 9, "backend": "torch", "patch_size": 8}
MADE = ["journal.jsonl", "sheet.png", "watch.json", "watch.mp4"]
SHARDS = [f"frames-{first:07d}.safetensors" for first in range(0, FRAMES, 9)]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """29 frames at a rate that varies; the second half is of another scene."""
    dark = [np.uint8(picture // 4) for picture in pictures(FRAMES - CUT)]
    times = np.cumsum([0, *(40 + 13 * (number % 3) for number in range(FRAMES - 1))]).tolist()
    path = tmp_path_factory.mktemp("video") / "film.mp4"
    return film(path, [*pictures(CUT), *dark], times)


@pytest.fixture(scope="module")
def whole(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an undisturbed run."""
    out = tmp_path_factory.mktemp("whole")
    told: list[WatchProgress] = []
    result = watch_video(video, out, tell=told.append, **SMALL)
    assert (result.frames, result.watched, result.error) == (FRAMES, FRAMES, "")
    assert [(one.doing, one.frames) for one in told] == [
        (doing, number) for doing in ("watching", "drawing") for number in range(1, FRAMES + 1)
    ]
    assert {one.total for one in told} == {FRAMES}
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_what_is_kept_is_what_an_eye_sees(video: Path, whole: Path) -> None:
    assert names(whole) == sorted([*MADE, *SHARDS])
    rows = [row for name in SHARDS for row in read_frames(whole / name)]
    state = None
    with (
        hm.open_unit("torch") as unit,
        unit.clip((64, 96), 4) as clip,
        hm.Homunculus(unit, budget=BUDGET, patch_size=8) as eye,
    ):
        for frame, row in zip(hm.read_video(video), rows, strict=True):
            clip.push(frame)
            seen = eye.watch(clip, state=state)
            state = seen.state
            assert (row.number, row.time_s, row.cut) == (frame.number, frame.time_s, frame.number == CUT)
            assert torch.equal(row.plan.footprints, seen.plan.footprints)
            assert torch.equal(row.times, seen.times)
            assert torch.equal(row.fixations_px, seen.fixations_px.float())
            assert (row.moved, row.jumped, row.durations) == (seen.moved, seen.jumped, seen.durations)
            assert row.patches is not None
            assert torch.equal(row.patches.pixels, (seen.patches.pixels.clamp(0, 1) * 255).round().to(torch.uint8))
    assert state is not None
    kept = read_state(whole / SHARDS[-1]).to_tensors()
    assert all(torch.equal(kept[name], value) for name, value in state.to_tensors().items())


@pytest.mark.slow
def test_a_shard_is_read_by_anyone(whole: Path) -> None:
    tensors = load_file(whole / SHARDS[1])
    assert tensors["footprints"].shape == (9, BUDGET, 8)
    assert tensors["times"].shape == (9, BUDGET, 2)
    assert (tensors["pixels"].shape, tensors["pixels"].dtype) == ((9, BUDGET, 3, 8, 8), torch.uint8)
    assert tensors["number"].tolist() == list(range(9, 18))
    assert tensors["fixations_px"].shape == (int(tensors["fixations"].sum()), 2)


@pytest.mark.slow
def test_the_record_says_all_but_the_tensors(video: Path, whole: Path) -> None:
    record = json.loads((whole / "watch.json").read_text())
    assert record["settings"]["budget"] == BUDGET
    assert record["video"] == {
        "path": str(video), "bytes": video.stat().st_size, "changed_ns": video.stat().st_mtime_ns, "size": [64, 96]
    }  # fmt: skip
    assert [frame["number"] for frame in record["frames"]] == list(range(FRAMES))
    assert {sum(frame["durations"].values()) for frame in record["frames"]} == {BUDGET}
    assert [frame["number"] for frame in record["frames"] if frame["cut"]] == [CUT]
    assert record["ended_early"] == ""
    assert {"torch", "av"} <= set(record["versions"])


@pytest.mark.slow
def test_the_film_has_the_videos_own_times_and_shows_it(video: Path, whole: Path) -> None:
    shown = list(hm.read_video(whole / "watch.mp4"))
    assert [frame.time_s for frame in shown] == pytest.approx([one.time_s for one in hm.read_video(video)], abs=1e-4)
    assert shown[0].image.shape == (64, 96, 3)
    assert shown[CUT - 1].image.mean() - shown[CUT].image.mean() > 15
    with Image.open(whole / "sheet.png") as sheet:
        assert sheet.width > 2 * 512
        assert np.asarray(sheet).std() > 10


@pytest.mark.slow
def test_again_there_is_nothing_to_do(video: Path, whole: Path, tmp_path: Path) -> None:
    before = contents(whole)
    result = watch_video(video, whole, **SMALL)
    assert (result.frames, result.watched) == (FRAMES, 0)
    assert contents(whole) == before
    assert {path.name for path in result.files} == {*MADE, *SHARDS} - {"journal.jsonl"}


@pytest.mark.slow
def test_the_command_is_killed_twice_and_goes_on(video: Path, whole: Path, tmp_path: Path) -> None:
    """By the clock: in the midst of watching, and of drawing."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "homunculus", "watch", str(video), "--out", str(out)]
    for name, value in SMALL.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    for moment in (SHARDS[1], SHARDS[-1]):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            while not (out / moment).exists() and process.poll() is None:
                time.sleep(0.002)
            assert process.poll() is None, "it was done before it could be killed"
            os.kill(process.pid, signal.SIGKILL)
        assert not (out / "watch.json").exists()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"{FRAMES} frames, watched " in done.stdout
    assert str(out / "sheet.png") in done.stdout
    assert contents(out) == contents(whole)


@pytest.mark.slow
def test_a_shard_that_was_lost_is_made_again(video: Path, whole: Path, tmp_path: Path) -> None:
    for name, content in contents(whole).items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / SHARDS[-1]).unlink()
    lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal.jsonl").write_bytes(b"".join(lines[:-2]) + lines[-2][:9])  # as a kill leaves it
    result = watch_video(video, tmp_path, **SMALL)
    assert result.watched == FRAMES % 9
    assert {name: content for name, content in contents(tmp_path).items() if name in SHARDS} == {
        name: content for name, content in contents(whole).items() if name in SHARDS
    }


@pytest.mark.slow
def test_of_a_model_its_tokens_are_kept_and_go_on_bit_for_bit(video: Path, tmp_path: Path) -> None:
    """Of V-JEPA 2, tiny and random: what was kept after a stop is what one eye sees in one go."""
    tiny("vjepa2").save_pretrained(tmp_path / "model")
    told = SMALL | {"model": str(tmp_path / "model"), "every": 2, "shard_frames": 10}
    watch_video(video, tmp_path / "out", **told)
    first, second = sorted((tmp_path / "out").glob("*.safetensors"))
    before = second.read_bytes()
    second.unlink()
    (tmp_path / "out" / "journal.jsonl").write_bytes(
        b"".join((tmp_path / "out" / "journal.jsonl").read_bytes().splitlines(keepends=True)[:2])
    )
    assert watch_video(video, tmp_path / "out", **told).watched == 5
    assert second.read_bytes() == before
    rows = [*read_frames(first), *read_frames(second)]
    assert rows[0].patches is None
    with (
        hm.Homunculus.from_pretrained(tmp_path / "model", budget=BUDGET, backend="torch") as eye,
        eye.unit.clip((64, 96), 4) as clip,
    ):
        for frame, row in zip(hm.read_video(video, every=2), rows, strict=True):
            clip.push(frame)
            tokens = eye.watch(clip).tokens
            assert row.tokens is not None
            assert tokens is not None
            assert torch.equal(row.tokens, tokens)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"budget": 25}, "budget was 24 and is 25"),
        ({"query": "red"}, "query was None and is 'red'"),
        ({"frames": 8, "every": 2}, "frames was 4 and is 8; every was 1 and is 2"),
        ({"values": "float32"}, "values was 'uint8' and is 'float32'"),
    ],
)
def test_other_settings_are_refused_by_name(video: Path, whole: Path, changed: dict[str, Any], told: str) -> None:
    before = contents(whole)
    with pytest.raises(DataError, match=f"is of another run: {told}; give another folder"):
        watch_video(video, whole, **{**SMALL, **changed})
    assert contents(whole) == before


@pytest.mark.slow
def test_another_video_is_refused(video: Path, whole: Path, tmp_path: Path) -> None:
    other = tmp_path / video.name
    other.write_bytes(video.read_bytes() + b"\0")
    with pytest.raises(DataError, match=r"its bytes was \d+ and is \d+"):
        watch_video(other, whole, **SMALL)


@pytest.mark.slow
def test_of_a_truncated_video_the_good_frames_are_kept(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (64, 96, 3), dtype=np.uint8) for _ in range(16)]
    path = film(tmp_path / "a.mkv", noise)
    path.write_bytes(path.read_bytes()[: round(0.7 * path.stat().st_size)])
    arguments = ["watch", str(path), "--out", str(tmp_path / "out"), "--shard-frames", "4", "--budget", "12"]
    for _ in range(2):
        done = CliRunner().invoke(app, [*arguments, "--backend", "torch"])
        assert done.exit_code == 2
        assert "a.mkv is damaged or ends early, its last" in done.stderr.replace("\n", "")
        assert "What came before it is kept" in done.stderr
    record = json.loads((tmp_path / "out" / "watch.json").read_text())
    kept = [row for path in sorted((tmp_path / "out").glob("*.safetensors")) for row in read_frames(path)]
    assert 4 < len(kept) < 16
    assert [row.number for row in kept] == [frame["number"] for frame in record["frames"]] == list(range(len(kept)))
    assert "ends early" in record["ended_early"]


def test_what_is_no_video_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(ImageReadError, match=r"a.mp4 is no video that can be read"):
        watch_video(tmp_path / "a.mp4", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="choose a folder that can be written"):
        watch_video(tmp_path / "a.mp4", tmp_path / "file" / "out")
    assert names(tmp_path) == ["a.mp4", "file"]


@pytest.mark.slow
def test_a_state_comes_back_bit_for_bit_and_damage_is_told(whole: Path, tmp_path: Path) -> None:
    state = read_state(whole / SHARDS[0])
    again = WatchState.of_tensors(state.to_tensors())
    assert all(torch.equal(value, again.to_tensors()[name]) for name, value in state.to_tensors().items())
    (tmp_path / "frames.safetensors").write_bytes((whole / SHARDS[0]).read_bytes()[:-9])
    with pytest.raises(DataError, match="it is no whole shard of a video: delete it and watch again"):
        list(read_frames(tmp_path / "frames.safetensors"))


# The pictures


def plan_of_two() -> tuple[SamplePlan, torch.Tensor]:
    """The left half seen for one frame, the last, and the right half for four."""
    plan = SamplePlan.boxes(torch.tensor([[0.0, 0, 32, 64], [32, 0, 64, 64]]), 8)
    rows = plan.footprints.clone()
    rows[:, 6] = torch.tensor([3.0, 6.0])
    return SamplePlan(rows, 8), torch.tensor([[7, 1], [4, 4]])


def test_tokens_are_seen_while_they_last() -> None:
    times = torch.tensor([[0, 4], [4, 1], [4, 2], [5, 1]])
    assert [seen_by(times, number).tolist() for number in (0, 3, 4, 5, 6)] == [[0], [0], [1, 2], [2, 3], []]


def test_outlines_have_the_colour_of_their_duration() -> None:
    plan, times = plan_of_two()
    grey = np.full((64, 64, 3), 128, np.uint8)
    drawn = np.asarray(draw_durations(grey, plan, times, 7)).astype(int)
    for column, frames in ((0, 1), (63, 4)):
        tint = drawn[20:40, column].mean(0) - 172  # of the grey, paled
        colors = {power: np.array(duration_color(2**power)) - 172 for power in range(7)}
        likest = max(colors, key=lambda power: tint @ colors[power] / np.linalg.norm(colors[power]))
        assert 2**likest == frames
    before = np.asarray(draw_durations(grey, plan, times, 5)).astype(int)
    assert np.ptp(before[20:40, 2:30]) == 0, "a token of another frame was drawn"
    assert len({duration_color(2**power) for power in range(7)}) == 7


def test_a_panel_shows_what_was_seen() -> None:
    plan, times = plan_of_two()
    seen = torch.full((3, 512, 512), 0.25)
    panel = panel_of("", np.full((64, 64, 3), 128, np.uint8), plan, times, 7, seen[:, :64, :64])
    assert round(np.asarray(panel.reconstruction).mean()) == 64


def test_detail_is_remembered_until_something_else_is_seen() -> None:
    """Four fine tokens of frames 0 to 3, and one coarse one of frame 4."""
    boxes = [(left, top, left + 32.0, top + 32.0) for top in (0.0, 32.0) for left in (0.0, 32.0)] + [(0.0, 0, 64, 64)]
    plan = SamplePlan.boxes(torch.tensor(boxes), 8)
    times = torch.tensor([[0, 4]] * 4 + [[4, 1]])
    texels = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) / 2
    with open_unit("torch") as unit:

        def drawn(coarse: torch.Tensor, *spans: Span) -> torch.Tensor:
            return remembered(unit, torch.cat([texels, coarse[None]]), plan, times, spans, (64, 64))

        before = drawn(torch.zeros(3, 8, 8), Span(0, 4))
        rows = SamplePlan.boxes(torch.tensor(boxes[4:]), 8)
        with unit.pyramid(before.permute(1, 2, 0), format="rgba32f") as pyramid:
            same = unit.sample(pyramid, rows).pixels[0]
        both = Span(0, 4), Span(4, 1)
        assert float((drawn(same, *both) - before).abs().max()) < 1e-5
        lighter = drawn(same + 0.2, *both) - before
        assert float((lighter - 0.2).abs().max()) < 1e-5
        assert float(drawn(torch.ones(3, 8, 8) / 2, both[1]).std()) < 1e-6  # of nothing else is anything remembered


def test_sizes_rates_and_places() -> None:
    assert film_size((721, 1281)) == (720, 1280)
    assert film_size((2160, 3840)) == (720, 1280)
    assert film_size((1, 3)) == (2, 2)
    assert rate_of([(number, number / 25) for number in range(9)]) == 25
    assert rate_of([(0, 0.0)]) == 25
    assert rate_of([(0, 0.0), (1, 100.0)]) == 1
    assert sorted(panel_numbers(5)) == [0, 1, 2, 3, 4]
    assert sorted(panel_numbers(24)) == list(range(1, 24, 2))


def test_a_film_is_the_same_bytes_every_time(tmp_path: Path) -> None:
    pytest.importorskip("av")
    for name in ("a.mp4", "b.mp4"):
        with VideoWriter(tmp_path / name, (64, 96)) as writer:
            for number, picture in enumerate(pictures(12)):
                writer.write(picture, number**1.5 / 25)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    found = list(hm.read_video(tmp_path / "a.mp4"))
    assert [frame.time_s for frame in found] == pytest.approx([number**1.5 / 25 for number in range(12)], abs=1e-5)
    for frame, picture in zip(found, pictures(12), strict=True):
        assert np.abs(frame.image.astype(int) - picture).mean() < 6
