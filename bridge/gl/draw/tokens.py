"""The patches of one plan, kept on the device to be drawn."""

from __future__ import annotations

from typing import Any

from homunculus.bridge.errors import ImageTooLargeError, PlanError
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.gl.sampler import ROW_BYTES, Sampler, buffer_of
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.law import Quality
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan, rows_of
from homunculus.bridge.pyramid import Closing, Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.interop.buffer import SharedBuffer

PLAN, PIXELS = 0, 1
RGBA32F, LINEAR_MIPMAP_NEAREST = 0x8814, 0x2701


class Tokens(Closing):
    """What `unit.sample` gives, left where it was computed: the rows of the plan, the patches, and an atlas of the patches.

    Used on the context's thread. The atlas is a float32 texture [rows * P, columns * P], patch i at row i // columns.
    """

    def __init__(self, unit: GLUnit) -> None:
        self.unit = unit
        self.count = 0
        self.patch_size = 1
        self.columns = 1
        self.warped = False
        self.max_atlas_level = 0
        self.resident = 1.0  # the mean share of their taps that read the level they ask for
        self.atlas: Any = None
        self._rows: SharedBuffer | None = None
        self._sampler = Sampler(unit.context, unit.stats)

    def sample(
        self,
        pyramid: Pyramid,
        plan: SamplePlan,
        *,
        quality: Quality = "high",
        columns: int = 0,
        minified: bool = False,
        wait: bool = True,
        drawn: bool = True,
    ) -> None:
        """Samples by the same dispatch as `unit.sample`, which raises the same errors, and fills the atlas.

        columns: patches in a row of the atlas, by default about as many as rows. minified: whether coarser levels of the atlas are
        needed, for patches shown smaller than they are. wait: as of `unit.sample`; `resident` tells. drawn: whether there is an atlas.
        """
        filtering = self.unit.checked(pyramid, plan, quality)
        pyramid = pyramid.built()
        paged = isinstance(pyramid, PagedPyramid)
        assert isinstance(pyramid, GLPyramid | PagedPyramid)
        self.count, self.patch_size = len(plan), plan.patch_size
        self.warped = plan.warped
        self._keep_rows(plan)
        with self.unit.resident(pyramid, plan, quality, wait) as own:
            self._sampler.leave(pyramid, own, filtering)
        self.resident = float(self._sampler.shares(self.count).mean()) if paged else 1.0
        if drawn:
            self._fill_atlas(pyramid.size, columns or max(1, round(self.count**0.5)), minified)

    def patches(self) -> Patches:
        """Reads the patches back: the tensors that `unit.sample` returns."""
        return self._sampler.fetch(self.patch_size, self.count)

    @property
    def rows(self) -> SharedBuffer:
        """The plan's rows, one of eight floats a footprint, or a texel of a warped plan."""
        if self._rows is None:
            raise PlanError("no plan was sampled yet; call sample first")
        return self._rows

    def _keep_rows(self, plan: SamplePlan) -> None:
        """In a buffer of its own, which grows: drawing binds it as vertices."""
        context = self.unit.context
        size_bytes = ROW_BYTES * self.count * (self.patch_size**2 if self.warped else 1)
        if self._rows is None or self._rows.size_bytes < size_bytes:
            if self._rows is not None:
                context.release(self._rows)
                self._rows = None
            self._rows = context.buffer(size_bytes, self.unit.stats)
        written = buffer_of(plan, context)
        if written is not None:
            context.moderngl.copy_buffer(self._rows.buffer, written.buffer, size_bytes)
        else:
            plan = plan.counted_from((0, 0))
            self._rows.write(rows_of(plan).float())

    def _fill_atlas(self, image_size: tuple[int, int], columns: int, minified: bool) -> None:
        context, size = self.unit.context, self.patch_size
        rows = -(-self.count // columns)
        cells = columns * rows
        shape = (columns * size, rows * size)
        limit = context.limits.texture_px
        if max(shape) > limit:
            raise ImageTooLargeError(
                f"{self.count} patches side by side take {shape[0]} x {shape[1]} px; this device allows {limit}. Use fewer tokens"
            )
        if self.atlas is None or self.atlas.size != shape:
            self._release_atlas()
            self.atlas = context.moderngl.texture(shape, 4, dtype="f4")
            context.live["drawing"] += 1
            self.atlas.filter = (gl.LINEAR, gl.LINEAR)
        self.atlas.repeat_x, self.atlas.repeat_y = self.warped, False  # a chart's last wedge borders on its first
        self.columns = columns
        warped = int(self.warped)
        program = context.program(
            "view/atlas.comp", {"GROUP": 8 if context.software else 64, "PATCH_SIZE": size, "WARPED": warped}
        )
        program["patch_count"] = self.count
        program["cell_count"] = cells
        program["columns"] = columns
        program["image_px"] = image_size[::-1]
        self.rows.bind(PLAN)
        self._sampler.buffer("pixels", 0)
        context.gl.glBindImageTexture(0, self.atlas.glo, 0, 0, 0, gl.WRITE_ONLY, RGBA32F)
        groups = min(cells, context.limits.work_groups)
        program.run(groups, -(-cells // groups))
        context.moderngl.memory_barrier()
        # Levels at which no texel mixes two patches: as often as the patch can be halved.
        self.max_atlas_level = (size & -size).bit_length() - 1 if minified else 0
        if self.max_atlas_level:
            self.atlas.build_mipmaps(0, self.max_atlas_level)
            self.atlas.filter = (LINEAR_MIPMAP_NEAREST, gl.LINEAR)
        context.check(lambda: "laying out the patches")

    def _release_atlas(self) -> None:
        if self.atlas is not None:
            self.atlas.release()
            self.atlas = None
            self.unit.context.live["drawing"] -= 1

    def close(self) -> None:
        self._release_atlas()
        if self._rows is not None:
            self.unit.context.release(self._rows)
            self._rows = None
        self._sampler.release()
