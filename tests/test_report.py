"""What the pictures and files of a look must satisfy: closed forms, placement, and all files or none."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from homunculus.bridge.errors import ImageError, PlanError, WriteError
from homunculus.bridge.files import staging
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.report import draw_footprints, files, reconstruct, reconstruction, to_picture, write_look
from homunculus.report.footprints import LOD_COLORS, PALENESS, lod_color, outlines

SIZE = (60, 100)


def texel_centers(plan: SamplePlan) -> Tensor:
    """[N, P, P, 2] in level-0 pixels."""
    if plan.texels is not None:
        return plan.texels[..., :2]
    step = torch.arange(plan.patch_size) + 0.5 - plan.patch_size / 2
    across = step[None, None, :, None] * plan.right[:, None, None]
    return plan.centers[:, None, None] + across + step[None, :, None, None] * plan.down[:, None, None]


def ramp(points: Tensor) -> Tensor:
    """A colour [..., 3] that grows linearly in x and y."""
    x, y = points.unbind(-1)
    return torch.stack([0.2 + 0.005 * x, 0.9 - 0.01 * y, 0.1 + 0.002 * x + 0.008 * y], -1)


def ramp_patches(plan: SamplePlan) -> Tensor:
    return ramp(texel_centers(plan)).permute(0, 3, 1, 2)


def pixel_centers(size: tuple[int, int]) -> Tensor:
    y, x = torch.meshgrid(torch.arange(size[0]) + 0.5, torch.arange(size[1]) + 0.5, indexing="ij")
    return torch.stack([x, y], -1)


@dataclass(frozen=True, eq=False)
class Polar(SamplePlan):
    """A ring from radius 10 to 26 around (50, 30), cut into 6 patches; columns run along the angle, rows outwards."""

    def locate(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        offset = points - torch.tensor([50.0, 30.0])
        radius = offset.norm(dim=-1)
        column = torch.atan2(offset[:, 1], offset[:, 0]) / (2 * math.pi) % 1 * 6 * self.patch_size
        token = (column / self.patch_size).long().clamp(max=5)
        row = (radius - 10) / 16 * self.patch_size
        inside = (radius >= 10) & (radius < 26)
        return torch.where(inside, token, -1), column - token * self.patch_size, row

    @classmethod
    def make(cls, patch_size: int = 16) -> Polar:
        radius = 10 + (torch.arange(patch_size) + 0.5) * 16 / patch_size
        turn = 2 * math.pi / (6 * patch_size)
        angle = ((torch.arange(6 * patch_size) + 0.5) * turn).reshape(6, patch_size)
        r, a = radius[None, :, None], angle[:, None, :]
        out = torch.stack(torch.broadcast_tensors(a.cos() + 0 * r, a.sin() + 0 * r), -1)
        right = torch.stack([-out[..., 1], out[..., 0]], -1) * r[..., None] * turn
        texels = torch.cat([torch.tensor([50.0, 30.0]) + r[..., None] * out, right, out * 16 / patch_size], -1)
        texels = torch.cat([texels, torch.zeros(6, patch_size, patch_size, 2)], -1)
        return cls(texels[:, patch_size // 2, patch_size // 2].clone(), patch_size, texels)


PLANS = {
    "one": SamplePlan.boxes(torch.tensor([[0.0, 0, 100, 60]]), 8),
    "tiles": SamplePlan.boxes(
        torch.tensor([[x, y, x + 20.0, y + 20.0] for x in range(0, 100, 20) for y in (0, 20, 40)])
    ),
    "overlapping": SamplePlan.squares(
        torch.tensor([[30.0, 30], [50, 30], [55, 33], [70, 20]]), torch.tensor([58.0, 50, 9, 47]), 16
    ),
    "rotated": SamplePlan.squares(
        torch.tensor([[40.0, 30], [60, 25]]), torch.tensor([40.0, 20]), 16, angle=torch.tensor([0.4, 2.0])
    ),
    "sheared": SamplePlan.affine(
        torch.tensor([[50.0, 30]]), torch.tensor([[2.0, 0.5]]), torch.tensor([[-0.7, -1.5]]), 16
    ),
    "one texel": SamplePlan.boxes(torch.tensor([[10.0, 10, 50, 50]]), 1),
    "warped": Polar.make(),
    "warped, one texel": Polar.make(1),
}


@pytest.mark.parametrize("name", PLANS)
def test_a_constant_comes_back(name: str) -> None:
    plan = PLANS[name]
    color = torch.tensor([0.25, 0.5, 0.9])[:, None, None]
    seen = reconstruct(color.expand(len(plan), 3, plan.patch_size, plan.patch_size), plan, SIZE)
    assert seen.pixels.shape == (3, *SIZE)
    assert seen.pixels.dtype == torch.float32
    assert seen.covered.any()
    torch.testing.assert_close(seen.pixels, torch.where(seen.covered, color, 0.5), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["one", "tiles", "overlapping", "rotated", "sheared"])
def test_a_ramp_comes_back(name: str) -> None:
    plan = PLANS[name]
    seen = reconstruct(ramp_patches(plan), plan, SIZE)
    # Within half a texel of a patch's border the value is that of its outermost texel.
    slack = (plan.right.abs() + plan.down.abs()).max() / 2 * 0.01 * 1.5
    error = (seen.pixels - ramp(pixel_centers(SIZE)).permute(2, 0, 1)).abs()[:, seen.covered]
    assert error.max() <= slack
    assert error.mean() <= slack / 4


def test_a_ramp_within_a_patch_is_exact() -> None:
    plan = PLANS["rotated"]
    seen = reconstruct(ramp_patches(plan)[:1], SamplePlan(plan.footprints[:1], 16), SIZE)
    middle = (pixel_centers(SIZE) - plan.centers[0]).norm(dim=-1) < 18
    error = (seen.pixels - ramp(pixel_centers(SIZE)).permute(2, 0, 1)).abs()[:, middle]
    assert error.max() < 1e-5


def test_a_warped_ramp_comes_back() -> None:
    plan = PLANS["warped"]
    seen = reconstruct(ramp_patches(plan), plan, SIZE)
    error = (seen.pixels - ramp(pixel_centers(SIZE)).permute(2, 0, 1)).abs()[:, seen.covered]
    assert error.max() < 0.02


def test_covered_is_where_footprints_lie() -> None:
    x, y = pixel_centers(SIZE).unbind(-1)
    boxes = SamplePlan.boxes(torch.tensor([[-5.0, 3, 20, 22], [30, 30, 61, 90]]), 4)
    inside = (x < 20) & (y > 3) & (y < 22) | (x > 30) & (x < 61) & (y > 30)
    seen = reconstruct(torch.full((2, 3, 4, 4), 0.9), boxes, SIZE)
    assert torch.equal(seen.covered, inside)
    assert (seen.pixels[:, ~inside] == 0.5).all()

    ring = (torch.hypot(x - 50, y - 30) >= 10) & (torch.hypot(x - 50, y - 30) < 26)
    assert torch.equal(reconstruct(torch.zeros(6, 3, 16, 16), PLANS["warped"], SIZE).covered, ring)


def test_a_rotated_patch_lands_where_it_was_taken() -> None:
    """A quarter turn: the patch's columns run down the image, its rows to the left."""
    quarter = torch.tensor([math.pi / 2])
    plan = SamplePlan.squares(torch.tensor([[50.0, 30]]), torch.tensor([20.0]), 2, angle=quarter)
    patch = torch.tensor([[1.0, 0], [0, 0]]).expand(1, 3, 2, 2)
    seen = reconstruct(patch, plan, SIZE)
    assert seen.covered.sum() == 400
    assert seen.pixels[0, 22, 58] == pytest.approx(1)
    for row, column in ((22, 42), (38, 42), (38, 58)):
        assert seen.pixels[0, row, column] == pytest.approx(0)


def test_the_finest_wins() -> None:
    plan = SamplePlan.boxes(torch.tensor([[0.0, 0, 100, 60], [40, 20, 60, 40]]), 8)
    seen = reconstruct(torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 3, 8, 8), plan, SIZE)
    assert seen.pixels[:, 20:40, 40:60].min() > 0.9
    assert seen.pixels[:, :20].max() == 0


def test_texels_outside_the_image_leave_no_mark() -> None:
    """They were never seen: they hold zero, and must not darken the image's border."""
    plan = SamplePlan.boxes(torch.tensor([[-41.0, -26, 119, 74]]), 16)
    centers = texel_centers(plan)
    half = torch.tensor([5.0, 3.125])
    outside = ((centers + half <= 0) | (centers - half >= torch.tensor([100.0, 60]))).any(-1)
    assert outside.any()
    pixels = torch.where(outside, 0.0, 0.8)[:, None].expand(1, 3, 16, 16)
    seen = reconstruct(pixels, plan, SIZE)
    torch.testing.assert_close(seen.pixels, torch.full((3, *SIZE), 0.8), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("patch_size", "size"), [(2, (31, 69)), (3, (31, 72)), (4, (31, 72)), (4, (33, 57))])
def test_warped_texels_outside_the_image_leave_no_mark(patch_size: int, size: tuple[int, int]) -> None:
    plan = Polar.make(patch_size)
    texels = plan.texels
    assert texels is not None
    extent = texels[..., 2:4].abs() + texels[..., 4:6].abs()
    low, high = texels[..., :2] - extent / 2, texels[..., :2] + extent / 2
    limit = torch.tensor([size[1], size[0]])
    share = ((torch.minimum(high, limit) - low.clamp(min=0)).clamp(min=0) / extent).prod(-1)
    # As the law of sampling has it: below a share of 1/16 the colour fades to zero.
    pixels = (0.8 * (share * 16).clamp(max=1))[:, None].expand(6, 3, patch_size, patch_size)
    assert (pixels == 0).any()
    seen = reconstruct(pixels, plan, size)
    whole = reconstruct(torch.ones_like(pixels), plan, SIZE).covered[: size[0], : size[1]]
    assert torch.equal(seen.covered, whole)
    torch.testing.assert_close(seen.pixels, torch.where(whole, 0.8, 0.5).expand(3, *size), rtol=0, atol=0.01)


def test_it_leaves_the_number_of_threads_alone() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        reconstruct(torch.zeros(1, 3, 8, 8), PLANS["one"], SIZE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_only_the_asked_layer_is_put_back() -> None:
    boxes = torch.tensor([[0.0, 0, 50, 60]])
    plan = SamplePlan.concatenate([SamplePlan.boxes(boxes, 4), SamplePlan.boxes(boxes + 50, 4, layer=1)])
    first = reconstruct(torch.ones(2, 3, 4, 4), plan, SIZE)
    assert first.covered[:, :50].all()
    assert not first.covered[:, 50:].any()


def test_footprints_off_the_image_or_without_area_are_left_out() -> None:
    plan = SamplePlan.boxes(torch.tensor([[200.0, 0, 220, 20], [10, 10, 10, 20], [-40, -40, -20, -20]]), 4)
    assert not reconstruct(torch.ones(3, 3, 4, 4), plan, SIZE).covered.any()


@pytest.mark.parametrize("side_px", [1e-3, 1.0, 3e5])
def test_any_scale_keeps_finite_weights(side_px: float) -> None:
    plan = SamplePlan.squares(torch.tensor([[50.5, 30.5]]), torch.tensor([side_px]), 1)
    seen = reconstruct(torch.full((1, 3, 1, 1), 0.25), plan, SIZE)
    assert seen.covered[30, 50]
    assert seen.pixels[0, 30, 50] == pytest.approx(0.25)


def test_it_is_repeatable_and_leaves_its_arguments_alone() -> None:
    plan = PLANS["overlapping"]
    pixels = torch.rand(len(plan), 3, 16, 16, generator=torch.Generator().manual_seed(0))
    before = pixels.clone(), plan.footprints.clone()
    first, second = (reconstruct(pixels, plan, SIZE).pixels for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(pixels, before[0])
    assert torch.equal(plan.footprints, before[1])


@pytest.mark.parametrize("name", PLANS)
def test_rows_in_bands_and_bytes_are_the_same_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = PLANS[name]
    patches = torch.rand(len(plan), 3, plan.patch_size, plan.patch_size, generator=torch.Generator().manual_seed(1))
    whole = reconstruct(patches, plan, SIZE)
    assert whole.pixels.shape[1] < reconstruction.ROWS_AT_ONCE
    monkeypatch.setattr(reconstruction, "ROWS_AT_ONCE", 7)
    banded = reconstruct(patches, plan, SIZE)
    torch.testing.assert_close(banded.pixels, whole.pixels, rtol=0, atol=1e-6)
    assert torch.equal(banded.covered, whole.covered)
    picture = reconstruction.reconstructed_picture(patches, plan, SIZE)
    np.testing.assert_array_equal(picture, np.asarray(to_picture(banded.pixels)))
    part = reconstruction.reconstructed_picture(patches, plan, SIZE, (11, 9, 40, 33))
    np.testing.assert_allclose(part, picture[9:33, 11:40], atol=1)


def test_an_upright_patch_is_put_back_as_one_that_is_turned_by_nothing() -> None:
    """The first is interpolated along each axis, the second by torch's grid_sample."""
    centers = torch.tensor(
        [[30.3, 30.2], [50.1, 30.4], [55.2, 33.3], [70.4, 20.1]]
    )  # no border on the centre of a pixel
    plan = SamplePlan.squares(centers, torch.tensor([58.0, 50, 9, 47]), 16)
    turned = plan.footprints.clone()
    turned[:, 3] = 1e-12
    patches = torch.rand(len(plan), 3, 16, 16, generator=torch.Generator().manual_seed(2))
    upright = reconstruct(patches, plan, SIZE)
    other = reconstruct(patches, SamplePlan(turned, 16), SIZE)
    torch.testing.assert_close(upright.pixels, other.pixels, rtol=0, atol=1e-5)
    assert torch.equal(upright.covered, other.covered)


def test_patches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(PlanError, match=r"patches have shape \(2, 3, 8, 8\); this plan needs \(1, 3, 8, 8\)"):
        reconstruct(torch.zeros(2, 3, 8, 8), PLANS["one"], SIZE)
    warped = PLANS["warped"]
    mute = SamplePlan(warped.footprints, 16, warped.texels)
    with pytest.raises(PlanError, match="without `locate` cannot be put back; use the plan that its layout returned"):
        reconstruct(torch.zeros(6, 3, 16, 16), mute, SIZE)


def test_a_window_outside_the_image_is_refused() -> None:
    with pytest.raises(PlanError, match=r"the window is \(0, 0, 9999, 5\); it must lie in"):
        reconstruction.reconstructed_picture(torch.zeros(1, 3, 16, 16), PLANS["one"], SIZE, (0, 0, 9999, 5))


def test_outlines_follow_the_border() -> None:
    assert outlines(PLANS["tiles"])[0].tolist() == [[0, 0], [20, 0], [20, 20], [0, 20]]
    border = outlines(PLANS["warped"].to(dtype=torch.float64)) - torch.tensor([50, 30])
    assert border.shape == (6, 64, 2)
    radius = border.norm(dim=-1)
    assert radius[:, :16].mean().item() == pytest.approx(10, abs=0.1)
    assert radius[:, 32:48].mean().item() == pytest.approx(26, abs=0.1)
    assert radius.min() > 9.9


@pytest.mark.parametrize("name", PLANS)
@pytest.mark.parametrize("size", [(60, 100), (16, 16), (1, 1), (700, 1500)])
def test_drawing_keeps_the_size(name: str, size: tuple[int, int]) -> None:
    picture = draw_footprints(np.full((*size, 3), 200, np.uint8), PLANS[name], [(size[1] / 2, size[0] / 2)])
    assert picture.size == (size[1], size[0])
    assert picture.mode == "RGB"


def test_lines_lie_on_the_footprints_in_the_colour_of_their_level() -> None:
    plan = SamplePlan.boxes(torch.tensor([[256.0, 512, 256 + 64, 512 + 64], [1024, 1024, 1536, 1536]]), 16)
    image = np.full((2048, 2048, 3), 100, np.uint8)
    drawn = np.asarray(draw_footprints(image, plan))
    assert tuple(drawn[512, 280]) == LOD_COLORS[2]
    assert tuple(drawn[540, 256]) == LOD_COLORS[2]
    assert tuple(drawn[1024, 1300]) == LOD_COLORS[5]
    pale = round(100 + PALENESS * 155)
    assert np.abs(drawn[540, 290].astype(int) - pale).max() <= 1
    assert (image == 100).all()


def test_fine_lines_lie_on_top() -> None:
    boxes = [[512.0, 512, 576, 576], [512, 300, 1024, 812]]
    for order in ([0, 1], [1, 0]):
        plan = SamplePlan.boxes(torch.tensor([boxes[index] for index in order]), 16)
        drawn = np.asarray(draw_footprints(np.zeros((2048, 2048, 3), np.uint8), plan))
        assert tuple(drawn[540, 512]) == LOD_COLORS[2]


def test_the_fixation_is_marked() -> None:
    plan = SamplePlan.boxes(torch.tensor([[1500.0, 1500, 1600, 1600]]), 16)
    image = np.zeros((2048, 2048, 3), np.uint8)
    without, marked = (np.asarray(draw_footprints(image, plan, at)).astype(int) for at in ([], [(600.0, 700.0)]))
    rows, columns, _ = np.nonzero(without[:1400, :1400] != marked[:1400, :1400])
    assert abs(rows.mean() - 700) < 1.5
    assert abs(columns.mean() - 600) < 1.5


def test_levels_blend_and_clamp() -> None:
    assert lod_color(-1) == lod_color(0) == LOD_COLORS[0]
    assert lod_color(99) == LOD_COLORS[-1]
    assert lod_color(0.5) == tuple(round((a + b) / 2) for a, b in zip(*LOD_COLORS[:2], strict=True))
    assert len(set(LOD_COLORS)) == len(LOD_COLORS)


@pytest.mark.parametrize("image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_only_eight_bit_colour_is_drawn_on(image: np.ndarray[Any, Any]) -> None:
    with pytest.raises(ImageError, match=r"footprints are drawn on uint8 \[H, W, 3\]"):
        draw_footprints(image, PLANS["one"])


def write(out: Path, name: str = "tiles", shade: float = 0.5) -> list[Path]:
    plan = PLANS[name]
    patches = Patches(torch.full((len(plan), 3, plan.patch_size, plan.patch_size), shade), torch.ones(len(plan)))
    image = np.full((*SIZE, 3), 128, np.uint8)
    return write_look(out, image, plan, patches, [(50.0, 30.0)], {"layout": name, "timings_ms": {"read": 1.5}})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", ["tiles", "warped"])
def test_a_look_is_written(tmp_path: Path, name: str) -> None:
    out = tmp_path / "deep" / "er"
    paths = write(out, name)
    assert [path.name for path in paths] == list(files.FILES)
    assert sorted(contents(tmp_path)) == sorted(f"deep/er/{file}" for file in files.FILES)
    for path in paths[:2]:
        with Image.open(path) as picture:
            assert picture.size == (100, 60)
    plan = PLANS[name]
    with safe_open(paths[2], "pt") as tensors:
        expected = {"pixels", "inside", "footprints"} | ({"texels"} if name == "warped" else set())
        assert set(tensors.keys()) == expected
        assert torch.equal(tensors.get_tensor("footprints"), plan.footprints)
        assert tensors.get_tensor("pixels").shape == (len(plan), 3, 16, 16)
        assert tensors.metadata() == {"layout": name, "timings_ms": '{"read": 1.5}'}
    details = json.loads(paths[3].read_text())
    assert details["layout"] == name
    assert set(details["timings_ms"]) == {"read", "footprints", "reconstruction"}
    assert len({path.stat().st_mode for path in paths}) == 1


def test_a_second_look_replaces_the_first_and_nothing_else(tmp_path: Path) -> None:
    write(tmp_path, shade=0.1)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "sub").mkdir()
    first = contents(tmp_path)
    write(tmp_path, shade=0.9)
    second = contents(tmp_path)
    assert second["notes.txt"] == b"mine"
    assert set(second) == set(first)
    assert second["reconstruction.png"] != first["reconstruction.png"]


@pytest.fixture(params=["save", "reconstructed_picture", "replace", "interrupt"])
def failure(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[BaseException]:
    """Breaks the writing at one place: the third file, the second, the third of the moves, and by the user's hand."""
    kind: type[BaseException] = KeyboardInterrupt if request.param == "interrupt" else RuntimeError

    def fail(*_: object, **__: object) -> None:
        raise kind("broken here")

    if request.param in ("save", "reconstructed_picture"):
        monkeypatch.setattr(staging if request.param == "save" else files, request.param, fail)
    else:
        move, calls = staging.os.replace, []

        def break_later(source: Path, target: Path) -> None:
            calls.append(source)
            if len(calls) == 3:
                fail()
            move(source, target)

        monkeypatch.setattr(staging.os, "replace", break_later)
    return kind


def test_a_failure_leaves_an_earlier_look_intact(tmp_path: Path, failure: type[BaseException]) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in files.FILES:
        (out / name).write_text(f"older {name}")
    (out / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(failure, match="broken here"):
        write(out)
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_no_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(staging, "save", fail)
    with pytest.raises(WriteError, match="er cannot be written: disk full; choose a folder that can be written"):
        write(tmp_path / "deep" / "er")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_move_leaves_no_partial_look(tmp_path: Path, failure: type[BaseException]) -> None:
    with pytest.raises(failure, match="broken here"):
        write(tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_way_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "look.json").mkdir()
    (tmp_path / "look.json" / "mine").touch()
    with pytest.raises(WriteError, match=r"look\.json is a folder where a file is to be written"):
        write(tmp_path)
    assert list(contents(tmp_path)) == ["look.json/mine"]
    blocked = tmp_path / "file"
    blocked.touch()
    with pytest.raises(WriteError, match="file cannot be written: File exists; choose a folder that can be written"):
        write(blocked)


def test_a_number_that_json_lacks_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    plan = PLANS["one"]
    patches = Patches(torch.zeros(1, 3, 8, 8), torch.ones(1))
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_look(tmp_path / "out", np.zeros((*SIZE, 3), np.uint8), plan, patches, [], {"gap": math.inf})
    assert list(tmp_path.iterdir()) == []
