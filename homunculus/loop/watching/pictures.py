"""The pictures of a video that was watched, made of its shards and of the video itself: a contact sheet and an annotated film."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from homunculus.bridge.clips.frame import VideoFrame
from homunculus.bridge.clips.writer import VideoWriter
from homunculus.bridge.law import Quality
from homunculus.bridge.unit import TextureUnit
from homunculus.loop.watching.remembered import remembered
from homunculus.loop.watching.shards import WatchedFrame
from homunculus.report.contact_sheet import Panel, contact_sheet
from homunculus.report.durations import draw_durations, panel_of, panel_size, seen_by
from homunculus.report.png import write_png
from homunculus.report.scaled import scaled

PANELS = 12  # of a contact sheet, at most
LONGEST_PX = 1280  # the longer side of the film
RATES = Fraction(1), Fraction(240)  # frames a second that an encoder is told


def panel_numbers(count: int) -> set[int]:
    """The frames of the contact sheet: in the middles of equal parts of the video."""
    panels = min(PANELS, count)
    return {(2 * place + 1) * count // (2 * panels) for place in range(panels)}


def rate_of(rows: Iterable[tuple[int, float]]) -> Fraction:
    """Frames a second on the average. rows: number and time_s of each."""
    times = [time_s for _, time_s in rows]
    lasts_s = times[-1] - times[0] if times else 0.0
    rate = Fraction(len(times) - 1) / Fraction(lasts_s) if lasts_s > 0 else Fraction(25)
    return min(max(rate.limit_denominator(1001), RATES[0]), RATES[1])


def film_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the annotated film: at most 1280 px long, and even, as codecs ask for."""
    scale = min(1.0, LONGEST_PX / max(size))
    height, width = (max(2, round(side * scale) // 2 * 2) for side in size)
    return height, width


def draw(
    sheet: Path,
    film: Path,
    frames: Iterator[VideoFrame],
    rows: Iterator[WatchedFrame],
    unit: TextureUnit,
    *,
    slots: int,
    quality: Quality,
    count: int,
    rate: Fraction,
    tell: Callable[[int], object],
) -> None:
    """Writes both. frames, rows: of the whole video, alike, `count` of them; slots: of the clip; tell: is told how many are drawn."""
    first = next(frames)
    size = (first.image.shape[0], first.image.shape[1])
    chosen, panels = panel_numbers(count), list[Panel]()
    with unit.clip(size, slots) as clip, VideoWriter(film, film_size(size), rate=rate) as writer:
        for frame, row in zip(_all(first, frames), rows, strict=False):
            clip.push(frame)
            writer.write(_annotated(frame.image, row, size), frame.time_s)
            if frame.number in chosen:
                scale, panel = panel_size(size)
                pixels = unit.sample(clip, row.plan, quality=quality).pixels
                seen = remembered(unit, pixels, scaled(row.plan, scale, panel), row.times, clip.timeline.spans, panel)
                points = row.fixations_px.tolist()
                panels.append(panel_of(_title(row), frame.image, row.plan, row.times, row.number, seen, points))
            tell(frame.number + 1)
    write_png(sheet, contact_sheet(panels))


def _annotated(image: np.ndarray[Any, Any], row: WatchedFrame, size: tuple[int, int]) -> np.ndarray[Any, Any]:
    height, width = film_size(size)
    scale = width / size[1]
    if (height, width) != size:
        image = np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BOX))
    drawn = draw_durations(image, row.plan, row.times, row.number, row.fixations_px.tolist(), scale=scale)
    return np.asarray(drawn)


def _title(row: WatchedFrame) -> str:
    cut = ", a cut" if row.cut else ""
    return f"frame {row.number}, {row.time_s:.2f} s{cut}: {len(seen_by(row.times, row.number))} tokens on it, {row.moved} new"


def _all(first: VideoFrame, rest: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
    yield first
    yield from rest
