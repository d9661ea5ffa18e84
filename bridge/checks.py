"""What every backend refuses, in the same words."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.errors import ClosedError, ImageError, PlanError
from homunculus.bridge.law import QUALITIES, Quality
from homunculus.bridge.plan import SamplePlan

PATCH_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def check_open(owner: object, closed: bool) -> None:
    if closed:
        raise ClosedError(f"{owner!r} is closed; open another with open_unit()")


def check_level(level: int, max_level: int) -> None:
    if not 0 <= level <= max_level:
        raise ImageError(f"level {level} does not exist; this pyramid has levels 0 to {max_level}")


def check_quality(quality: Quality) -> None:
    if quality not in QUALITIES:
        raise PlanError(f"quality is {quality!r}; choose one of {', '.join(QUALITIES)}")


def check_normalisation(mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> None:
    if len(mean) != 3 or len(std) != 3:
        raise ImageError(
            f"mean has {len(mean)} and std {len(std)} values; both need 3, one for each of red, green, blue"
        )
    if any(not value > 0 for value in std):
        raise ImageError(f"std is {tuple(std)}; every value must be above 0")
    if dtype not in (*PATCH_DTYPES, torch.float64):
        raise ImageError(f"dtype is {dtype}; patches come as torch.float32, torch.float16 or torch.bfloat16")


def check_dtype(mean: Sequence[float], std: Sequence[float], dtype: torch.dtype) -> None:
    """The same for texture units, which filter in float32."""
    check_normalisation(mean, std, dtype)
    if dtype == torch.float64:
        raise ImageError(
            "dtype is torch.float64; texture units filter in float32. Use torch.float32, or backend='torch'"
        )


def check_fixations(points: Tensor) -> None:
    """Points [K, 2]. Those on a device are not looked at, which would cost a visit to the host."""
    if not len(points) or (points.device.type == "cpu" and not bool(torch.isfinite(points).all())):
        raise PlanError(f"fixations are {points.tolist()}; expected at least one finite point (x, y)")


def check_layers(plan: SamplePlan, layers: int) -> None:
    rows = plan.footprints if plan.texels is None else plan.texels.reshape(-1, 8)
    if rows.device.type != "cpu":  # looking would cost a visit to the host; the shader clamps the layer instead
        return
    low, high = (round(float(value)) for value in torch.aminmax(rows[:, 6].detach()))
    if low < 0 or high >= layers:
        raise PlanError(f"the plan reads layers {low} to {high}; the pyramid holds {layers} (0 to {layers - 1})")


def check_exact(plan: SamplePlan, max_level: int) -> None:
    """Quality `exact` promises an exact box mean, which only mip-aligned footprints have. Rows on a device are not looked at."""
    rows = plan.footprints if plan.texels is None else plan.texels.reshape(-1, 8)
    if rows.device.type != "cpu":
        return
    aligned = law.is_mip_aligned(rows.detach(), plan.patch_size if plan.texels is None else 1, max_level)
    if not bool(aligned.all()):
        count = int((~aligned).sum())
        raise PlanError(
            f"quality 'exact' needs mip-aligned footprints; {count} of {len(rows)} are not "
            f"(the first is row {int((~aligned).nonzero()[0])}). Use quality='high', or a layout of aligned patches such as quadtree"
        )
