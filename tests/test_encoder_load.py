"""Models and texts from folders: what loads, and how what does not is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import ALIKE, FAMILIES, native_plan, tiny, write_tokenizer

import homunculus as hm
from homunculus.encoder import TextEncoder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A saved checkpoint of every family."""
    root = tmp_path_factory.mktemp("models")
    for family in FAMILIES:
        tiny(family).save_pretrained(root / family)
    return {family: root / family for family in FAMILIES}


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_saved_model_comes_back_the_same_and_silently(
    family: str, folders: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    loaded = hm.FoveatedViT.from_pretrained(folders[family], area_attention=True)
    assert capfd.readouterr() == ("", "")
    assert not loaded.training
    pixels, plan = torch.randn(16, 3, 8, 8), native_plan(32, 32)
    direct = hm.FoveatedViT(tiny(family), area_attention=True)
    assert torch.equal(loaded(pixels, plan, (32, 32)).tokens, direct(pixels, plan, (32, 32)).tokens)
    assert (loaded.mean, loaded.std) == (direct.mean, direct.std)


@pytest.mark.slow
@pytest.mark.parametrize("family", ALIKE)
@torch.no_grad()
def test_what_is_a_vit_under_another_name_comes_back_the_same(family: str, tmp_path: Path) -> None:
    tiny(family).save_pretrained(tmp_path)
    pixels, plan = torch.randn(16, 3, 8, 8), native_plan(32, 32)
    loaded, direct = hm.FoveatedViT.from_pretrained(tmp_path), hm.FoveatedViT(tiny(family))
    torch.testing.assert_close(
        loaded(pixels, plan, (32, 32)).tokens, direct(pixels, plan, (32, 32)).tokens, rtol=0, atol=1e-5
    )


@torch.no_grad()
def test_a_language_model_gives_its_vision_tower_alone(tmp_path: Path) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    text = {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "intermediate_size": 16,
        "vocab_size": 160, "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 1e4},
        "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    vision = tiny("qwen2_5_vl_vision").config.to_dict() | {"out_hidden_size": 16}
    ids = {"image_token_id": 150, "video_token_id": 151, "vision_start_token_id": 152, "vision_end_token_id": 153}
    whole = Qwen2_5_VLForConditionalGeneration(Qwen2_5_VLConfig(text_config=text, vision_config=vision, **ids)).eval()
    whole.save_pretrained(tmp_path)
    loaded = hm.FoveatedViT.from_pretrained(tmp_path)
    assert type(loaded.model).__name__ == "Qwen2_5_VisionTransformerPretrainedModel"
    pixels, plan = torch.randn(16, 3, 8, 8), native_plan(32, 32)
    assert torch.equal(loaded(pixels, plan, (32, 32)).tokens, hm.FoveatedViT(whole)(pixels, plan, (32, 32)).tokens)


@pytest.mark.parametrize("tower", ["clip", "siglip"])
@torch.no_grad()
def test_a_tower_is_taken_out_of_a_larger_models_folder(tower: str, tmp_path: Path) -> None:
    from tiny_language import tiny_llava

    whole = tiny_llava(tower, -1, "full")
    whole.save_pretrained(tmp_path)
    loaded = hm.FoveatedViT.from_pretrained(tmp_path)
    assert type(loaded.model).__name__ == {"clip": "CLIPVisionModel", "siglip": "SiglipVisionModel"}[tower]
    pixels, plan = torch.randn(16, 3, 8, 8), native_plan(32, 32)
    assert torch.equal(loaded(pixels, plan, (32, 32)).tokens, hm.FoveatedViT(whole)(pixels, plan, (32, 32)).tokens)


@pytest.mark.parametrize(
    ("file", "content", "mean"),
    [
        ("preprocessor_config.json", {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 3]}, (0.1, 0.2, 0.3)),
        (
            "processor_config.json",
            {"image_processor": {"image_mean": [0.4, 0.5, 0.6], "image_std": [1, 2, 3]}},
            (0.4, 0.5, 0.6),
        ),
        ("preprocessor_config.json", {"do_normalize": False}, (0.0, 0.0, 0.0)),
        ("preprocessor_config.json", {}, (0.5, 0.5, 0.5)),
    ],
)
def test_normalisation_comes_with_the_model(
    file: str, content: dict[str, Any], mean: tuple[float, ...], tmp_path: Path
) -> None:
    tiny("vit").save_pretrained(tmp_path)
    (tmp_path / file).write_text(json.dumps(content), "utf-8")
    assert hm.FoveatedViT.from_pretrained(tmp_path).mean == mean


@torch.no_grad()
def test_a_classifier_without_a_pooler_has_no_pooled_output(tmp_path: Path) -> None:
    from transformers import ViTForImageClassification

    ViTForImageClassification(tiny("vit").config).save_pretrained(tmp_path)
    vit = hm.FoveatedViT.from_pretrained(tmp_path)
    assert vit(torch.randn(16, 3, 8, 8), native_plan(32, 32), (32, 32)).pooled is None


def refusal(name: str | Path, **options: Any) -> str:
    with pytest.raises(hm.ModelError) as error:
        hm.FoveatedViT.from_pretrained(name, **options)
    return str(error.value)


def test_folders_that_hold_no_model_are_refused(tmp_path: Path) -> None:
    assert (
        refusal(tmp_path)
        == f"{tmp_path} has no config.json, so it holds no model; give a folder that save_pretrained wrote"
    )
    assert refusal(tmp_path / "none").startswith(f"{tmp_path / 'none'} does not exist; give a folder")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', "utf-8")
    assert "model type 'bert' is not supported: no row here tells where it keeps its parts; docs/models.md" in refusal(
        tmp_path
    )
    (tmp_path / "config.json").write_text('{"model_type": "vit"}', "utf-8")
    assert refusal(tmp_path) == f"{tmp_path} has no model.safetensors; copy the folder again, whole"
    (tmp_path / "config.json").write_text("{", "utf-8")
    assert "config.json is not whole JSON (" in refusal(tmp_path)


def test_a_name_that_is_not_here_says_how_to_fetch_it() -> None:
    text = refusal("nobody/no-such-model", local_files_only=True)
    assert text.startswith("nobody/no-such-model is no folder here and could not be fetched (")
    assert text.endswith("run: hf download nobody/no-such-model --local-dir FOLDER, and give FOLDER")


def test_weights_that_lack_tensors_or_are_cut_short_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tiny("dinov2").save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    lost = [name for name in weights if "layer.1.norm" in name]
    save_file(
        {name: value for name, value in weights.items() if name not in lost},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    text = refusal(tmp_path)
    assert text.startswith(
        f"{tmp_path} lacks 4 of the tensors its config.json asks for, such as encoder.layer.1.norm1.bias, "
    )
    assert "they would be random numbers: copy the folder again, whole" in text
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "could not be loaded (" in refusal(tmp_path)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    tiny("dinov2").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    (tmp_path / "config.json").write_text(json.dumps(config | {"image_size": 64}), "utf-8")
    assert "could not be loaded (" in refusal(tmp_path)


def test_without_transformers_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert refusal("anything").endswith("run: pip install transformers")


@pytest.mark.slow
def test_importing_the_library_imports_no_transformers() -> None:
    source = "import sys, homunculus.encoder; assert 'transformers' not in sys.modules"
    subprocess.run([sys.executable, "-c", source], check=True, cwd=Path(__file__).parents[1])


# Texts


@pytest.fixture(params=["clip", "siglip", "siglip2"])
def text_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    tiny(request.param).save_pretrained(tmp_path)
    write_tokenizer(tmp_path, request.param)
    return tmp_path


@pytest.mark.slow
@torch.no_grad()
def test_texts_are_the_models_own_text_features_normalised(
    text_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder = TextEncoder.from_pretrained(text_folder, template="{q}")
    assert capfd.readouterr() == ("", "")
    seen = encoder.encode(["a dog", " a cat"])
    assert seen.note == ""
    padding = {"padding": "max_length", "max_length": 16} if encoder.kind != "clip" else {"padding": True}
    rows = encoder.tokenizer(["a dog", "a cat"], return_tensors="pt", **padding)["input_ids"]
    own = encoder.model.get_text_features(input_ids=rows).pooler_output
    torch.testing.assert_close(seen.embedding, own / own.norm(dim=-1, keepdim=True))
    assert (seen.embedding[0] - seen.embedding[1]).norm() > 1e-3


@pytest.mark.slow
@torch.no_grad()
def test_the_template_and_one_model_for_both_sides(text_folder: Path) -> None:
    vit = hm.FoveatedViT.from_pretrained(text_folder)
    encoder = TextEncoder.from_pretrained(text_folder, model=vit.model)
    assert encoder.model is vit.model
    plain = TextEncoder.from_pretrained(text_folder, model=vit.model, template="{q}")
    torch.testing.assert_close(encoder.encode(["dog"]).embedding, plain.encode(["a photo of a dog."]).embedding)


@pytest.mark.slow
@torch.no_grad()
def test_a_long_query_is_cut_and_said(text_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    encoder = TextEncoder.from_pretrained(text_folder, template="{q}")
    seen = encoder.encode(["a", "a " * 30])
    assert capfd.readouterr() == ("", "")
    assert seen.embedding.isfinite().all()
    assert seen.note.startswith("query 1 was cut: ")
    assert seen.note.endswith("text tokens, the model takes 16")


@pytest.mark.slow
def test_queries_that_say_nothing_are_refused(text_folder: Path) -> None:
    encoder = TextEncoder.from_pretrained(text_folder)
    with pytest.raises(hm.QueryError, match="query 1 is empty; say what to look for"):
        encoder.encode(["dog", "  "])
    for nothing in ([], "dog"):
        with pytest.raises(hm.QueryError, match=r"at least one text|give a list of texts"):
            encoder.encode(nothing)
    with pytest.raises(hm.QueryError, match=r"template 'a photo' has no place for the query; write \{q\}"):
        TextEncoder(encoder.model, encoder.tokenizer, "a photo")
    with pytest.raises(hm.ModelError, match="CLIPVisionModel has no text tower; give a whole CLIPModel"):
        TextEncoder(tiny("clip").vision_model, encoder.tokenizer)
