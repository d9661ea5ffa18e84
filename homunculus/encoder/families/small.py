"""The library's own small model: rotary positions in pixels, averaged over the footprint."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from homunculus.encoder.anatomy import Anatomy, Position
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.family import Family, LayerContext, Method
from homunculus.encoder.positions import axial_rotation
from homunculus.encoder.small import focus

ANATOMY = Anatomy(
    types=("homunculus_small",),
    projection="scale",
    layers="layers",
    norm="norm",
    block=("norm1", "q_proj", "k_proj", "v_proj", "out_proj", "norm2", "mlp"),
    position="footprint",
)


class Small(Family):
    special = 1
    texts = True
    dense: Method = "joint"
    unit_features = False
    native_grid = (16, 16)  # of a coarse pass; it knows no grid of its own

    def __init__(self, anatomy: Anatomy, model: Any, merge: int = 1) -> None:
        super().__init__(anatomy, model, merge)
        self.cells = self.config.cells

    def embed(self, pixels: Tensor, at: Coordinates, position: Position) -> Tensor:
        sides = (at.share * at.size_px.prod(-1)).sqrt() / self.patch_size
        octaves = sides.clamp(min=1).log2().clamp(max=self.tower.SCALES - 1)
        return self.tower.embed(pixels.to(self.dtype), octaves)  # type: ignore[no-any-return]

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor]:
        size = at.size_px.flip(-1)
        cos, sin = axial_rotation(
            at.center.flip(-1) * size,
            self.tower.frequencies,
            at.extent.flip(-1) * size if position == "footprint" else None,
            cell=float(self.patch_size),
        )
        sharper = focus(at.center.shape[1]) ** 0.5  # of queries and of keys alike
        return (sharper * cos)[:, None].to(self.dtype), (sharper * sin)[:, None].to(self.dtype)

    def layer(self, index: int, x: Tensor, context: LayerContext) -> Tensor:
        return self.feed(index, self.mix(index, x, context))

    def local(self, x: Tensor) -> Tensor:
        return self.tower.joint(self.tower.norm(x)).unflatten(-1, (self.cells**2, -1))  # type: ignore[no-any-return]

    def joint(self, x: Tensor) -> Tensor:
        return self.local(x).mean(-2)
