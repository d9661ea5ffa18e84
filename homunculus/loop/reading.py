"""Reading text off tokens alone: where a coarse pass for it looks, and what a reader makes of what the tokens saw."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.allocators.inked import inked
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.ocr import ReadsText
from homunculus.relevance import ImageStatistics
from homunculus.relevance.matching import Box, Written, around
from homunculus.report import reconstruct
from homunculus.report.reconstruction import reconstructed_picture

Array = np.ndarray[Any, Any]

# Of the oriented energy that one cell in a hundred exceeds: what has more is inked. And the least: of rounding, and of JPEG's blocks.
INK_SHARE, LEAST_INK = 0.03, 1e-4
ENLARGED = 2.0  # pixels that a texel of the coarse pass is shown at
MOST_SHOWN_PX = 1600  # of the longer side of what is shown of it, if that has a pixel for each texel
MOST_READ_PX = 8192  # longer sides count as this: what is shown of a slide is bounded
REACH_X, REACH_Y = 0.12, 0.04  # of the longer side: how far around a fixation is read
FINER = 0.7  # of the pixels a texel of an earlier reading, up to which another takes its place
LEAST_SHOWN_PX = 736  # sides of what is shown; below, it is framed with paper


def ink_plan(statistics: ImageStatistics, budget: int, patch_size: int) -> SamplePlan | None:
    """Where one picture is to be read first: at most `budget` tokens on what is inked in it, None where nothing is.

    Ink is oriented energy, as the statistics have it: it was measured on the whole picture by the texture units, like all that the
    channels read, and is no token. A visit to the host.
    """
    source = min(statistics.sources)
    level = statistics.kept(source)
    energy = statistics.planes(source, level)[0, 6:10].sum(0)
    rank = max(1, round(0.99 * energy.numel()))
    least = max(INK_SHARE * float(energy.flatten().kthvalue(rank).values), LEAST_INK)
    return inked((energy > least).cpu().numpy(), float(2**level), budget, patch_size)


def read_coarse(reader: ReadsText, pixels: Tensor, plan: SamplePlan, size: tuple[int, int]) -> list[Written]:
    """What can be read off the patches [N, 3, P, P] of a plan over a picture of (height, width), anywhere in it."""
    sharp = 1 / float(texel_sides_px(plan).median())
    scale = min(max(sharp, min(ENLARGED * sharp, MOST_SHOWN_PX / max(size))), MOST_READ_PX / max(size))
    return _read(reader, pixels, plan, (0.0, 0.0, float(size[1]), float(size[0])), scale, size)


def read_around(
    reader: ReadsText, pixels: Tensor, plan: SamplePlan, size: tuple[int, int], points: Sequence[tuple[float, float]]
) -> list[Written]:
    """What can be read off the patches near fixations (x, y) in pixels."""
    found: list[Written] = []
    scale = min(1.0, 1 / float(texel_sides_px(plan).min()))
    for box in windows(points, size):
        found += _read(reader, pixels, plan, box, scale, size)
    return found


def unseen(
    lines: Sequence[Written], plan: SamplePlan, size: tuple[int, int], points: Sequence[tuple[float, float]]
) -> list[Written]:
    """Of what was read before, all but what a look at these points shows more finely: what it does not confirm is not there."""
    boxes, plan = windows(points, size), plan.to("cpu")
    kept = []
    for line in lines:
        x, y = (line.box[0] + line.box[2]) / 2, (line.box[1] + line.box[3]) / 2
        near = any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for box in boxes)
        if not near or texel_px(plan, line.box) > FINER * line.texel_px:
            kept.append(line)
    return kept


def windows(points: Sequence[tuple[float, float]], size: tuple[int, int]) -> list[Box]:
    """What is read around fixations: one stripe around each; those that touch become one."""
    height, width = size
    longer = min(max(size), MOST_READ_PX)
    reach_x, reach_y = REACH_X * longer, REACH_Y * longer
    found: list[Box] = []
    for x, y in points:
        box = x - reach_x, y - reach_y, x + reach_x, y + reach_y
        while touching := [other for other in found if _touch(box, other)]:
            found = [other for other in found if other not in touching]
            box = around([box, *touching])
        found.append(box)
    return [(max(a, 0.0), max(b, 0.0), min(c, float(width)), min(d, float(height))) for a, b, c, d in found]


def texel_sides_px(plan: SamplePlan) -> Tensor:
    """[N]: picture pixels that a texel of each footprint is wide, as the square of its area."""
    return plan.side_px / plan.patch_size


def _read(
    reader: ReadsText, pixels: Tensor, plan: SamplePlan, window: Box, scale: float, size: tuple[int, int]
) -> list[Written]:
    """Shows a window of the picture, as the tokens saw it, at so many pixels a level-0 pixel; lines in level-0 pixels."""
    left, top, right, bottom = window
    shown = shown_window(pixels, plan, window, scale, size)
    plan = plan.to("cpu")
    lines = [
        (
            line.text,
            tuple(side / scale + start for side, start in zip(line.box, (left, top) * 2, strict=True)),
            line.confidence,
        )
        for line in reader.read(shown)
    ]
    return [
        Written(text, (a, b, c, d), confidence, texel_px(plan, (a, b, c, d)))
        for text, (a, b, c, d), confidence in lines
        if text.strip() and a < right and b < bottom
    ]


def shown_window(pixels: Tensor, plan: SamplePlan, window: Box, scale: float, size: tuple[int, int]) -> Array:
    """uint8 [h, w, 3]: a window of the picture from the tokens alone; where none lies, and around it, the median of what they saw."""
    left, top, right, bottom = window
    height, width = (max(1, round((high - low) * scale)) for low, high in ((top, bottom), (left, right)))
    paper = pixels.detach().to("cpu", torch.float32).transpose(0, 1).flatten(1).median(1).values[:, None, None]
    framed = paper.repeat(1, max(height, LEAST_SHOWN_PX), max(width, LEAST_SHOWN_PX))
    if plan.warped:  # its patches are put back at the picture's own scale alone
        whole = int(left), int(top), min(ceil(right), size[1]), min(ceil(bottom), size[0])
        picture = Image.fromarray(reconstructed_picture(pixels, plan, size, whole)).resize((width, height))
        framed[:, :height, :width] = torch.from_numpy(np.array(picture)).permute(2, 0, 1) / 255
    else:
        rows = plan.counted_from((0, 0)).footprints.detach().to("cpu", torch.float64)
        rows[:, :2] -= torch.tensor([left, top], dtype=torch.float64, device="cpu")
        rows[:, :6] *= scale
        seen = reconstruct(pixels, SamplePlan(rows.float(), plan.patch_size), (height, width))
        framed[:, :height, :width] = torch.where(seen.covered, seen.pixels, paper)
    return (framed.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()


def texel_px(plan: SamplePlan, box: Box) -> float:
    """Picture pixels a texel that a line in a box was seen at: the mean along its middle of the finest token at each place."""
    y = (box[1] + box[3]) / 2
    x = torch.linspace(box[0], box[2], 9, dtype=torch.float32, device="cpu")
    low, high = plan.corners[:, 0], plan.corners[:, 2]
    over = (low[:, :1] <= x) & (x <= high[:, :1]) & ((low[:, 1] <= y) & (y <= high[:, 1]))[:, None]
    sides = texel_sides_px(plan)[:, None].expand(-1, len(x))
    finest = torch.where(over, sides, torch.inf).amin(0)
    finest = finest[finest.isfinite()]
    return float(finest.mean()) if len(finest) else float(sides.max())


def _touch(one: Box, other: Box) -> bool:
    return one[0] <= other[2] and other[0] <= one[2] and one[1] <= other[3] and other[1] <= one[3]
