"""The kinds of page on A4 paper: forms, invoices, letters and tables."""

from __future__ import annotations

import numpy as np

from homunculus.lab.pages.sheet import Sheet
from homunculus.lab.pages.wording import (
    COLOURS,
    KEYS,
    THINGS,
    TITLES,
    amount,
    one_of,
    person,
    sentence,
    some,
    towns,
    value,
)  # fmt: skip

SMALL_PT = 7.5


def form(sheet: Sheet, rng: np.random.Generator) -> None:
    """Sections of two columns of fields, lined or boxed, and small print."""
    left, right = 0.08 * sheet.width, 0.92 * sheet.width
    y = 0.07 * sheet.height
    sheet.text(left, y, one_of(rng, TITLES["form"]), 1.9 * sheet.size_pt, "bold")
    keys = some(rng, KEYS["office"], 30)
    boxed = bool(rng.random() < 0.5)
    middle, field = (left + right) / 2, 0.175 * sheet.width
    y += 3 * sheet.line_px
    for section in range(3):
        sheet.band(left, y - sheet.line_px, right, y + 0.4 * sheet.line_px)
        sheet.text(left + sheet.px(3), y, f"{section + 1}  {person(rng).split()[1]} section", weight="bold")
        y += 2 * sheet.line_px
        for _ in range(5):
            for x in (left, middle):
                found = sheet.pair(x, y, keys.pop(), value(rng), x + field, mark=":" if not boxed else "")
                end = x + (right - left) / 2 - sheet.px(8)
                if boxed:
                    sheet.frame(
                        x + field - sheet.px(4),
                        y - sheet.px(1.25 * sheet.size_pt),
                        end,
                        y + sheet.px(0.5 * sheet.size_pt),
                    )
                else:
                    base = max(found.value_box[3], y) + sheet.px(2)
                    sheet.rule(x + field, base, end, base)
            y += 2.1 * sheet.line_px
        text = " ".join(sentence(rng) for _ in range(int(rng.integers(2, 4))))
        y = sheet.paragraph(left, y, right - left, text) + sheet.line_px
    _small_print(sheet, rng, left, right, 0.93 * sheet.height)


def invoice(sheet: Sheet, rng: np.random.Generator) -> None:
    """Sender, numbers at the right, a table of goods, sums, and the bank in small print."""
    left, right = 0.09 * sheet.width, 0.92 * sheet.width
    y = 0.06 * sheet.height
    sheet.text(left, y, f"{person(rng).split()[1]} & {person(rng).split()[1]}", 2.2 * sheet.size_pt, "bold")
    y += 3 * sheet.line_px
    for line in (person(rng), f"{rng.integers(2, 90)} {one_of(rng, towns(rng, 1))} Road", towns(rng, 1)[0]):
        sheet.text(left, y, line)
        y += sheet.line_px
    meta, top = 0.56 * sheet.width, 0.06 * sheet.height
    for row, key in enumerate(some(rng, KEYS["trade"], 9)):
        sheet.pair(meta, top + 1.35 * row * sheet.line_px, key, value(rng), meta + 0.19 * sheet.width, mark=":")
    y = top + 15 * sheet.line_px
    sheet.text(left, y, "Invoice", 1.6 * sheet.size_pt, "bold")
    y = _goods(sheet, rng, left, right, y + 2 * sheet.line_px)
    for row, key in enumerate(some(rng, KEYS["sums"], 6)):
        sheet.pair(0.62 * sheet.width, y, key, amount(rng), right, weight="bold" if row == 5 else "regular", right=True)
        y += 1.35 * sheet.line_px
    text = " ".join(sentence(rng) for _ in range(4))
    sheet.paragraph(left, y - 6 * sheet.line_px, 0.55 * (right - left), text, bottom=0.9 * sheet.height)
    y = 0.94 * sheet.height
    sheet.rule(left, y - 2 * sheet.line_px, right, y - 2 * sheet.line_px)
    for place, key in enumerate(some(rng, KEYS["bank"], 6)):
        x = left + (place % 3) * (right - left) / 3
        row_y = y + (place // 3) * sheet.px(1.5 * SMALL_PT)
        sheet.pair(x, row_y, key, value(rng), x + 0.12 * sheet.width, SMALL_PT)


def _goods(sheet: Sheet, rng: np.random.Generator, left: float, right: float, y: float) -> float:
    stops = [left, left + 0.07 * sheet.width, 0.58 * sheet.width, 0.72 * sheet.width, right]
    for x, heading, ends in zip(
        stops, ("Item", "Description", "Quantity", "Price", "Sum"), (0, 0, 1, 1, 1), strict=True
    ):
        sheet.text(x, y, heading, weight="bold", right=bool(ends))
    sheet.rule(left, y + sheet.px(4), right, y + sheet.px(4), 1)
    for row in range(int(rng.integers(10, 19))):
        y += 1.6 * sheet.line_px
        sheet.text(stops[0], y, str(row + 1))
        sheet.text(stops[1], y, f"{one_of(rng, COLOURS)} {one_of(rng, THINGS)}")
        for x in stops[2:]:
            sheet.text(x, y, amount(rng) if x > stops[2] else str(rng.integers(1, 400)), right=True)
        sheet.rule(left, y + sheet.px(4), right, y + sheet.px(4), 0.3)
    return y + 2.2 * sheet.line_px


def letter(sheet: Sheet, rng: np.random.Generator) -> None:
    """Running text in one column or two, with keys and values set between the paragraphs."""
    left, right = 0.1 * sheet.width, 0.91 * sheet.width
    y = 0.07 * sheet.height
    sheet.text(right, y, towns(rng, 1)[0] + " Trust", 1.8 * sheet.size_pt, "bold", right=True)
    keys = some(rng, [*KEYS["office"], *KEYS["trade"]], 24)
    y += 2.5 * sheet.line_px
    for place in range(4):
        x = left + (place % 2) * (right - left) / 2
        sheet.pair(x, y + (place // 2) * 1.4 * sheet.line_px, keys.pop(), value(rng), x + 0.16 * sheet.width, mark=":")
    y += 5 * sheet.line_px
    sheet.text(left, y, f"Dear {person(rng)},")
    columns = int(rng.integers(1, 3))
    gap = 0.03 * sheet.width
    width = (right - left - gap * (columns - 1)) / columns
    bottom = 0.9 * sheet.height
    for column in range(columns):
        x, row = left + column * (width + gap), y + 2 * sheet.line_px
        while row < bottom:
            text = " ".join(sentence(rng) for _ in range(int(rng.integers(2, 6))))
            row = sheet.paragraph(x, row, width, text, bottom=bottom) + 0.5 * sheet.line_px
            for _ in range(int(rng.integers(1, 3))):
                if keys and row < bottom and rng.random() < 0.7:
                    start = x + 0.02 * sheet.width
                    sheet.pair(start, row, keys.pop(), value(rng), start + 0.17 * sheet.width, mark=":")
                    row += 1.3 * sheet.line_px
            row += 0.4 * sheet.line_px
    _small_print(sheet, rng, left, right, 0.955 * sheet.height)


def table(sheet: Sheet, rng: np.random.Generator) -> None:
    """A long table: a place, the value asked for, and two further columns of figures."""
    left, right = 0.08 * sheet.width, 0.92 * sheet.width
    y = 0.07 * sheet.height
    sheet.text(left, y, one_of(rng, TITLES["table"]), 1.8 * sheet.size_pt, "bold")
    y = sheet.paragraph(left, y + 2 * sheet.line_px, right - left, " ".join(sentence(rng) for _ in range(3)))
    stops = [left, left + 0.27 * sheet.width, left + 0.56 * sheet.width, right]
    y += sheet.line_px
    for x, heading in zip(stops, ("Place", "Entry", "Opened", "Balance"), strict=True):
        sheet.text(x, y, heading, weight="bold", right=x == right)
    striped = bool(rng.random() < 0.5)
    step = float(rng.uniform(1.5, 1.9)) * sheet.line_px
    count = min(44, int((0.9 * sheet.height - y) / step))
    for row, place in enumerate(towns(rng, count)):
        y += step
        if striped and row % 2 == 0:
            sheet.band(left, y - 0.72 * step, right, y + 0.28 * step)
        sheet.pair(left, y, place, value(rng), stops[1])
        sheet.text(stops[2], y, f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.{rng.integers(1990, 2019)}")
        sheet.text(right, y, amount(rng), right=True)
        if not striped:
            sheet.rule(left, y + 0.28 * step, right, y + 0.28 * step, 0.3)
    _small_print(sheet, rng, left, right, 0.955 * sheet.height)


def _small_print(sheet: Sheet, rng: np.random.Generator, left: float, right: float, y: float) -> None:
    sheet.paragraph(left, y, right - left, " ".join(sentence(rng) for _ in range(3)), SMALL_PT)
