"""The benchmark's methods compute what they claim, its comparisons are fair, and its files say what was measured on what."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import sleep
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from homunculus import layouts
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.cli import app
from homunculus.lab.bench import libraries, peers, report, sampling, watch
from homunculus.lab.bench import subject as subjects
from homunculus.lab.bench.methods import Method
from homunculus.lab.bench.report import speedups
from homunculus.lab.bench.rows import NEW_FIXATION, PARTS, WHOLE, Effort, Measurement, measure, several, too_large
from homunculus.lab.bench.subject import Setting, Subject
from homunculus.lab.bench.timing import Timing, laps_ms, summary, time_all_ms

SIZE = 256
PLAN = layouts.log_polar((SIZE, SIZE), (100, 130), 91)
INNER = ((PLAN.corners > 16) & (PLAN.corners < SIZE - 16)).all(-1).all(-1)  # away from what borders do
QUICK = Effort(repeats=2, rounds=1, limit_ms=100, fixations=3)


@pytest.fixture(scope="module")
def batch() -> Tensor:
    return subjects.batch_of(subjects.smooth_noise(SIZE), 2)


@pytest.fixture(scope="module")
def exact(batch: Tensor) -> Tensor:
    return torch.stack([subjects.box_means(image, PLAN) for image in batch])


def by_gather(batch: Tensor, plan: SamplePlan) -> Tensor:
    return peers.gathered_patches(peers.flat_texels(batch), plan.footprints, plan.patch_size, (SIZE, SIZE))


TRILINEAR: dict[str, Callable[[Tensor, SamplePlan], Tensor]] = {
    "every level": lambda batch, plan: peers.every_level_patches(peers.average_pool_pyramid(batch), plan),
    "grouped": lambda batch, plan: peers.grouped_patches(peers.average_pool_pyramid(batch), plan),
    "atlas": lambda batch, plan: peers.atlas_patches(peers.packed_atlas(batch), plan),
    "gather": by_gather,
}


@pytest.mark.parametrize("name", TRILINEAR)
def test_peers_do_the_work_of_quality_fast(batch: Tensor, name: str) -> None:
    with open_unit("torch") as unit:
        expected = torch.stack([unit.sample(unit.pyramid(image), PLAN, quality="fast").pixels for image in batch])
    found = TRILINEAR[name](batch, PLAN).reshape(expected.shape)
    assert int(INNER.sum()) > 20
    # they differ by the rounding of byte levels alone
    assert float((found - expected)[:, INNER].abs().max()) <= 1 / 255


def test_libraries_look_at_the_same_places(batch: Tensor, exact: Tensor) -> None:
    """Each errs less than it would a pixel further on, and less than point sampling."""

    def error(patches: Tensor) -> float:
        return float((patches.reshape(exact.shape) - exact)[:, INNER].square().mean().sqrt())

    found: dict[str, Callable[[SamplePlan], Tensor]] = {"crops": lambda plan: libraries.cropped_patches(batch, plan)}
    if not libraries.refusal("cv2", "OpenCV"):
        found["opencv"] = lambda plan: libraries.opencv_patches(libraries.opencv_pyramid(batch), plan)
    if not libraries.refusal("kornia.feature", "kornia"):
        found["kornia"] = lambda plan: libraries.kornia_patches(peers.as_planes(batch), plan)
    for name, patches in found.items():
        rows = PLAN.footprints.clone()
        rows[:, 0] += 1
        assert error(patches(PLAN)) < 0.05, name
        assert error(patches(PLAN)) < error(patches(SamplePlan(rows))), name


def test_a_crop_beyond_the_image_is_black(batch: Tensor) -> None:
    plan = SamplePlan.squares(torch.tensor([[-40.0, 20.0], [0.0, 128.0], [300.0, 300.0]]), torch.full((3,), 16.0))
    found = libraries.cropped_patches(batch[:1], plan)
    assert found.shape == (3, 3, 16, 16)
    assert float(found[0].max()) == float(found[2].max()) == float(found[1, ..., :8].max()) == 0
    torch.testing.assert_close(found[1, ..., 8:], batch[0, 120:136, :8].permute(2, 0, 1) / 255)


def test_what_cannot_be_imported_says_so() -> None:
    assert libraries.refusal("no_such_module", "nothing") == "nothing is not installed"
    assert libraries.refusal("json", "json") == ""


def test_box_means_of_a_constant_and_of_whole_pixels(batch: Tensor) -> None:
    constant = torch.full((128, 128, 3), 51, dtype=torch.uint8)
    plan = layouts.log_polar((128, 128), (60, 60), 64)
    torch.testing.assert_close(subjects.box_means(constant, plan), torch.full((64, 3, 16, 16), 0.2), atol=1e-6, rtol=0)
    plan = SamplePlan.squares(torch.tensor([[64.0, 96.0]]), torch.tensor([64.0]))  # texels of 4 x 4 whole pixels
    expected = batch[0, 64:128, 32:96].double().reshape(16, 4, 16, 4, 3).mean((1, 3)).permute(2, 0, 1) / 255
    torch.testing.assert_close(subjects.box_means(batch[0], plan)[0], expected.float(), atol=1e-6, rtol=0)


def test_a_batch_holds_pictures_that_differ(batch: Tensor) -> None:
    down, right = subjects.OFFSET_PX
    assert torch.equal(batch[1], batch[0].roll((down, right), (0, 1)))
    assert not torch.equal(batch[0], batch[1])


@pytest.mark.slow
@pytest.mark.gl
def test_every_part_and_every_task_is_measured(gl_unit: GLUnit, tmp_path: Path) -> None:
    found = sampling.run((512,), batches=(1, 2), effort=QUICK, backend="gl", compiled=False, out=tmp_path)
    report = json.loads((tmp_path / "bench.json").read_text())
    assert len(report["rows"]) == len(found)
    assert {row["batch"] for row in report["rows"]} == {1, 2}
    assert report["machine"]["renderers"]["gl"] == gl_unit.renderer
    assert report["machine"]["versions"]["torch"] == torch.__version__
    assert report["copy_gb_per_s"]["host"] > 0
    together = {NEW_FIXATION, WHOLE, several(3)}
    for row in report["rows"]:
        assert bool(row["reason"]) != bool(row["timings"]), row["method"]
        if row["timings"]:
            assert together <= set(row["timings"]) <= together | set(PARTS), row["method"]
            assert 0 < row["rmse_255"] < 20, row["method"]
        if row["method"].startswith("gl"):
            assert {"upload", "pyramid", "sample", "hand-over"} <= set(row["timings"])
        for timing in row["timings"].values():
            assert 0 <= timing["lower_quartile_ms"] <= timing["median_ms"] <= timing["upper_quartile_ms"]
    text = (tmp_path / "bench.md").read_text()
    assert gl_unit.renderer in text
    assert text.count("| OpenCV area pyramid, remap |") == 2 * (not libraries.refusal("cv2", "OpenCV"))
    assert "### 2 images of 512 x 512 px on the host" in text
    assert "torchvision roi_align: torchvision is not installed" in text or "| torchvision roi_align" in text
    reasons = {row["method"]: row["reason"] for row in report["rows"]}
    assert "left out" in reasons["torch, fused gather, compiled"]
    default = next(row for row in found if row.default)
    peer = next(row for row in found if row.method == "torch, packed atlas")
    assert default.rmse_255 == pytest.approx(peer.rmse_255, rel=0.05)  # the same filter


@pytest.mark.gl
def test_a_units_parts_add_up_and_cost_nothing_unheard(gl_unit: GLUnit, batch: Tensor) -> None:
    for builder in ("exact", "driver"):
        with gl_unit.timed() as parts_ms, gl_unit.pyramid(batch, builder=builder) as pyramid:
            gl_unit.sample(pyramid, PLAN)
        assert set(parts_ms) == {"upload", "pyramid", "sample", "hand-over"}
        assert all(part_ms > 0 for part_ms in parts_ms.values())
    before = dict(parts_ms)
    gl_unit.pyramid(batch).close()
    assert parts_ms == before


def method(name: str, build: Callable[[Tensor], Any], **changes: Any) -> Method:
    def sample(built: Any, plan: SamplePlan) -> Tensor:
        return torch.zeros(len(plan), 3, 16, 16)

    return replace(Method(name, "torch", build, sample, 4), **changes)


def test_a_row_that_fails_keeps_what_it_has_and_leaves_the_others_alone() -> None:
    calls = 0

    def fails_later(batch: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls > 8:
            raise RuntimeError("out of breath\nand more")
        return batch

    ticks: list[int] = []
    rows = measure(
        Setting(128),
        [method("fails", fails_later), method("works", lambda batch: batch), method("refused", abs, refusal="no")],
        subjects.smooth_noise(128),
        replace(QUICK, rounds=2),
        lambda: ticks.append(1),
    )
    assert [row.reason for row in rows] == ["RuntimeError: out of breath", "", "no"]
    assert "pyramid" in rows[0].timings
    assert set(rows[1].timings) == {"pyramid", "sample", NEW_FIXATION, WHOLE, several(3)}
    assert rows[1].timings[WHOLE].repeats == 4
    assert rows[2].timings == {}
    assert len(ticks) == 6


def test_what_would_not_fit_is_refused_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homunculus.lab.bench.machine.free_bytes", lambda device="cpu": 500_000_000)
    assert too_large(100, 36, "cpu") == ""
    hungry = method("hungry", abs, pixel_bytes=4000)
    rows = measure(Setting(512), [hungry], torch.zeros(512, 512, 3), QUICK, lambda: None)
    assert rows[0].reason == "needs about 1.0 GB, of 0.5 GB free a benchmark may take 80%"
    assert rows[0].timings == {}


def row(name: str, family: Any, whole_ms: float, error: float, *, default: bool = False) -> Measurement:
    timing = Timing(whole_ms, whole_ms, whole_ms, 3)
    return Measurement(1024, 1, "host", name, family, default, {WHOLE: timing, NEW_FIXATION: timing}, error)


def test_the_rival_is_the_fastest_of_those_that_err_as_much_or_more() -> None:
    own = row("gl", "ours", 2, 6.64, default=True)
    rivals = [
        row(
            "same",
            "torch",
            9,
            6.6,
        ),
        row("worse", "torch", 8, 12.0),
        row("slow and exact", "torch", 20, 2.0),
    ]
    opencv = row("OpenCV", "library", 1, 6.7)
    speedup = next(speedups([own, *rivals, opencv]))
    assert speedup.against == (rivals[1], 4.0)
    assert speedup.closer is None
    assert speedup.opencv == (opencv, 0.5)
    assert speedup.aim_met is False
    assert "4.0 times as fast as worse (aim 5: missed), 0.50 times as fast as OpenCV" in str(speedup)
    # one that errs less and is faster than the rival is told, as the loss or near loss it is
    speedup = next(speedups([own, *rivals, row("better", "torch", 1, 2.0)]))
    assert speedup.against == (rivals[1], 4.0)
    assert speedup.closer is not None
    assert speedup.closer[1] == 0.5
    assert "0.5 times as fast as better, which errs less" in str(speedup)
    speedup = next(speedups([own]))
    assert (speedup.against, speedup.aim_met) == (None, None)


@pytest.mark.slow
def test_plots_show_every_row_in_px_and_ms(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [row("gl", "ours", 2, 6.6, default=True), row("torch", "torch", 9, 6.7), row("OpenCV", "library", 3, 6.7)]
    rows += [replace(own, size_px=2048) for own in rows]
    figures = report.figures(rows, {"host": 12.0})
    assert list(figures) == ["time_by_size.png", "time_by_error.png"]
    for name, figure in figures.items():
        figure.savefig(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert report.least_ms(1024**2, 10) == pytest.approx(1024**2 * 25 / 3 / 10e9 * 1e3)


@pytest.mark.slow
def test_sizes_and_batches_that_cannot_be_are_refused() -> None:
    with pytest.raises(
        HomunculusError, match="size is 1000 px; the peers halve it six times, so it must be a multiple"
    ):
        sampling.run((1000,))
    with pytest.raises(HomunculusError, match="batch is 0; it must be at least 1"):
        sampling.run((1024,), batches=(0,))
    answer = CliRunner().invoke(app, ["bench", "--quick", "--full"])
    assert answer.exit_code == 2
    answer = CliRunner().invoke(app, ["bench", "--quick", "--backend", "vulkan"])
    assert answer.exit_code == 2
    assert "backend is 'vulkan'" in answer.stderr


@pytest.mark.slow
def test_a_batch_names_the_image_of_every_footprint(batch: Tensor) -> None:
    subject = Subject(Setting(SIZE, 2), batch[0], 3)
    with open_unit("torch") as unit:
        own = Method("torch", "ours", unit.pyramid, lambda built, plan: unit.sample(built, plan).pixels, 80, unit=unit)
        _, plans = subject.given_to(own)
        assert plans[0].layers.tolist() == [0] * 273 + [1] * 273
        assert subject.error(own) < 5
    assert len(subject.plans) == 3
    assert all(0 < float(plan.centers[0, 0]) < SIZE for plan in subject.plans)


def test_times_are_of_the_work_itself() -> None:
    slow, fast = time_all_ms([lambda: sleep(0.01), lambda: None], repeats=3, rounds=2)
    assert slow.median_ms >= 10
    assert fast.median_ms < slow.median_ms
    assert slow.repeats == 6


def test_slow_work_is_repeated_less_often() -> None:
    assert len(laps_ms(lambda: sleep(0.01), 50, limit_ms=1)) == 1
    assert summary([3.0]) == Timing(3.0, 3.0, 3.0, 1)
    assert summary([0.1, 10.0]).lower_quartile_ms >= 0.1


def test_the_packed_atlas_reads_nothing_that_was_never_written(batch: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    real = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *shape, **options: real(*shape, **options).fill_(torch.nan))
    assert peers.atlas_patches(peers.packed_atlas(batch), PLAN).isfinite().all()


@pytest.mark.slow
@pytest.mark.gl
def test_a_slide_is_looked_at_by_pages_and_by_openslide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openslide", reason="OpenSlide is not installed")
    slides = pytest.importorskip("slides", reason="tifffile is not installed")
    pytest.importorskip("tifffile", reason="tifffile is not installed")
    slide = slides.write(tmp_path / "a.svs", (2000, 3000))
    monkeypatch.setattr("homunculus.lab.bench.slides.NOISE_PX", 1024)
    told = CliRunner().invoke(
        app, ["bench", "slide", "--slide", str(slide.path), "--repeats", "3", "--out", str(tmp_path)]
    )
    assert told.exit_code == 0, told.output
    rows = {row["way"]: row for row in json.loads((tmp_path / "slide.json").read_text())["rows"]}
    assert list(rows)[1:-2] == [
        "pages, new place",
        "pages, again",
        "OpenSlide, new place",
        "OpenSlide, again",
        "3000 x 2000 px whole",
    ]
    assert rows["pages, again"]["tiles"] == 0
    assert rows["3000 x 2000 px whole"]["tiles"] == 8 * 12
    assert rows["sample, all levels"]["rms"] < 0.5
    assert 0 < rows["OpenSlide, new place"]["rms"] < 10, "the same places, but for whole pixels"
    refused = CliRunner().invoke(app, ["bench", "slide"])
    assert refused.exit_code == 2
    assert "--slide FILE" in refused.output


@pytest.mark.slow
@pytest.mark.gl
def test_frames_of_a_video_are_pushed_planned_and_sampled(
    gl_works: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "SIZE", (96, 128))
    monkeypatch.setattr(watch, "TOKENS", 40)
    rows = {(row.work, row.quality): row for row in watch.run(backend="gl", repeats=1, out=tmp_path)}
    written = json.loads((tmp_path / "watch.json").read_text())
    assert [(row["work"], row["quality"]) for row in written["rows"]] == list(rows)
    added = rows[watch.MEANS, ""]
    assert added.cpu_ms == pytest.approx(rows[watch.PUSH_MEANS, ""].cpu_ms - rows[watch.PUSH, ""].cpu_ms, abs=0.011)
    assert added.bar_ms == 4
    assert {quality for work, quality in rows if work == watch.KEPT} == {"fast", "high"}
    assert all(row.cpu_ms > 0 and row.frames_per_s for row in rows.values() if row is not added)


def test_a_frame_costs_the_mean_of_the_least_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that each work moves on by what its frame costs, in one round more than in the other."""
    now_s = [0.0]
    monkeypatch.setattr(watch, "process_time", lambda: now_s[0])

    def work(number: int) -> None:
        now_s[0] += 0.001 * (number % watch.FRAMES) + (0.05 if number >= 2 * watch.FRAMES else 0.0)

    works = {
        (watch.PUSH, ""): work,
        (watch.PUSH_MEANS, ""): lambda number: work(number % watch.FRAMES + 99 * watch.FRAMES),
    }
    rows = watch._rows(works, repeats=2)
    assert [row.cpu_ms for row in rows] == [7.5, 57.5, 50.0]
