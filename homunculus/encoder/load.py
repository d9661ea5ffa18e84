"""Vision models from disk or the hub, through transformers, without its notices and without weights it would make up."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from homunculus.encoder.families import family_of
from homunculus.errors import ModelError

CONFIGURATIONS = ("preprocessor_config.json", "processor_config.json")


def model(name: str | Path, *, dtype: torch.dtype, attention: str, local_files_only: bool) -> Any:
    """The whole model in eval mode, or its vision tower alone where the rest is a language model. Raises ModelError."""
    transformers = library()
    folder = checked_folder(name)
    options = {"dtype": dtype, "attn_implementation": attention, "local_files_only": local_files_only}
    with refusing(folder), quiet():
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=local_files_only)
        family = family_of(config)
        loader: Any = transformers.AutoModel
        if config.model_type.startswith("qwen2_5_vl"):
            from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import Qwen2_5_VisionTransformerPretrainedModel

            loader = Qwen2_5_VisionTransformerPretrainedModel
            options["config"] = getattr(config, "vision_config", config)
            options["key_mapping"] = {r"^(model\.)?visual\.": ""}
        loaded, report = loader.from_pretrained(folder, output_loading_info=True, **options)
    missing = sorted(report["missing_keys"])
    for part in family.optional:
        if any(key.split(".")[0] == part for key in missing):
            setattr(loaded, part, None)
            missing = [key for key in missing if key.split(".")[0] != part]
    check_whole(name, missing)
    return loaded.eval()


def check_whole(name: str | Path, missing: Sequence[str]) -> None:
    """Raises ModelError where tensors are missing from a checkpoint: transformers would make them up."""
    if missing:
        raise ModelError(
            f"{name} lacks {len(missing)} of the tensors its config.json asks for, such as {', '.join(missing[:3])}; they would be "
            "random numbers: copy the folder again, whole, or load a model whose weights match its configuration"
        )


def normalisation(name: str | Path, *, local_files_only: bool) -> tuple[list[float] | None, list[float] | None]:
    """image_mean and image_std of the model's preprocessor, None where it names none."""
    from transformers.utils.hub import cached_file

    for file in CONFIGURATIONS:
        with quiet():
            found = cached_file(
                str(name),
                file,
                local_files_only=local_files_only,
                _raise_exceptions_for_missing_entries=False,
                _raise_exceptions_for_connection_errors=False,
                _raise_exceptions_for_gated_repo=False,
            )
        if found is not None:
            options = json.loads(Path(found).read_text("utf-8"))
            options = options.get("image_processor", options)
            if options.get("do_normalize") is False:
                return [0.0, 0.0, 0.0], [1.0, 1.0, 1.0]
            return options.get("image_mean"), options.get("image_std")
    return None, None


def library() -> Any:
    """The transformers package. Raises ModelError where it is not installed."""
    try:
        import transformers
    except ImportError as error:
        raise ModelError(f"pretrained models need transformers ({error}); run: pip install transformers") from None
    return transformers


def checked_folder(name: str | Path) -> str:
    """The name as transformers takes it. Raises ModelError for a folder without a configuration."""
    path = Path(name).expanduser()
    if path.exists():
        if not (path / "config.json").is_file():
            raise ModelError(
                f"{name} has no config.json, so it holds no model; give a folder that save_pretrained wrote"
            )
        return str(path)
    if isinstance(name, Path) or str(name).startswith((".", "~", os.sep)):
        raise ModelError(f"{name} does not exist; give a folder that save_pretrained wrote, or a name on the hub")
    return str(name)


@contextmanager
def refusing(name: str) -> Iterator[None]:
    """Turns what transformers raises about a model into a ModelError that says what to do."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        where = "is no folder here and could not be fetched" if not Path(name).exists() else "could not be loaded"
        raise ModelError(
            f"{name} {where} ({reason}); where there is a network, run: hf download {name if not Path(name).exists() else 'NAME'} "
            "--local-dir FOLDER, and give FOLDER"
        ) from None


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' load reports and progress bars."""
    from transformers import utils

    logging: Any = utils.logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
