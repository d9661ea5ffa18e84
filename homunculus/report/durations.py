"""One moment of a video with the tokens that it is seen by, coloured by how long they last, and what they let one see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.report.contact_sheet import LONGER_PX, Panel, fitted
from homunculus.report.files import to_picture
from homunculus.report.footprints import LOD_COLORS, Color, Legend, draw_outlines, outlines


def duration_color(frames: int) -> Color:
    """The colour of a duration, a power of 2: one frame red, then as levels of detail are coloured."""
    return LOD_COLORS[min(frames.bit_length(), len(LOD_COLORS)) - 1]


def seen_by(times: Tensor, number: int) -> Tensor:
    """int64 [M]: which tokens last over a frame. times: [N, 2], first frame and frames."""
    return ((times[:, 0] <= number) & (number < times.sum(1))).nonzero().flatten()


def draw_durations(
    image: np.ndarray[Any, Any],
    plan: SamplePlan,
    times: Tensor,
    number: int,
    fixations: Sequence[Sequence[float]] = (),
    *,
    scale: float = 1.0,
) -> Image.Image:
    """Draws the tokens that frame `number` is seen by on it, uint8 [H, W, 3], coloured by duration, short ones on top, and fixations
    (x, y) in pixels of the plan. scale: pixels of this picture over the plan's. The legend's counts are of all tokens."""
    plan = plan.to("cpu", torch.float64).counted_from((0, 0))
    rows = seen_by(times, number)
    frames = times[rows, 1]
    order = torch.argsort(frames, descending=True, stable=True)
    colors = [duration_color(one) for one in frames[order].tolist()]
    lengths = [2**power for power in range(int(times[:, 1].max()).bit_length())]
    legend = Legend(f"{len(rows)} of {len(plan)} tokens   frames", [(duration_color(one), str(one)) for one in lengths])
    points = [(x * scale, y * scale) for x, y in fixations]
    return draw_outlines(image, outlines(plan)[rows[order]] * scale, colors, points, legend)


def panel_size(size: tuple[int, int]) -> tuple[float, tuple[int, int]]:
    """How many times as large as a frame of (height, width) a panel is drawn, and its size."""
    scale = min(1.0, 2 * LONGER_PX / max(size))
    return scale, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))


def panel_of(
    title: str,
    image: np.ndarray[Any, Any],
    plan: SamplePlan,
    times: Tensor,
    number: int,
    seen: Tensor,
    fixations: Sequence[Sequence[float]] = (),
) -> Panel:
    """A panel of a contact sheet. image: frame `number`, uint8 [H, W, 3]; seen: [3, h, w] in 0..1, of `panel_size`, what tokens
    show."""
    scale, size = panel_size((image.shape[0], image.shape[1]))
    small = np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BOX))
    drawn = draw_durations(small, plan, times, number, fixations, scale=scale)
    shown = fitted(size)
    return Panel(
        title,
        drawn.resize(shown, Image.Resampling.LANCZOS),
        to_picture(seen).resize(shown, Image.Resampling.LANCZOS),
    )
