"""A label map without any weights: mean-shift smoothing, a flood fill of what has become one colour, and a watershed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import BackendUnavailableError

LONGER_PX = 192  # a page of text has become grey blocks here; mean shift takes about 0.1 s, in proportion to the area
SPATIAL_RADIUS_PX = 8
COLOR_RADIUS = 32
FILL_DIFFERENCE = 4  # grey levels between neighbours that belong together after smoothing
LEAST_SHARE = 1 / 2048  # of the picture; regions with a smaller core are given to their neighbours

Labels = np.ndarray[Any, np.dtype[np.int32]]
Picture = np.ndarray[Any, Any]


def segment_colors(image: Tensor) -> Tensor:
    """Regions of like colour in an image [H, W, 3], uint8 or 0..1: int32 [h, w], its longer side at most 192 px.

    Mean-shift segmentation (Comaniciu & Meer 2002) by OpenCV's pyrMeanShiftFiltering and floodFill; regions whose core, without
    the outermost pixels, is below 1/2048 of the picture are divided among their neighbours by its watershed. The region that
    holds most of the border is the background, 0; the others count from 1 in the order of their first pixel.
    Deterministic. Raises BackendUnavailableError, with the remedy, without OpenCV.
    """
    try:
        import cv2
    except ImportError as error:
        raise BackendUnavailableError(
            f"segmentation without weights needs OpenCV ({error}); run: pip install opencv-python-headless, "
            "or give Scene(regions=...) or HybridAtlas(segment=...)"
        ) from None
    height, width = image.shape[:2]
    pixels = image.detach().cpu()
    picture = (pixels if pixels.dtype == torch.uint8 else (pixels.float() * 255).round().to(torch.uint8)).numpy()
    scale = min(1.0, LONGER_PX / max(height, width))
    small = max(1, round(width * scale)), max(1, round(height * scale))
    reduced = cv2.resize(np.ascontiguousarray(picture), small, interpolation=cv2.INTER_AREA)
    smooth = cv2.pyrMeanShiftFiltering(reduced, SPATIAL_RADIUS_PX, COLOR_RADIUS)
    filled = flood(smooth)
    window = np.ones((3, 3))
    core = cv2.erode(filled.astype(np.float64), window) == cv2.dilate(filled.astype(np.float64), window)
    kept = np.bincount(filled[core], minlength=filled.max() + 1) >= LEAST_SHARE * filled.size
    kept[0] = False
    if not kept.any():
        return torch.zeros(filled.shape, dtype=torch.int32, device="cpu")
    markers = ((np.cumsum(kept) * kept)[filled] * core).astype(np.int32)
    # Watershed marks the seams and the frame -1; each joins a neighbour.
    seamed = np.maximum(cv2.watershed(smooth, markers), 0)
    labels = np.where(seamed > 0, seamed, cv2.dilate(seamed.astype(np.float64), window)).astype(np.int32)
    border = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    background = int(np.bincount(border).argmax())
    labels[labels == background] = 0
    labels[labels > background] -= 1
    return torch.from_numpy(labels)


def flood(smooth: Picture) -> Labels:
    """int32 [h, w] from 1 on, in the order of their first pixel: connected pixels that differ little from their neighbours."""
    import cv2

    height, width = smooth.shape[:2]
    mask = np.zeros((height + 2, width + 2), np.uint8)  # OpenCV wants a frame of one pixel
    labels = np.zeros((height, width), np.int32)
    done, new, number = 1, 2, 0
    difference = (FILL_DIFFERENCE,) * 3
    flags = cv2.FLOODFILL_MASK_ONLY | 4 | new << 8  # 4 neighbours
    for row, column in np.ndindex(height, width):
        if mask[row + 1, column + 1]:
            continue
        _, _, _, (left, top, wide, tall) = cv2.floodFill(smooth, mask, (column, row), 0, difference, difference, flags)
        number += 1
        window = mask[top + 1 : top + 1 + tall, left + 1 : left + 1 + wide]
        fresh = window == new
        window[fresh] = done
        labels[top : top + tall, left : left + wide][fresh] = number
    return labels
