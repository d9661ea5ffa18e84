"""Fields of bars with an odd one among them: what pops out, and what does not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Array = np.ndarray
KINDS = ("orientation", "color", "intensity", "size", "conjunction")
BARS = 8  # along each side of a field


@dataclass(frozen=True)
class Bar:
    """length and width in px, angle in radians, color float [3] in 0..1."""

    length: float
    width: float
    angle: float
    color: tuple[float, float, float]


def draw_bar(image: Array, x: float, y: float, bar: Bar) -> None:
    """Draws an anti-aliased bar centred on (x, y) into float [H, W, 3]."""
    reach = int(bar.length + bar.width) // 2 + 3
    left, top = max(int(x) - reach, 0), max(int(y) - reach, 0)
    part = image[top : int(y) + reach, left : int(x) + reach]
    rows, columns = np.mgrid[: part.shape[0], : part.shape[1]] + 0.5
    dx, dy = columns + left - x, rows + top - y
    along = np.abs(dx * np.cos(bar.angle) + dy * np.sin(bar.angle)) - bar.length / 2
    across = np.abs(dy * np.cos(bar.angle) - dx * np.sin(bar.angle)) - bar.width / 2
    cover = np.clip(0.5 - along, 0, 1) * np.clip(0.5 - across, 0, 1)
    part += cover[..., None] * (np.array(bar.color) - part)


@dataclass(frozen=True)
class Field:
    """image: uint8 [S, S, 3]; odd: (row, column) of the odd bar among 8 x 8; target: the bar that stands there."""

    image: Array
    odd: tuple[int, int]
    target: Bar


def equal_mean_colors(rng: np.random.Generator) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Two saturated colours of equal mean of R, G and B, at least 100 degrees of hue apart."""
    hue = rng.uniform(0, 2 * np.pi)
    apart = rng.uniform(100, 180) * np.pi / 180 * rng.choice([-1, 1])

    def color(angle: float) -> tuple[float, ...]:
        return tuple(float(0.5 + 0.33 * np.cos(angle - k * 2 * np.pi / 3)) for k in range(3))

    return color(hue), color(hue + apart)


def bars_of(kind: str, scale: float, rng: np.random.Generator) -> tuple[Bar, list[Bar]]:
    """The odd bar, and the kinds of the others in equal parts. Roles are drawn anew each time."""
    length, width = 34 * scale, 10 * scale
    first = rng.uniform(0, np.pi)
    second = first + np.pi / 2 * rng.choice([-1, 1])
    grey = (0.75,) * 3
    red, green = equal_mean_colors(rng)
    if kind == "orientation":
        return Bar(length, width, first, grey), [Bar(length, width, second, grey)]
    if kind == "color":
        return Bar(length, width, first, red), [Bar(length, width, first, green)]
    if kind == "intensity":
        low, high = rng.uniform(0.55, 0.65), rng.uniform(0.9, 1.0)
        return Bar(length, width, first, (high,) * 3), [Bar(length, width, first, (low,) * 3)]
    if kind == "size":
        return Bar(length * 1.5, width * 1.5, first, grey), [Bar(length, width, first, grey)]
    others = [Bar(length, width, first, green), Bar(length, width, second, red)]
    return Bar(length, width, first, red), others


def render_field(target: Bar, others: list[Bar], rng: np.random.Generator, size_px: int = 512) -> Field:
    """8 x 8 bars on grey, every one off its cell's centre by up to 10 % of the cell and turned by up to 5 degrees."""
    cell = size_px / BARS
    image = np.full((size_px, size_px, 3), rng.uniform(0.2, 0.35))
    odd = (int(rng.integers(BARS)), int(rng.integers(BARS)))
    kinds = rng.permutation(np.arange(BARS * BARS) % len(others)).reshape(BARS, BARS)
    for row in range(BARS):
        for column in range(BARS):
            bar = target if (row, column) == odd else others[kinds[row, column]]
            dx, dy = rng.uniform(-0.1, 0.1, 2) * cell
            bar = Bar(bar.length, bar.width, bar.angle + rng.uniform(-5, 5) * np.pi / 180, bar.color)
            draw_bar(image, (column + 0.5) * cell + dx, (row + 0.5) * cell + dy, bar)
    return Field(np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8), odd, target)


def field(kind: str, seed: int, size_px: int = 512) -> Field:
    """A field of bars of one of `KINDS`; bars of 34 x 10 px at 512."""
    rng = np.random.default_rng([seed, KINDS.index(kind)])
    target, others = bars_of(kind, size_px / 512, rng)
    return render_field(target, others, rng, size_px)
