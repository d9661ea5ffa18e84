"""Vision models of every family with a few random weights, and the library's own forward of an image through each."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_states import nothing_set

from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.load import tower_class

SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 48}
SQUARE = SMALL | {"image_size": 32, "patch_size": 8}
FAMILIES = (
    "vit",
    "clip",
    "siglip",
    "siglip2",
    "dinov2",
    "dinov2_with_registers",
    "dinov3_vit",
    "qwen2_vl_vision",
    "qwen2_5_vl_vision",
    "qwen3_vl_vision",
    "glm4v_vision",
    "glm4v_moe_vision",
    "glm_ocr_vision",
)
# What is a row of data, or a small engine, beside them.
ALIKE = (
    "deit", "vit_msn", "ijepa", "vit_mae", "pixio", "tipsv2_vision_model", "internvl_vision", "qianfan_ocr_vision",
    "metaclip_2_vision_model",
    "altclip_vision_model", "chinese_clip_vision_model", "clipseg_vision_model", "git_vision_model", "kosmos_2_vision_model",
    "owlvit_vision_model", "owlv2_vision_model", "idefics3_vision", "smolvlm_vision", "idefics2_vision", "mlcd_vision_model", "pixtral",
    "aimv2_vision_model", "aimv2_native",
    "dpt", "blip_vision_model", "blip_2_vision_model", "instructblip_vision_model", "instructblipvideo_vision_model",
    "janus_vision_model", "ovis2_vision", "qwen3_5_vision", "qwen4_exp_vision",
)  # fmt: skip
# What reads clips alone, beside the towers of Qwen and GLM.
CLIPS = ("vjepa2", "vivit")
TEXT = SMALL | {
    "vocab_size": 64,
    "max_position_embeddings": 16,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


@cache
def tiny(family: str) -> Any:
    """The model in eval mode, its weights large enough for every part to matter. Cached: do not change it."""
    with nothing_set():
        return randomised(build(family))


def randomised(model: Any) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.ndim > 1:
                value.normal_(std=0.6 if "position" in name else 0.2)
            elif name.endswith("bias") or "class_embedding" in name:
                value.normal_(std=0.3)
    return model.eval()


def build(family: str) -> Any:
    import transformers as t

    match family:
        case "vit":
            return t.ViTModel(t.ViTConfig(**SQUARE))
        case "clip":
            return t.CLIPModel(t.CLIPConfig(text_config=TEXT, vision_config=SQUARE, projection_dim=24))
        case "siglip":
            return t.SiglipModel(t.SiglipConfig(text_config=TEXT, vision_config=SQUARE))
        case "siglip2":
            vision = SMALL | {"num_patches": 16, "patch_size": 8}
            return t.Siglip2Model(t.Siglip2Config(text_config=TEXT, vision_config=vision))
        case "dinov2":
            return t.Dinov2Model(t.Dinov2Config(**SQUARE, mlp_ratio=2))
        case "dinov2_with_registers":
            return t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**SQUARE, mlp_ratio=2, num_register_tokens=2))
        case "dinov3_vit":
            return t.DINOv3ViTModel(t.DINOv3ViTConfig(**SQUARE, num_register_tokens=2))
        case "qwen2_5_vl_vision":
            from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl as qwen

            config = qwen.Qwen2_5_VLVisionConfig(
                depth=3, hidden_size=32, num_heads=4, intermediate_size=48, out_hidden_size=24, patch_size=4, window_size=16,
                fullatt_block_indexes=[1],
            )  # fmt: skip
            return qwen.Qwen2_5_VisionTransformerPretrainedModel._from_config(config)
        case "qwen2_vl_vision":
            from transformers.models.qwen2_vl import modeling_qwen2_vl as qwen2

            config = qwen2.Qwen2VLVisionConfig(depth=3, embed_dim=32, num_heads=4, hidden_size=24, patch_size=4)
            return qwen2.Qwen2VisionTransformerPretrainedModel._from_config(config)
        case "qwen3_vl_vision":
            from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen3

            config = qwen3.Qwen3VLVisionConfig(
                depth=3, hidden_size=32, num_heads=4, intermediate_size=48, out_hidden_size=24, patch_size=4,
                num_position_embeddings=36, deepstack_visual_indexes=[0, 2],
            )  # fmt: skip
            return qwen3.Qwen3VLVisionModel._from_config(config)
        case "glm4v_vision" | "glm4v_moe_vision" | "glm_ocr_vision":
            config = t.CONFIG_MAPPING[family](
                depth=3, hidden_size=32, num_heads=4, intermediate_size=48, out_hidden_size=24, patch_size=4, image_size=32,
            )  # fmt: skip
            return tower_class(config)._from_config(config)
        case "qwen3_5_vision" | "qwen4_exp_vision":
            config = t.CONFIG_MAPPING[family](
                depth=3, hidden_size=32, num_heads=4, intermediate_size=48, out_hidden_size=24, patch_size=4,
                num_position_embeddings=36,
            )  # fmt: skip
            return tower_class(config)._from_config(config)
        case "vjepa2":
            predictor = {"pred_hidden_size": 24, "pred_num_attention_heads": 2, "pred_num_hidden_layers": 1}
            widths = SMALL | {"num_attention_heads": 2, "mlp_ratio": 2.0}
            del widths["intermediate_size"]
            return t.VJEPA2Model(
                t.VJEPA2Config(
                    **widths, **predictor, patch_size=8, crop_size=32, frames_per_clip=4, attn_implementation="sdpa"
                )
            )
        case "vivit":
            return t.VivitModel(t.VivitConfig(**SMALL, image_size=32, num_frames=8, tubelet_size=[2, 8, 8]))
        case "aimv2_native":
            return t.Aimv2VisionModel(t.Aimv2VisionConfig(**SQUARE, is_native=True))
    special = {"n_cls_tokens": 3} if family == "pixio" else {}
    special |= {"mask_ratio": 0.0} if family == "vit_mae" else {}
    config = t.CONFIG_MAPPING[family](**SQUARE, **special)
    return tower_class(config)._from_config(config)


def native_plan(height: int, width: int, patch: int = 8) -> SamplePlan:
    """Squares of `patch` pixels that tile the image, row by row."""
    y, x = torch.meshgrid(
        torch.arange(0, height, patch, dtype=torch.int64, device="cpu"),
        torch.arange(0, width, patch, dtype=torch.int64, device="cpu"),
        indexing="ij",
    )
    corners = torch.stack([x.flatten(), y.flatten()], -1).float()
    return SamplePlan.boxes(torch.cat([corners, corners + patch], -1), patch)


def tiles(image: Tensor, patch: int = 8) -> Tensor:
    """[N, 3, P, P] of an image [3, H, W], row by row."""
    _, height, width = image.shape
    cut = image.reshape(3, height // patch, patch, width // patch, patch)
    return cut.permute(1, 3, 0, 2, 4).reshape(-1, 3, patch, patch)


def merged_inputs(image: Tensor) -> tuple[Tensor, Tensor]:
    """What Qwen's towers take of an image [3, H, W]: patches of 4 px, the four of a token together, and their rows and columns."""
    _, height, width = image.shape
    blocks = tiles(image).reshape(-1, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3, 1, 4, 4)
    grid = torch.tensor([[1, height // 4, width // 4]], dtype=torch.int64, device="cpu")
    return blocks.expand(-1, -1, 2, -1, -1).reshape(len(blocks), -1), grid


def tubelets(clip: Tensor, frames: int = 2) -> Tensor:
    """[N, frames, 3, 8, 8] of a clip [F, 3, H, W]: as many frames after one another, and in each row by row."""
    cut = torch.stack([tiles(each) for each in clip])
    return cut.unflatten(0, (-1, frames)).transpose(1, 2).flatten(0, 1)


def native_times(frames: int, tokens: int, each: int = 2) -> Tensor:
    """(first frame, frames) of `tubelets` of a clip of so many frames, and so many tokens in each of its pairs."""
    first = torch.arange(0, frames, each, dtype=torch.int64, device="cpu").repeat_interleave(tokens)
    return torch.stack([first, torch.full_like(first, each)], -1)


def own_clip(family: str, model: Any, clip: Tensor) -> Tensor:
    """What the library's own forward makes of a clip [F, 3, H, W]: last_hidden_state, of Qwen's and GLM's towers their merged tokens."""
    if family == "vjepa2":
        return model(clip[None], skip_predictor=True).last_hidden_state
    if family == "vivit":
        return model(clip[None]).last_hidden_state
    pairs = [
        [merged_inputs(each)[0].reshape(-1, 3, 2, 4, 4)[:, :, 0] for each in two] for two in clip.unflatten(0, (-1, 2))
    ]
    rows = torch.cat([torch.stack(two, 2).flatten(1) for two in pairs])
    grid = torch.tensor([[len(pairs), clip.shape[2] // 4, clip.shape[3] // 4]], dtype=torch.int64, device="cpu")
    if family in ("glm4v_vision", "glm4v_moe_vision"):  # as its own get_video_features gives it: pairs are pictures
        grid = torch.tensor([[1, *grid[0, 1:]]], dtype=torch.int64, device="cpu").expand(len(pairs), 3)
    return model(rows, grid).pooler_output[None]


def own_forward(family: str, model: Any, image: Tensor) -> tuple[Tensor, Tensor | None]:
    """last_hidden_state and pooled output of the library's own forward, for an image [3, H, W]; Qwen's states in raster order."""
    _, height, width = image.shape
    model = getattr(model, "vision_model", model)
    if family in ("idefics3_vision", "smolvlm_vision", "idefics2_vision"):
        shown = torch.ones(1, height // 8, width // 8, dtype=torch.bool, device="cpu")
        return model(image[None], patch_attention_mask=shown).last_hidden_state, None
    if family == "ovis2_vision":
        return model.transformer(image[None]).last_hidden_state, None
    if family == "vit_mae":
        order = torch.arange(height * width // 64, dtype=torch.float32, device="cpu")
        return model(image[None], noise=order[None]).last_hidden_state, None
    if family == "siglip2":
        rows = tiles(image).permute(0, 2, 3, 1).reshape(1, -1, 192)
        shape = torch.tensor([[height // 8, width // 8]], dtype=torch.int64, device="cpu")
        out = model(rows, torch.ones(rows.shape[:2], dtype=torch.long, device="cpu"), shape)
    elif family in (
        "qwen2_vl_vision", "qwen3_vl_vision", "qwen3_5_vision", "qwen4_exp_vision", "glm4v_vision", "glm4v_moe_vision", "glm_ocr_vision",
    ):  # fmt: skip
        out = model(*merged_inputs(image))
        return out.last_hidden_state[None], out.pooler_output[None]
    elif family == "qwen2_5_vl_vision":
        from transformers.vision_utils import get_vision_window_index

        rows, grid = merged_inputs(image)
        out = model(rows, grid)
        order, windows = get_vision_window_index(grid, 2, 16, 4)
        assert len(windows) > 2, "the picture should need more than one window"
        states = out.last_hidden_state.reshape(len(order), 4, -1)[order.argsort()]
        return states.reshape(1, -1, states.shape[-1]), out.pooler_output[None]
    else:
        out = model(image[None])
    return out.last_hidden_state, getattr(out, "pooler_output", None)


def write_tokenizer(folder: Path, family: str) -> None:
    """A tokenizer of a few letters: CLIP's own kind, or a small one of the tokenizers library, as SigLIP folders carry."""
    if family == "clip":
        from transformers import CLIPTokenizer

        letters = [chr(code) for code in range(97, 123)]
        symbols = ["<|startoftext|>", "<|endoftext|>", *letters, *(letter + "</w>" for letter in letters), ".</w>"]
        vocabulary = {symbol: index for index, symbol in enumerate(symbols)}
        (folder / "vocab.json").write_text(json.dumps(vocabulary), "utf-8")
        (folder / "merges.txt").write_text("#version: 0.2\n", "utf-8")
        CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)
        return
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 2, "<unk>": 0, "a": 3, "photo": 4, "of": 5, "dog": 6, "cat": 7, ".": 8}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
