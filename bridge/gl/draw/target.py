"""The textures that a canvas draws on, and the state of one draw call."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ImageTooLargeError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.draw.tokens import Tokens

Rectangle = tuple[int, int, int, int]


class RenderTarget:
    """`shown`: the picture, with a depth buffer. `ground`: what a frame starts with. `sums`: float32, for adding up. Row 0 is the top."""

    def __init__(self, context: Context, size: tuple[int, int]) -> None:
        self._context = context
        self._gl: Any = context.moderngl
        self._owned: list[Any] = []
        self.size = (0, 0)
        self._summed = False
        self.resize(size)

    def resize(self, size: tuple[int, int]) -> None:
        height, width = size
        limit = self._context.limits.texture_px
        if not (1 <= height <= limit and 1 <= width <= limit):
            raise ImageTooLargeError(
                f"the canvas is {width} x {height} px; this device draws on 1 to {limit} px a side. Choose another size"
            )
        self._release()
        self.size = size
        shown, ground = (self._own(self._gl.texture((width, height), 4)) for _ in range(2))
        sums = self._own(self._gl.texture((width, height), 4, dtype="f4"))
        depth = self._own(self._gl.depth_renderbuffer((width, height)))
        self.textures = {"ground": ground, "sums": sums}
        self.shown = self._own(self._gl.framebuffer([shown], depth))
        self.ground = self._own(self._gl.framebuffer([ground]))
        self.sums = self._own(self._gl.framebuffer([sums]))
        self._context.check(lambda: f"making a canvas of {width} x {height} px")

    def bind(self, framebuffer: Any, rectangle: Rectangle | None = None) -> None:
        """What is drawn next goes there, and nowhere outside the rectangle: left, top, width, height."""
        framebuffer.scissor = rectangle
        framebuffer.use()

    def start(self, *, deep: bool) -> None:
        """Puts the ground into `shown`. deep: with an empty depth buffer."""
        if deep:
            self.bind(self.shown)
            self.shown.clear(depth=1.0)
        height, width = self.size
        self._blit(self.ground.glo, self.shown.glo, (0, 0, width, height))
        self._summed = False

    def sum(self, rectangle: Rectangle) -> None:
        """Makes `sums` the target, empty in every frame: cleared as a whole, which a software rasteriser does on the fly."""
        if not self._summed:
            self.bind(self.sums)
            self.sums.clear()
            self._summed = True
        self.bind(self.sums, rectangle)

    def render(self, program: Any, vertices: int, each: Tokens | Tensor | None, blend: str) -> None:
        """A strip of four vertices, or triangles: once, for each footprint, or for each line.

        blend: nothing, `over` (by alpha), `add`, `most`, or `deep` (over, and the nearer on top).
        """
        m = self._gl
        content: list[tuple[Any, ...]] = []
        instances = 1
        buffer = None
        if isinstance(each, Tokens):
            content = [(each.rows.buffer, "4f 4f/i", "head", "tail")]
            instances = each.count
        elif each is not None:
            buffer = m.buffer(each.float().contiguous().numpy())
            content = [(buffer, "4f 4f 1f/i", "ends", "color", "width_px")]
            instances = len(each)
        m.enable_only((m.BLEND if blend else 0) | (m.DEPTH_TEST if blend == "deep" else 0))
        m.blend_equation = m.MAX if blend == "most" else m.FUNC_ADD
        m.blend_func = (
            (m.ONE, m.ONE) if blend == "add" else (m.SRC_ALPHA, m.ONE_MINUS_SRC_ALPHA, m.ONE, m.ONE_MINUS_SRC_ALPHA)
        )
        array = m.vertex_array(program, content)
        try:
            array.render(m.TRIANGLE_STRIP if vertices == 4 else m.TRIANGLES, vertices=vertices, instances=instances)
        finally:
            array.release()
            if buffer is not None:
                buffer.release()
            m.blend_equation = m.FUNC_ADD
            m.enable_only(m.NOTHING)

    def texture(self, values: Tensor) -> Any:
        values = values.contiguous()
        height, width = values.shape[:2]
        channels, kind = (4, "f1") if values.dtype == torch.uint8 else (1, "f4")
        texture = self._gl.texture((width, height), channels, values.numpy(), dtype=kind, alignment=1)
        texture.repeat_x = texture.repeat_y = False
        self._context.live["drawing"] += 1
        self._context.check(lambda: f"making a texture of {width} x {height} px")
        return texture

    def forget(self, texture: Any) -> None:
        texture.release()
        self._context.live["drawing"] -= 1

    def read(self) -> Tensor:
        height, width = self.size
        pixels = torch.empty(height, width, 3, dtype=torch.uint8, device="cpu")
        self.shown.read_into(pixels.numpy(), components=3, alignment=1)
        self._context.check(lambda: "reading the canvas")
        return pixels

    def present(self) -> None:
        """To the window, whose row 0 is its lowest."""
        height, width = self.size
        self._blit(self.shown.glo, 0, (0, height, width, 0))

    def _blit(self, source: int, destination: int, to: tuple[int, int, int, int]) -> None:
        height, width = self.size
        raw = self._context.gl
        self.bind(self.shown)  # or a scissor rectangle would cut the copy
        raw.glBindFramebuffer(gl.READ_FRAMEBUFFER, source)
        raw.glBindFramebuffer(gl.DRAW_FRAMEBUFFER, destination)
        raw.glBlitFramebuffer(0, 0, width, height, *to, gl.COLOR_BUFFER_BIT, gl.NEAREST)

    def _own(self, thing: Any) -> Any:
        self._owned.append(thing)
        self._context.live["drawing"] += 1
        return thing

    def _release(self) -> None:
        self._gl.detect_framebuffer(0).use()  # or moderngl would bind one of these again once it is gone
        while self._owned:
            self._owned.pop().release()
            self._context.live["drawing"] -= 1

    def close(self) -> None:
        self._release()
