"""How much of a clip its tokens alone show: one budget over space and time against the same over frames apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from homunculus import allocators
from homunculus.allocators.scene import Scene
from homunculus.bridge.clips.clip import CUT, Clip
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit

Array = NDArray[Any]
FRAMES, BUDGET, KEY_FRAMES = 16, 273, 4
GREY = (0.299, 0.587, 0.114)
OURS, APART, KEYS, BOUND = "space_time", "16 frames apart", "4 key frames", "knows the true error"


def clips(frames: Array, count: int = 4) -> list[Array]:
    """Up to `count` clips uint8 [16, h, w, 3] evenly spread over a video [F, H, W, 3], none across a cut, cropped about its middle to
    powers of 2. Raises PlanError for a video without one."""
    height, width = (1 << (side.bit_length() - 1) for side in frames.shape[1:3])
    top, left = (frames.shape[1] - height) // 2, (frames.shape[2] - width) // 2
    small = frames[:, ::8, ::8].astype(np.float32) / 255
    cut = np.abs(np.diff(small, axis=0)).mean((1, 2, 3)) > CUT
    starts = [at for at in range(0, len(frames) - FRAMES + 1, FRAMES) if not cut[at : at + FRAMES - 1].any()]
    if not starts:
        raise PlanError(f"the video has {len(frames)} frames and no {FRAMES} of one scene; give a longer one")
    chosen = [starts[round(place)] for place in np.linspace(0, len(starts) - 1, min(count, len(starts)))]
    return [frames[at : at + FRAMES, top : top + height, left : left + width] for at in chosen]


def psnr(unit: TextureUnit, frames: Array, budget: int = BUDGET) -> dict[str, float]:
    """dB by way of spending: grey of each frame against what the tokens of its time show, each texel filling its square.

    Rivals spend as `token_dag`, which reads the frames themselves: the same tokens over all frames apart, and over four key frames that
    are shown for four frames each. The bound is the same tree told the frames instead of coarse ones.
    """
    size = (frames.shape[1], frames.shape[2])
    with unit.clip(size, FRAMES) as clip:
        for frame in frames:
            clip.push(frame)
        scene = Scene(size, timeline=clip.timeline, frames=clip.coarse)
        whole = replace(scene, frames=torch.from_numpy(frames.astype(np.float32) / 255))
        spend = allocators.get(OURS).allocate
        step = FRAMES // KEY_FRAMES
        keys = _apart(frames, range(step // 2 - 1, FRAMES, step), budget)
        plans = {
            OURS: spend(scene, budget),
            APART: _apart(frames, range(FRAMES), budget),
            KEYS: keys,
            BOUND: spend(whole, budget),
        }
        return {
            name: _psnr(frames, drawn(unit, clip, plan, KEY_FRAMES if name == KEYS else 1))
            for name, plan in plans.items()
        }


def drawn(unit: TextureUnit, clip: Clip, plan: SamplePlan, lasts: int = 1) -> Array:
    """float32 [16, h, w, 3] in 0..1: what a plan's upright tokens show, each for its own frames, coarse ones first. lasts: of a plan of
    single frames each stands for so many, about it."""
    pixels = unit.sample(clip, plan, quality="exact").pixels.permute(0, 2, 3, 1).float().cpu().numpy()
    times = clip.timeline.times(plan)
    texels = plan.footprints[:, 2].round().long()
    corners = (plan.centers - plan.side_px[:, None] / 2).round().long()
    shown = np.zeros((FRAMES, *clip.size, 3), np.float32)
    for token in torch.argsort(texels, descending=True, stable=True).tolist():
        (x, y), texel, (first, frames) = corners[token].tolist(), int(texels[token]), times[token].tolist()
        first = first // lasts * lasts
        part = shown[first : first + frames * lasts, y : y + texel * plan.patch_size, x : x + texel * plan.patch_size]
        part[:] = pixels[token].repeat(texel, 0).repeat(texel, 1)[: part.shape[1], : part.shape[2]]
    return shown


def mean_gain(found: Sequence[Mapping[str, float]], rival: str) -> float:
    """dB that ours is ahead of a rival, mean over clips."""
    return sum(one[OURS] - one[rival] for one in found) / len(found)


def _apart(frames: Array, chosen: Sequence[int], budget: int) -> SamplePlan:
    """The budget shared by some frames, each spent by what it shows."""
    shares = np.diff(np.arange(len(chosen) + 1) * budget // len(chosen)).tolist()
    spend = allocators.get("token_dag").allocate
    size = (frames.shape[1], frames.shape[2])
    plans = [
        spend(Scene(size, image=torch.from_numpy(frames[number].copy()), layer=number), share)
        for number, share in zip(chosen, shares, strict=True)
    ]
    return SamplePlan.concatenate(plans)


def _psnr(frames: Array, shown: Array) -> float:
    grey = np.array(GREY)
    error = frames.astype(np.float64) @ grey / 255 - shown.astype(np.float64) @ grey
    return -10 * math.log10(float((error**2).mean()))
