"""Why a kind of vision model cannot be fed with tokens of any place and scale."""

from __future__ import annotations

STAGES = "its stages merge or pool neighbours on a grid, so that no token has a place of its own"
CONVOLUTION = "it is a convolutional network, which has no tokens"
BIASES = "its attention adds a learned bias for every pair of places on its grid, which has no value between them"
WINDOWS = "its layers attend within windows that count their places anew, and its positions are tiled"
TILES = "its layers mix tiles of a picture, each with positions of its own"
TIMM = "its layers are timm's, whose names differ from model to model"
DETECTION = "it detects things in the features of a convolutional network"
CROPS = "it runs its encoder on overlapping crops at three scales and joins them on a grid"
TABLES = "its layers add tables of positions one after the other, for pictures that are no squares"
DIVIDED = "its attention is divided between space and time, over a rectangle of equal places in every frame"
FLAT = "its positions are a sinusoid of the running number of a patch, which has no value between rows or frames"
FACTORED = "it attends over time between equal places of all frames, so every frame needs the same tokens"
MESSAGES = "every frame is a picture of its own with a class token, which hands a message to a fixed number of others"
CODES = "it turns a picture into codes, by convolutions over the whole of it"
PIXELS = "it has no vision tower: pixels go straight into the layers that read text"
PACKED = "it packs the patches of all pictures into one row in a way that no row here tells of yet"
LAST = "its class token comes last, with a rotation of its own, which no row here tells of yet"
NO_ROW = "no row here tells where it keeps its parts"

REASONS: dict[str, tuple[str, ...]] = {
    STAGES: (
        "swin", "swinv2", "swin2sr", "donut-swin", "maskformer-swin", "hiera", "pvt", "pvt_v2", "segformer", "glpn", "cvt", "levit",
        "mobilevit", "mobilevitv2", "swiftformer", "focalnet", "dinat", "poolformer", "sam2_vision_model", "sam2_hiera_det_model",
        "edgetam_vision_model", "groupvit", "groupvit_vision_model", "florence_vision", "florence2",
    ),
    CONVOLUTION: (
        "bit", "convnext", "convnextv2", "dinov3_convnext", "efficientnet", "mobilenet_v1", "mobilenet_v2", "regnet", "resnet",
        "hgnet_v2", "pp_lcnet", "textnet", "align", "align_vision_model",
    ),
    BIASES: (
        "beit", "data2vec-vision", "sam", "sam_vision_model", "sam_hq", "sam_hq_vision_model", "vitdet", "got_ocr2", "got_ocr2_vision",
        "deepseek_ocr2", "deepseek_ocr2_vision", "deepseek_ocr2_sam_vision_model", "unlimited_ocr", "unlimited_ocr_vision",
        "unlimited_ocr_sam_vision_model", "slanext_vision", "pp_formulanet", "pp_formulanet_vision", "pp_chart2table",
        "pp_chart2table_vision",
    ),
    WINDOWS: ("sam3_vit_model", "sam3_vision_model"),
    TILES: ("mllama", "mllama_vision_model"),
    TIMM: ("timm_backbone", "timm_wrapper", "gemma3n", "gemma3n_vision", "fast_vlm", "perception_lm"),
    DETECTION: ("detr", "conditional_detr", "dab-detr", "deformable_detr", "table-transformer"),
    CROPS: ("depth_pro",),
    TABLES: ("yolos",),
    DIVIDED: ("timesformer",),
    FLAT: ("videomae",),
    FACTORED: ("videoprism", "videoprism_vision_model"),
    MESSAGES: ("xclip", "xclip_vision_model"),
    CODES: ("chameleon", "emu3", "apertus1p5"),
    PIXELS: ("fuyu", "imagegpt", "perceiver", "pix2struct", "pix2struct_vision_model", "udop"),
    PACKED: (
        "cohere_compass", "cohere_compass_vision", "cosmos3_edge", "cosmos3_edge_vision", "dots3_note", "dots3_note_vision_encoder",
        "ernie4_5_vl_moe", "ernie4_5_vl_moe_vision", "exaone4_5", "exaone4_5_vision",
        "glm5_next", "glm5_next_vision", "glm_image_vision", "glmga", "hunyuan_vl",
        "hunyuan_vl_vision", "hy_v4_vl", "hy_v4_vl_vision", "inkling2", "inkling2_loop", "inkling2_vision", "kimi_k25",
        "kimi_k25_vision", "lfm3_vl", "lfm3_vl_vision", "minicpm_ocr", "minicpm_ocr_vision", "minicpmv4_6", "minicpmv4_6_vision",
        "minicpmv4_7", "minicpmv4_7_vision", "minimax_m3_vl", "minimax_m3_vl_vision", "muse_glimmer", "muse_glimmer_vision",
        "muse_spark", "muse_spark_vision", "nemotron_h_omni", "paddleocr_vl", "paddleocr_vl_vision", "qwen2_5_omni_thinker",
        "qwen3_omni_moe_thinker",
        "video_llama_3", "video_llama_3_vision",
    ),
    LAST: ("llama4", "llama4_vision_model"),
}  # fmt: skip


def why_not(kind: str) -> str:
    """The reason, as it ends a sentence that begins with the model's type."""
    return next((reason for reason, kinds in REASONS.items() if kind in kinds), NO_ROW)
