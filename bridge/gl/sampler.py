"""The compute dispatches: a plan becomes patches, fixations become a plan."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.elements import ELEMENTS, patches_of, plane_length, planes_shape
from homunculus.bridge.errors import PlanError
from homunculus.bridge.gl.context import Context, Defines
from homunculus.bridge.gl.planes import GLPlanes
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.law import QUALITIES, Quality
from homunculus.bridge.patches import Filtering, Patches, Stats
from homunculus.bridge.plan import PlanProgram, SamplePlan, rows_of
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.table import Table
from homunculus.bridge.written import WrittenPlan
from homunculus.interop.buffer import Part, SharedBuffer
from homunculus.interop.lending import revoke

ROW_BYTES = 32
# std430 bindings of sample.comp, and of a plan program
BINDINGS = {"plan": 0, "pixels": 1, "inside": 2, "table": 3, "resident": 4, "fixations": 0}
BINDINGS |= {"row_gradients": 5, "texel_gradients": 6}  # of sample_backward.comp
ROWS = 1
_WRITTEN = ("pixels", "inside", "resident")  # the last of pages only

Sampled = GLPyramid | PagedPyramid


class ResidentPlan(WrittenPlan):
    """A plan whose rows lie in a GL buffer; they are fetched when somebody asks for them."""

    buffer: SharedBuffer | None  # None once its unit is closed: the rows are the host's then
    context: Context
    _finalizer: weakref.finalize[..., Any]

    def __init__(self, context: Context, buffer: SharedBuffer, program: PlanProgram, fixations: Tensor) -> None:
        super().__init__(program, fixations, context.renderer)
        self.__dict__.update(context=context, buffer=buffer)
        finalizer = weakref.finalize(self, context.thread.defer, lambda: context.release(buffer))
        finalizer.atexit = False
        self.__dict__["_finalizer"] = finalizer

    @cached_property
    def rows(self) -> Tensor:  # type: ignore[override]
        assert self.buffer is not None
        return self.context.call(self.buffer.read, self.shape, torch.float32)

    def leave(self) -> None:
        """Fetches the rows and lets the buffer go. On the context's thread."""
        self.rows  # noqa: B018
        self.__dict__["buffer"] = None
        self._finalizer()


def buffer_of(plan: SamplePlan, context: Context) -> SharedBuffer | None:
    """The buffer in which a plan's rows lie, where that is one of this context's."""
    return plan.buffer if isinstance(plan, ResidentPlan) and plan.context is context else None


class Sampler:
    """Owns the buffers that every call reuses; they grow to the largest plan seen. Used on the context's thread."""

    def __init__(self, context: Context, stats: Stats) -> None:
        self._context = context
        self.stats = stats
        self._buffers: dict[str, SharedBuffer] = {}
        self._released = False
        self._written: weakref.WeakSet[ResidentPlan] = weakref.WeakSet()
        self._table_stamp = 0  # of the table that lies in the buffer "table"
        self._group = 8 if context.software else 64  # a CPU rasteriser runs a group's threads one after another

    def sample(self, pyramid: Sampled, plan: SamplePlan, filtering: Filtering) -> Patches:
        most = self._most(plan, filtering.dtype)
        _reach(pyramid, plan, filtering)
        parts = []
        for first in range(0, len(plan), most):
            count = min(most, len(plan) - first)
            with self._context.clock.part("sample"):
                self._dispatch(pyramid, plan, first, count, filtering)
            with self._context.clock.part("hand-over"):
                parts.append(self._read(plan.patch_size, count, filtering.dtype, isinstance(pyramid, PagedPyramid)))
        return Patches.concatenate(parts)

    def leave(self, pyramid: Sampled, plan: SamplePlan, filtering: Filtering) -> None:
        """The same, left in the buffers "pixels" and "inside". Raises PlanError for more than one buffer holds."""
        self._check_most(plan, filtering.dtype)
        _reach(pyramid, plan, filtering)
        self._dispatch(pyramid, plan, 0, len(plan), filtering)

    def fetch(self, patch_size: int, count: int) -> Patches:
        """Reads back what `leave` left in float32."""
        return self._read(patch_size, count, torch.float32, paged=False)

    def shares(self, count: int) -> Tensor:
        """[N]: what `leave` left of how much of each patch was resident."""
        return self._buffers["resident"].read((count,), torch.float32)

    def _check_most(self, plan: SamplePlan, dtype: torch.dtype) -> None:
        most = self._most(plan, dtype)
        if len(plan) > most:
            raise PlanError(f"the plan has {len(plan)} tokens; this device holds {most} at once. Use fewer")

    def _most(self, plan: SamplePlan, dtype: torch.dtype) -> int:
        """How many patches one dispatch can write."""
        size = plan.patch_size
        row_bytes = ROW_BYTES * (size * size if plan.warped else 1)
        limit = self._context.limits.storage_bytes
        most = limit // max(_patch_bytes(size, dtype), row_bytes)
        if most < 1:
            raise PlanError(
                f"one patch of {size} x {size} texels needs more than the {limit} bytes this device allows; use a smaller patch_size"
            )
        return most

    def _dispatch(
        self,
        pyramid: Sampled,
        plan: SamplePlan,
        first: int,
        count: int,
        filtering: Filtering,
    ) -> None:
        defines = _variant(filtering.quality, filtering.dtype, plan.warped, self._group, plan.patch_size)
        if isinstance(pyramid, PagedPyramid):
            held = pyramid.store
            defines = {**defines, "PAGED": 1, **pyramid.variant(plan)}
            uniforms = pyramid.uniforms(plan)
            self.buffer("resident", count * 4)
            self._bind_table(pyramid.table)
        else:
            held = pyramid
            height, width = pyramid.padded_size
            uniforms = {"scale": (1 / width, 1 / height), "max_level": pyramid.max_level}
            if isinstance(pyramid, GLPlanes):
                defines = {**defines, "PLANAR": 1}
                uniforms |= pyramid.uniforms()
        assert isinstance(held, GLPyramid)
        program = self._context.program("sample.comp", defines)
        for name, value in uniforms.items():
            program[name] = value
        program["mean"] = filtering.mean
        red, green, blue = filtering.std
        program["inverse_std"] = (1 / red, 1 / green, 1 / blue)
        program["first_patch"] = self._bind_plan(plan, first, count)
        program["patch_count"] = count
        self.buffer("pixels", count * _patch_bytes(plan.patch_size, filtering.dtype))
        self.buffer("inside", count * 4)
        held.use()
        columns = min(count, self._context.limits.work_groups)
        program.run(columns, -(-count // columns))
        self._context.moderngl.memory_barrier()
        self._context.check(lambda: f"sampling {plan!r}")
        self.stats.dispatches += 1

    @contextmanager
    def lend(self, pyramid: Sampled, plan: SamplePlan, filtering: Filtering) -> Iterator[Patches]:
        """The buffers themselves, as tensors, for the length of a block; other calls meanwhile get buffers of their own.

        Raises PlanError for more patches than one buffer holds.
        """
        self.leave(pyramid, plan, filtering)
        paged = isinstance(pyramid, PagedPyramid)
        lent = {name: self._buffers.pop(name) for name in _WRITTEN[: 2 + paged]}
        try:
            parts = _parts(lent, plan.patch_size, len(plan), filtering.dtype)
            with self._context.memory.lend(parts) as (planes, *shares):
                patches = patches_of(planes, *shares, patch_size=plan.patch_size)
                try:
                    yield patches
                finally:
                    revoke([patches.pixels, *shares])
        finally:
            for name, buffer in lent.items():
                if self._released or name in self._buffers:
                    self._context.release(buffer)
                else:
                    self._buffers[name] = buffer

    def _read(self, size: int, count: int, dtype: torch.dtype, paged: bool) -> Patches:
        written = {name: self._buffers[name] for name in _WRITTEN[: 2 + paged]}
        planes, *shares = self._context.memory.read(_parts(written, size, count, dtype))
        return patches_of(planes, *shares, patch_size=size, contiguous=True)

    def _bind_table(self, table: Table) -> None:
        """Binds the table, and sends it where another lies there."""
        entries = torch.from_numpy(table.entries)
        buffer = self.buffer("table", entries.numel() * 4)
        if self._table_stamp != table.stamp:
            buffer.write(entries)
            self._table_stamp = table.stamp

    def _bind_plan(self, plan: SamplePlan, first: int, count: int) -> int:
        """Binds the rows and returns the index of the first patch in the bound buffer."""
        written = buffer_of(plan, self._context)
        if written is not None:
            written.bind(BINDINGS["plan"])
            return first
        rows = rows_of(plan)
        if count < len(plan):
            rows = rows[first : first + count]
        if rows.dtype != torch.float32:
            rows = rows.float()
        self.buffer("plan", rows.nbytes).keep(rows)
        return 0

    def write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        compiled = self._context.program(program.shader, program.defines)
        for name, value in program.uniforms.items():
            compiled[name] = value
        compiled["fixation_count"] = len(fixations)
        self.buffer("fixations", fixations.numel() * 4).write(fixations)
        rows = program.count * (program.patch_size**2 if program.warped else 1)
        if rows * ROW_BYTES > self._context.limits.storage_bytes:
            raise PlanError(
                f"the plan needs {rows * ROW_BYTES} bytes; this device allows {self._context.limits.storage_bytes}. Use fewer tokens"
            )
        buffer = self._context.buffer(rows * ROW_BYTES, self.stats)
        buffer.bind(ROWS)
        compiled.run(program.groups)
        self._context.moderngl.memory_barrier()
        self._context.check(lambda: f"writing a plan with {program.shader}")
        self.stats.dispatches += 1
        plan = ResidentPlan(self._context, buffer, program, fixations)
        self._written.add(plan)
        return plan

    def buffer(self, name: str, size_bytes: int) -> SharedBuffer:
        """The reused buffer of that name, at least that large, bound where the shaders expect it."""
        buffer = self._buffers.get(name)
        if buffer is None or buffer.size_bytes < size_bytes:
            if buffer is not None:
                self._context.release(buffer)
                del self._buffers[name]
            buffer = self._buffers[name] = self._context.buffer(size_bytes, self.stats)
            if name == "table":
                self._table_stamp = 0
        buffer.bind(BINDINGS[name])
        return buffer

    def release(self) -> None:
        """Frees every buffer; plans that were written here keep their rows."""
        self._released = True
        for plan in list(self._written):
            plan.leave()
        self._written.clear()
        for buffer in self._buffers.values():
            self._context.release(buffer)
        self._buffers.clear()


@lru_cache
def _variant(quality: Quality, dtype: torch.dtype, warped: bool, group: int, patch_size: int) -> Defines:
    """What sample.comp is compiled with for a pyramid of levels."""
    return {
        "QUALITY": QUALITIES.index(quality),
        "ELEMENT": ELEMENTS[dtype],
        "WARPED": int(warped),
        "GROUP": group,
        "PATCH_SIZE": patch_size,
    }


def _reach(pyramid: Sampled, plan: SamplePlan, filtering: Filtering) -> None:
    if isinstance(pyramid, GLPyramid):
        pyramid.reach(plan, filtering.quality)


def _parts(buffers: Mapping[str, SharedBuffer], size: int, count: int, dtype: torch.dtype) -> list[Part]:
    """What the buffers hold: planes of patches, and a number a patch in the others."""
    planes = planes_shape(count, size, dtype)
    return [
        Part(buffer, *((planes, dtype) if name == "pixels" else ((count,), torch.float32)))
        for name, buffer in buffers.items()
    ]


def _patch_bytes(patch_size: int, dtype: torch.dtype) -> int:
    return 3 * plane_length(patch_size, dtype) * dtype.itemsize
