"""A model's folder, read and checked before anything is built from it. Code in it never runs, whatever its files ask for."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from homunculus.bridge.errors import ModelError
from homunculus.bridge.files.reading import check_file, digest_of, read_json
from homunculus.encoder import img_focus

LARGEST_BYTES = 2**24
AGAIN = "copy the folder again, whole"
SMALL_FILES = ["*.json", "*.txt", "*.model", "*.jinja"]
# What transformers reads of a folder, tokenizers' own vocabularies apart.
SETTINGS = (
    "config.json", "generation_config.json", "preprocessor_config.json", "video_preprocessor_config.json",
    "processor_config.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json",
)  # fmt: skip
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
VOCABULARY_FILES = ("vocab_file", "merges_file", "spm_file", "tokenizer_file")
# What the sizes in a configuration may be, so that nothing absurd is built before it is refused.
WIDTHS = (1, 2**17)
LAYERS = (1, 1024)
HEADS = (1, 4096)
PIXELS = (1, 2**15)
# The least and the most that a key may be, at any depth; None is left to transformers' own default.
SIZES: dict[str, tuple[int, int]] = {
    "hidden_size": WIDTHS, "intermediate_size": (1, 2**20), "projection_dim": WIDTHS, "out_hidden_size": WIDTHS,
    "head_dim": (1, 2**14), "num_hidden_layers": LAYERS, "depth": LAYERS, "num_attention_heads": HEADS, "num_heads": HEADS,
    "num_key_value_heads": HEADS, "patch_size": (1, 1024), "image_size": PIXELS, "window_size": PIXELS,
    "num_channels": (3, 3), "in_channels": (3, 3), "num_patches": (1, 2**22), "num_register_tokens": (0, 4096),
    "spatial_merge_size": (1, 64), "temporal_patch_size": (1, 16), "vocab_size": (1, 2**24),
    "max_position_embeddings": (1, 2**27), "num_labels": (0, 2**20), "mlp_ratio": (0, 1024),
    "crop_size": PIXELS, "in_chans": (3, 3), "frames_per_clip": (1, 2**16), "num_frames": (1, 2**16), "pred_hidden_size": WIDTHS,
    "pred_num_hidden_layers": LAYERS, "pred_num_attention_heads": HEADS,
}  # fmt: skip
SQUARES = ("patch_size", "image_size")
DEEPEST = 16


@dataclass(frozen=True)
class Folder:
    """A folder whose settings are JSON objects that name no code. name: as the caller gave it; settings: by their files."""

    name: str
    path: Path
    settings: dict[str, dict[str, Any]]

    @property
    def kind(self) -> str:
        """The model_type of config.json. Raises ModelError where it is no text."""
        kind = self.settings["config.json"].get("model_type")
        if not isinstance(kind, str):
            raise ModelError(
                f"{self.path / 'config.json'} has model_type {kind!r}; expected a name such as 'clip': copy the folder again, whole"
            )
        return kind

    def config(self) -> dict[str, Any]:
        """config.json with its sizes checked, and squares given as pairs made one number. Raises ModelError."""
        return checked(self.settings["config.json"], str(self.path / "config.json"))

    def has(self, *files: str) -> bool:
        return all((self.path / file).is_file() for file in files)

    def shards(self) -> list[Path]:
        """The files that hold the weights. Raises ModelError where there are none, or they are pickled or lie elsewhere."""
        own = self.settings["config.json"].get("transformers_weights")
        if own is not None:
            raise ModelError(
                f"{self.name} names its weights itself (transformers_weights {own!r}); rename them {WEIGHTS}"
            )
        if self.has(WEIGHTS):
            return [self.path / WEIGHTS]
        if self.has(INDEX):
            return self._indexed(read_object(self.path / INDEX).get("weight_map"))
        pickled = sorted(file.name for file in self.path.iterdir() if file.suffix in (".bin", ".pt", ".pth", ".ckpt"))
        if pickled:
            raise ModelError(
                f"{self.name} has pickled weights alone ({', '.join(pickled[:3])}), and unpickling may run code; where you trust "
                f"them, load them with transformers and save_pretrained the model, which writes {WEIGHTS}"
            )
        raise ModelError(f"{self.name} has no {WEIGHTS}; copy the folder again, whole")

    def _indexed(self, placed: Any) -> list[Path]:
        names = set(placed.values()) if isinstance(placed, dict) and all_texts(placed.values()) else set()
        if not names:
            raise ModelError(f"{self.path / INDEX} has no weight_map of tensors to files; copy the folder again, whole")
        for name in sorted(names):
            if os.path.basename(name) != name or "\\" in name or not name.endswith(".safetensors"):
                raise ModelError(
                    f"{self.path / INDEX} names {name!r}; weights are .safetensors files in the same folder: copy it again, whole"
                )
            if not self.has(name):
                raise ModelError(f"{self.name} lacks {name}, which {INDEX} names; copy the folder again, whole")
        return [self.path / name for name in sorted(names)]


def open_folder(name: str | os.PathLike[str], *, local_files_only: bool = False) -> Folder:
    """A local folder, or that of a name on the hub, of which only data is fetched.

    Raises ModelError for what is no model's folder, settings that are no JSON objects, and settings that name code.
    """
    path = located(name, local_files_only)
    settings = {file: read_object(path / file) for file in SETTINGS if (path / file).is_file()}
    if "config.json" not in settings:
        raise ModelError(f"{name} has no config.json, so it holds no model; give a folder that save_pretrained wrote")
    for file, content in settings.items():
        refuse_code(path / file, content)
    if (path / "adapter_config.json").is_file():
        raise ModelError(
            f"{name} holds an adapter beside its model; merge them (merge_and_unload of peft) and save the model alone"
        )
    tokenizer = settings.get("tokenizer_config.json", {})
    for key in VOCABULARY_FILES:
        named = tokenizer.get(key)
        if isinstance(named, str) and os.path.basename(named) != named and os.path.exists(os.path.join(path, named)):
            raise ModelError(
                f"{path / 'tokenizer_config.json'} reads {named!r}, outside its folder; delete {key} there"
            )
    return Folder(str(name), path, settings)


def digest(name: str | os.PathLike[str]) -> str:
    """What tells a model's settings and weights from another's. Raises ModelError."""
    folder = open_folder(name)
    files = [folder.path / file for file in sorted(folder.settings)]
    return digest_of([*files, *folder.shards()], error=ModelError)


def located(name: str | os.PathLike[str], local_files_only: bool) -> Path:
    """The folder here, or that of the model which a package carries. Raises ModelError where there is none and none can be fetched."""
    if name == img_focus.NAME and not os.path.exists(name):
        return img_focus.dinov2()
    if not isinstance(name, str | os.PathLike) or not str(name):
        raise ModelError(f"a model is named {name!r}; give a folder that save_pretrained wrote, or a name on the hub")
    try:
        path = Path(name).expanduser()
        if path.exists():
            return path
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(f"{name} is no path ({error}); give a folder that save_pretrained wrote") from None
    if isinstance(name, os.PathLike) or str(name).startswith((".", "~", os.sep)):
        raise ModelError(f"{name} does not exist; give a folder that save_pretrained wrote, or a name on the hub")
    return fetched(str(name), local_files_only)


def fetched(name: str, local_files_only: bool) -> Path:
    """The hub's folder of a name in its cache: settings, vocabularies and safetensors of its top level, and nothing else."""
    from huggingface_hub import snapshot_download

    from homunculus.encoder.guard import quiet, refusing

    def fetch(files: list[str]) -> Path:
        return Path(
            snapshot_download(name, allow_patterns=files, ignore_patterns=["*/*"], local_files_only=local_files_only)
        )

    with refusing(name), quiet():
        path = fetch(SMALL_FILES)
        names = [WEIGHTS]
        if (path / INDEX).is_file():
            placed = read_object(path / INDEX).get("weight_map")
            names = sorted({str(file) for file in placed.values()}) if isinstance(placed, dict) else []
        return fetch(names)


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object. Raises ModelError for anything else, a file too large and numbers that are none among it."""
    check_file(path, error=ModelError, remedy=AGAIN)
    if (size := path.stat().st_size) > LARGEST_BYTES:
        raise ModelError(f"{path} has {size} bytes; the settings of a model have at most {LARGEST_BYTES}: {AGAIN}")
    found = read_json(path, error=ModelError, remedy=AGAIN)
    if not isinstance(found, dict):
        raise ModelError(f"{path} holds a {type(found).__name__}; expected a JSON object: {AGAIN}")
    for key, value in entries(found):
        if isinstance(value, float) and not math.isfinite(value):
            raise ModelError(f"{path} has {value} in {key!r}; expected a number: {AGAIN}")
    return found


def refuse_code(path: Path, content: Any) -> None:
    """Raises ModelError where settings, at any depth, name Python code."""
    for key, value in entries(content):
        if key == "auto_map" and value:
            raise ModelError(
                f"{path} asks for Python code from the folder ({key}: {value!r}), which never runs here; if the weights suit one of "
                f"the library's own models, delete {key}, or else convert them with their authors' code"
            )


def entries(content: Any) -> Iterator[tuple[Any, Any]]:
    """Every key or index, and value, of nested objects and lists."""
    waiting = [content]
    while waiting:
        part = waiting.pop()
        found = list(part.items() if isinstance(part, dict) else enumerate(part))
        yield from found
        waiting.extend(value for _, value in found if isinstance(value, dict | list))


def all_texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def checked(config: dict[str, Any], where: str, depth: int = 0) -> dict[str, Any]:
    """A copy of a configuration whose sizes are whole numbers within `SIZES`, squares given as pairs made one number.

    where: names it in messages. Raises ModelError for a size of another type or out of range, sides that differ, heads that do not
    divide what they share, and objects nested deeper than any model's.
    """
    if depth > DEEPEST:
        raise ModelError(
            f"{where} is nested more than {DEEPEST} deep; no model's configuration is: copy it again, whole"
        )
    found = {}
    for key, value in config.items():
        if key in SIZES:
            found[key] = size(key, value, where)
        else:
            found[key] = checked(value, f"{where}, {key}", depth + 1) if isinstance(value, dict) else value
    check_heads(found, where)
    return found


def size(key: str, value: Any, where: str) -> Any:
    """One size. Raises ModelError, as `checked` says."""
    if value is None:
        return None
    if key in SQUARES and isinstance(value, list) and len(value) == 2:
        if value[0] != value[1]:
            raise ModelError(
                f"{where} has {key} {value}; patches and training images must be square here, give a model with such"
            )
        value = value[0]
    least, most = SIZES[key]
    whole = isinstance(value, int) or (key == "mlp_ratio" and isinstance(value, float))
    if isinstance(value, bool) or not whole or not least <= value <= most:
        among = "3" if least == most else f"a whole number from {least} to {most}"
        raise ModelError(f"{where} has {key} {str(value)[:60]!r}; expected {among}: copy the folder again, whole")
    return value


def check_heads(config: dict[str, Any], where: str) -> None:
    """Raises ModelError where heads do not divide the width, or groups of heads the heads."""
    for whole, part in (
        ("hidden_size", "num_attention_heads"),
        ("hidden_size", "num_heads"),
        ("num_attention_heads", "num_key_value_heads"),
    ):
        total, count = config.get(whole), config.get(part)
        if whole == "hidden_size" and config.get("head_dim") is not None:
            continue
        if total is not None and count is not None and total % count:
            raise ModelError(
                f"{where} has {whole} {total}, which {part} {count} does not divide; copy the folder again, whole"
            )
