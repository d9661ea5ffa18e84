"""Qwen2.5-VL (Bai et al., 2025): merged tokens, and positions in the language model that are rows and columns of the image.

A foveated token's row and column are those of the native token, 28 px wide at the image's full size, that holds its centre: whole
numbers, as in training, so that several fine tokens may share one, and a coarse one stands in the middle of what it covers. Time is 0.
The text behind the image goes on after the greater of the image's rows and columns, as it does behind a whole image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.prompt import SHORT


class Qwen25VLConnector(Connector):
    model_types = ("qwen2_5_vl",)
    loader = "Qwen2_5_VLForConditionalGeneration"
    template = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n<|vision_start|>{image}<|vision_end|>{question}"
        + SHORT
        + "<|im_end|>\n<|im_start|>assistant\n"
    )
    axes = 3

    @staticmethod
    def tower(model: Any) -> Any:
        return model.model.visual

    def image_tokens(self, encoding: Encoding, plan: SamplePlan, size: tuple[int, int]) -> ImageTokens:
        cell_px = self.encoder.patch_size
        rows, columns = -(-size[0] // cell_px), -(-size[1] // cell_px)
        cells = (plan.centers.to(encoding.tokens.device) / cell_px).floor().long()
        return placed(encoding.tokens, cells[:, 1].clamp(0, rows - 1), cells[:, 0].clamp(0, columns - 1), rows, columns)

    def whole(self, inputs: Mapping[str, Tensor]) -> ImageTokens:
        grid = inputs["image_grid_thw"]
        tokens = self.model.get_image_features(inputs["pixel_values"], grid).pooler_output[0]
        merge = int(self.model.config.vision_config.spatial_merge_size)
        _, rows, columns = (int(side) // merge for side in grid[0])
        number = torch.arange(len(tokens), device=tokens.device, dtype=torch.int64)
        return placed(tokens, number // columns, number % columns, rows, columns)


def placed(tokens: Tensor, row: Tensor, column: Tensor, rows: int, columns: int) -> ImageTokens:
    """Tokens [N, D] of one moment at rows and columns [N] of a grid."""
    return ImageTokens(tokens, torch.stack([torch.zeros_like(row), row, column]), max(rows, columns))
