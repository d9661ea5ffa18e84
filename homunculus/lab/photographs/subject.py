"""One picture under the eye: what every row makes of it."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Closing
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder import FoveatedViT
from homunculus.encoder.img_focus import NAME
from homunculus.lab.baselines import Encoded, View
from homunculus.lab.baselines.full import native_shape
from homunculus.lab.photographs.pictures import Array, Point
from homunculus.lab.photographs.rows import PhotographRow
from homunculus.loop import SHARPNESS
from homunculus.relevance import ImageStatistics, SearchTarget, Silent, relevance, saliency
from homunculus.relevance.fixation import fixate
from homunculus.relevance.query import Query


class Encoders:
    """One pretrained model, told in each of the ways where its tokens stand."""

    def __init__(self, vit: FoveatedViT) -> None:
        self.plain = vit
        options: dict[str, Any] = {"mean": vit.mean, "std": vit.std}
        self._each = {
            ("center", False): vit,
            ("center", True): FoveatedViT(vit.model, position="center", area_attention=True, **options),
            ("footprint", False): FoveatedViT(vit.model, position="footprint", **options),
        }

    @classmethod
    def load(cls, name: str | Path = NAME, layers: int | None = None) -> Self:
        """Of a DINOv2's folder, or of the one that a package carries. layers: as if the model ended after so many, its norm behind them:
        parts are told apart best by tokens of about three quarters of the depth (Amir et al., "Deep ViT Features", 2021)."""
        vit = FoveatedViT.from_pretrained(name)
        if layers is not None:
            vit.model.encoder.layer = vit.model.encoder.layer[:layers]
            vit.model.config.num_hidden_layers = layers
            vit = FoveatedViT(vit.model, mean=vit.mean, std=vit.std)
        return cls(vit.requires_grad_(False))

    def of(self, row: PhotographRow) -> FoveatedViT:
        return self._each[row.position, row.area]


class PictureUnderTest(Closing):
    """A picture in a texture unit. The encode of its full grid is made once for all rows that begin with it."""

    def __init__(self, unit: TextureUnit, encoders: Encoders, image: Array) -> None:
        self.unit, self.encoders = unit, encoders
        self.pyramid = unit.pyramid(image)
        self.size = self.pyramid.size
        self._view = self.view(())

    def close(self) -> None:
        self.pyramid.close()

    def sample(self, plan: SamplePlan) -> Tensor:
        vit = self.encoders.plain
        return self.unit.sample(self.pyramid, plan, mean=vit.mean, std=vit.std).pixels

    def view(self, fixations: tuple[Point, ...]) -> View:
        return View(Scene(self.size, fixations, patch_size=self.encoders.plain.patch_size), self.sample)

    @cached_property
    def statistics(self) -> ImageStatistics:
        return ImageStatistics.of(self.unit, self.pyramid)

    @cached_property
    def salient(self) -> Point:
        """Where the saliency decoder says to look. Raises ModelError where it is not installed."""
        said = saliency(self.statistics)
        if isinstance(said, Silent):
            raise ModelError(said.reason)
        return fixate(said[0], self.size, 1).as_list()[0]

    def like(self, example: Array) -> Point:
        """Where the channels of relevance, asked for an example, say to look."""
        target = SearchTarget.of(self.unit, self.statistics, Query.of(example))
        total = relevance(self.statistics, target).total[0]
        return fixate(total, self.size, 1, sharpness=SHARPNESS).as_list()[0]

    def encoded(self, row: PhotographRow, at: Point | None = None) -> Encoded:
        """What a row makes of it, looking at `at` where it is told where to look by more than the picture."""
        if row.budget is None:
            return self.full
        rows, columns = native_shape(self.size, self.encoders.plain.patch_size)
        point = {"none": None, "center": (self.size[1] / 2, self.size[0] / 2)}.get(row.told, at)
        if row.told == "salient":
            point = self.salient
        view = self._view if point is None else self.view((point,))
        with torch.no_grad():
            return row.method.encode(self.encoders.of(row), view, min(row.budget, rows * columns))

    @cached_property
    def full(self) -> Encoded:
        """The full native grid, which questions are taken from."""
        with torch.no_grad():
            full = self._view.full(self.encoders.plain)
        return Encoded(full.tokens, full.plan, full.plan.area_px, (full.counts,), special=full.special)
