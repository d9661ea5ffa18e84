"""LLaVA-1.5 (Liu et al., 2023) and its kin: a patch of the tower is a token of the language model.

LLaVA-NeXT and LLaVA-OneVision write an embedding of their own, a line's end, behind an image that is shown in one view, as foveated
tokens show it: it is one of the `budget` tokens.
"""

from __future__ import annotations

from typing import ClassVar

from homunculus.language.projector import ProjectorConnector
from homunculus.language.prompt import SHORT


class LlavaConnector(ProjectorConnector):
    """The layers and the choice of tokens come from the configuration. With `full`, a class token goes to the language model, too."""

    model_types = ("llava",)
    template = "USER: {image}\n{question}" + SHORT + " ASSISTANT:"


class VipLlavaConnector(ProjectorConnector):
    """ViP-LLaVA (Cai et al., 2024): several layers side by side, normalised, always without the class token."""

    model_types = ("vipllava",)
    template = (
        "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, and polite "
        "answers to the human's questions.###Human: {image}\n{question}" + SHORT + "###Assistant:"
    )
    strategy = "default"


class VideoLlavaConnector(ProjectorConnector):
    """Video-LLaVA (Lin et al., 2024): of its two towers the one for images."""

    model_types = ("video_llava",)
    template = LlavaConnector.template
    tower_path = "model.image_tower"


class LlavaNextConnector(ProjectorConnector):
    """LLaVA-NeXT (Liu et al., 2024), and LLaVA-NeXT-Video for images."""

    model_types: ClassVar[tuple[str, ...]] = ("llava_next", "llava_next_video")
    template = LlavaConnector.template
    newline_path = "model.image_newline"
    inputs: ClassVar[tuple[str, ...]] = ("pixel_values", "image_sizes")


class LlavaOneVisionConnector(LlavaNextConnector):
    """LLaVA-OneVision (Li et al., 2024)."""

    model_types = ("llava_onevision",)
    template = "<|im_start|>user {image}\n{question}" + SHORT + "<|im_end|><|im_start|>assistant\n"
    inputs: ClassVar[tuple[str, ...]] = ("pixel_values", "image_sizes", "batch_num_images")


class PaliGemmaConnector(ProjectorConnector):
    """PaliGemma (Beyer et al., 2024) and PaliGemma 2: the image comes first, and all of the prompt is seen from all of it.

    It was not made to chat: the prompt names a task and its language, as the mixed checkpoints were trained.
    """

    model_types = ("paligemma",)
    template = "{image}<bos>answer en {question}\n"
    ahead = "prompt"


class DeepSeekVLConnector(ProjectorConnector):
    """DeepSeek-VL (Lu et al., 2024) with one tower."""

    model_types = ("deepseek_vl",)
    template = "User: {image}{question}" + SHORT + "\n\nAssistant:"
    tower_path = "model.vision_model"
    projector_path = "model.aligner"


class JanusConnector(DeepSeekVLConnector):
    """Janus (Wu et al., 2024), whose other half makes pictures and is left alone."""

    model_types = ("janus",)
    template = "<|User|>: {image}\n{question}" + SHORT + "\n\n<|Assistant|>:"
    around = ("<begin_of_image>", "<end_of_image>")
