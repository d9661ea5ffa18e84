"""A label map from a Segment-Anything model, through transformers, from weights on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import BackendUnavailableError, ImageError, ModelError
from homunculus.encoder import load
from homunculus.encoder.anatomy import IMAGENET
from homunculus.encoder.guard import library
from homunculus.encoder.preprocessing import normalisation


class SegmentAnything:
    """Masks of a SAM model (Kirillov et al. 2023) at a grid of points, painted into one label map, small over large.

    folder: a local directory that `save_pretrained` wrote, such as a copy of facebook/sam-vit-base; nothing is downloaded.
    points: prompts along each side. least_iou: predicted quality below which a mask is dropped. least_stability: share of a mask
    that remains when its threshold moves by 1 logit either way. Preprocessing is SAM's own: the longer side to the model's
    image size, normalised as the folder's preprocessor does, padded with zeros at the right and bottom.
    Raises BackendUnavailableError, with the remedy, without transformers or where the folder holds no such model.
    """

    def __init__(
        self,
        folder: str | Path,
        points: int = 16,
        least_iou: float = 0.88,
        least_stability: float = 0.9,
        batch: int = 64,
    ) -> None:
        self.points, self.least_iou, self.least_stability, self.batch = points, least_iou, least_stability, batch
        self.model, (self.mean, self.std) = load_model(folder)

    def __call__(self, image: Tensor) -> Tensor:
        """int32 [h, w] for an image [H, W, 3], uint8 or 0..1: 0 where no mask is, larger numbers for smaller masks."""
        if image.ndim != 3 or image.shape[2] != 3:
            raise ImageError(f"image has shape {tuple(image.shape)}; a segmentation needs [H, W, 3]")
        side = int(self.model.config.vision_config.image_size)
        scale = side / max(image.shape[:2])
        height, width = (max(1, round(length * scale)) for length in image.shape[:2])
        pixels = image.detach().float().permute(2, 0, 1)[None] / (255 if image.dtype == torch.uint8 else 1)
        pixels = F.interpolate(pixels, (height, width), mode="bilinear", antialias=True)
        mean, std = (torch.tensor(part, dtype=torch.float32, device="cpu") for part in (self.mean, self.std))
        pixels = (pixels - mean[:, None, None]) / std[:, None, None]
        with torch.inference_mode():
            masks, scores = self._masks(F.pad(pixels, (0, side - width, 0, side - height)), (height, width))
        rows, columns = (max(1, -(-length * masks.shape[-1] // side)) for length in (height, width))
        return self._paint(masks[:, :rows, :columns], scores)

    def _masks(self, pixels: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Logits [N, h, w] over the padded square, and predicted qualities [N], three for each point."""
        steps = (torch.arange(self.points, dtype=torch.float32, device="cpu") + 0.5) / self.points
        y, x = torch.meshgrid(steps * size[0], steps * size[1], indexing="ij")
        prompts = torch.stack([x, y], -1).reshape(1, -1, 1, 2)
        embeddings = self.model.get_image_embeddings(pixels)
        masks, scores = [], []
        for first in range(0, prompts.shape[1], self.batch):
            some = prompts[:, first : first + self.batch]
            seen = self.model(image_embeddings=embeddings, input_points=some, multimask_output=True)
            masks.append(seen.pred_masks[0].flatten(0, 1))
            scores.append(seen.iou_scores[0].flatten())
        return torch.cat(masks), torch.cat(scores)

    def _paint(self, logits: Tensor, scores: Tensor) -> Tensor:
        inner, outer = (logits > 1).sum((1, 2)), (logits > -1).sum((1, 2))
        areas = (logits > 0).sum((1, 2))
        good = (scores >= self.least_iou) & (inner >= self.least_stability * outer) & (areas > 0)
        masks, areas = logits[good] > 0, areas[good]
        labels = torch.zeros(logits.shape[1:], dtype=torch.int32, device="cpu")
        for number, mask in enumerate(masks[areas.argsort(descending=True, stable=True)], start=1):
            labels[mask] = number
        return labels


def load_model(folder: str | Path) -> tuple[Any, tuple[Sequence[float], Sequence[float]]]:
    """The model of a folder in eval mode, and the mean and deviation of its own preprocessing."""
    try:
        transformers = library()
    except ModelError as error:
        raise BackendUnavailableError(
            f"Segment Anything needs transformers ({error}), or give Scene(regions=...)"
        ) from None
    try:
        found = load.opened(Path(folder), local_files_only=True)
        config = load.configuration(found)
        kind = transformers.AutoModelForMaskGeneration
        model = load.built(found, kind, config, dtype=torch.float32, attention="sdpa")
        return model, normalisation(found, config) or IMAGENET
    except ModelError as error:
        raise BackendUnavailableError(
            f"{folder} holds no Segment-Anything model ({error}); give the folder of one, such as a copy of "
            "facebook/sam-vit-base with config.json and model.safetensors, or give Scene(regions=...)"
        ) from error
