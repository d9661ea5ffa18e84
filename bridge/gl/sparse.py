"""A pyramid whose picture stays with its owner: coarse levels are made at once, of the fine ones only what somebody looks at.

The texture is as large as any pyramid's; tiles stand where they are in it, so that nothing else need know. A texel that no plan has
asked for is never read, whatever is there: what a plan reads is marked before it is sampled, and what is missing is reduced from the
picture and written. Whoever takes the texture itself gets a complete one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.gl.blocks import SUMMED_LEVELS, Sums, block_sums
from homunculus.bridge.gl.context import Context
from homunculus.bridge.gl.pyramid import GLPyramid, Texture
from homunculus.bridge.gl.simd import above, fine_levels, means
from homunculus.bridge.law import Quality
from homunculus.bridge.opencv import one_opencv_thread
from homunculus.bridge.patches import Stats
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Extent
from homunculus.bridge.tiles.reads import reads

TILE_TEXELS = 32  # a multiple of 2**SUMMED_LEVELS
SMALLEST_PX = 1536  # along the longer side: all of a smaller picture is uploaded as quickly
BASE_PX = 512  # the longer side of the coarsest level of which only what is looked at is uploaded is about that
# Where plans have had more of the picture read once more than this share of it, completing it costs no more.
MOST_SHARE = 0.6
STRIPE_BYTES = 1 << 20
LARGE_PX = 1 << 18  # that is read of the picture: less is not worth another thread

Box = tuple[int, ...]  # top, left, bottom, right in level-0 pixels
Texels = list[tuple[int, int, int, int, Tensor]]  # level, layer, x, y and what stands there


def base_level(extent: Extent) -> int:
    """The coarsest level of which only what is looked at is uploaded. 0: the picture is so small that all of it is, at once."""
    longest = max(extent.height, extent.width)
    if longest < SMALLEST_PX:
        return 0
    return min(SUMMED_LEVELS, extent.levels - 1, (longest // BASE_PX).bit_length() - 1)


class SparsePyramid(GLPyramid):
    """Levels above `base` are there; of the others the tiles that `resident` marks. Built and used on the context's thread.

    images: uint8 [B, H, W, 3] on the host, read until all is there or the pyramid is closed.
    """

    def __init__(self, context: Context, pool: Pool[Texture], images: Tensor, extent: Extent, stats: Stats) -> None:
        super().__init__(context, pool, (images.shape[1], images.shape[2]), extent, "sparse")
        self._stats = stats
        self.base = base_level(extent)
        self._sizes = [(extent.height >> level, extent.width >> level) for level in range(self.base + 1)]
        self._helpers: tuple[Executor | None, int] = (None, 1)
        self.begin(images)

    def begin(self, images: Tensor) -> None:
        """From now on of these pictures, of which nothing is there before `build`."""
        self._images: Tensor | None = images
        self._version = _version(images)
        self.resident = [
            np.zeros((-(-height // TILE_TEXELS), -(-width // TILE_TEXELS)), bool) for height, width in self._sizes
        ]
        self._sums: list[Sums] = []
        self._read_px = 0  # of the picture, for plans

    def build(self, helpers: Executor | None, threads: int) -> None:
        """The sums of level `base`, and the levels above it, by that many threads, this one included."""
        assert self._images is not None
        self._helpers = helpers, threads
        with self.context.clock.part("pyramid"), one_opencv_thread():
            self._sums = [
                block_sums(image, self.base, self._sizes[-1], helpers, threads) for image in self._images.numpy()
            ]
            self.held.use()
            for layer, sums in enumerate(self._sums):
                for level, texels in enumerate(above(sums, self.base, self.max_level), start=self.base + 1):
                    self._write(level, layer, 0, 0, texels)

    def reach(self, plan: SamplePlan, quality: Quality, *, slopes: bool = False) -> None:
        """Writes what a plan reads and is not there. Raises ImageError where the picture has changed."""
        if self._images is not None:
            with self.context.clock.part("upload"):
                marked = reads(plan, self.max_level, quality, slopes=slopes).marked(self._sizes, TILE_TEXELS)
                self._fill([wanted & ~resident for wanted, resident in zip(marked, self.resident, strict=True)])

    def _complete(self, finest: int) -> None:
        if self._images is not None and not all(level.all() for level in self.resident[finest:]):
            with self.context.clock.part("upload"):
                self._fill_levels(finest)

    def _fill(self, missing: Sequence[NDArray[np.bool_]]) -> None:
        """The tiles that are marked, of every level."""
        order = [self.base, *range(self.base)]  # of level `base` the sums are there
        boxes = [(level, box) for level in order for box in rectangles(missing[level])]
        if not boxes:
            return
        self._read_px += TILE_TEXELS**2 * sum(
            (bottom - top) * (right - left) << 2 * level
            for level, (top, left, bottom, right) in boxes
            if level < self.base
        )
        if self._read_px > MOST_SHARE * self.padded_size[0] * self.padded_size[1]:
            self._fill_levels(0)
            return
        work = [(tuple(side * TILE_TEXELS << level for side in box), range(level, level + 1)) for level, box in boxes]
        self._fill_boxes(work)
        for level, (top, left, bottom, right) in boxes:
            self.resident[level][top:bottom, left:right] = True

    def _fill_levels(self, finest: int) -> None:
        """All of the levels from `finest` to `base`."""
        height, width = self.padded_size
        block = 1 << self.base
        rows = max(block, STRIPE_BYTES // (4 * width) // block * block)
        levels = range(finest, self.base + 1)
        self._fill_boxes([((top, 0, top + rows, width), levels) for top in range(0, height, rows)])
        for level in self.resident[finest:]:
            level[:] = True
        if finest == 0:
            self._images, self._sums = None, []

    def _fill_boxes(self, work: Sequence[tuple[Box, range]]) -> None:
        """Makes what is named of each box and writes it; large ones, which stand last, by other threads meanwhile where there are some."""
        helpers, threads = self._helpers
        self.held.use()
        waiting = deque(work)
        begun: deque[Future[Texels]] = deque()
        while waiting or begun:
            while helpers is not None and len(waiting) > 1 and len(begun) < threads - 1 and _is_large(waiting[-1][0]):
                begun.append(helpers.submit(self._made, *waiting.pop()))
            for part in self._made(*waiting.popleft()) if waiting else begun.popleft().result():
                self._write(*part)
            while begun and begun[0].done():
                for part in begun.popleft().result():
                    self._write(*part)
        self.context.check(lambda: f"uploading to {self!r}")

    @one_opencv_thread()
    def _made(self, box: Box, levels: range) -> Texels:
        """Those levels, up to `base`, of what lies in a box, which may reach out of the texture below and to the right."""
        top, left = box[:2]
        bottom, right = min(box[2], self.padded_size[0]), min(box[3], self.padded_size[1])
        found: Texels = []
        for layer, known in enumerate(self._sums):
            known = known[top >> self.base : bottom >> self.base, left >> self.base : right >> self.base]
            if levels.start < self.base:
                assert self._images is not None
                piece = self._images[layer].numpy()[top:bottom, left:right]
                texels, sums = fine_levels(piece, (bottom - top, right - left), levels, self.base)
                if _version(self._images) != self._version or not np.array_equal(sums, known):
                    raise self._changed(f"between ({left}, {top}) and ({right}, {bottom})")
                found += [(level, layer, left >> level, top >> level, values) for level, values in texels.items()]
            if self.base in levels:
                found.append((self.base, layer, left >> self.base, top >> self.base, means(known, self.base)))
        return found

    def _write(self, level: int, layer: int, x: int, y: int, texels: Tensor) -> None:
        self.held.write(level, layer, x, y, texels)
        self._stats.bytes_to_device += texels.numel()

    def _changed(self, where: str) -> ImageError:
        return ImageError(
            f"the array of {self!r} has been written to since the pyramid was built, seen {where}; fine levels are read from it when a "
            "plan needs them. Close the pyramid before you write, give a copy, or pass builder='simd', which reads all of it at once"
        )

    def close(self) -> None:
        self._images, self._sums = None, []
        super().close()


def _is_large(box: Box) -> bool:
    return (box[2] - box[0]) * (box[3] - box[1]) >= LARGE_PX


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
