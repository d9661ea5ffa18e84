"""Pixel shuffle (Shi et al., 2016, backwards): the features of m x m patches side by side become one token.

What the models' own processors write around and between views is text, and not of the budget.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.language.connector import Texts
from homunculus.language.projector import LAST, ProjectorConnector
from homunculus.language.prompt import SHORT


class InternVLConnector(ProjectorConnector):
    """InternVL (Chen et al., 2024): a tower of its own, whose last layer is taken after the tower's last norm."""

    model_types = ("internvl",)
    template = "<|im_start|>user\n{image}\n{question}" + SHORT + "<|im_end|>\n<|im_start|>assistant\n"
    around = ("<img>", "</img>")
    processing = (("crop_to_patches", True),)

    @classmethod
    def merge(cls, config: Any) -> int:
        side = round(1 / float(config.downsample_ratio))
        if side < 1 or 1 / side != config.downsample_ratio:
            raise ModelError(
                f"downsample_ratio is {config.downsample_ratio}; expected one over a whole number in config.json"
            )
        return side

    def layers(self, config: Any, depth: int) -> tuple[str, ...]:
        if not isinstance(config.vision_feature_layer, int):
            raise ModelError(
                f"vision_feature_layer is {config.vision_feature_layer}; its own code takes one layer: give a number in config.json"
            )
        return (LAST,) if config.vision_feature_layer == -1 else super().layers(config, depth)

    def project(self, cells: Tensor) -> Tensor:
        picture = cells.reshape(len(cells), self.side, self.side, -1)
        shuffled = self.model.model.pixel_shuffle(picture, scale_factor=self.model.config.downsample_ratio)
        return super().project(shuffled.flatten(1, 2))


class QianfanOCRConnector(InternVLConnector):
    """Qianfan-OCR (Baidu, 2026)."""

    model_types = ("qianfan_ocr",)


class AyaVisionConnector(ProjectorConnector):
    """Aya Vision (Dash et al., 2025): tiles come before the view of all, each behind its name."""

    model_types = ("aya_vision",)
    template = (
        "<BOS_TOKEN><|START_OF_TURN_TOKEN|><|USER_TOKEN|>{image}{question}"
        + SHORT
        + "<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"
    )
    around = ("<|START_OF_IMG|>", "<|END_OF_IMG|>")
    marker: ClassVar[str | None] = "<image>"
    processing: tuple[tuple[str, Any], ...] = (("crop_to_patches", True),)

    @classmethod
    def merge(cls, config: Any) -> int:
        return int(config.downsample_factor)

    def texts(self, lengths: Sequence[int], inputs: Mapping[str, Any]) -> Texts:
        names = [f"TILE_{number + 1}" for number in range(len(lengths) - 1)] + ["TILE_GLOBAL"]
        return tuple(zip(starts(lengths), names, strict=True))


class Cohere2VisionConnector(AyaVisionConnector):
    """Command A Vision (Cohere, 2025): a line's end behind each tile, and behind the one view."""

    model_types = ("cohere2_vision",)
    marker = None
    processing = ()

    def texts(self, lengths: Sequence[int], inputs: Mapping[str, Any]) -> Texts:
        return tuple((end, "<|IMG_LINE_BREAK|>") for end in [*starts(lengths)[1:], sum(lengths)])


class Idefics3Connector(ProjectorConnector):
    """Idefics3 (Laurençon et al., 2024): tiles row by row, each behind its name, and the view of all behind them."""

    model_types = ("idefics3",)
    template = "<|begin_of_text|>User:{image}{question}" + SHORT + "<end_of_utterance>\nAssistant:"
    around = ("<fake_token_around_image>", "<fake_token_around_image>")
    tower_path = "model.vision_model"
    language_path = "model.text_model"
    projector_path = "model.connector"
    inputs = ("pixel_values", "pixel_attention_mask")
    processing = (("return_row_col_info", True),)

    @classmethod
    def merge(cls, config: Any) -> int:
        return int(config.scale_factor)

    def views(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        (tokens,) = super().views(inputs)
        return list(tokens.chunk(inputs["pixel_values"].shape[1]))

    def texts(self, lengths: Sequence[int], inputs: Mapping[str, Any]) -> Texts:
        columns = inputs["cols"][0][0] if "cols" in inputs else 0
        said = [
            ("\n" * (not column and row > 0) + self.around[0]) * (row + column > 0)
            + f"<row_{row + 1}_col_{column + 1}>"
            for row, column in (divmod(number, columns or 1) for number in range(len(lengths) - 1))
        ]
        said.append(("\n\n" + self.around[0]) * bool(said) + "<global-img>")
        return tuple(zip(starts(lengths), said, strict=True))


class SmolVLMConnector(Idefics3Connector):
    """SmolVLM (Marafioti et al., 2025)."""

    model_types = ("smolvlm",)
    template = "<|im_start|>User:{image}{question}" + SHORT + "<end_of_utterance>\nAssistant:"


def starts(lengths: Sequence[int]) -> list[int]:
    """The number of each view's first token."""
    return [sum(lengths[:view]) for view in range(len(lengths))]
