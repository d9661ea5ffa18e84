"""What goes back through a dispatch of patches: the gradient of a plan's rows and of the images."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.adjoint import (
    Gradients,
    Upstream,
    Wanted,
    check_reached,
    level_elements,
    planes_of,
    unpacked,
)
from homunculus.bridge.gl import functions as gl
from homunculus.bridge.gl.pyramid import GLPyramid
from homunculus.bridge.gl.sampler import Sampled, Sampler
from homunculus.bridge.law import QUALITIES
from homunculus.bridge.patches import Filtering
from homunculus.bridge.plan import SamplePlan
from homunculus.interop.buffer import Part, SharedBuffer


class BackwardSampler(Sampler):
    """A sampler and its adjoint, which share their buffers. Used on the context's thread."""

    def backward(
        self,
        backend: str,
        pyramid: Sampled,
        plan: SamplePlan,
        filtering: Filtering,
        upstream: Upstream,
        wanted: Wanted,
    ) -> Gradients:
        """Raises GradientError for an image whose gradient no buffer holds."""
        check_reached(backend, pyramid, wanted, self._context.limits.storage_bytes)
        assert isinstance(pyramid, GLPyramid)
        most = self._most(plan, torch.float32)
        pyramid.reach(plan, filtering.quality, slopes=wanted.rows)
        planes, inside = planes_of(upstream), upstream.inside.detach()
        texels = self._cleared(pyramid) if wanted.images else None
        rows = []
        with self._context.clock.part("backward"):
            for first in range(0, len(plan), most):
                part = slice(first, first + most)
                rows += self._part(pyramid, plan, filtering, first, planes[part], inside[part], wanted)
        with self._context.clock.part("hand-over"):
            return Gradients(
                torch.cat(rows) if wanted.rows else None, None if texels is None else self._images(texels, pyramid)
            )

    def _part(
        self,
        pyramid: GLPyramid,
        plan: SamplePlan,
        filtering: Filtering,
        first: int,
        planes: Tensor,
        inside: Tensor,
        wanted: Wanted,
    ) -> list[Tensor]:
        """The gradient of the rows of as many patches as there are planes, where it is wanted; that of the texels is added to."""
        count = len(planes)
        defines = {
            "QUALITY": QUALITIES.index(filtering.quality),
            "WARPED": int(plan.warped),
            "GROUP": self._group,
            "PATCH_SIZE": plan.patch_size,
            "FOOTPRINTS": int(wanted.rows),
            "TEXELS": int(wanted.images),
            "ATOMICS": int(self._context.limits.float_atomics),
        }
        program = self._context.program("sample_backward.comp", defines)
        program["max_level"] = pyramid.max_level
        if wanted.rows:  # an image's gradient is as large whatever is taken off its colours
            program["mean"] = filtering.mean
        program["inverse_std"] = tuple(1 / value for value in filtering.std)
        program["first_patch"] = self._bind_plan(plan, first, count)
        program["patch_count"] = count
        self.buffer("pixels", planes.numel() * 4).write(planes)
        self.buffer("inside", count * 4).write(inside)
        shape = torch.Size((count, plan.patch_size, plan.patch_size, 8) if plan.warped else (count, 8))
        gradient = self.buffer("row_gradients", shape.numel() * 4) if wanted.rows else None
        pyramid.held.use()
        columns = min(count, self._context.limits.work_groups)
        program.run(columns, -(-count // columns))
        self._context.moderngl.memory_barrier()
        self._context.check(lambda: "sampling backward")
        self.stats.dispatches += 1
        return [] if gradient is None else self._context.memory.read([Part(gradient, shape, torch.float32)])

    def _cleared(self, pyramid: GLPyramid) -> SharedBuffer:
        """The buffer of the levels' gradients, full of zeros that no host has sent."""
        size_bytes = level_elements(pyramid) * 4
        buffer = self.buffer("texel_gradients", size_bytes)
        functions = self._context.gl
        functions.glBindBuffer(gl.SHADER_STORAGE_BUFFER, buffer.buffer.glo)
        functions.glClearBufferSubData(gl.SHADER_STORAGE_BUFFER, gl.R32F, 0, size_bytes, gl.RED, gl.FLOAT, None)
        self._context.check(lambda: f"clearing {size_bytes} bytes")
        return buffer

    def _images(self, texels: SharedBuffer, pyramid: GLPyramid) -> Tensor:
        part = Part(texels, (level_elements(pyramid),), torch.float32)
        return unpacked(self._context.memory.read([part])[0], pyramid)
