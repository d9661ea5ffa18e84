"""Vision-language models from disk or the hub, through transformers; what goes wrong becomes a ModelError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.errors import ModelError
from homunculus.encoder import load
from homunculus.encoder.guard import check_options, library, refusing
from homunculus.language.connector import Connector
from homunculus.language.llava import LlavaConnector
from homunculus.language.qwen2_5_vl import Qwen25VLConnector

CONNECTORS = (LlavaConnector, Qwen25VLConnector)
registry: dict[str, type[Connector]] = {kind: connector for connector in CONNECTORS for kind in connector.model_types}


def connector(
    name: str | Path, *, dtype: torch.dtype, device: torch.device | str, attention: str, local_files_only: bool
) -> Connector:
    """The model of a folder or a hub name in eval mode. Raises ModelError where it is none of the registry, or not whole."""
    transformers: Any = library()
    check_options(dtype, attention)
    folder = load.opened(name, local_files_only)
    if folder.kind not in registry:
        raise ModelError(
            f"{name} holds a {folder.kind!r}, which answers no questions here; supported are {', '.join(registry)}"
        )
    kind, config = registry[folder.kind], load.configuration(folder)
    loader = getattr(transformers, kind.loader)
    loaded = load.built(folder, loader, config, dtype=dtype, attention=attention)
    mean, std = load.values(name, local_files_only=local_files_only)
    with refusing(name):
        return kind(loaded.to(device), mean, std)
