"""A pyramid whose picture stays with its owner: coarse levels are made at once, of the fine ones only what somebody looks at.

The texture is as large as any pyramid's; tiles stand where they are in it, so that nothing else need know. A texel that no plan has
asked for is never read, whatever is there: what a plan reads is marked before it is sampled, and what is missing is reduced from the
picture and written. Whoever takes the texture itself gets a complete one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.gl.blocks import SUMMED_LEVELS, Sums, block_sums
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import GLPyramid, Texture
from homunculus.bridge.gl.simd import coarser, fine_levels
from homunculus.bridge.law import Quality
from homunculus.bridge.patches import Stats
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent
from homunculus.bridge.tiles.reads import reads

TILE_TEXELS = 32  # a multiple of 2**SUMMED_LEVELS
# The longer side of the coarsest level that is made at once is about that: a picture of that side is not worth the asking.
WHOLE_PX = 512
# Reading more of the picture than this share of it costs more than completing it.
MOST_SHARE = 0.5
STRIPE_BYTES = 1 << 20

Box = tuple[int, int, int, int]  # top, left, bottom, right in level-0 pixels


def base_level(extent: Extent) -> int:
    """The finest level that is made at once. 0: all of them are."""
    longest = max(extent.height, extent.width)
    return min(SUMMED_LEVELS, extent.levels - 1, max(0, (longest // WHOLE_PX).bit_length() - 1))


class SparsePyramid(GLPyramid):
    """Levels from `base` on are there; of the finer ones the tiles that `resident` marks. Built and used on the context's thread.

    images: uint8 [B, H, W, 3] on the host, read until all is there or the pyramid is closed.
    """

    def __init__(
        self,
        context: Context,
        pool: Pool[Texture],
        images: Tensor,
        extent: Extent,
        stats: Stats,
    ) -> None:
        super().__init__(context, pool, (images.shape[1], images.shape[2]), extent, "sparse")
        self._stats = stats
        self._images: Tensor | None = images
        self._version = _version(images)
        self.base = base_level(extent)
        self.resident = [
            np.zeros([-(-(side >> level) // TILE_TEXELS) for side in self.padded_size], bool)
            for level in range(self.base)
        ]
        self._sums: list[Sums] = []
        self._helpers: tuple[Executor | None, int] = (None, 1)

    def build(self, helpers: Executor | None, threads: int) -> None:
        """The levels from `base` on, by that many threads, this one included."""
        assert self._images is not None
        self._helpers = helpers, threads
        shape = (self.padded_size[0] >> self.base, self.padded_size[1] >> self.base)
        with self.context.clock.part("pyramid"):
            self._sums = [block_sums(image, self.base, shape, *self._helpers) for image in self._images.numpy()]
            self.held.use()
            for layer, sums in enumerate(self._sums):
                for level, texels in enumerate(coarser(sums, self.base, self.max_level), start=self.base):
                    self._write(level, layer, 0, 0, texels)

    def reach(self, plan: SamplePlan, quality: Quality) -> None:
        """Writes what a plan reads and is not there. Raises ImageError where the picture has changed."""
        if self._images is not None:
            self._fill(list(self._missing(plan, quality)))

    def _complete(self, finest: int) -> None:
        for level in range(finest, self.base):
            if not self.resident[level].all():
                self._fill_levels(finest)
                return

    def _missing(self, plan: SamplePlan, quality: Quality) -> Iterator[tuple[int, Box]]:
        """Level and box of what a plan reads and is not there."""
        sizes = [(self.padded_size[0] >> level, self.padded_size[1] >> level) for level in range(self.base)]
        marked = reads(plan, self.max_level, quality).marked(sizes, TILE_TEXELS)
        for level, (wanted, resident) in enumerate(zip(marked, self.resident, strict=True)):
            tile_px = TILE_TEXELS << level
            for top, left, bottom, right in rectangles(wanted & ~resident):
                yield (
                    level,
                    (
                        top * tile_px,
                        left * tile_px,
                        min(bottom * tile_px, self.padded_size[0]),
                        min(right * tile_px, self.padded_size[1]),
                    ),
                )

    def _fill(self, missing: Sequence[tuple[int, Box]]) -> None:
        if not missing:
            return
        pixels = sum((bottom - top) * (right - left) for _, (top, left, bottom, right) in missing)
        if pixels > MOST_SHARE * self.padded_size[0] * self.padded_size[1]:
            self._fill_levels(0)
            return
        self.held.use()
        for level, box in missing:
            self._fill_box(box, range(level, level + 1))
            tile_px = TILE_TEXELS << level
            top, left, bottom, right = (-(-side // tile_px) for side in box)
            self.resident[level][top:bottom, left:right] = True
        self.context.check(f"uploading to {self!r}")

    def _fill_levels(self, finest: int) -> None:
        """All of the levels from `finest` on."""
        height, width = self.padded_size
        block = 1 << self.base
        rows = max(block, STRIPE_BYTES // (4 * width) // block * block)
        self.held.use()
        for top in range(0, height, rows):
            self._fill_box((top, 0, min(top + rows, height), width), range(finest, self.base))
        self.context.check(f"uploading to {self!r}")
        for level in range(finest, self.base):
            self.resident[level][:] = True
        if finest == 0:
            self._images, self._sums = None, []

    def _fill_box(self, box: Box, levels: range) -> None:
        """Those levels of what lies in a box."""
        assert self._images is not None
        if _version(self._images) != self._version:
            raise self._changed("")
        top, left, bottom, right = box
        for layer, image in enumerate(self._images.numpy()):
            with self.context.clock.part("upload"):
                texels, sums = fine_levels(
                    image[top:bottom, left:right], (bottom - top, right - left), levels, self.base, *self._helpers
                )
                known = self._sums[layer][
                    top >> self.base : bottom >> self.base, left >> self.base : right >> self.base
                ]
                if not np.array_equal(sums, known):
                    raise self._changed(f" between ({left}, {top}) and ({right}, {bottom})")
                for level, values in texels.items():
                    self._write(level, layer, left >> level, top >> level, values)

    def _write(self, level: int, layer: int, x: int, y: int, texels: Tensor) -> None:
        self.held.write(level, layer, x, y, texels)
        self._stats.bytes_to_device += texels.numel()

    def _changed(self, where: str) -> ImageError:
        return ImageError(
            f"the array of {self!r} has been written to{where} since the pyramid was built, and fine levels are read from it when a "
            "plan needs them; close the pyramid before you write, give a copy, or pass builder='simd', which reads all of it at once"
        )

    def close(self) -> None:
        self._images, self._sums = None, []
        super().close()


def rectangles(wanted: NDArray[np.bool_]) -> Iterator[Box]:
    """Rectangles (top, left, bottom, right) over all that is wanted: one, where it is at least half full, else runs of rows."""
    rows, columns = np.flatnonzero(wanted.any(1)), np.flatnonzero(wanted.any(0))
    if not len(rows):
        return
    box = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    top, left, bottom, right = box
    if 2 * np.count_nonzero(wanted) >= (bottom - top) * (right - left) or min(bottom - top, right - left) == 1:
        yield box
        return
    halves = ((top, left, (top + bottom) // 2, right), ((top + bottom) // 2, left, bottom, right))
    if right - left > bottom - top:
        halves = ((top, left, bottom, (left + right) // 2), (top, (left + right) // 2, bottom, right))
    for first, start, last, end in halves:
        for inner in rectangles(wanted[first:last, start:end]):
            yield inner[0] + first, inner[1] + start, inner[2] + first, inner[3] + start


def _version(images: Tensor) -> int:
    """Counts what torch has written to it; what numpy writes is not counted."""
    return 0 if images.is_inference() else images._version
