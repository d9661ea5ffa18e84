"""What to look at: a list of footprints, the same bytes that the shader reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.errors import PlanError
from homunculus.bridge.notebook import Pictured, outlined
from homunculus.bridge.values import PATCH, entries, numbers, one_text, shown, tensor, visible, whole

FIELDS = ("center_x", "center_y", "right_x", "right_y", "down_x", "down_y", "layer", "lod_bias")


@dataclass(frozen=True, eq=False)
class SamplePlan(Pictured):
    """N footprints, each an affine patch of `patch_size` x `patch_size` texels, in level-0 pixels.

    footprints: float32 (or float64, for the twin) [N, 8]: center_x, center_y, right_x, right_y, down_x, down_y, layer, lod_bias.
        `right` and `down` are the image-pixel displacement of one patch column and one patch row; texel (row i, column j) has
        its centre at center + (j + 0.5 - P/2) * right + (i + 0.5 - P/2) * down.
    texels: [N, P, P, 8] or None. A patch that is warped rather than affine has one footprint per texel; its row in `footprints`
        then is the affine summary. A texel's own footprint is sampled at its centre.
    note: what the layout did that the caller might not expect, empty if nothing.
    origin: (x, y), whole level-0 pixels that the centres in `footprints` and `texels` are counted from. In pictures of more than 65,536
        px float32 holds a centre no better than to 1/256 px: rows counted from the fixation stay exact where tokens are small.
        `centers`, `corners` and all that is measured count from the picture's corner.

    Raises PlanError for a wrong shape or type, no footprint, or values that are not finite.

    >>> plan = hm.SamplePlan.squares(torch.tensor([[100.0, 50.0]]), side_px=torch.tensor([64.0]), patch_size=16)
    >>> len(plan), plan.side_px.tolist(), plan.lod.tolist()
    (1, [64.0], [2.0])
    """

    footprints: Tensor
    patch_size: int = 16
    texels: Tensor | None = None
    note: str = ""
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "patch_size", whole("patch_size", self.patch_size, PATCH))
        object.__setattr__(self, "origin", _origin(self.origin))
        one_text("note", self.note)
        self._check("footprints", tensor("footprints", self.footprints, "[N, 8]"), 2)
        if self.texels is not None:
            self._check("texels", tensor("texels", self.texels, "[N, P, P, 8]"), 4)
            expected = (len(self.footprints), self.patch_size, self.patch_size, 8)
            if tuple(self.texels.shape) != expected:
                raise PlanError(f"texels have shape {tuple(self.texels.shape)}; this plan needs {expected}")

    @staticmethod
    def _check(name: str, rows: Tensor, dimensions: int) -> None:
        if rows.ndim != dimensions or rows.shape[-1] != 8 or rows.shape[0] < 1:
            raise PlanError(
                f"{name} have shape {tuple(rows.shape)}; expected at least one row of 8: {', '.join(FIELDS)}"
            )
        if rows.dtype not in (torch.float32, torch.float64):
            raise PlanError(f"{name} are {rows.dtype}; expected torch.float32, or torch.float64 for the torch backend")
        # One pass over the rows: the least and the greatest of values with a NaN are NaN.
        if visible(rows) and not all(math.isfinite(bound) for bound in torch.aminmax(rows.detach())):
            bad = int((~torch.isfinite(rows)).reshape(-1, 8).any(-1).nonzero()[0])
            raise PlanError(f"{name} row {bad} holds a value that is not finite: {rows.reshape(-1, 8)[bad].tolist()}")

    @classmethod
    def squares(
        cls,
        centers: Tensor,
        side_px: Tensor,
        patch_size: int = 16,
        *,
        angle: Tensor | None = None,
        layer: int = 0,
        note: str = "",
    ) -> SamplePlan:
        """Square patches: centers [N, 2] (x, y), side_px [N], angle [N] in radians from `right` towards `down`."""
        for name, given in (("centers", centers), ("side_px", side_px)):
            tensor(name, given, "[N, 2] and [N]")
        step = side_px / whole("patch_size", patch_size, PATCH)
        angle = torch.zeros_like(step) if angle is None else angle
        right = torch.stack([step * angle.cos(), step * angle.sin()], -1)
        down = torch.stack([-right[:, 1], right[:, 0]], -1)
        return cls.affine(centers, right, down, patch_size, layer=layer, note=note)

    @classmethod
    def boxes(cls, boxes: Tensor, patch_size: int = 16, *, layer: int = 0, note: str = "") -> SamplePlan:
        """Upright rectangular patches [N, 4]: left, top, right, bottom."""
        if tensor("boxes", boxes, "[N, 4]").ndim != 2 or boxes.shape[1] != 4:
            raise PlanError(f"boxes have shape {tuple(boxes.shape)}; expected [N, 4]: left, top, right, bottom")
        patch_size = whole("patch_size", patch_size, PATCH)
        centers = (boxes[:, :2] + boxes[:, 2:]) / 2
        step = (boxes[:, 2:] - boxes[:, :2]) / patch_size
        zero = torch.zeros_like(step[:, 0])
        return cls.affine(
            centers,
            torch.stack([step[:, 0], zero], -1),
            torch.stack([zero, step[:, 1]], -1),
            patch_size,
            layer=layer,
            note=note,
        )

    @classmethod
    def affine(
        cls, centers: Tensor, right: Tensor, down: Tensor, patch_size: int = 16, *, layer: int = 0, note: str = ""
    ) -> SamplePlan:
        """Patches from centres and texel axes, each [N, 2]. The rows keep float64 only if `centers` has it."""
        tail = torch.zeros_like(centers)
        tail[:, 0] = layer
        return cls(torch.cat([centers, right, down, tail], -1), patch_size, note=note)

    @classmethod
    def concatenate(cls, plans: Sequence[SamplePlan]) -> SamplePlan:
        """One plan from several of the same patch size, in order. All or none of them warped."""
        plans = [check_plan(plan) for plan in entries("plans", plans, "a list of plans")]
        sizes = {plan.patch_size for plan in plans}
        warped = {plan.texels is not None for plan in plans}
        if len(sizes) != 1 or len(warped) != 1:
            raise PlanError(
                f"plans differ: patch sizes {sorted(sizes)}, warped {sorted(warped)}; concatenate like with like"
            )
        plans = [plan.counted_from(plans[0].origin) for plan in plans]
        texels = [plan.texels for plan in plans if plan.texels is not None]
        return cls(
            torch.cat([plan.footprints for plan in plans]),
            sizes.pop(),
            torch.cat(texels) if texels else None,
            "; ".join(dict.fromkeys(plan.note for plan in plans if plan.note)),
            plans[0].origin,
        )

    def counted_from(self, origin: tuple[int, int]) -> SamplePlan:
        """The same footprints with their centres counted from another origin (x, y). Itself where it is that one."""
        if origin != self.origin:
            origin = _origin(origin)
        if origin == self.origin:
            return self
        shift = [own - other for own, other in zip(self.origin, origin, strict=True)]

        def moved(rows: Tensor) -> Tensor:
            centers = rows[..., :2].double() + torch.tensor(shift, dtype=torch.float64, device=rows.device)
            return torch.cat([centers.to(rows.dtype), rows[..., 2:]], -1)

        plan = self.to()
        texels = None if plan.texels is None else moved(plan.texels)
        return replace(plan, footprints=moved(plan.footprints), texels=texels, origin=origin)

    def enlarged(self, times: int) -> SamplePlan:
        """The footprints, affine ones, on the same picture `times` as large."""
        rows = torch.cat([self.footprints[:, :6] * times, self.footprints[:, 6:]], -1)
        x, y = self.origin
        return SamplePlan(rows, self.patch_size, note=self.note, origin=(x * times, y * times))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> SamplePlan:
        texels = None if self.texels is None else self.texels.to(device=device, dtype=dtype)
        return replace(self, footprints=self.footprints.to(device=device, dtype=dtype), texels=texels)

    def on_layer(self, layer: int) -> SamplePlan:
        """The same footprints on that image of a batch, to be sampled there."""

        def moved(rows: Tensor) -> Tensor:
            rows = rows.clone()
            rows[..., 6] = layer
            return rows

        texels = None if self.texels is None else moved(self.texels)
        return SamplePlan(moved(self.footprints), self.patch_size, texels, self.note, self.origin)

    def __len__(self) -> int:
        return self.footprints.shape[0]  # a tensor's own len takes 2 us

    def _picture(self) -> Image.Image:
        return outlined(self.corners, self.lod)

    def __repr__(self) -> str:
        kind = "affine" if self.texels is None else "warped"
        return f"SamplePlan({len(self)} {kind} footprints of {self.patch_size} x {self.patch_size} texels on {self.footprints.device})"

    @property
    def warped(self) -> bool:
        """Whether each texel has a footprint of its own."""
        return self.texels is not None

    @property
    def centers(self) -> Tensor:
        """[N, 2] (x, y) in level-0 pixels."""
        places = self.footprints[:, 0:2]
        return places if self.origin == (0, 0) else places + places.new_tensor(self.origin)

    @property
    def right(self) -> Tensor:
        """[N, 2] image-pixel displacement of one patch column."""
        return self.footprints[:, 2:4]

    @property
    def down(self) -> Tensor:
        """[N, 2] image-pixel displacement of one patch row."""
        return self.footprints[:, 4:6]

    @property
    def layers(self) -> Tensor:
        """[N] which image of the batch each footprint reads."""
        return self.footprints[:, 6].round().long()

    @property
    def area_px(self) -> Tensor:
        """[N] area of each patch in square level-0 pixels."""
        cross = self.right[:, 0] * self.down[:, 1] - self.right[:, 1] * self.down[:, 0]
        return cross.abs() * self.patch_size**2

    @property
    def side_px(self) -> Tensor:
        """[N] side of the square of equal area."""
        return self.area_px.sqrt()

    @property
    def lod(self) -> Tensor:
        """[N] level of detail of one tap by the law of sampling, bias included."""
        return law.lod(law.taps(self.right, self.down).step_px, self.footprints[:, 7])

    @property
    def corners(self) -> Tensor:
        """[N, 4, 2] corners in level-0 pixels: top left, top right, bottom right, bottom left of the patch."""
        half = self.patch_size / 2
        signs = torch.tensor(
            [[-1, -1], [1, -1], [1, 1], [-1, 1]], device=self.footprints.device, dtype=self.footprints.dtype
        )
        offsets = signs[None, :, :1] * self.right[:, None] + signs[None, :, 1:] * self.down[:, None]
        return self.centers[:, None] + half * offsets

    def eccentricity_px(self, fixation: Sequence[float] | Tensor) -> Tensor:
        """[N] distance of each centre from the fixation (x, y), or from the nearest of several [K, 2]."""
        points = fixation
        if not isinstance(points, Tensor):
            points = numbers("fixation", points, "a point (x, y), or several [K, 2]")
        if points.numel() < 2 or points.numel() % 2:
            raise PlanError(f"fixation has shape {tuple(points.shape)}; expected a point (x, y), or several [K, 2]")
        points = points.to(self.centers).reshape(-1, 2)
        distance: Tensor = torch.linalg.vector_norm(self.centers[:, None] - points, dim=-1)
        return distance.amin(1)


@dataclass(frozen=True)
class PlanProgram:
    """A plan computed where it is used: a compute shader that turns fixations into footprints, and its torch twin.

    The shader reads fixations from a std430 buffer at binding 0 (vec2 each), is told their number by the uniform `fixation_count`,
    and writes `count` rows of two vec4 to binding 1. It runs as `groups` work groups.
    """

    shader: str
    count: int
    patch_size: int
    twin: Callable[[Tensor], SamplePlan]
    defines: Mapping[str, int | float | str] = field(default_factory=dict)
    uniforms: Mapping[str, int | float | tuple[float, ...]] = field(default_factory=dict)
    groups: int = 1
    warped: bool = False


def _origin(origin: Sequence[int]) -> tuple[int, int]:
    if not isinstance(origin, tuple | list) or len(origin) != 2:
        raise PlanError(f"origin is {shown(origin)}; expected two whole numbers (x, y) of level-0 pixels")
    x, y = (whole("origin", value, least=0) for value in origin)
    return x, y


def check_plan(plan: object) -> SamplePlan:
    """Raises PlanError for what is no plan."""
    if not isinstance(plan, SamplePlan):
        raise PlanError(f"plan is {shown(plan)}; give a SamplePlan, as layouts and allocators make them")
    return plan


def rows_of(plan: SamplePlan) -> Tensor:
    """What is sampled: [N, 8], or [N, P, P, 8] of a warped plan."""
    return plan.footprints if plan.texels is None else plan.texels


def itself(plan: SamplePlan) -> SamplePlan:
    """What a plan that lives on a device is where it has been sent: one of tensors."""
    return plan
