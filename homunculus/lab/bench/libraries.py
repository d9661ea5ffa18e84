"""The same task by what libraries offer. Each is asked in its own best way; what it cannot do stands in docs/benchmarks.md."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import texel_centers
from homunculus.lab.bench.peers import MAX_LEVEL

Bytes = NDArray[np.uint8]


def refusal(module: str, package: str) -> str:
    """Why that module cannot be used here, or nothing. A broken installation raises all sorts of errors."""
    try:
        import_module(module)
    except ImportError:
        return f"{package} is not installed"
    except Exception as error:
        return f"{package} does not load: {str(error).splitlines()[0]}"
    return ""


def cropped_patches(batch: Tensor, plan: SamplePlan) -> Tensor:
    """A loop of crops to whole pixels, each resized by PyTorch's antialiased bilinear filter; black beyond the image."""
    height, width = batch.shape[1:3]
    side = plan.patch_size
    bounds = torch.stack([plan.corners.amin(1), plan.corners.amax(1)], 1).round().long().flatten(1).tolist()
    patches = torch.empty(len(batch), len(plan), 3, side, side, device=batch.device, dtype=torch.float32)
    for index, (left, top, right, bottom) in enumerate(bounds):
        inside = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        crop = batch[:, inside[1] : max(inside[3], 0), inside[0] : max(inside[2], 0)].permute(0, 3, 1, 2).float()
        if inside != (left, top, right, bottom):
            before, above = min(max(-left, 0), right - left), min(max(-top, 0), bottom - top)
            after, below = right - left - before - crop.shape[3], bottom - top - above - crop.shape[2]
            crop = F.pad(crop, (before, after, above, below))
        patches[:, index] = F.interpolate(crop, (side, side), mode="bilinear", antialias=True)
    return patches.div_(255).flatten(0, 1)


def aligned_patches(planes: Tensor, plan: SamplePlan) -> Tensor:
    """torchvision's roi_align with as many bilinear samples a texel as it has pixels: no pyramid."""
    boxes = torch.cat([plan.corners.amin(1), plan.corners.amax(1)], 1).to(planes)
    roi_align = import_module("torchvision.ops").roi_align
    found = roi_align(planes, [boxes] * len(planes), plan.patch_size, sampling_ratio=-1, aligned=True)
    return cast("Tensor", found)


def kornia_patches(planes: Tensor, plan: SamplePlan) -> Tensor:
    """kornia's extract_patches_from_pyramid, which blurs its pyramid anew at every call and reads the one nearest level."""
    extract = import_module("kornia.feature").extract_patches_from_pyramid
    half = plan.patch_size / 2
    frames = torch.stack([plan.right * half, plan.down * half, plan.centers - 0.5], -1).to(planes)
    return cast("Tensor", extract(planes, frames.expand(len(planes), -1, -1, -1), PS=plan.patch_size)).flatten(0, 1)


def opencv_pyramid(batch: Tensor) -> list[list[Bytes]]:
    """For every image its levels [h, w, 3] in bytes, by area resize."""
    import cv2

    pyramids: list[list[Bytes]] = []
    for image in batch.numpy():
        levels = [image]
        for _ in range(MAX_LEVEL):
            height, width = levels[-1].shape[:2]
            levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
        pyramids.append(levels)
    return pyramids


def opencv_patches(pyramids: list[list[Bytes]], plan: SamplePlan) -> Tensor:
    """Trilinear by two bilinear remaps a texel, each level read once by the tokens that need it."""
    import cv2

    side = plan.patch_size
    points = texel_centers(plan).numpy().reshape(len(plan), side, side, 2)
    lod = plan.lod.clamp(0, MAX_LEVEL).numpy()
    patches = np.zeros((len(pyramids), len(plan), side, side, 3), np.float32)
    for level in range(MAX_LEVEL + 1):
        weight = np.maximum(1 - np.abs(lod - level), 0)
        chosen = np.flatnonzero(weight)
        if not len(chosen):
            continue
        places = (points[chosen] / 2**level - 0.5).reshape(-1, side, 2)
        x, y = (np.ascontiguousarray(places[..., axis]) for axis in (0, 1))
        for own, levels in zip(patches, pyramids, strict=True):
            read: Any = cv2.remap(levels[level], x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
            own[chosen] += read.reshape(-1, side, side, 3) * (weight[chosen] / 255)[:, None, None, None]
    return torch.from_numpy(patches.transpose(0, 1, 4, 2, 3).copy()).flatten(0, 1)
