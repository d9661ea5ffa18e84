"""Vision-language models of every family that projects its tower's cells, with a few random weights, and what their own code makes of a
picture: the prompt as the model's own processor expands it, and the logits of the model's own forward."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from tiny_models import randomised
from torch import Tensor

IMAGE = 9
WORDS = (
    "<unk>", "<bos>", "<eos>", "<pad>", "USER", "ASSISTANT", ":", "Answer", "the", "<image>", "question", "using", "a", "single", "word",
    "or", "phrase", ".", "what", "is", "red", "top", "left", "?", "total", "en", "user", "User", "Assistant", "answer", "model", "you",
)  # fmt: skip
SPECIAL = (
    "<img>", "</img>", "<fake_token_around_image>", "<global-img>", "[IMG_BREAK]", "[IMG_END]", "<start_of_image>", "<end_of_image>",
    "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE_GLOBAL", "TILE_1", "TILE_2", "TILE_3", "TILE_4", "\n", "\n\n",
    "<begin_of_image>",
    *(f"<row_{row}_col_{column}>" for row in (1, 2, 3) for column in (1, 2, 3)),
)  # fmt: skip
VOCABULARY = len(WORDS) + len(SPECIAL)
TEXT: dict[str, Any] = {
    "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 48, "vocab_size": VOCABULARY,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3, "num_hidden_layers": 3,
}  # fmt: skip
TOWER: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48, "image_size": 48, "patch_size": 8,
}  # fmt: skip
PINPOINTS = [[48, 96], [96, 48], [96, 96]]
# Families, each by the name of its model type, or of what is special in it.
FAMILIES = {
    "vipllava": "VipLlava", "video_llava": "VideoLlava", "llava_next": "LlavaNext", "llava_next_video": "LlavaNextVideo",
    "llava_onevision": "LlavaOnevision", "paligemma": "PaliGemma", "paligemma2": "PaliGemma", "deepseek_vl": "DeepseekVL",
    "internvl": "InternVL", "idefics3": "Idefics3", "smolvlm": "SmolVLM", "aya_vision": "AyaVision", "cohere2_vision": "Cohere2Vision",
    "gemma3": "Gemma3", "janus": "Janus", "qianfan_ocr": "QianfanOCR", "llava_pixtral": "Llava",
    "mistral3": "Mistral3", "lighton_ocr": "LightOnOcr",
}  # fmt: skip


@cache
def tiny_answerer(family: str) -> Any:
    """The model in eval mode. Cached: do not change it."""
    import transformers as t

    name = FAMILIES[family]
    config = getattr(t, f"{name}Config")(**settings(family))
    return randomised(getattr(t, f"{name}ForConditionalGeneration")(config))


@cache
def half(family: str) -> Any:
    return copy.deepcopy(tiny_answerer(family)).to(torch.bfloat16)


def settings(family: str) -> dict[str, Any]:
    clip, siglip = TOWER | {"model_type": "clip_vision_model"}, TOWER | {"model_type": "siglip_vision_model"}
    pixtral = TOWER | {"model_type": "pixtral", "head_dim": 8}
    match family:
        case "vipllava":
            own = {"vision_config": clip, "vision_feature_layer": [-2, -1, 1], "text_config": text("llama")}
        case "video_llava":
            own = {"vision_config": clip, "text_config": text("llama"), "video_token_index": 30}
        case "llava_next" | "llava_next_video":
            own = {"vision_config": clip, "text_config": text("mistral" if family == "llava_next" else "llama")}
            own |= {"image_grid_pinpoints": PINPOINTS}
        case "llava_onevision":
            own = {
                "vision_config": siglip | {"vision_use_head": False},
                "text_config": text("qwen2"),
                "video_token_index": 30,
            }
            own |= {"image_grid_pinpoints": PINPOINTS}
        case "paligemma" | "paligemma2":
            kind = "gemma" if family == "paligemma" else "gemma2"
            own = {
                "vision_config": siglip | {"vision_use_head": False},
                "text_config": text(kind),
                "projection_dim": 32,
            }
        case "janus":
            quantiser = {
                "embed_dim": 8,
                "num_embeddings": 8,
                "latent_channels": 32,
                "base_channels": 32,
                "channel_multiplier": [1],
            }
            quantiser |= {"num_res_blocks": 1, "hidden_size": 32, "projection_dim": 32, "image_token_embed_dim": 32}
            own = {
                "vision_config": TOWER | {"mlp_ratio": 1.5, "projection_dim": 32},
                "vq_config": quantiser,
                "text_config": text("llama"),
            }
        case "deepseek_vl":
            own = {"vision_config": siglip, "text_config": text("llama")}
        case "internvl" | "qianfan_ocr":
            own = {
                "vision_config": TOWER | {"use_mean_pooling": False, "use_qk_norm": True, "layer_scale_init_value": 0.6}
            }
            own |= {"text_config": text("qwen3")}
        case "idefics3" | "smolvlm":
            own = {"vision_config": TOWER, "text_config": text("llama")}
        case "aya_vision":
            own = {"vision_config": siglip | {"vision_use_head": False}, "text_config": text("cohere2")}
            own |= {"alignment_intermediate_size": 40}
        case "cohere2_vision":
            own = {"vision_config": siglip, "text_config": text("cohere2"), "alignment_intermediate_size": 40}
        case "gemma3":
            own = {
                "vision_config": siglip | {"vision_use_head": False},
                "text_config": text("gemma3_text"),
                "mm_tokens_per_image": 9,
            }
        case "llava_pixtral":
            own = {"vision_config": pixtral, "text_config": text("mistral"), "vision_feature_layer": -1}
            own |= {"vision_feature_select_strategy": "full"}
        case "mistral3":
            own = {"vision_config": pixtral, "text_config": text("mistral")}
        case "lighton_ocr":
            own = {"vision_config": pixtral, "text_config": text("qwen3")}
    token = "image_token_id" if family in BY_ID else "image_token_index"
    return own | {token: IMAGE}


BY_ID = (
    "deepseek_vl",
    "internvl",
    "idefics3",
    "smolvlm",
    "cohere2_vision",
    "lighton_ocr",
    "gemma3",
    "janus",
    "qianfan_ocr",
)


def text(kind: str) -> dict[str, Any]:
    """The configuration of a language model, with windows in every second layer where it has them."""
    own = TEXT | {"model_type": kind}
    windows = ["sliding_attention", "full_attention", "sliding_attention"]
    match kind:
        case "mistral":
            return own | {"sliding_window": None, "head_dim": 8}
        case "gemma" | "qwen3":
            return own | {"head_dim": 8}
        case "gemma2":
            return own | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 12, "layer_types": windows}
        case "gemma3_text":
            return own | {"head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 12, "layer_types": windows}
        case "cohere2":
            return own | {"sliding_window": 12, "layer_types": windows}
    return own


def expanded(family: str, count: int, inputs: dict[str, Any]) -> str:
    """What the model's own processor writes for a picture, by its own code. count: tokens of a view. inputs: of the image processor."""
    import transformers as t

    views = int(inputs.get("num_patches", [1])[0])
    match family:
        case "internvl" | "qianfan_ocr":
            own = SimpleNamespace(
                start_image_token="<img>", end_image_token="</img>", image_token="<image>", image_seq_length=count
            )
            return str(getattr(t, f"{FAMILIES[family]}Processor").replace_image_token(own, {"num_patches": [views]}, 0))
        case "idefics3" | "smolvlm":
            tags = {
                "fake_image_token": "<fake_token_around_image>",
                "global_image_tag": "<global-img>",
                "image_token": "<image>",
            }
            own = SimpleNamespace(**tags, global_image_token=tags["global_image_tag"], image_seq_len=count)
            shape = {name: inputs.get(name, [[0]]) for name in ("rows", "cols")}
            kind = t.Idefics3Processor if family == "idefics3" else t.SmolVLMProcessor
            return str(kind.replace_image_token(own, shape, 0))
        case "aya_vision":
            names = {
                "start_of_img_token": "<|START_OF_IMG|>",
                "end_of_img_token": "<|END_OF_IMG|>",
                "img_patch_token": "<image>",
            }
            names |= {"tile_token": "TILE", "tile_global_token": "TILE_GLOBAL"}
            own = SimpleNamespace(**names, img_size=round(count**0.5), patch_size=1)
            return str(t.AyaVisionProcessor.replace_image_token(own, {"num_patches": [views]}, 0))
        case "cohere2_vision":
            names = {
                "boi_token": "<|START_OF_IMG|>",
                "eoi_token": "<|END_OF_IMG|>",
                "img_line_break_token": "<|IMG_LINE_BREAK|>",
            }
            own = SimpleNamespace(**names, image_token="<image>", patch_size=round(count**0.5))
            return str(t.Cohere2VisionProcessor.replace_image_token(own, {"num_patches": [views]}, 0))
        case "janus":
            own = SimpleNamespace(
                image_start_token="<begin_of_image>", image_end_token="<end_of_image>", image_token="<image>"
            )
            own.num_image_tokens = count
            return str(t.JanusProcessor.replace_image_token(own, {}, 0))
        case "gemma3":
            return "\n\n<start_of_image>" + "<image>" * count + "<end_of_image>\n\n"
        case "mistral3" | "llava_pixtral":
            side = 16 if family == "mistral3" else 8  # its own processor cannot be had without torchvision
            rows, columns = (int(length) // side for length in inputs["image_sizes"][0])
            return ("[IMG_BREAK]".join(["<image>" * columns] * rows)) + "[IMG_END]"
    return "<image>" * count


def own_logits(model: Any, family: str, ids: Tensor, inputs: dict[str, Any], **options: Any) -> Tensor:
    """[S, V] of the model's own forward of a prompt [S] and what its image processor made. options: for its tower."""
    told = {name: value for name, value in inputs.items() if name not in ("rows", "cols", "num_patches", "num_crops")}
    told |= of_prompt(family, ids)
    if options:
        told = told | {
            "mm_encoder_outputs": {"image": model.model.get_image_features(told.pop("pixel_values"), **options)}
        }
    return model(input_ids=ids[None], **told).logits[0]  # type: ignore[no-any-return]


def of_prompt(family: str, ids: Tensor) -> dict[str, Tensor]:
    """What the model's own forward is told of a prompt's tokens."""
    if family == "gemma3":
        return {"token_type_ids": (ids == IMAGE).long()[None]}
    return {"token_type_ids": torch.zeros_like(ids)[None]} if family.startswith("paligemma") else {}


def one_view(family: str, pixels: Tensor) -> dict[str, Any]:
    """What goes into the model's own forward for a picture [3, H, W] in one view."""
    size = torch.tensor([pixels.shape[1:]])
    match family:
        case "llava_next" | "llava_next_video" | "llava_onevision":
            return {"pixel_values": pixels[None, None], "image_sizes": size}
        case "idefics3" | "smolvlm":
            return {"pixel_values": pixels[None, None]}
        case "mistral3" | "llava_pixtral" | "lighton_ocr":
            return {"pixel_values": pixels[None], "image_sizes": size}
    return {"pixel_values": pixels[None]}


def tokenizer(template: str | None = None) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    own = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS + SPECIAL)}, unk_token="<unk>"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    own.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    found = PreTrainedTokenizerFast(tokenizer_object=own, **names, additional_special_tokens=["<image>", *SPECIAL])
    found.chat_template = template
    return found


def save(family: str, folder: Path) -> Path:
    """The model with a tokenizer, and the image processor that its own processor has, if that is to be had without torchvision."""
    import transformers as t

    tiny_answerer(family).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    square = {"height": 48, "width": 48}
    match family:
        case "vipllava":
            own = t.CLIPImageProcessorPil(size={"shortest_edge": 48}, crop_size=square)
        case "video_llava":
            own = t.VideoLlavaImageProcessor(size={"shortest_edge": 48}, crop_size=square)
        case "llava_next" | "llava_next_video":
            own = t.LlavaNextImageProcessorPil(
                size={"shortest_edge": 48}, crop_size=square, image_grid_pinpoints=PINPOINTS
            )
        case "llava_onevision":
            own = t.LlavaOnevisionImageProcessorPil(size=square, image_grid_pinpoints=PINPOINTS)
        case "paligemma" | "paligemma2":
            own = t.SiglipImageProcessorPil(size=square)
        case "deepseek_vl" | "janus":
            kind = t.DeepseekVLImageProcessorPil if family == "deepseek_vl" else t.JanusImageProcessorPil
            own = kind(size=square, min_size=14)
        case "internvl" | "qianfan_ocr" | "aya_vision":
            own = t.GotOcr2ImageProcessorPil(size=square, max_patches=4)
        case "idefics3" | "smolvlm":
            kind = t.Idefics3ImageProcessorPil if family == "idefics3" else t.SmolVLMImageProcessorPil
            own = kind(size={"longest_edge": 96}, max_image_size={"longest_edge": 48})
        case "gemma3":
            own = t.Gemma3ImageProcessorPil(size=square)
        case "mistral3" | "llava_pixtral" | "lighton_ocr":
            own = t.PixtralImageProcessorPil(size={"longest_edge": 48}, patch_size={"height": 8, "width": 8})
        case "cohere2_vision":
            (folder / "preprocessor_config.json").write_text(
                '{"image_processor_type": "Cohere2VisionImageProcessor"}', "utf-8"
            )
            return folder
    own.save_pretrained(folder)
    return folder
