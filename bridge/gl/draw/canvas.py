"""A picture in the making: an RGBA texture on the device, and what can be drawn on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log2
from typing import Any, Literal

import torch
from torch import Tensor

from homunculus.bridge.gl.draw.target import RenderTarget
from homunculus.bridge.gl.draw.tokens import Tokens
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.planar import no_planes
from homunculus.bridge.pyramid import Closing, Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.values import FIXATIONS

Show = Literal["reconstruction", "lod", "difference"]
VERTICES = {"outline.vert": 24, "segment.vert": 6}  # of triangles; any other draws a strip of four
SHOWS: tuple[Show, ...] = ("reconstruction", "lod", "difference")
ATLAS, SUMS, PICTURE, PALETTE, EXTRA = 1, 2, 3, 4, 5  # texture units, as the shaders name them
PALETTE_STEPS = 240  # six times 40 and eight times 30
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Area:
    """A part of the canvas, in its pixels, y down, and what lies under it: the image point at its corner, and the image pixels of one
    canvas pixel."""

    left: int
    top: int
    width: int
    height: int
    origin_px: tuple[float, float] = (0.0, 0.0)
    step_px: float = 1.0

    @property
    def rectangle(self) -> tuple[int, int, int, int]:
        return self.left, self.top, self.width, self.height

    def uniforms(self) -> dict[str, Any]:
        return {
            "corner_px": (float(self.left), float(self.top)),
            "area_px": (float(self.width), float(self.height)),
            "origin_px": self.origin_px,
            "step_px": self.step_px,
        }


@dataclass(frozen=True)
class Chart:
    """The log-polar chart under warped tokens: fixation (x, y), the law's constant, and the farthest corner's distance, in pixels."""

    fixation_px: tuple[float, float]
    a_px: float
    radius_px: float
    wedges: int
    rings: int

    def uniforms(self) -> dict[str, Any]:
        return {
            "fixation_px": self.fixation_px,
            "a_px": self.a_px,
            "radius_px": self.radius_px,
            "tokens": (self.wedges, self.rings),
        }


@dataclass(frozen=True)
class Colors:
    """lod: 7 stops, one a level; heat: 9 stops from 0 to 1; unseen: where no token looks; ground: around the picture. All 0..1."""

    lod: Sequence[Color]
    heat: Sequence[Color]
    unseen: Color = (0.5, 0.5, 0.5)
    ground: Color = (0.11, 0.11, 0.12)

    def palette(self) -> Tensor:
        """uint8 [2, 241, 4]: both scales, so fine that every stop is a texel of its own."""
        rows = []
        for stops in (self.lod, self.heat):
            place = torch.linspace(0, len(stops) - 1, PALETTE_STEPS + 1, dtype=torch.float64, device="cpu")
            low = place.floor().clamp(max=len(stops) - 2).long()
            table = torch.tensor(stops, dtype=torch.float64, device="cpu")
            rows.append(torch.lerp(table[low], table[low + 1], (place - low)[:, None]))
        colors = (torch.stack(rows) * 255).round().byte()
        return torch.cat([colors, torch.full((*colors.shape[:2], 1), 255, dtype=torch.uint8, device="cpu")], -1)


class Canvas(Closing):
    """Draws on a texture of (height, width) pixels with the unit's context. Used on the context's thread.

    `begin` lays down what stays while the gaze moves, such as the picture; the other calls draw on it, each in its area.
    """

    def __init__(self, unit: GLUnit, size: tuple[int, int], colors: Colors) -> None:
        self.unit, self.colors = unit, colors
        self._context = unit.context
        self._target = RenderTarget(unit.context, size)
        self._ground_key: object = None
        self._onto = self._target.shown
        self._palette = self._target.texture(colors.palette())

    @property
    def size(self) -> tuple[int, int]:
        return self._target.size

    def resize(self, size: tuple[int, int]) -> None:
        """Forgets what was drawn. Raises ImageTooLargeError, and keeps the old size."""
        if size != self.size:
            self._target.resize(size)
            self._ground_key = None

    def begin(self, key: object, lay: Callable[[], None], *, outlined: bool = False) -> None:
        """Starts a frame. lay: draws what stays; left out while `key`, which says all it depends on, is the last frame's.
        outlined: whether `outlines` will be called."""
        if key != self._ground_key:
            self._ground_key = None
            self._onto = self._target.ground
            self._target.bind(self._onto)
            self._onto.clear(*self.colors.ground, 1.0)
            lay()
            self._ground_key = key
        self._onto = self._target.shown
        self._target.start(deep=outlined)

    def picture(self, area: Area, pyramid: Pyramid, paleness: float) -> None:
        """The picture itself, mixed with that share of white; of one in tiles the levels that are kept as a whole."""
        held, finest, image = self._held(pyramid)
        uniforms = {
            "lod": min(max(log2(area.step_px) - finest, 0.0), held.max_level),
            "paleness": paleness,
            "nearest": area.step_px < 0.5 and not finest,
        }
        self._target.bind(self._onto, area.rectangle)
        held.texture.use()
        self._draw("image.vert", "picture.frag", area, uniforms | image)

    def acuity(
        self, area: Area, pyramid: Pyramid, fixations: Sequence[tuple[float, float]], side0_px: float, a_px: float
    ) -> None:
        """The picture without what is finer than an eye's cut-off, half a cycle of which is side0_px (1 + e / a_px) image pixels long at a
        distance e from the nearest fixation; of more than 128 the last ones count."""
        held, finest, image = self._held(pyramid)
        points = [*fixations][-FIXATIONS.most :]
        uniforms = {
            "shown_lod": max(log2(area.step_px), finest),
            "finest_lod": finest,
            "side0_px": side0_px,
            "a_px": a_px,
            "fixation_count": len(points),
            "fixations": points + [(0.0, 0.0)] * (FIXATIONS.most - len(points)),
        }
        self._target.bind(self._onto, area.rectangle)
        held.texture.use()
        squares = int(area.step_px < 0.5 and not finest)
        self._draw("image.vert", "acuity.frag", area, uniforms | image, {"SQUARES": squares})

    def _held(self, pyramid: Pyramid) -> tuple[GLPyramid, int, dict[str, Any]]:
        """What there is of a picture as one texture, the level that its first is, and the uniforms of both."""
        held, finest = (pyramid.tail, pyramid.tail_level) if isinstance(pyramid, PagedPyramid) else (pyramid, 0)
        if held.coding is not None:
            raise no_planes(pyramid, "a canvas")
        assert isinstance(held, GLPyramid)
        height, width = (side << finest for side in held.padded_size)
        return held, finest, {"scale": (1 / width, 1 / height), "image_px": pyramid.size[::-1]}

    def outlines(self, area: Area, tokens: Tokens, width_px: float) -> None:
        """The borders of affine footprints, coloured by level of detail, the finest on top."""
        uniforms = {"patch_size": tokens.patch_size, "width_px": width_px}
        self._target.bind(self._target.shown, area.rectangle)
        self._draw("outline.vert", "outline.frag", area, uniforms, each=tokens, blend="deep")

    def tokens(
        self, area: Area, image_size: tuple[int, int], tokens: Tokens, show: Show, chart: Chart | None = None
    ) -> None:
        """What the tokens see, put back where they saw it; their levels of detail; or the difference from the picture in this area,
        which must not be pale. chart: where warped tokens lie."""
        image = {"image_px": image_size[::-1]}
        finest = show == "lod"
        self._target.sum(area.rectangle)
        own = {"patch_size": tokens.patch_size, "max_atlas_level": tokens.max_atlas_level, **image}
        tokens.atlas.use(ATLAS)
        if tokens.warped:
            assert chart is not None, "warped tokens lie on a chart"
            uniforms = {**own, **chart.uniforms()}
            self._draw("image.vert", "warped.frag", area, uniforms, {"FINEST": int(finest)})
        else:
            fragment, blend = ("finest.frag", "most") if finest else ("sum.frag", "add")
            uniforms = {**own, "columns": tokens.columns}
            self._draw("patch.vert", fragment, area, uniforms, each=tokens, blend=blend)
        self._target.bind(self._target.shown, area.rectangle)
        self._target.textures["sums"].use(SUMS)
        self._target.textures["ground"].use(PICTURE)
        uniforms = {"unseen": self.colors.unseen, **image}
        self._draw("image.vert", "resolve.frag", area, uniforms, {"SHOW": SHOWS.index(show)})

    def cortex(self, area: Area, tokens: Tokens, chart: Chart, *, hemifields: bool = False) -> None:
        """Warped tokens side by side over the whole area, or both hemifields as the complex logarithm maps them."""
        self._target.bind(self._target.shown, area.rectangle)
        tokens.atlas.use(ATLAS)
        uniforms = {"patch_size": tokens.patch_size, "unseen": self.colors.unseen, **chart.uniforms()}
        self._draw("area.vert", "cortex.frag", area, uniforms, {"HEMIFIELDS": int(hemifields)})

    def heat(self, area: Area, image_size: tuple[int, int], map: Any, peak: float, opacity: float) -> None:
        """A texture of one channel as colours from 0 to `peak`, stretched over the image. Made by `texture`."""
        self._target.bind(self._onto, area.rectangle)
        map.use(EXTRA)
        uniforms = {"image_px": image_size[::-1], "peak": peak, "opacity": opacity}
        self._draw("image.vert", "heat.frag", area, uniforms, blend="over")

    def segments(self, area: Area, rows: Tensor) -> None:
        """Straight lines, float32 [M, 9]: from (x, y), to (x, y) in canvas pixels, red, green, blue, alpha, width in pixels."""
        if len(rows):
            self._target.bind(self._target.shown, area.rectangle)
            self._draw("segment.vert", "segment.frag", area, {}, each=rows, blend="over")

    def label(self, left: int, top: int, label: Any) -> None:
        """An RGBA texture, pixel by pixel. Made by `texture`."""
        area = Area(left, top, *label.size)
        self._target.bind(self._target.shown, area.rectangle)
        label.use(EXTRA)
        self._draw("area.vert", "label.frag", area, {}, blend="over")

    def texture(self, values: Tensor) -> Any:
        """A texture of uint8 [h, w, 4] or float32 [h, w], for `label` and `heat`. To be given to `forget`."""
        return self._target.texture(values)

    def forget(self, texture: Any) -> None:
        self._target.forget(texture)

    def read(self) -> Tensor:
        """uint8 [height, width, 3] of what was drawn."""
        return self._target.read()

    def present(self) -> None:
        """Copies what was drawn to the window whose context this is."""
        self._target.present()
        self._context.check(lambda: "presenting a frame")

    def _draw(
        self,
        vertex: str,
        fragment: str,
        area: Area,
        uniforms: Mapping[str, Any],
        defines: Mapping[str, int] | None = None,
        *,
        each: Tokens | Tensor | None = None,
        blend: str = "",
    ) -> None:
        """By shaders of `shaders/view`: once, or for each footprint or line."""
        program = self._context.drawing(f"view/{vertex}", f"view/{fragment}", defines or {})
        height, width = self.size
        self._palette.use(PALETTE)
        for name, value in {"target_px": (float(width), float(height)), **area.uniforms(), **uniforms}.items():
            if name in program:
                program[name] = value
        self._target.render(program, VERTICES.get(vertex, 4), each, blend)
        self._context.check(lambda: f"drawing with {fragment}")

    def close(self) -> None:
        self._target.forget(self._palette)
        self._target.close()
