"""Why a kind of vision model cannot be fed with tokens of any place and scale."""

from __future__ import annotations

STAGES = "its stages merge or pool neighbours on a grid, so a token has no place of its own"
CONVOLUTION = "it is a convolutional network, which has no tokens"
BIASES = "its attention adds a bias for every pair of places on the grid, which has no value between them"
NEITHER = "it is no vision transformer that this library knows"

REASONS: dict[str, tuple[str, ...]] = {
    STAGES: (
        "swin", "swinv2", "swin2sr", "donut-swin", "maskformer-swin", "hiera", "pvt", "pvt_v2", "segformer", "glpn", "cvt", "levit",
        "mobilevit", "mobilevitv2", "swiftformer", "focalnet", "dinat", "poolformer", "sam2_vision_model", "sam2_hiera_det_model",
        "edgetam_vision_model", "groupvit", "groupvit_vision_model", "florence_vision",
    ),
    CONVOLUTION: (
        "bit", "convnext", "convnextv2", "dinov3_convnext", "efficientnet", "mobilenet_v1", "mobilenet_v2", "regnet", "resnet",
        "hgnet_v2", "pp_lcnet", "textnet", "align", "align_vision_model",
    ),
    BIASES: (
        "beit", "data2vec-vision", "sam_vision_model", "sam", "sam_hq", "sam_hq_vision_model", "vitdet", "got_ocr2_vision",
        "deepseek_ocr2_sam_vision_model",
    ),
}  # fmt: skip


def why_not(kind: str) -> str:
    """The reason, as it ends a sentence that begins with the model's type."""
    return next((reason for reason, kinds in REASONS.items() if kind in kinds), NEITHER)
