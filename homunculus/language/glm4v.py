"""GLM-4.1V, 4.5V and 4.6V, and GLM-OCR (Hong et al., 2025): merged tokens at rows and columns, as in Qwen2.5-VL."""

from __future__ import annotations

from homunculus.language.prompt import SHORT
from homunculus.language.qwen_vl import Qwen25VLConnector


class Glm4vConnector(Qwen25VLConnector):
    model_types = ("glm4v", "glm4v_moe", "glm46v", "glm_ocr")
    template = "[gMASK]<sop><|user|>\n<|begin_of_image|>{image}<|end_of_image|>{question}" + SHORT + "<|assistant|>\n"
