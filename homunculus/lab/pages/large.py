"""The large kinds, whose letters are as high as those of A4 pages: a newspaper's page and a plan."""

from __future__ import annotations

import numpy as np

from homunculus.lab.pages.sheet import Sheet
from homunculus.lab.pages.wording import HEADLINES, KEYS, TITLES, one_of, sentence, some, towns, value


def newspaper(sheet: Sheet, rng: np.random.Generator) -> None:
    """Columns of articles under headlines, with boxed notices of places and figures between them."""
    left, right, bottom = 0.04 * sheet.width, 0.96 * sheet.width, 0.97 * sheet.height
    head = 0.035 * sheet.height
    sheet.text(left, head, one_of(rng, TITLES["newspaper"]), 0.016 * sheet.height / sheet.point_px, "bold")
    sheet.rule(left, head + 0.006 * sheet.height, right, head + 0.006 * sheet.height, 1.5)
    columns = int((right - left) / (34 * sheet.px(0.5 * sheet.size_pt) * 1.35))
    gap = sheet.px(1.6 * sheet.size_pt)
    width = (right - left - gap * (columns - 1)) / columns
    names = towns(rng, 220)
    for column in range(columns):
        x, y = left + column * (width + gap), head + 0.018 * sheet.height
        if column:
            sheet.rule(x - gap / 2, y - sheet.line_px, x - gap / 2, bottom, 0.3)
        while y < bottom - 8 * sheet.line_px:
            y = _headline(sheet, rng, x, y, width)
            for _ in range(int(rng.integers(3, 7))):
                text = " ".join(sentence(rng) for _ in range(int(rng.integers(3, 7))))
                y = sheet.paragraph(x, y, width, text, bottom=bottom) + 0.3 * sheet.line_px
            if len(names) > 12 and y < bottom - 14 * sheet.line_px:
                y = _notice(sheet, rng, x, y, width, [names.pop() for _ in range(int(rng.integers(4, 9)))])
            y += 2.2 * sheet.line_px


def _headline(sheet: Sheet, rng: np.random.Generator, x: float, y: float, width: float) -> float:
    size = 1.6 * sheet.size_pt
    return sheet.paragraph(x, y, width, one_of(rng, HEADLINES), size, weight="bold") + 0.2 * sheet.line_px


def _notice(sheet: Sheet, rng: np.random.Generator, x: float, y: float, width: float, names: list[str]) -> float:
    y += 0.8 * sheet.line_px
    top, inset = y - sheet.line_px, sheet.px(5)
    for name in names:
        y += 0.2 * sheet.line_px
        sheet.pair(x + inset, y, name, value(rng), x + 0.46 * width)
        y += 1.1 * sheet.line_px
    sheet.frame(x, top, x + width, y - 0.4 * sheet.line_px)
    return y + 0.8 * sheet.line_px


def drawing(sheet: Sheet, rng: np.random.Generator) -> None:
    """Walls, circles and dimensions, labels with values scattered among them, and a title block."""
    margin = 0.02 * sheet.height
    sheet.frame(margin, margin, sheet.width - margin, sheet.height - margin, 1.5)
    block = _title_block(sheet, rng, margin)
    taken = [block]
    for name in towns(rng, 160):
        text = value(rng)
        width = sheet.length_px(name) + sheet.length_px(text) + sheet.px(2.2 * sheet.size_pt)
        spot = _free(sheet, rng, width, 3.2 * sheet.line_px, taken, 2 * margin)
        if spot is None:
            continue
        x, y = spot
        sheet.pair(x, y + sheet.line_px, name, text, x + sheet.length_px(name) + sheet.px(0.9 * sheet.size_pt))
        _thing(sheet, rng, x, y, width)
    for _ in range(70):
        _wall(sheet, rng, taken, 2 * margin)


def _title_block(sheet: Sheet, rng: np.random.Generator, margin: float) -> tuple[float, float, float, float]:
    width, keys = sheet.px(34 * sheet.size_pt), some(rng, KEYS["plan"], 8)
    left, bottom = sheet.width - margin - width, sheet.height - margin
    top = bottom - 2 * (len(keys) + 2) * sheet.line_px
    sheet.frame(left, top, sheet.width - margin, bottom, 1)
    sheet.text(left + sheet.px(6), top + 2 * sheet.line_px, one_of(rng, TITLES["drawing"]), 2 * sheet.size_pt, "bold")
    for row, key in enumerate(keys):
        y = top + 2 * (row + 2) * sheet.line_px
        sheet.rule(left, y - 1.3 * sheet.line_px, sheet.width - margin, y - 1.3 * sheet.line_px)
        sheet.pair(left + sheet.px(6), y, key, value(rng), left + 0.42 * width)
    return left, top, sheet.width - margin, bottom


def _free(
    sheet: Sheet, rng: np.random.Generator, width: float, height: float, taken: list[tuple[float, float, float, float]], margin: float
) -> tuple[float, float] | None:  # fmt: skip
    """A corner at which so much room is left, which is then taken; None where none was found."""
    for _ in range(20):
        x, y = rng.uniform(margin, sheet.width - margin - width), rng.uniform(margin, sheet.height - margin - height)
        if all(x + width < box[0] or x > box[2] or y + height < box[1] or y > box[3] for box in taken):
            taken.append((x, y, x + width, y + height))
            return float(x), float(y)
    return None


def _thing(sheet: Sheet, rng: np.random.Generator, x: float, y: float, width: float) -> None:
    """What a label points at."""
    below = y + 1.5 * sheet.line_px
    sheet.rule(x, below, x + width, below, 0.4)
    if rng.random() < 0.5:
        sheet.circle(x + 0.3 * width, below + 0.8 * sheet.line_px, 0.6 * sheet.line_px)
    else:
        sheet.frame(x, below + 0.3 * sheet.line_px, x + 0.5 * width, below + 1.3 * sheet.line_px)


def _wall(
    sheet: Sheet, rng: np.random.Generator, taken: list[tuple[float, float, float, float]], margin: float
) -> None:
    """A double line that crosses no label, with its length written beside its middle."""
    length = rng.uniform(0.04, 0.2) * sheet.height
    flat = bool(rng.random() < 0.5)
    size = (length, 2 * sheet.line_px) if flat else (5 * sheet.line_px, length)
    spot = _free(sheet, rng, *size, taken, margin)
    if spot is None:
        return
    x, y = spot
    for shift in (0.0, 0.35 * sheet.line_px):
        end = (x + length, y + shift) if flat else (x + shift, y + length)
        sheet.rule(x if flat else x + shift, y + shift if flat else y, *end, 1.2)
    sheet.text(
        x + (length / 2 if flat else 0.8 * sheet.line_px),
        y + (1.6 * sheet.line_px if flat else length / 2),
        f"{rng.integers(800, 9900)}",
    )
