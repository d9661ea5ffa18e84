"""The vision towers of GLM-4.1V and its kin (Hong et al., 2025): Qwen2-VL's, with norms of its own, and a convolution that merges.

GLM-4.1V has a learned table of positions beside the rotary ones, read bicubically at each patch's centre; GLM-OCR has none, and norms
queries and keys. What the tower itself calls its last hidden state are the merged tokens before a last MLP.
"""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from homunculus.encoder.anatomy import CLIP, Anatomy, part
from homunculus.encoder.families.qwen2_vl import QwenVL
from homunculus.encoder.family import LayerContext

ANATOMY = Anatomy(
    types=("glm4v_vision", "glm4v_moe_vision"),
    projection="patch_embed.proj",
    behind_projection="post_conv_layernorm",
    table="embeddings.position_embedding.weight",
    layers="blocks",
    norm="post_layernorm",
    pooled="",
    normalisation=CLIP,
)
GLM_OCR = replace(ANATOMY, types=("glm_ocr_vision",), behind_projection="", table="")


class GLM4V(QwenVL):
    def finish(self, x: Tensor, context: LayerContext) -> tuple[Tensor, Tensor, Tensor | None]:
        normed = part(self.tower, self.anatomy.norm)(x)
        cells = normed.reshape(-1, self.merge, self.merge, normed.shape[-1]).permute(0, 3, 1, 2)
        joined = self.tower.downsample(cells).reshape(len(x), -1, self.dim)
        merged = self.tower.merger(joined)
        return joined, merged, merged
