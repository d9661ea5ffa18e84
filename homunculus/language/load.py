"""Vision-language models from disk or the hub, through transformers; what goes wrong becomes a ModelError."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import torch

from homunculus.bridge.errors import ModelError
from homunculus.encoder import FoveatedViT, TextEncoder, load
from homunculus.encoder.guard import check_options, library, refusing
from homunculus.language.connector import Connector
from homunculus.language.glm4v import Glm4vConnector
from homunculus.language.llava import (
    DeepSeekVLConnector,
    JanusConnector,
    LlavaConnector,
    LlavaNextConnector,
    LlavaOneVisionConnector,
    PaliGemmaConnector,
    VideoLlavaConnector,
    VipLlavaConnector,
)
from homunculus.language.merger import LightOnOCRConnector, Mistral3Connector
from homunculus.language.pooled import Gemma3Connector
from homunculus.language.qwen_vl import Qwen3VLConnector, Qwen25VLConnector
from homunculus.language.refused import reason
from homunculus.language.shuffle import (
    AyaVisionConnector,
    Cohere2VisionConnector,
    Idefics3Connector,
    InternVLConnector,
    QianfanOCRConnector,
    SmolVLMConnector,
)

DeviceMap: TypeAlias = "str | Mapping[str, int | str | torch.device]"
SAME = ("model_type", "hidden_size", "num_hidden_layers", "patch_size", "image_size")  # of one vision tower
CONNECTORS = (
    LlavaConnector, LlavaNextConnector, LlavaOneVisionConnector, VipLlavaConnector, VideoLlavaConnector, PaliGemmaConnector,
    DeepSeekVLConnector, JanusConnector, InternVLConnector, QianfanOCRConnector, Idefics3Connector, SmolVLMConnector, AyaVisionConnector,
    Cohere2VisionConnector, Gemma3Connector, Mistral3Connector, LightOnOCRConnector, Qwen25VLConnector, Qwen3VLConnector, Glm4vConnector,
)  # fmt: skip
registry: dict[str, type[Connector]] = {kind: each for each in CONNECTORS for kind in each.model_types}


def connector(
    name: str | Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
    device_map: DeviceMap | None,
    attention: str,
    local_files_only: bool,
) -> Connector:
    """The model of a folder or a hub name in eval mode. Raises ModelError where it is none of the registry, not whole, or cannot be spread
    over devices as asked.
    """
    transformers: Any = library()
    check_options(dtype, attention)
    options: dict[str, Any] = {} if device_map is None else {"device_map": spread(device_map)}
    folder = load.opened(name, local_files_only)
    if folder.kind not in registry:
        raise ModelError(
            f"{name} holds a {folder.kind!r}, which answers no questions here: {why_not(folder.kind)}; docs/models.md lists the "
            f"{len(registry)} types that do, such as llava, internvl and gemma3"
        )
    kind, config = registry[folder.kind], load.configuration(folder)
    loader = transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]
    loaded = load.built(folder, loader, config, dtype=dtype, attention=implementation(config, attention), **options)
    mean, std = load.values(name, local_files_only=local_files_only)
    with refusing(name):
        made = kind(loaded if device_map is not None else loaded.to(device), mean, std)
    check_places(made)
    return made


def spread(device_map: DeviceMap) -> DeviceMap:
    """Raises ModelError where accelerate, which spreads a model over devices, is not installed."""
    if find_spec("accelerate") is None:
        raise ModelError(
            "device_map needs accelerate, which is not installed; run: pip install accelerate, or give device= for one device"
        )
    return device_map


def check_places(made: Connector) -> None:
    """Raises ModelError where weights lie on no device, or those that see, before the language model, on several."""
    for name, weight in made.model.named_parameters():
        if weight.device.type == "meta":
            raise ModelError(
                f"{name} has no place on the devices of device_map; give devices with more room, or dtype=torch.bfloat16"
            )
    own = {id(weight) for part in (made.decoder.model, made.decoder.head) for weight in part.parameters()}
    places = {str(weight.device) for weight in made.model.parameters() if id(weight) not in own}
    if len(places) > 1:
        raise ModelError(
            f"device_map spreads the vision tower over {', '.join(sorted(places))}; give one that keeps all but the language model "
            "on one device"
        )


def implementation(config: Any, attention: str) -> str | dict[str, str]:
    """The attention asked for; `eager` for a language model that caps what attention is made of (Gemma 2), which sdpa cannot."""
    text = library().MODEL_MAPPING.get(type(config.get_text_config()), None)
    if attention != "sdpa" or text is None or text._supports_sdpa:
        return attention
    return {"": attention, "vision_config": attention, "text_config": "eager"}


def why_not(kind: str) -> str:
    """Why models of a type do not answer; empty for those that do."""
    return "" if kind in registry else reason(kind)


def lend_texts(connector: Connector, name: str | Path, *, local_files_only: bool = False) -> TextEncoder:
    """The text tower of a whole CLIP or SigLIP model, to compare words with what the connector's own vision tower sees.

    The projections into the space of texts are the whole model's, and a pooling head that the tower was saved without; the tower stays
    the connector's: they fit as far as it was not trained further, which LLaVA-1.5 left frozen. Raises ModelError for a model without
    texts, or another tower.
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
    if getattr(own.model, "use_head", True) is False:  # SigLIP's, which language models do not read
        own.model.head, own.model.use_head = whole.vision_model.head, True
    whole.vision_model = own.model
    connector.encoder = FoveatedViT(whole, merge=own.family.merge, mean=own.mean, std=own.std)
    return text
