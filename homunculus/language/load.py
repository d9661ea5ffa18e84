"""Vision-language models from disk or the hub, through transformers; what goes wrong becomes a ModelError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from homunculus.encoder import load
from homunculus.errors import ModelError
from homunculus.language.llava import Llava
from homunculus.language.qwen2_5_vl import Qwen25VL
from homunculus.language.speaker import Speaker

registry: dict[str, type[Speaker]] = {kind: speaker for speaker in (Llava, Qwen25VL) for kind in speaker.model_types}


def speaker(
    name: str | Path, *, dtype: torch.dtype, device: torch.device | str, attention: str, local_files_only: bool
) -> Speaker:
    """The model of a folder or a hub name in eval mode. Raises ModelError where it is none of the registry, or not whole."""
    transformers, folder = load.library(), load.checked_folder(name)
    with load.refusing(folder), load.quiet():
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=local_files_only)
        if config.model_type not in registry:
            raise ModelError(
                f"{name} holds a {config.model_type!r}, which answers no questions here; supported are {', '.join(registry)}"
            )
        kind = registry[config.model_type]
        loaded, report = getattr(transformers, kind.loader).from_pretrained(
            folder,
            output_loading_info=True,
            dtype=dtype,
            attn_implementation=attention,
            local_files_only=local_files_only,
        )
    load.check_whole(name, sorted(report["missing_keys"]))
    mean, std = load.normalisation(name, local_files_only=local_files_only)
    return kind(loaded.eval().to(device), mean, std)


def tokenizer(name: str | Path, *, local_files_only: bool) -> Any:
    """The tokenizer of the same folder. Raises ModelError where there is none."""
    folder = load.checked_folder(name)
    with load.refusing(folder), load.quiet():
        return load.library().AutoTokenizer.from_pretrained(folder, local_files_only=local_files_only)


def processor(name: str | Path, *, local_files_only: bool) -> Any:
    """What the model's authors do to a whole image, without torchvision. Raises ModelError where the folder does not say."""
    folder = load.checked_folder(name)
    with load.refusing(folder), load.quiet():
        return load.library().AutoImageProcessor.from_pretrained(
            folder, backend="pil", local_files_only=local_files_only
        )
