"""Plan programs, run as CUDA kernels."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.plan import SamplePlan, itself
from homunculus.bridge.unit import PlanProgram


class WrittenPlan(SamplePlan):
    """A plan whose rows a kernel wrote. They stay on the device; what only the twin knows is computed when somebody asks: `note`,
    and the affine summary of a warped plan."""

    rows: Tensor
    program: PlanProgram
    fixations: Tensor

    def __init__(self, rows: Tensor, program: PlanProgram, fixations: Tensor) -> None:
        self.__dict__.update(rows=rows, program=program, fixations=fixations, patch_size=program.patch_size)

    def __reduce__(self) -> tuple[Any, ...]:
        return itself, (self.to(),)

    def __len__(self) -> int:
        return self.program.count

    def __repr__(self) -> str:
        return f"WrittenPlan({len(self)} footprints written by {self.program.shader} on {self.rows.device})"

    @cached_property
    def _twin(self) -> SamplePlan:
        return self.program.twin(self.fixations.cpu().double())

    @property
    def footprints(self) -> Tensor:
        return self._twin.footprints.to(self.rows) if self.program.warped else self.rows

    @property
    def texels(self) -> Tensor | None:
        size = self.patch_size
        return self.rows.reshape(len(self), size, size, 8) if self.program.warped else None

    @property
    def note(self) -> str:
        return self._twin.note

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SamplePlan:
        return SamplePlan(self.footprints, self.patch_size, self.texels, self.note).to(device, dtype)


def write_plan(kernels: Kernels, program: PlanProgram, fixations: Tensor) -> SamplePlan:
    """The plan for fixations float32 [K, 2] on the device; its rows stay there."""
    per_patch = program.patch_size**2 if program.warped else 1
    rows = torch.empty((program.count * per_patch, 8), device=fixations.device, dtype=torch.float32)
    values = {**program.uniforms, "fixation_count": len(fixations), "fixations": fixations, "rows": rows}
    kernels.run(program.shader, program.defines, values, (program.groups,))
    return WrittenPlan(rows, program, fixations)
