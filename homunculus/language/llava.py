"""LLaVA-1.5 (Liu et al., 2023): the tokens of a CLIP or SigLIP tower, one layer before its last, through a small MLP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.prompt import SHORT


class LlavaConnector(Connector):
    """The layers and the choice of tokens come from the configuration. With `full`, a class token goes to the language model, too.

    Raises ModelError where `default`, which leaves the first token out, would leave out a patch, and for layers that do not exist.
    """

    model_types = ("llava",)
    loader = "LlavaForConditionalGeneration"
    template = "USER: {image}\n{question}" + SHORT + " ASSISTANT:"

    def __init__(self, model: Any, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> None:
        super().__init__(model, mean, std)
        self.left_out = int(model.config.vision_feature_select_strategy == "default")
        self.special = self.encoder.family.special - self.left_out
        if self.special < 0:
            raise ModelError(
                f"vision_feature_select_strategy is 'default', which leaves out a class token, and a {self.encoder.family.name} "
                "tower has none; set it to 'full' in config.json"
            )
        layers = model.config.vision_feature_layer
        depth = len(self.encoder.family.layers)
        self.hidden = tuple(named(layer, depth) for layer in ([layers] if isinstance(layers, int) else layers))
        if not self.hidden:
            raise ModelError(
                "vision_feature_layer names no layer of the tower; set it to -2 in config.json, as LLaVA-1.5 has it"
            )

    @staticmethod
    def tower(model: Any) -> Any:
        return model.model.vision_tower

    def image_tokens(self, encoding: Encoding, plan: SamplePlan, size: tuple[int, int]) -> ImageTokens:
        features = torch.cat([encoding.hidden[name][0, self.left_out :] for name in self.hidden], -1)
        return in_order(self.model.model.multi_modal_projector(features))

    def whole(self, inputs: Mapping[str, Tensor]) -> ImageTokens:
        return in_order(self.model.get_image_features(pixel_values=inputs["pixel_values"]).pooler_output[0])


def named(layer: int, depth: int) -> str:
    """transformers' number of a hidden state, of depth + 1, by the encoder's name for it. Raises ModelError where there is none."""
    if not -depth - 1 <= layer <= depth:
        raise ModelError(
            f"vision_feature_layer is {layer} and the tower has {depth} layers; expected -{depth + 1} to {depth} in config.json"
        )
    index = layer if layer >= 0 else layer + depth + 1
    return f"layer.{index - 1}" if index else "embeddings"


def in_order(tokens: Tensor) -> ImageTokens:
    """Tokens [N, D] one after the other, like words."""
    return ImageTokens(tokens, torch.arange(len(tokens), device=tokens.device, dtype=torch.int64)[None], len(tokens))
