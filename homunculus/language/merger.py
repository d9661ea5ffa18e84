"""A patch merger: m x m patches of a Pixtral tower, normalised, become one by a linear map of their features.

Of Mistral 3, as of each model with such a tower but LightOnOCR, a text stands behind each row of tokens (`bands`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.language.projector import INSTRUCTION, ProjectorConnector
from homunculus.language.prompt import SHORT


class Mistral3Connector(ProjectorConnector):
    """Mistral Small 3.1 (Mistral AI, 2025) and later ones with its tower."""

    model_types = ("mistral3",)
    template = INSTRUCTION
    inputs = ("pixel_values", "image_sizes")

    def views(self, inputs: Mapping[str, Any]) -> list[Tensor]:
        height, width = (int(side) for side in inputs["image_sizes"][0])
        if height * width == self.encoder.patch_size**2 and self.lines:
            raise ImageError(
                f"the model's own code takes no picture of one token, {height} x {width} px; show it larger, or foveated tokens of it"
            )
        return super().views(inputs)

    @classmethod
    def merge(cls, config: Any) -> int:
        return int(config.spatial_merge_size)

    def project(self, cells: Tensor) -> Tensor:
        """The merger is given one picture of all footprints side by side."""
        patch = self.encoder.patch_size // self.side
        picture = cells.reshape(len(cells), self.side, self.side, -1).transpose(0, 1).flatten(0, 2)
        tokens: Tensor = self.projector(picture, [(self.side * patch, len(cells) * self.side * patch)])
        return tokens


class LightOnOCRConnector(Mistral3Connector):
    """LightOnOCR (LightOn, 2025), which writes nothing between rows."""

    model_types = ("lighton_ocr",)
    template = "<|im_start|>user\n{image}{question}" + SHORT + "<|im_end|>\n<|im_start|>assistant\n"
    tower_path = "model.vision_encoder"
    projector_path = "model.vision_projection"
    lines = False
