"""ViT (Dosovitskiy et al., ICLR 2021) and models that are one under another name."""

from __future__ import annotations

from dataclasses import replace

from homunculus.encoder.anatomy import IMAGENET, Anatomy

VIT = Anatomy(
    types=("vit",),
    projection="embeddings.patch_embeddings.projection",
    special=("embeddings.cls_token",),
    table="embeddings.position_embeddings",
    before_layers="embeddings.dropout",
    layers="layers",
    norm="layernorm",
    block=(
        "layernorm_before", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj", "layernorm_after", "mlp",
    ),
    pooled="pooler",
    optional=("pooler",),
)  # fmt: skip
# DeiT (Touvron et al., ICML 2021): its distillation token stands, and is placed, behind the class token.
DEIT = replace(
    VIT,
    types=("deit",),
    special=("embeddings.cls_token", "embeddings.distillation_token"),
    placed=2,
    normalisation=IMAGENET,
)
# MSN (Assran et al., ECCV 2022) and I-JEPA (Assran et al., CVPR 2023) pool nothing; I-JEPA has no class token.
MSN = replace(VIT, types=("vit_msn",), pooled="", optional=(), normalisation=IMAGENET)
IJEPA = replace(MSN, types=("ijepa",), special=())
# The encoder of a masked autoencoder (He et al., CVPR 2022), with nothing masked.
MAE = replace(MSN, types=("vit_mae",), before_layers="")
# Pixio: eight class tokens, each with a position of its own; pooled is their mean.
PIXIO = replace(MSN, types=("pixio",), pooled="mean of special")

# DINOv2, with and without registers (Oquab et al., TMLR 2024; Darcet et al., ICLR 2024), whose own code shrinks and stretches the
# table of the latter by a cubic filter: the footprint's own position. The parts of a layer, each output with its learned scale.
DINO_BLOCK = (
    "norm1", "attention.q_proj", "attention.k_proj", "attention.v_proj", "attention.o_proj | layer_scale1", "norm2", "mlp | layer_scale2",
)  # fmt: skip
DINOV2 = replace(
    VIT,
    types=("dinov2",),
    layers="encoder.layer",
    block=DINO_BLOCK,
    pooled="class",
    optional=(),
    normalisation=IMAGENET,
)
DINOV2_WITH_REGISTERS = replace(
    DINOV2,
    types=("dinov2_with_registers",),
    special=("embeddings.cls_token", "embeddings.register_tokens"),
    position="footprint",
    reading="cubic",
)
# TIPS v2: a DINOv2 with registers under another normalisation.
TIPSV2 = replace(DINOV2_WITH_REGISTERS, types=("tipsv2_vision_model",))
# InternVL's own tower (Chen et al., CVPR 2024).
INTERNVL = replace(
    VIT,
    types=("internvl_vision",),
    layers="encoder.layer",
    block=(
        "layernorm_before", "attention.q_proj | attention.q_norm", "attention.k_proj | attention.k_norm", "attention.v_proj",
        "attention.projection_layer | lambda_1", "layernorm_after", "mlp | lambda_2",
    ),
    pooled="",
    optional=(),
    normalisation=IMAGENET,
)  # fmt: skip
QIANFAN_OCR = replace(INTERNVL, types=("qianfan_ocr_vision",), layers="layers")
# DPT (Ranftl et al., ICCV 2021), its encoder; nothing of its depth head.
DPT = replace(
    VIT,
    types=("dpt",),
    reading="bilinear",
    layers="encoder.layer",
    block=(
        "layernorm_before", "attention.attention.query", "attention.attention.key", "attention.attention.value",
        "attention.output.dense", "layernorm_after", "intermediate | output.dense",
    ),
)  # fmt: skip

ROWS = (VIT, DEIT, MSN, IJEPA, MAE, PIXIO, DINOV2, DINOV2_WITH_REGISTERS, TIPSV2, INTERNVL, QIANFAN_OCR, DPT)
