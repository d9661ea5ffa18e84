"""Gemma 3 (Gemma Team, 2025): patches averaged to fewer tokens, which see one another both ways in the language model."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.language.projector import ProjectorConnector
from homunculus.language.prompt import SHORT


class Gemma3Connector(ProjectorConnector):
    """A footprint's cells are averaged, as the model's own pooling averages squares of patches, normalised and projected.

    Raises ModelError for a tower whose patches do not make `mm_tokens_per_image` squares.
    """

    model_types = ("gemma3",)
    template = "<bos><start_of_turn>user\n{image}{question}" + SHORT + "<end_of_turn>\n<start_of_turn>model\n"
    around = ("\n\n<start_of_image>", "<end_of_image>\n\n")
    marker = "<start_of_image>"
    ahead = "image"
    processing = (("do_convert_rgb", True), ("do_pan_and_scan", False))

    @classmethod
    def merge(cls, config: Any) -> int:
        patches = int(config.vision_config.image_size // config.vision_config.patch_size)
        tokens = int(config.mm_tokens_per_image**0.5)
        if tokens < 1 or tokens**2 != config.mm_tokens_per_image or patches % tokens:
            raise ModelError(
                f"mm_tokens_per_image is {config.mm_tokens_per_image} and the tower has {patches} x {patches} patches; expected squares of "
                "patches: correct config.json"
            )
        return patches // tokens

    def project(self, cells: Tensor) -> Tensor:
        projector = self.model.model.multi_modal_projector
        pooled = projector.mm_soft_emb_norm(cells.mean(1))
        return F.linear(pooled, projector.mm_input_projection_weight.T).to(cells)
