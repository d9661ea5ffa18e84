"""Patches for those who train: what a loader's workers make of pictures is what a look at them gives."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import white_noise
from PIL import Image
from torch.utils.data import DataLoader

import homunculus as hm
from homunculus.bridge.gl.unit import GLUnit
from homunculus.encoder.small import SmallViT
from homunculus.loop.run import training
from homunculus.loop.run.training import TrainingBatch

SIZES = [(96, 128), (70, 300), (96, 128), (130, 64)]
PICTURES = [white_noise(*size, index) for index, size in enumerate(SIZES)]
LABELS = ["a", "b", "c", "d"]


class Column:
    """As of a table: no list, but it has a length and an index."""

    def __len__(self) -> int:
        return len(PICTURES)

    def __getitem__(self, index: int) -> Any:
        return PICTURES[index]


def corner(picture: torch.Tensor, index: int) -> tuple[float, float]:
    """A fixation that depends on both."""
    return (0.2 * index, picture.shape[0] / 200)


def batches(dataset: hm.PatchDataset, start: str | None = None, workers: int = 0, **told: Any) -> list[TrainingBatch]:
    options = {"num_workers": workers, "multiprocessing_context": start}
    return list(DataLoader(dataset, batch_size=3, collate_fn=hm.PatchDataset.collate, **options, **told))


def same(found: list[TrainingBatch], expected: list[TrainingBatch]) -> bool:
    return all(
        torch.equal(one.pixels, other.pixels)
        and all(torch.equal(a.footprints, b.footprints) for a, b in zip(one.plans, other.plans, strict=True))
        and one[2:] == other[2:]
        for one, other in zip(found, expected, strict=True)
    )


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.timeout(120)
@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_workers_give_what_a_look_gives(start: str, gl_unit: GLUnit) -> None:
    """The parent holds a context of its own, and has already looked with the data set that it sends."""
    dataset = hm.PatchDataset(Column(), LABELS, budget=40, at=corner, backend="gl")
    here = batches(dataset)
    assert same(batches(dataset, start, workers=1), here)
    assert [batch.sizes for batch in here] == [SIZES[:3], SIZES[3:]]
    assert [batch.targets for batch in here] == [LABELS[:3], LABELS[3:]]
    for index, picture in enumerate(PICTURES):
        look = hm.look(picture, corner(torch.from_numpy(picture), index), budget=40, unit=gl_unit)
        item = dataset[index]
        assert torch.equal(item.pixels, look.patches.pixels)
        assert torch.equal(item.plan.footprints, look.plan.footprints)
    dataset.close()


@pytest.mark.gl
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("backend", [None, "gl"])
@pytest.mark.parametrize("opened", [False, True], ids=["another's", "its own"])
def test_a_fork_of_what_holds_a_context_says_so_and_is_not_slow_instead(
    backend: str | None, opened: bool, gl_unit: GLUnit
) -> None:
    dataset = hm.PatchDataset(PICTURES, budget=40, backend=backend)
    if opened:
        _ = dataset[0]
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            answer = str(dataset[0])
        except hm.ForkedContextError as error:
            answer = str(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    answer = os.read(read, 10_000).decode()
    os.waitpid(child, 0)
    os.close(read)
    assert "multiprocessing_context='spawn'" in answer


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_of_what_holds_none_looks() -> None:
    """Reads and reduces by the twin, which no fork disturbs."""
    dataset = hm.PatchDataset(PICTURES, [3, 1, 2, 0], budget=40, backend="torch")
    found = batches(dataset, "fork", workers=2)
    assert torch.equal(torch.cat([batch.targets for batch in found]), torch.tensor([3, 1, 2, 0]))
    here = batches(dataset)
    assert all(torch.equal(one.pixels, other.pixels) for one, other in zip(found, here, strict=True))


def test_a_unit_is_opened_when_it_is_needed_and_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    units: list[Any] = []
    open_unit = training.open_unit
    monkeypatch.setattr(training, "open_unit", lambda backend: units.append(open_unit(backend)) or units[-1])
    dataset = hm.PatchDataset(PICTURES, budget=10, backend="torch")
    sent = pickle.loads(pickle.dumps(dataset))
    assert (len(dataset), len(sent), units) == (4, 4, [])
    for one in (dataset, dataset, sent, pickle.loads(pickle.dumps(dataset))):
        _ = one[0], one[1]
    assert len(units) == 3
    dataset.close()
    assert [unit._closed for unit in units] == [True, False, False]
    assert len(dataset[0].plan) == 10
    assert len(units) == 4


def test_chance_is_torchs_own_anew_every_epoch_and_repeated_by_a_seed() -> None:
    dataset = hm.PatchDataset(PICTURES[:1], budget=20, at="random", backend="torch")
    torch.manual_seed(3)
    first, second = dataset[0], dataset[0]
    torch.manual_seed(3)
    assert torch.equal(dataset[0].plan.footprints, first.plan.footprints)
    assert not torch.equal(first.plan.footprints, second.plan.footprints)
    drawn = np.array([dataset._points(torch.zeros(1, 1, 3), 0)[0] for _ in range(200)])
    assert np.all(drawn.min(0) < 0.1)
    assert np.all(drawn.max(0) > 0.9)


def test_an_encoder_takes_a_batch_as_it_comes() -> None:
    vit = hm.FoveatedViT(SmallViT())
    options: dict[str, Any] = {"patch_size": vit.patch_size, "mean": vit.mean, "std": vit.std, "backend": "torch"}
    dataset = hm.PatchDataset(PICTURES, budget=20, **options)
    (batch,) = DataLoader(dataset, batch_size=4, collate_fn=dataset.collate)
    assert batch.targets is None
    tokens = vit(batch.pixels, batch.plans, batch.sizes).tokens
    tokens.sum().backward()
    with hm.Homunculus(encoder=vit, backend="torch", budget=20, allocator="quadtree") as eye, torch.no_grad():
        for picture, found in zip(PICTURES, tokens, strict=True):
            torch.testing.assert_close(found, eye.look(picture, at=(0.5, 0.5)).tokens, atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_pictures_come_as_what_look_takes(tmp_path: Path) -> None:
    Image.fromarray(PICTURES[0]).save(tmp_path / "a.png")
    array, image, path = PICTURES[0], Image.fromarray(PICTURES[0]), tmp_path / "a.png"
    tiles = hm.open_tiles(array)
    dataset = hm.PatchDataset(
        [array, torch.from_numpy(array), image, path, str(path), tiles], budget=20, backend="torch"
    )
    expected = dataset[0]
    for item in list(dataset)[:-1]:
        assert torch.equal(item.pixels, expected.pixels)
    torch.testing.assert_close(dataset[5].pixels, expected.pixels, atol=1 / 255, rtol=0)
    stack = hm.PatchDataset(np.stack([PICTURES[0], PICTURES[2]]), torch.tensor([1, 0]), budget=20, backend="torch")
    assert torch.equal(stack[0].pixels, expected.pixels)
    assert torch.equal(stack.collate([stack[0], stack[1]]).targets, torch.tensor([1, 0]))
    edges = hm.PatchDataset([array], budget=20, allocator="frequency", backend="torch")
    assert torch.equal(
        edges[0].plan.footprints, hm.look(array, budget=20, allocator="frequency", backend="torch").plan.footprints
    )


@pytest.mark.slow
def test_a_column_of_hugging_face_passes_through() -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"image": [Image.fromarray(one) for one in PICTURES], "label": [0, 1, 1, 0]})
    dataset = hm.PatchDataset(table["image"], table["label"], budget=20, backend="torch")
    (batch,) = DataLoader(dataset, batch_size=4, collate_fn=dataset.collate)
    plain = hm.PatchDataset(PICTURES, budget=20, backend="torch")
    assert torch.equal(batch.pixels, torch.stack([item.pixels for item in plain]))
    assert torch.equal(batch.targets, torch.tensor([0, 1, 1, 0]))
    with pytest.raises(
        hm.DataError, match=r"picture 0 is a record of image, label; give the column .* dataset\['image'\]"
    ):
        hm.PatchDataset(table, budget=20, backend="torch")[0]


def test_targets_of_numbers_become_a_tensor_and_others_pass() -> None:
    item = hm.PatchDataset(PICTURES[:1], budget=10, backend="torch")[0]

    def together(*targets: Any) -> Any:
        return hm.PatchDataset.collate([item._replace(target=target) for target in targets]).targets

    assert together(1, np.int64(2)).dtype == torch.int64
    assert together(1, 0.5).tolist() == [1.0, 0.5]
    assert together(1, 0.5).dtype == torch.float32
    boxes = [torch.zeros(2, 4), torch.zeros(3, 4)]
    assert together(*boxes)[1] is boxes[1]
    assert together({"text": "a"}, {"text": "b"}) == [{"text": "a"}, {"text": "b"}]


def test_what_is_no_list_of_pictures_is_refused(tmp_path: Path) -> None:
    def refused(*given: Any, **options: Any) -> str:
        with pytest.raises(hm.HomunculusError) as error:
            hm.PatchDataset(*given, **options)
        return str(error.value)

    assert "pictures are 'page.png'; give a list, an array, or what has a length and an index" in refused("page.png")
    assert "pictures are {'image': [1]}; give a list" in refused({"image": [1]})
    assert "pictures are an array of shape [96, 128, 3]; give [B, H, W, 3]" in refused(PICTURES[0])
    assert "pictures are empty; give at least one" in refused([])
    assert "4 pictures and 3 targets; give one target for each picture" in refused(PICTURES, [1, 2, 3])
    assert "targets are 3; give a list" in refused(PICTURES, 3)
    assert "at is 'randm'; give points (x, y) as fractions, 'random', or a function" in refused(PICTURES, at="randm")
    assert "fixation (2, 0) lies outside the image" in refused(PICTURES, at=(2, 0))
    assert "budget is 0" in refused(PICTURES, budget=0)
    assert "std" in refused(PICTURES, std=(0, 1, 1))
    with pytest.raises(hm.ImageReadError, match="no such file"):
        hm.PatchDataset([tmp_path / "no such file.png"], backend="torch")[0]
