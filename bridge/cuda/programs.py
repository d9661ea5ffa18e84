"""Plan programs, run as CUDA kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Kernels
from homunculus.bridge.plan import PlanProgram, SamplePlan
from homunculus.bridge.written import WrittenPlan


def write_plan(kernels: Kernels, program: PlanProgram, fixations: Tensor) -> SamplePlan:
    """The plan for fixations float32 [K, 2] on the device; its rows stay there."""
    per_patch = program.patch_size**2 if program.warped else 1
    rows = torch.empty((program.count * per_patch, 8), device=fixations.device, dtype=torch.float32)
    values = {**program.uniforms, "fixation_count": len(fixations), "fixations": fixations, "rows": rows}
    kernels.run(program.shader, program.defines, values, (program.groups,))
    return WrittenPlan(program, fixations, str(rows.device), rows)
