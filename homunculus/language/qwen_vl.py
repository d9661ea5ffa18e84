"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL (Wang et al., 2024; Bai et al., 2025): merged tokens, and positions in the language model that are rows
and columns of the image.

A foveated token's row and column are those of the native token, 28 or 32 px wide at the image's full size, that holds its centre: whole
numbers, as in training, so that several fine tokens may share one, and a coarse one stands in the middle of what it covers. Time is 0.
The text behind the image goes on after the greater of the image's rows and columns, as it does behind a whole image. What the states
behind some of Qwen3-VL's layers of the tower add behind the language model's first layers, each token gets for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.prompt import SHORT

ASKED = (
    "<|im_start|>user\n<|vision_start|>{image}<|vision_end|>{question}" + SHORT + "<|im_end|>\n<|im_start|>assistant\n"
)


class Qwen25VLConnector(Connector):
    model_types: ClassVar[tuple[str, ...]] = ("qwen2_vl", "qwen2_5_vl")
    template = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + ASKED
    axes = 3

    @classmethod
    def tower(cls, model: Any) -> Any:
        return model.model.visual

    def image_tokens(self, encoding: Encoding, plan: SamplePlan, size: tuple[int, int]) -> ImageTokens:
        cell_px = self.encoder.patch_size
        rows, columns = -(-size[0] // cell_px), -(-size[1] // cell_px)
        cells = (plan.centers.to(encoding.tokens.device) / cell_px).floor().long()
        row, column = cells[:, 1].clamp(0, rows - 1), cells[:, 0].clamp(0, columns - 1)
        return placed(encoding.tokens, row, column, rows, columns, self.deep(encoding))

    def deep(self, encoding: Encoding) -> Tensor | None:
        """[L, N, D] what is added behind the language model's first L layers."""
        return None

    def whole(self, inputs: Mapping[str, Any]) -> ImageTokens:
        grid = inputs["image_grid_thw"]
        seen = self.model.get_image_features(inputs["pixel_values"], grid)
        tokens = seen.pooler_output[0]
        merge = int(self.model.config.vision_config.spatial_merge_size)
        _, rows, columns = (int(side) // merge for side in grid[0])
        number = torch.arange(len(tokens), device=tokens.device, dtype=torch.int64)
        deep = getattr(seen, "deepstack_features", None)
        deep = torch.stack([each[0] for each in deep]) if deep else None
        return placed(tokens, number // columns, number % columns, rows, columns, deep)


class Qwen3VLConnector(Qwen25VLConnector):
    model_types = ("qwen3_vl", "qwen3_vl_moe")
    template = ASKED

    def __init__(self, model: Any, *values: Any, **named: Any) -> None:
        super().__init__(model, *values, **named)
        self.hidden = tuple(f"layer.{index}" for index in model.config.vision_config.deepstack_visual_indexes)

    def deep(self, encoding: Encoding) -> Tensor | None:
        mergers = self.tower(self.model).deepstack_merger_list
        made = [merger(encoding.hidden[name][0]) for name, merger in zip(self.hidden, mergers, strict=True)]
        return torch.stack(made) if made else None


def placed(
    tokens: Tensor, row: Tensor, column: Tensor, rows: int, columns: int, deep: Tensor | None = None
) -> ImageTokens:
    """Tokens [N, D] of one moment at rows and columns [N] of a grid."""
    return ImageTokens(tokens, torch.stack([torch.zeros_like(row), row, column]), max(rows, columns), deep)
