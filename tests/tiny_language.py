"""Vision-language models with a few random weights, saved with a tokenizer as transformers saves them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from tiny_models import SQUARE, randomised, tiny

IMAGE, VOCABULARY = 9, 64
WORDS = (
    "<unk>", "<s>", "</s>", "<pad>", "USER", "ASSISTANT", ":", "Answer", "the", "<image>", "question", "using", "a", "single", "word", "or",
    "phrase", ".", "what", "is", "red", "top", "left", "?", "total", "<video>", "<start>", "<end>",
)  # fmt: skip
TEXT: dict[str, Any] = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": VOCABULARY,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3,
}  # fmt: skip


@cache
def tiny_llava(
    tower: str = "clip",
    layer: int | tuple[int, ...] = -2,
    strategy: str = "default",
    text: str = "llama",
    depth: int = 4,
) -> Any:
    """LLaVA of a tower of 4 x 4 patches of 8 px, 3 layers. Cached: do not change it."""
    import transformers as t

    vision = {"clip": t.CLIPVisionConfig, "siglip": t.SiglipVisionConfig}[tower](**SQUARE)
    words = {"llama": t.LlamaConfig, "qwen2": t.Qwen2Config, "mistral": t.MistralConfig}[text]
    config = t.LlavaConfig(
        vision_config=vision,
        text_config=words(**TEXT, num_hidden_layers=depth),
        image_token_index=IMAGE,
        vision_feature_layer=layer if isinstance(layer, int) else list(layer),
        vision_feature_select_strategy=strategy,
    )
    return randomised(t.LlavaForConditionalGeneration(config))


@cache
def tiny_qwen(kind: str = "qwen2_5_vl") -> Any:
    """Qwen2-VL and its successors, or GLM-4.1V and its, whose tokens are 8 px wide. Cached: do not change it."""
    import transformers as t

    text = TEXT | {
        "num_hidden_layers": 3,
        "head_dim": 8,
        "rope_parameters": {
            "rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4, "partial_rotary_factor": 1.0,
        },
    }  # fmt: skip
    if kind.endswith("_moe"):
        experts = "n_routed_experts" if kind == "glm4v_moe" else "num_experts"
        text |= {experts: 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
    wide = {"hidden_size": 32} if kind == "qwen2_vl" else {"out_hidden_size": 32}
    tower = {"qwen3_vl_moe": "qwen3_vl", "glm46v": "glm4v"}.get(kind, kind)
    vision = tiny(f"{tower}_vision").config.to_dict() | wide
    vision.pop("model_type")
    ids = {"image_token_id": IMAGE, "video_token_id": 25, "vision_start_token_id": 26, "vision_end_token_id": 27}
    if kind.startswith("glm"):
        ids |= {
            "image_start_token_id": 26,
            "image_end_token_id": 27,
            "video_start_token_id": 26,
            "video_end_token_id": 27,
        }
    config = t.CONFIG_MAPPING[kind](text_config=text, vision_config=vision, **ids)
    return randomised(t.AutoModelForImageTextToText.from_config(config))


def save(model: Any, folder: Path, template: str | None = None) -> Path:
    """The model with a tokenizer of a few words and a processor of 32 x 32 px."""
    model.save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    if model.config.model_type == "llava":
        from transformers import CLIPImageProcessorPil

        size = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        CLIPImageProcessorPil(**size).save_pretrained(folder)
    else:
        from transformers import Qwen2VLImageProcessorPil

        Qwen2VLImageProcessorPil(patch_size=4, merge_size=2, min_pixels=64, max_pixels=64 * 64).save_pretrained(folder)
    return folder


def tokenizer(template: str | None = None) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    found = PreTrainedTokenizerFast(tokenizer_object=own, **names, additional_special_tokens=["<image>"])
    found.chat_template = template
    return found
