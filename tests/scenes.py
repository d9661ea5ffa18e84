"""Cluttered pictures with coloured shapes on them, one of which is asked for by an example or by its colour."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image, ImageDraw

Array = np.ndarray
COLORS = {
    "red": (205, 35, 40),
    "orange": (240, 140, 30),
    "yellow": (235, 215, 50),
    "green": (40, 150, 60),
    "cyan": (50, 190, 200),
    "blue": (40, 70, 190),
    "purple": (140, 50, 160),
}
SHAPES = ("circle", "square", "triangle", "star", "cross")
CLUTTER = ("noise", "text", "lines")
SIDE_PX = 2048


@dataclass(frozen=True)
class Shape:
    """side_px: diameter of the circle around it; angle in radians; rgb: 0..255."""

    kind: str
    color: str
    side_px: float
    angle: float
    rgb: tuple[int, int, int]


@dataclass(frozen=True)
class Scene:
    """image: uint8 [2048, 2048, 3]; box: left, top, right, bottom of the target; color_is_unique: nothing else has its colour."""

    image: Array
    box: tuple[float, float, float, float]
    target: Shape
    color_is_unique: bool
    clutter: str


def outline(shape: Shape) -> Array:
    """float [n, 2]: (x, y) around the shape's middle."""
    radius = shape.side_px / 2
    corners = {"circle": 64, "square": 4, "triangle": 3, "star": 10, "cross": 12}[shape.kind]
    turn = 2 * np.pi * np.arange(corners) / corners
    reach = np.full(corners, radius)
    if shape.kind == "star":
        reach[1::2] *= 0.42
    points = np.stack([np.cos(turn), np.sin(turn)], 1) * reach[:, None]
    if shape.kind == "cross":
        wide, long = 0.32, 0.947
        quarter = np.array([[long, -wide], [long, wide], [wide, wide]])
        turns = [np.array([[0, -1], [1, 0]]) for _ in range(4)]
        points = radius * np.concatenate([quarter @ np.linalg.matrix_power(turns[k], k).T for k in range(4)])
    cos, sin = np.cos(shape.angle), np.sin(shape.angle)
    return points @ np.array([[cos, sin], [-sin, cos]])


def draw_shape(image: Array, x: float, y: float, shape: Shape) -> tuple[float, float, float, float]:
    """Draws on uint8 [H, W, 3] with edges of one pixel; returns the box it fills."""
    points = outline(shape) + np.array([x, y])
    low, high = points.min(0), points.max(0)
    left, top = (max(int(v) - 1, 0) for v in low)
    right, bottom = (min(int(v) + 2, side) for v, side in zip(high, image.shape[1::-1], strict=True))
    mask = Image.new("L", (4 * (right - left), 4 * (bottom - top)))
    ImageDraw.Draw(mask).polygon([tuple(point) for point in 4 * (points - (left, top))], fill=255)
    cover = np.asarray(mask.reduce(4), np.float32)[..., None] / 255
    part = image[top:bottom, left:right]
    part[:] = np.rint(part + cover * (np.array(shape.rgb, np.float32) - part)).astype(np.uint8)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


@cache
def clutter(kind: str) -> Array:
    """uint8 [2048, 2048, 3]: coloured 1/f noise, text-like strokes on paper, or muted lines at random."""
    rng = np.random.default_rng(CLUTTER.index(kind))
    if kind == "noise":
        frequency = np.hypot(np.fft.fftfreq(SIDE_PX)[:, None], np.fft.rfftfreq(SIDE_PX)[None])
        frequency[0, 0] = np.inf
        white = rng.standard_normal((3, SIDE_PX, SIDE_PX)).astype(np.float32)
        planes = np.stack([np.fft.irfft2(np.fft.rfft2(plane) / frequency, (SIDE_PX, SIDE_PX)) for plane in white], -1)
        planes /= planes.std()
        grey = planes.mean(-1, keepdims=True)
        return np.rint(np.clip(128 + 40 * grey + 22 * planes, 0, 255)).astype(np.uint8)
    paper = Image.new("RGB", (SIDE_PX, SIDE_PX), (238, 234, 226) if kind == "text" else (120, 122, 125))
    pen = ImageDraw.Draw(paper)
    if kind == "text":
        for y in range(20, SIDE_PX, 34):
            x = 10
            while x < SIDE_PX:
                for _ in range(rng.integers(2, 9)):
                    points = [(x + float(u), y + float(v)) for u, v in rng.uniform((0, 0), (11, 20), (3, 2))]
                    pen.line(points, (40, 40, 48), 3)
                    x += 13
                x += 12
        return np.asarray(paper).copy()
    for _ in range(1500):
        x, y, angle, length = rng.uniform((0, 0, 0, 40), (SIDE_PX, SIDE_PX, np.pi, 500))
        grey, tint = rng.uniform(50, 210), rng.uniform(-25, 25, 3)
        end = (x + length * np.cos(angle), y + length * np.sin(angle))
        pen.line([(x, y), end], tuple(int(v) for v in grey + tint), int(rng.integers(2, 9)))
    return np.asarray(paper).copy()


def background(kind: str, rng: np.random.Generator) -> Array:
    """The clutter of that kind, moved and mirrored at random."""
    image = np.roll(clutter(kind), tuple(rng.integers(SIDE_PX, size=2)), (0, 1))
    return np.ascontiguousarray(image[:: rng.choice([-1, 1]), :: rng.choice([-1, 1])])


def random_shape(rng: np.random.Generator, kind: str, color: str) -> Shape:
    rgb = np.clip(np.array(COLORS[color]) + rng.integers(-14, 15, 3), 0, 255)
    side = float(rng.uniform(60, 140))
    return Shape(kind, color, side, float(rng.uniform(0, 2 * np.pi)), (int(rgb[0]), int(rgb[1]), int(rgb[2])))


def scene(seed: int, shapes: int = 12) -> Scene:
    """A target, three that share its shape, three that share its colour (none in every other scene), and others of neither.

    No two of the same kind and colour as the target, none closer to another than they are wide.
    """
    rng = np.random.default_rng([seed, 7])
    unique = seed % 2 == 0
    kind, color = str(rng.choice(SHAPES)), str(rng.choice(list(COLORS)))
    kinds = [name for name in SHAPES if name != kind]
    colors = [name for name in COLORS if name != color]
    wanted = [(kind, color)] + [(kind, str(rng.choice(colors))) for _ in range(3)]
    wanted += [] if unique else [(str(rng.choice(kinds)), color) for _ in range(3)]
    wanted += [(str(rng.choice(kinds)), str(rng.choice(colors))) for _ in range(shapes - len(wanted))]
    ground = CLUTTER[seed // 2 % len(CLUTTER)]
    image = background(ground, rng)
    drawn = [random_shape(rng, *pair) for pair in wanted]
    places: list[Array] = []
    while len(places) < shapes:
        place = rng.uniform(90, SIDE_PX - 90, 2)
        if all(np.hypot(*(place - other)) > 200 for other in places):
            places.append(place)
    boxes = [draw_shape(image, *place, shape) for place, shape in zip(places, drawn, strict=True)]
    return Scene(image, boxes[0], drawn[0], unique, ground)


def example(scene: Scene, seed: int) -> Array:
    """uint8 [h, w, 3]: the target drawn anew, on other clutter, up to 8 % larger or smaller and up to 8 degrees turned.

    The crop leaves a margin of a twentieth of its side.
    """
    rng = np.random.default_rng([seed, 8])
    target = scene.target
    shape = Shape(
        target.kind,
        target.color,
        target.side_px * rng.uniform(0.92, 1.08),
        target.angle + rng.uniform(-8, 8) * np.pi / 180,
        random_shape(rng, target.kind, target.color).rgb,
    )
    kind = str(rng.choice([name for name in CLUTTER if name != scene.clutter]))
    ground = clutter(kind)
    left, top = rng.integers(SIDE_PX - 256, size=2)
    image = ground[top : top + 256, left : left + 256].copy()
    box = draw_shape(image, 128 + rng.uniform(-4, 4), 128 + rng.uniform(-4, 4), shape)
    margin = 0.05 * shape.side_px
    x0, y0, x1, y1 = (round(v) for v in (box[0] - margin, box[1] - margin, box[2] + margin, box[3] + margin))
    return image[y0:y1, x0:x1]
