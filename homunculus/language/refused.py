"""Models of transformers that take pictures and texts, and do not answer here: why."""

from __future__ import annotations

NO_ADAPTER = "there is no adapter for what it does between its tower and its language model"
NO_EYES = "it is none of the models of transformers that take a picture and a text and write"

REASONS: dict[str, tuple[str, ...]] = {
    "it makes codes of a picture by convolutions (a vector quantiser), and has no tower of patches": (
        "apertus1p5", "chameleon", "emu3",
    ),
    "patches enter its language model without a tower": ("fuyu", "gemma4_unified", "inkling_mm_model"),
    "its tower is one of timm's, whose layers are not run one by one here": ("fast_vlm", "gemma3n", "perception_lm"),
    "its tower mixes windows or convolutions of a grid, which tokens of any place and scale do not have": (
        "deepseek_ocr2", "deepseek_vl_hybrid", "florence2", "got_ocr2", "pp_chart2table", "pp_formulanet", "unlimited_ocr",
    ),
    "its language model looks at the picture through cross-attention, and no token of the picture stands in its prompt": (
        "blip", "idefics", "mllama", "udop", "vision-encoder-decoder",
    ),
    "an encoder reads picture and text, and a decoder of another kind writes": ("pix2struct", "t5gemma2"),
    "a resampler makes a fixed number of tokens of every picture, so that a budget of tokens would not reach its language model": (
        "aria", "blip-2", "idefics2", "instructblip", "instructblipvideo", "kosmos-2", "kosmos-2.5",
    ),
    "its language model has recurrent or convolutional layers, which are not run layer by layer here": (
        "glm5_next", "inkling2", "inkling2_loop", "lfm2_vl", "lfm3_vl", "minicpm_ocr", "minicpmv4_6", "minicpmv4_7", "nemotron_h_omni",
        "qwen3_5", "qwen3_5_moe", "qwen4_exp",
    ),
    "it writes blocks of text by diffusion, and not one token after the other": ("diffusion_gemma",),
    "it moves robots": ("pi0",),
    "it reads proteins, and no pictures": ("evolla",),
    "transformers loads it as a language model without a tower": ("mistral4",),
    "it tells whether a picture keeps to a policy by the odds of yes and no, and answers nothing else": ("shieldgemma2",),
}  # fmt: skip
REFUSED = {kind: reason for reason, kinds in REASONS.items() for kind in kinds}


def reason(kind: str) -> str:
    """Why a model type has no connector."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    return REFUSED.get(kind) or (NO_ADAPTER if kind in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES else NO_EYES)
