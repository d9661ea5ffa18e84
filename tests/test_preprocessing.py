"""The values that a model's own preprocessing makes, in every form that transformers reads them from: the processor is the oracle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_models import native_plan, tiles, tiny
from torch import Tensor

import homunculus as hm
from homunculus.encoder import load

FILE, NESTED = "preprocessor_config.json", "processor_config.json"
SIZE = {"size": {"height": 32, "width": 32}, "do_resize": False, "do_center_crop": False, "do_pad": False}
ACCEPTED: list[tuple[str, dict[str, Any]]] = [
    ("vit", {}),
    ("vit", {"rescale_factor": 1 / 127.5, "image_mean": [1, 1, 1], "image_std": [1, 1, 1]}),
    ("vit", {"image_mean": 0.25, "image_std": 0.5}),
    ("vit", {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 1, 2]}),
    ("vit", {"do_normalize": False}),
    ("vit", {"do_rescale": False}),
    ("vit", {"do_rescale": None}),
    ("vit", {"do_rescale": False, "do_normalize": False}),
    ("vit", {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [127.5] * 3}),
    ("vit", {"image_processor_type": "CLIPImageProcessor"}),
    ("vit", {"image_processor_type": "CLIPImageProcessorFast"}),
    ("vit", {"feature_extractor_type": "CLIPFeatureExtractor"}),
    (
        "vit",
        {"image_processor_type": "EfficientNetImageProcessor", "rescale_factor": 1 / 127.5, "rescale_offset": True},
    ),
    ("clip", {}),
    ("clip", {"rescale_factor": 1 / 127.5}),
    ("siglip", {"image_std": 0.25}),
    ("siglip2", {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 8, "image_mean": [0.1, 0.2, 0.3]}),
    ("dinov2", {}),
    ("dinov2", {"image_processor_type": "BitImageProcessor", "image_mean": [0.1, 0.2, 0.3], "rescale_factor": 0.01}),
    ("dinov2_with_registers", {"image_processor_type": "BitImageProcessor"}),
    ("qwen2_5_vl_vision", {"image_processor_type": "Qwen2VLImageProcessor", "patch_size": 4, "rescale_factor": 0.01}),
]


def saved(folder: Path, family: str, options: dict[str, Any], file: str = FILE) -> Path:
    tiny(family).save_pretrained(folder)
    whole = SIZE | options
    (folder / file).write_text(json.dumps(whole if file == FILE else {"image_processor": whole}), "utf-8")
    return folder


def processed(folder: Path, family: str, image: Tensor) -> Tensor:
    """[16, 3, 8, 8] what transformers' own processor makes of uint8 [32, 32, 3]."""
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = processor(images=image.numpy(), return_tensors="pt", do_resize=False)["pixel_values"]
    if family == "siglip2":
        return pixels[0, :16].reshape(16, 8, 8, 3).permute(0, 3, 1, 2)
    if family == "qwen2_5_vl_vision":  # a row is a patch of 4 px, its frame doubled; four rows are a token
        patches = pixels.reshape(4, 4, 2, 2, 3, 2, 4, 4)[:, :, :, :, :, 0]
        return patches.permute(0, 1, 4, 2, 5, 3, 6).reshape(16, 3, 8, 8)
    return tiles(pixels[0])


@pytest.mark.slow
@pytest.mark.parametrize("file", [FILE, NESTED])
@pytest.mark.parametrize(("family", "options"), ACCEPTED)
def test_patches_are_what_the_models_own_processor_makes(
    family: str, options: dict[str, Any], file: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path, family, options, file)
    image = torch.randint(256, (32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with hm.open_unit("torch") as unit, unit.pyramid(image) as pyramid:
        mean, std = load.values(folder, local_files_only=True)
        patches = unit.sample(pyramid, native_plan(32, 32), mean=mean, std=std).pixels
    expected = processed(folder, family, image).float()
    torch.testing.assert_close(patches, expected, atol=1e-4, rtol=1e-4 if expected.abs().max() > 10 else 0)


def test_the_nested_settings_come_first_and_the_encoder_takes_them(tmp_path: Path) -> None:
    saved(tmp_path, "vit", {"image_mean": [0.1, 0.2, 0.3]})
    saved(tmp_path, "vit", {"image_mean": [0.4, 0.5, 0.6]}, NESTED)
    vit = hm.FoveatedViT.from_pretrained(tmp_path)
    assert (vit.mean, vit.std) == ((0.4, 0.5, 0.6), (0.5, 0.5, 0.5))


def test_dinov3s_processor_which_needs_torchvision_is_read_by_its_fields(tmp_path: Path) -> None:
    kind = {"image_processor_type": "DINOv3ViTImageProcessorFast"}
    for options, mean, std in (
        (kind, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ({}, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        (kind | {"image_mean": [0.43, 0.411, 0.296], "rescale_factor": 2 / 255}, (0.215, 0.2055, 0.148), None),
    ):
        found = load.values(saved(tmp_path, "dinov3_vit", options), local_files_only=True)
        assert found[0] == pytest.approx(mean)
        assert found[1] == pytest.approx(std or (0.1145, 0.112, 0.1125))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"image_processor_type": "MobileViTImageProcessor"}, "does more to values than scale and shift each channel"),
        ({"image_processor_type": "SuperPointImageProcessor", "do_grayscale": True}, "does more to values"),
        ({"image_processor_type": "Nonsense"}, "could not be loaded ("),
        ({"rescale_factor": 0}, "correct its preprocessor_config.json, or delete it"),
        ({"image_std": 0}, ""),
        ({"image_std": [1, 0, 1]}, ""),
        ({"image_std": [1, -1, 1]}, "correct its preprocessor_config.json"),
        ({"image_mean": [0.5]}, "mean must have 3 elements"),
        ({"image_mean": [0.1, 0.2, 0.3, 0.4]}, "mean must have 3 elements"),
        ({"image_mean": None}, "must both be specified"),
        ({"image_mean": "half"}, "could not be loaded ("),
        ({"rescale_factor": "1/255"}, "could not be loaded ("),
        ({"rescale_factor": None}, ""),
        ({"do_normalize": "yes", "image_mean": {}}, "could not be loaded ("),
        ({"image_mean": 10**400}, ""),
    ],
)
def test_processors_that_do_something_else_are_refused(options: dict[str, Any], told: str, tmp_path: Path) -> None:
    folder = saved(tmp_path, "vit", options)
    with pytest.raises(hm.ModelError) as error:
        load.values(folder, local_files_only=True)
    assert told in str(error.value)


@pytest.mark.parametrize("content", ["{", "[]", '"half"', "", "null", '{"image_mean": NaN}', "[" * 100_000, "\udcff"])
@pytest.mark.parametrize("file", [FILE, NESTED])
def test_files_that_hold_no_object_are_refused(file: str, content: str, tmp_path: Path) -> None:
    tiny("vit").config.save_pretrained(tmp_path)
    (tmp_path / file).write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(hm.ModelError, match=rf"{file} (is empty|is not whole JSON|holds a|has nan)"):
        load.values(tmp_path, local_files_only=True)


def test_nested_settings_that_are_no_object_are_refused(tmp_path: Path) -> None:
    tiny("vit").config.save_pretrained(tmp_path)
    (tmp_path / NESTED).write_text('{"image_processor": [0.5]}', "utf-8")
    with pytest.raises(hm.ModelError, match="has an image_processor that is a list; correct its"):
        load.values(tmp_path, local_files_only=True)
