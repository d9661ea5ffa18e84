"""What is kept of one row: what was seen, or why nothing was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.loop.record import Look
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings


@dataclass(frozen=True, eq=False)
class TokenRow:
    """What a run kept of a row, all of it on the host.

    size: (height, width) of the picture in px. fixations: (x, y) in px, in order. plan: the footprints of the last glimpse. tokens:
    [N, D] of the model, in the plan's order. patches: pixels [N, 3, P, P] in 0..1, float32 or float16, or uint8. notes: what the caller
    might not expect. error: `kind` and `message`, where the row could not be looked at; the rest is then empty.
    """

    row: RunRow
    size: tuple[int, int] = (0, 0)
    fixations: Sequence[tuple[float, float]] = ()
    plan: SamplePlan | None = None
    tokens: Tensor | None = None
    patches: Patches | None = None
    notes: Sequence[str] = ()
    error: Mapping[str, str] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.row.source

    @property
    def page(self) -> int:
        return self.row.page

    @property
    def query(self) -> str | None:
        return self.row.query

    @property
    def id(self) -> str | None:
        return self.row.id

    def __repr__(self) -> str:
        height, width = self.size
        told = self.error.get("message") or f"{len(self.plan or ())} tokens of {width} x {height} px"
        return f"TokenRow({self.row}: {told})"

    def facts(self) -> dict[str, Any]:
        """All but the tensors, in JSON types."""
        found: dict[str, Any] = {**self.row.as_dict(), "size": list(self.size), "notes": list(self.notes)}
        found["fixations"] = [list(point) for point in self.fixations]
        if self.plan is not None:
            found |= {"patch_size": self.plan.patch_size, "origin": list(self.plan.origin), "note": self.plan.note}
        return found | ({"error": dict(self.error)} if self.error else {})

    def tensors(self) -> dict[str, Tensor]:
        """By name, what `of` makes a row of again."""
        found: dict[str, Tensor] = {}
        if self.plan is not None:
            found["footprints"] = self.plan.footprints
            if self.plan.texels is not None:
                found["texels"] = self.plan.texels
        if self.tokens is not None:
            found["tokens"] = self.tokens
        if self.patches is not None:
            found |= {"pixels": self.patches.pixels, "inside": self.patches.inside}
            if self.patches.resident is not None:
                found["resident"] = self.patches.resident
        return found

    @classmethod
    def of(cls, facts: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TokenRow:
        """Of what `facts` and `tensors` gave."""
        plan = patches = None
        if "footprints" in tensors:
            origin = tuple(facts["origin"])
            plan = SamplePlan(
                tensors["footprints"],
                facts["patch_size"],
                texels=tensors.get("texels"),
                note=facts["note"],
                origin=origin,
            )
        if "pixels" in tensors:
            patches = Patches(tensors["pixels"], tensors["inside"], tensors.get("resident"))
        height, width = facts["size"]
        points = [(float(x), float(y)) for x, y in facts["fixations"]]
        notes, error = facts["notes"], facts.get("error", {})
        return cls(RunRow.of(facts), (height, width), points, plan, tensors.get("tokens"), patches, notes, error)

    @classmethod
    def seen(cls, row: RunRow, look: Look, settings: RunSettings) -> TokenRow:
        """Of a look, what is asked for."""
        tokens = patches = None
        if settings.kept != "patches" and look.tokens is not None:
            tokens = look.tokens.detach().cpu()
        if settings.kept != "tokens":
            found, inside, resident = look.patches.pixels.cpu(), look.patches.inside.cpu(), look.patches.resident
            if settings.values == "uint8":
                found = (found.clamp(0, 1) * 255).round().to(torch.uint8)
            elif settings.values == "float16":
                found = found.half()
            patches = Patches(found, inside, None if resident is None else resident.cpu())
        return cls(row, look.size, look.fixations, look.plan.to("cpu"), tokens, patches, look.notes)
