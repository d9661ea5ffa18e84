"""Vision-language models from disk or the hub, through transformers; what goes wrong becomes a ModelError."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.errors import ModelError
from homunculus.encoder import FoveatedViT, TextEncoder, load
from homunculus.encoder.guard import check_options, library, refusing
from homunculus.language.connector import Connector
from homunculus.language.llava import LlavaConnector
from homunculus.language.qwen_vl import Qwen2VLConnector, Qwen3VLConnector, Qwen3VLMoeConnector, Qwen25VLConnector

SAME = ("model_type", "hidden_size", "num_hidden_layers", "patch_size", "image_size")  # of one vision tower
CONNECTORS = (
    LlavaConnector,
    Qwen2VLConnector,
    Qwen25VLConnector,
    Qwen3VLConnector,
    Qwen3VLMoeConnector,
)
registry: dict[str, type[Connector]] = {kind: each for each in CONNECTORS for kind in each.model_types}


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


def lend_texts(connector: Connector, name: str | Path, *, local_files_only: bool = False) -> TextEncoder:
    """The text tower of a whole CLIP or SigLIP model, to compare words with what the connector's own vision tower sees.

    The projections into the space of texts are the whole model's, the vision tower stays the connector's: the two fit as far as the
    tower was not trained further, which LLaVA-1.5 left frozen. Raises ModelError for a model without texts, or another tower.
    """
    own = connector.encoder
    weight = next(own.parameters())
    whole = load.model(name, dtype=weight.dtype, attention="sdpa", local_files_only=local_files_only).to(weight.device)
    theirs = getattr(whole.config, "vision_config", whole.config)
    unlike = [part for part in SAME if getattr(own.family.config, part, None) != getattr(theirs, part, None)]
    if unlike:
        told = ", ".join(
            f"{part} {getattr(theirs, part, None)}, not {getattr(own.family.config, part, None)}" for part in unlike
        )
        raise ModelError(
            f"the vision tower of {name} is another one ({told}); give the model that this tower was taken from"
        )
    text = TextEncoder.from_pretrained(name, model=whole, local_files_only=local_files_only)
    whole.vision_model = own.model
    connector.encoder = FoveatedViT(whole, mean=own.mean, std=own.std)
    return text
