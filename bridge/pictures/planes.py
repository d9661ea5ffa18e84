"""Pictures as decoders have them: a plane of luma, and two of chroma half as large along each side (4:2:0)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.pictures.arrays import tensor_of
from homunculus.bridge.pictures.jpeg import ycbcr
from homunculus.bridge.values import choice, shown

Matrix = Literal["601", "709"]
Range = Literal["full", "limited"]
Siting = Literal["centre", "left"]

# Kr and Kb (ITU-R BT.601-7, 2.5.1; BT.709-6, 3.2)
WEIGHTS: dict[Matrix, tuple[float, float]] = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}
NEUTRAL = 128  # what chroma is where there is no colour
HD_ROWS = 720  # pictures at least so high are taken for BT.709 where nothing says what they are
# Of FFmpeg's AVColorSpace, which PyAV hands on. 2: unspecified.
_MATRICES: dict[int, Matrix] = {1: "709", 5: "601", 6: "601"}
_FULL_RANGE = 2  # of its AVColorRange


@dataclass(frozen=True)
class Coding:
    """What the bytes of luma and chroma mean.

    matrix: BT.601 or BT.709. range: `full`, luma 0..255 and chroma 128 +- 127.5, as in JPEG; `limited`, luma 16..235 and chroma
    128 +- 112, as in most video. siting: a chroma sample lies in the middle of its four pixels (`centre`: JPEG, MPEG-1), or between
    the two on the left (`left`: MPEG-2, H.264 unless it says otherwise).
    """

    matrix: Matrix = "601"
    range: Range = "full"
    siting: Siting = "centre"

    def __post_init__(self) -> None:
        choice("matrix", self.matrix, ("601", "709"), refusal=ImageError)
        choice("range", self.range, ("full", "limited"), refusal=ImageError)
        choice("siting", self.siting, ("centre", "left"), refusal=ImageError)

    @property
    def luma(self) -> tuple[float, float]:
        """Black, and what a step of luma above it is of light; values 0..1 stand for bytes 0..255."""
        return (0.0, 1.0) if self.range == "full" else (16 / 255, 255 / 219)

    @property
    def chroma(self) -> tuple[float, float, float, float]:
        """What Cb - 128 adds to blue and to green, and Cr - 128 to green and to red; values 0..1 stand for bytes 0..255."""
        red, blue = WEIGHTS[self.matrix]
        green = 1 - red - blue
        gain = 1.0 if self.range == "full" else 255 / 224
        of_blue, of_red = 2 * (1 - blue) * gain, 2 * (1 - red) * gain
        return of_blue, -of_blue * blue / green, -of_red * red / green, of_red

    @property
    def shift_px(self) -> float:
        """How far to the right of a pixel its chroma is read, so that samples that lie on the left are read where they lie."""
        return 0.5 if self.siting == "left" else 0.0

    def rgb(self, luma: Tensor, chroma: Tensor, alpha: Tensor | float = 1.0) -> Tensor:
        """[..., 3], not clipped, of luma [...] and of how far chroma is from neutral [..., 2], in 0..1 for bytes 0..255; of what is
        premultiplied by `alpha`, where that is given."""
        black, gain = self.luma
        blue, green_of_cb, green_of_cr, red = self.chroma
        light, (cb, cr) = (luma - black * alpha) * gain, chroma.unbind(-1)
        return torch.stack([light + red * cr, light + green_of_cb * cb + green_of_cr * cr, light + blue * cb], -1)


@dataclass(frozen=True, eq=False, repr=False)
class Planes:
    """One picture as luma and chroma, which a unit samples as they are: `unit.pyramid(planes)`.

    luma: uint8 [H, W]. chroma: uint8 [ceil(H / 2), ceil(W / 2), 2], Cb and Cr. Both numpy or torch, on one device. matrix, range,
    siting: `Coding`. Raises ImageError for other types, shapes or values.

    Two bytes a pixel are stored, levels included, instead of 5.3 as `rgba8`, and 1.5 uploaded instead of 3. Filtering is linear and so
    is the matrix, so what is filtered and then turned into RGB is what RGB filtered would be; colours beyond RGB, which such
    planes can hold, are clipped at each tap.

    >>> from homunculus.bridge.pictures.planes import Planes
    >>> planes = Planes.of_jpeg("examples/data/photograph.jpg")
    >>> planes, planes.rgb().shape
    (Planes(512 x 512 px, 601, full range, chroma at the centre), torch.Size([512, 512, 3]))
    """

    luma: Tensor
    chroma: Tensor
    matrix: Matrix = "601"
    range: Range = "full"
    siting: Siting = "centre"

    def __post_init__(self) -> None:
        for name in ("luma", "chroma"):
            plane = tensor_of(getattr(self, name))
            if plane.dtype != torch.uint8:
                raise ImageError(f"{name} is {plane.dtype}; planes are uint8, as decoders write them")
            object.__setattr__(self, name, plane)
        if self.luma.ndim != 2 or 0 in self.luma.shape:
            raise ImageError(f"luma has shape {tuple(self.luma.shape)}; expected [H, W], every side at least 1")
        height, width = (-(-side // 2) for side in self.luma.shape)
        if tuple(self.chroma.shape) != (height, width, 2):
            raise ImageError(
                f"chroma has shape {tuple(self.chroma.shape)}; luma of {tuple(self.luma.shape)} needs [{height}, {width}, 2], Cb and Cr "
                "at half its size, rounded up"
            )
        if self.luma.device != self.chroma.device:
            raise ImageError(f"luma is on {self.luma.device} and chroma on {self.chroma.device}; give both on one")
        self.coding  # noqa: B018

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.luma.shape[0], self.luma.shape[1]

    @property
    def coding(self) -> Coding:
        return Coding(self.matrix, self.range, self.siting)

    def rgb(self) -> Tensor:
        """uint8 [H, W, 3] where the planes are: chroma between its samples by bilinear interpolation, then the formula of the matrix."""
        coding = self.coding
        chroma = self.chroma.float() - NEUTRAL
        for axis, shift_px in enumerate((0.0, coding.shift_px)):
            chroma = _between(chroma, axis, self.size[axis], shift_px)
        return (coding.rgb(self.luma / 255, chroma / 255) * 255).round().clamp(0, 255).to(torch.uint8)

    @staticmethod
    def of_rgb(image: Any, matrix: Matrix = "601", range: Range = "full") -> Planes:
        """Of uint8 [H, W, 3]: each sample rounded once, chroma the mean of its pixels, in their middle. Raises ImageError."""
        coding = Coding(matrix, range)
        pixels = tensor_of(image)
        if pixels.ndim != 3 or pixels.shape[-1] != 3 or pixels.dtype != torch.uint8 or 0 in pixels.shape:
            raise ImageError(
                f"the image is {pixels.dtype} {tuple(pixels.shape)}; give uint8 [H, W, 3], as read_image does"
            )
        light = pixels.float()
        red, blue = WEIGHTS[matrix]
        luma = red * light[..., 0] + (1 - red - blue) * light[..., 1] + blue * light[..., 2]
        differences = torch.stack([light[..., 2] - luma, light[..., 0] - luma], -1)
        black, gain = coding.luma
        of_blue, _, _, of_red = coding.chroma
        rows, columns = (torch.arange(side, dtype=torch.int64, device=light.device) // 2 for side in luma.shape)
        cells = rows[:, None] * (int(columns[-1]) + 1) + columns
        shape = (int(rows[-1]) + 1, int(columns[-1]) + 1, 2)
        sums = light.new_zeros(shape[0] * shape[1], 2).index_add_(0, cells.flatten(), differences.flatten(0, 1))
        counts = torch.bincount(cells.flatten(), minlength=len(sums))[:, None]
        chroma = (sums / counts).reshape(shape) / light.new_tensor([of_blue, of_red]) + NEUTRAL
        return Planes(_bytes(luma / gain + 255 * black), _bytes(chroma), matrix, range)

    @staticmethod
    def of_jpeg(path: str | os.PathLike[str]) -> Planes:
        """The planes that libjpeg decodes from a file, before it makes RGB of them; of other samplings than 4:2:0 its own reduction of
        chroma. `PictureFile` is honoured but for `icc`: values are as stored. Raises what `read_image` raises, and ImageReadError for
        a picture that is no JPEG, or whose orientation tag turns it: read that one by read_image."""
        luma, chroma = ycbcr(path)
        return Planes(torch.from_numpy(luma), torch.from_numpy(chroma))

    @staticmethod
    def of_av(frame: Any) -> Planes:
        """Of a frame that PyAV has decoded, in yuv420p, yuvj420p or nv12, without conversion.

        What the frame does not say is taken as video players do: BT.709 from 720 rows on and BT.601 below, limited range, chroma
        on the left; yuvj420p is JPEG's: BT.601, full range, chroma in the centre. Raises ImageError for another format or matrix.
        """
        name = getattr(getattr(frame, "format", None), "name", None)
        if name not in ("yuv420p", "yuvj420p", "nv12"):
            raise ImageError(
                f"the frame is {shown(frame) if name is None else name}; planes come from yuv420p, yuvj420p or nv12. Convert it: "
                "frame.reformat(format='yuv420p'), or take frame.to_ndarray(format='rgb24') as a picture"
            )
        space, of_jpeg = int(frame.colorspace), name == "yuvj420p"
        if space not in (2, *_MATRICES):
            raise ImageError(
                f"the frame's matrix is FFmpeg's number {space}; planes are BT.601 or BT.709. Take "
                "frame.to_ndarray(format='rgb24') as a picture"
            )
        matrix = _MATRICES.get(space, "709" if frame.height >= HD_ROWS and not of_jpeg else "601")
        full = of_jpeg or int(frame.color_range) == _FULL_RANGE
        first, *rest = frame.planes
        if name == "nv12":
            chroma = _of_buffer(rest[0], 2).reshape(rest[0].height, -1, 2)
        else:
            chroma = np.stack([_of_buffer(plane) for plane in rest], -1)
        return Planes(
            torch.from_numpy(_of_buffer(first)),
            torch.from_numpy(chroma),
            matrix,
            "full" if full else "limited",
            "centre" if of_jpeg else "left",
        )

    def __repr__(self) -> str:
        height, width = self.size
        return f"Planes({height} x {width} px, {self.matrix}, {self.range} range, chroma {_PLACES[self.siting]})"


class PlaneBatch(NamedTuple):
    """Several of one size and coding. luma: uint8 [B, H, W, 1]; chroma: uint8 [B, h, w, 2]."""

    luma: Tensor
    chroma: Tensor
    coding: Coding

    @property
    def size(self) -> tuple[int, int]:
        return self.luma.shape[1], self.luma.shape[2]


_PLACES = {"centre": "at the centre", "left": "on the left"}


def plane_batch(images: Any) -> PlaneBatch | None:
    """Of one `Planes` or a list of them; None of anything else. Raises ImageError where sizes or codings differ, or some are pictures of
    another kind."""
    if isinstance(images, Planes):
        images = [images]
    if (
        not isinstance(images, Sequence)
        or isinstance(images, str)
        or not any(isinstance(one, Planes) for one in images)
    ):
        return None
    strange = [one for one in images if not isinstance(one, Planes)]
    if strange:
        raise ImageError(
            f"one picture is Planes and another {type(strange[0]).__name__}; give all of them as Planes, or planes.rgb() of each"
        )
    kinds = sorted({f"{one!r} on {one.luma.device}" for one in images})
    if len(kinds) > 1:
        raise ImageError(
            f"the planes of one pyramid must be of one size, matrix, range and siting, and these are {', '.join(kinds)}; build one "
            "pyramid for each, or of planes.rgb() of each"
        )
    luma = torch.stack([one.luma for one in images])[..., None]
    return PlaneBatch(luma, torch.stack([one.chroma for one in images]), images[0].coding)


def _between(chroma: Tensor, axis: int, count: int, shift_px: float) -> Tensor:
    """At the `count` pixels of that axis, from samples of two pixels each; beyond the last sample, that sample."""
    place = (torch.arange(count, dtype=torch.float32, device=chroma.device) + 0.5 + shift_px) / 2 - 0.5
    place = place.clamp(0, chroma.shape[axis] - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=chroma.shape[axis] - 1)
    share = (place - low).view(-1, *[1] * (chroma.ndim - 1 - axis))
    return torch.lerp(chroma.index_select(axis, low), chroma.index_select(axis, high), share)


def _bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _of_buffer(plane: Any, sample_bytes: int = 1) -> np.ndarray[Any, Any]:
    """[height, width * sample_bytes], without what FFmpeg aligns rows by; a copy, because the frame's memory may be used again."""
    lines = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return lines[: plane.height, : plane.width * sample_bytes].copy()
