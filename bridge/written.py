"""Plans that a device wrote, whose rows stay there."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.plan import PlanProgram, SamplePlan, itself


class WrittenPlan(SamplePlan):
    """What a plan program wrote, without a visit to the host.

    What only its twin knows is computed when somebody asks: `note`, and the affine summary of a warped plan.
    """

    program: PlanProgram
    fixations: Tensor
    place: str  # where the rows are, for people
    rows: Tensor  # [N, 8], or [N, P, P, 8] of a warped plan

    def __init__(self, program: PlanProgram, fixations: Tensor, place: str, rows: Tensor | None = None) -> None:
        """rows: where they are a tensor already."""
        self.__dict__.update(
            program=program, fixations=fixations, place=place, patch_size=program.patch_size, origin=(0, 0)
        )
        if rows is not None:
            self.__dict__["rows"] = rows.reshape(self.shape)

    @property
    def warped(self) -> bool:
        return self.program.warped

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the rows."""
        return (len(self), self.patch_size, self.patch_size, 8) if self.warped else (len(self), 8)

    def __reduce__(self) -> tuple[Any, ...]:
        return itself, (self.to(),)

    def __len__(self) -> int:
        return self.program.count

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} footprints written by {self.program.shader} on {self.place})"

    @cached_property
    def _twin(self) -> SamplePlan:
        return self.program.twin(self.fixations.cpu().double()).counted_from((0, 0))

    @property
    def footprints(self) -> Tensor:
        return self._twin.footprints.to(self.rows) if self.warped else self.rows

    @property
    def texels(self) -> Tensor | None:
        return self.rows if self.warped else None

    @property
    def note(self) -> str:
        return self._twin.note

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SamplePlan:
        """A plan of tensors with these rows; of a warped one, one that still locates points."""
        if self.warped:
            summary = self._twin.to(self.rows.device, self.rows.dtype)
            return replace(summary, texels=self.rows).to(device, dtype)
        return SamplePlan(self.rows, self.patch_size, note=self.note).to(device, dtype)
