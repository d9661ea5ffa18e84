"""Compute shaders that work on buffers alone, run as CUDA kernels from the same text: plan programs."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Defines, Kernels, address
from homunculus.bridge.plan import SamplePlan, itself
from homunculus.bridge.unit import PlanProgram
from homunculus.shaders import Kernel, as_cuda, source

FIXATIONS, ROWS = 0, 1  # bindings of a plan program
Values = Mapping[str, Any]
SCALARS: dict[str, Any] = {"int": ctypes.c_int, "uint": ctypes.c_uint, "float": ctypes.c_float}
VECTORS: dict[str, Any] = {"vec2": ctypes.c_float, "vec4": ctypes.c_float, "ivec2": ctypes.c_int}


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


class Programs:
    """Shaders by name, translated and compiled once."""

    def __init__(self, kernels: Kernels) -> None:
        self._kernels = kernels
        self._compiled: dict[tuple[str, tuple[tuple[str, object], ...]], tuple[Kernel, Any]] = {}

    def run(
        self, shader: str, defines: Defines, buffers: Mapping[int, Tensor], uniforms: Values, grid: tuple[int, ...]
    ) -> None:
        """One launch. Uniforms that are not given are 0, as in OpenGL."""
        key = (shader, tuple(sorted(defines.items())))
        if key not in self._compiled:
            kernel = as_cuda(source(shader, **defines))
            self._compiled[key] = kernel, self._kernels.compiled(kernel.source, "run")
        kernel, function = self._compiled[key]
        arguments = [
            address(buffers[argument.binding])
            if argument.binding is not None
            else _uniform(argument.type, uniforms.get(argument.name, 0))
            for argument in kernel.arguments
        ]
        self._kernels.launch(function, grid, kernel.group, arguments)

    def write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        """The plan for fixations float32 [K, 2] on the device; its rows stay there."""
        per_patch = program.patch_size**2 if program.warped else 1
        rows = torch.empty((program.count * per_patch, 8), device=fixations.device, dtype=torch.float32)
        uniforms = {**program.uniforms, "fixation_count": len(fixations)}
        self.run(program.shader, program.defines, {FIXATIONS: fixations, ROWS: rows}, uniforms, (program.groups,))
        return WrittenPlan(rows, program, fixations)


def _uniform(type: str, value: Any) -> Any:
    if type in SCALARS:
        return SCALARS[type](value)
    values = tuple(value) if isinstance(value, tuple | list) else (value,) * int(type[-1])
    return (VECTORS[type] * len(values))(*values)
