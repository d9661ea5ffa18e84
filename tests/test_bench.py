"""The benchmark's peers compute what they claim, and its files say what was measured on what."""

import json
from pathlib import Path
from time import sleep

import pytest
import torch

from bridge import open_unit
from bridge.gl.unit import GLUnit
from homunculus import layouts
from homunculus.bench import peers, rows
from homunculus.bench.timing import time_all_ms


def test_peers_do_the_work_of_quality_fast() -> None:
    image = rows.smooth_noise(256)
    plan = layouts.log_polar((256, 256), (100, 130), 91)
    levels = peers.average_pool_pyramid(image)
    with (
        open_unit("torch") as unit,
        unit.pyramid(image, format="rgba32f" if image.is_floating_point() else None) as pyramid,
    ):
        expected = unit.sample(pyramid, plan, quality="fast").pixels
    grouped, simple = peers.grouped_patches(levels, plan), peers.every_level_patches(levels, plan)
    torch.testing.assert_close(grouped, simple, atol=1e-5, rtol=0)
    # away from the border, where grid_sample blends with black, they differ by the rounding of byte levels alone
    inner = ((plan.corners > 16) & (plan.corners < 240)).all(-1).all(-1)
    assert int(inner.sum()) > 20
    assert float((grouped - expected)[inner].abs().max()) <= 1 / 255


def test_box_means_of_a_a_constant() -> None:
    plan = layouts.log_polar((128, 128), (60, 60), 64)
    constant = torch.full((128, 128, 3), 51, dtype=torch.uint8)
    torch.testing.assert_close(rows.box_means(constant, plan), torch.full((64, 3, 16, 16), 0.2), atol=1e-6, rtol=0)


@pytest.mark.gl
def test_run_writes_what_it_measured(gl_unit: GLUnit, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows.run((512,), repeats=2, out=tmp_path)
    report = json.loads((tmp_path / "bench.json").read_text())
    assert len(report["rows"]) == len(found) == 8
    assert {row["task"] for row in report["rows"]} == {"new fixation", "image to patches"}
    assert report["machine"]["renderer"] == gl_unit.renderer
    assert report["machine"]["versions"]["torch"] == torch.__version__
    for row in report["rows"]:
        timing = row["timing"]
        assert 0 < timing["lower_quartile_ms"] <= timing["median_ms"] <= timing["upper_quartile_ms"]
        assert timing["repeats"] == 6
        assert 0 < row["rmse_255"] < 20
    assert "times" in capsys.readouterr().out


def test_times_are_of_the_work_itself() -> None:
    slow, fast = time_all_ms([lambda: sleep(0.01), lambda: None], repeats=3, rounds=2)
    assert slow.median_ms >= 10
    assert fast.median_ms < slow.median_ms
