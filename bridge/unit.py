"""What every backend offers: an image becomes a pyramid, a plan becomes patches."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.notebook import Pictured, tiled
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import number
from homunculus.interop import Transfers, revoke

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

Format = Literal["rgba8", "rgba16f", "rgba32f", "rgba64f"]
Builder = Literal["exact", "driver", "simd", "auto"]
# What one picture, and what several, may come as; `bridge.pictures.entrance` says yes or no.
Picture: TypeAlias = "str | os.PathLike[str] | PILImage | np.ndarray[Any, Any] | Tensor"
Pictures: TypeAlias = "Picture | Sequence[Picture]"


@dataclass(frozen=True)
class Patches(Pictured):
    """What was seen.

    pixels: [N, 3, P, P] in 0..1, or normalised if mean and std were given.
    inside: float32 [N], how much of each footprint lies inside the image, as filtered: the mean of its texels' alpha. 1 where every tap
        is inside, 0 where none is; across the border it follows the share of the area to 0.1 (0.2 for a patch of one texel).
    """

    pixels: Tensor
    inside: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def __repr__(self) -> str:
        side, kind = self.pixels.shape[-1], str(self.pixels.dtype).removeprefix("torch.")
        return f"Patches({len(self)} of {side} x {side} px, {kind}, on {self.pixels.device})"

    def _picture(self) -> Image.Image:
        return tiled(self.pixels)


@dataclass
class Stats(Transfers):
    """Counts since the unit was opened: bytes over the host, and compute dispatches."""

    dispatches: int = 0


@dataclass(frozen=True)
class PlanProgram:
    """A plan computed where it is used: a compute shader that turns fixations into footprints, and its torch twin.

    The shader reads fixations from a std430 buffer at binding 0 (vec2 each), is told their number by the uniform `fixation_count`,
    and writes `count` rows of two vec4 to binding 1. It runs as `groups` work groups.
    """

    shader: str
    count: int
    patch_size: int
    twin: Callable[[Tensor], SamplePlan]
    defines: Mapping[str, int | float | str] = field(default_factory=dict)
    uniforms: Mapping[str, int | float | tuple[float, ...]] = field(default_factory=dict)
    groups: int = 1
    warped: bool = False


class Closing(ABC):
    """Something that a `with` block closes."""

    @abstractmethod
    def close(self) -> None:
        """Frees what it holds. Idempotent; later use raises ClosedError."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Pyramid(Closing):
    """One image or a batch as a stack of levels, each half the size of the one before. Made by `TextureUnit.pyramid`.

    Level l's texel (i, j) is the mean of the 2^l x 2^l block of level-0 pixels at (i * 2^l, j * 2^l); values are averaged as stored.
    Levels are premultiplied RGBA, alpha 1 inside the image and 0 in the padding, so a tap's alpha is the weight of it that lies inside.
    """

    size: tuple[int, int]  # (height, width) of the image
    padded_size: tuple[int, int]  # (height, width) of level 0
    layers: int
    max_level: int
    format: Format
    builder: Builder

    def at(self, x: float, y: float) -> tuple[float, float]:
        """The point (x, y) in level-0 pixels at fractions 0..1 of the width and height. Raises PlanError outside."""
        x, y = number("x", x), number("y", y)
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise PlanError(
                f"point ({x}, {y}) lies outside the image; fractions run from 0 to 1, left to right and top to bottom"
            )
        return x * self.size[1], y * self.size[0]

    @abstractmethod
    def level(self, level: int) -> Tensor:
        """[layers, height, width, 4] of one level as stored, premultiplied, 0..1, float32 or wider."""

    def __repr__(self) -> str:
        height, width = self.size
        return f"Pyramid({self.layers} x {height} x {width} px, levels 0..{self.max_level}, {self.format}, built by {self.builder})"


class TextureUnit(Closing):
    """One open device that builds pyramids and samples plans. Made by `open_unit`; close it, or use it in a `with` block."""

    backend: str
    renderer: str
    reason: str  # why this backend was chosen
    stats: Stats
    clock: Clock

    @abstractmethod
    def pyramid(
        self, images: Pictures, *, format: Format | None = None, builder: Builder | None = None, max_level: int = 6
    ) -> Pyramid:
        """Builds the pyramid of one picture, or of several of one size: paths, PIL images or arrays, or a list of them.

        images: an array is numpy or torch, [H, W, 3] or [B, H, W, 3], uint8, uint16 (scaled to 8 bits), bool, or floats in 0..1; or
            grey [H, W], grey and alpha or RGBA (composited over white), or [C, H, W] where it cannot be meant otherwise.
        format: how levels are stored; by default `rgba8` for uint8 and the float format of the images' own width otherwise. A float
            format that is asked for holds any finite value, not only light in 0..1. Floats on a GPU are not looked at.
        builder: `exact`, `driver`, `simd`, or `auto` (the driver's filter where its fingerprint is an exact box); by default the
            fastest that keeps its row of the tolerance table on this device.
        max_level: coarsest level; each side is padded with zeros to a multiple of 2**max_level.
        Raises ImageError, ImageTooLargeError or GLError; nothing is kept then.
        """

    @abstractmethod
    def sample(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        *,
        quality: Quality = "high",
        dtype: torch.dtype = torch.float32,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Patches:
        """Filters every footprint of the plan. A texel partly outside the image is the mean of the part inside; one wholly outside is 0
        after normalisation. Raises PlanError for a layer the pyramid lacks, or a footprint that quality `exact` cannot honour."""

    @contextmanager
    def sampled(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        *,
        quality: Quality = "high",
        dtype: torch.dtype = torch.float32,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
    ) -> Iterator[Patches]:
        """`sample` for the length of a `with` block: on `gl-cuda` the patches are the shader's own output buffer, not a copy of it.

        After the block the tensors cannot be used, whatever the backend: with a CUDA build of torch every use of them or of their
        views raises RuntimeError, with another build they are empty. Inside it they may be written to; use them on the stream that
        was current at the start, or is at the end. Raises what `sample` raises, and PlanError for more tokens than one buffer holds.
        """
        patches = self.sample(pyramid, plan, quality=quality, dtype=dtype, mean=mean, std=std)
        try:
            yield patches
        finally:
            revoke([patches.pixels, patches.inside])

    @abstractmethod
    def write_plan(self, program: PlanProgram, fixations: Sequence[Sequence[float]] | Tensor) -> SamplePlan:
        """Runs a plan program for fixations [K, 2] (x, y) in level-0 pixels, on the device where it has a shader for it."""

    @abstractmethod
    def statistics(self, pyramid: Pyramid, level: int = 1) -> Pyramid:
        """Local statistics of an image, measured on the texels of one of its levels: a pyramid of four layers an image, whose
        level 0 is as large as that level and whose coarsest is as coarse as the image's.

        `bridge.statistics` names the channels: opponent colours and their squares, oriented energy, ON and OFF contrast.
        Its levels are premultiplied like any pyramid's, in 32-bit floats, so `sample` reads a channel of any square with
        one fetch, and `bridge.statistics.planes` turns a level into planes. Raises ImageError for a level that is missing.
        """

    def timed(self) -> AbstractContextManager[dict[str, float]]:
        """`with unit.timed() as parts_ms:` fills the dictionary with the milliseconds of the calls made inside, by part: `upload`,
        `pyramid`, `sample`, `hand-over`, and `map`, `unmap` where the backend has them. Every part then waits for the device, so
        their sum may exceed what the calls take otherwise. Not for two threads at once.
        """
        return self.clock.listen()

    def __repr__(self) -> str:
        return f"TextureUnit({self.backend} on {self.renderer})"
