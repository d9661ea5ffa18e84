"""What every backend refuses, in the same words."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import ClosedError, GradientError, ImageError, PlanError
from homunculus.bridge.law import QUALITIES, Quality
from homunculus.bridge.plan import SamplePlan, check_plan
from homunculus.bridge.values import FIXATIONS, choice, numbers, whole

PATCH_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def check_open(owner: object, closed: bool) -> None:
    if closed:
        raise ClosedError(f"{owner!r} is closed; open another with open_unit()")


def check_no_gradient(backend: str, what: str, value: object) -> None:
    """What a texture unit reads is read outside of autograd. Raises GradientError where that would drop a gradient in silence."""
    if isinstance(value, Tensor) and value.requires_grad and torch.is_grad_enabled():
        raise GradientError(
            f"{what} of shape {list(value.shape)} requires a gradient, and none passes through the texture units of backend "
            f"{backend!r}. {INSTEAD[0].upper()}{INSTEAD[1:]}, or pass it detached, or under torch.no_grad(), where no gradient is wanted"
        )


def gone(pyramid: object) -> ClosedError:
    """What says that a pyramid was closed, by itself or with its unit."""
    return ClosedError(f"{pyramid!r} is closed, or its unit is; build it again from the image")


def stays_here(pyramid: object) -> ImageError:
    """What says that a pyramid cannot be pickled or copied."""
    return ImageError(
        f"{pyramid!r} lives on its device and cannot be sent or copied; send the image and build it there"
    )


def check_level(level: int, max_level: int) -> None:
    if not 0 <= whole("level", level, least=-math.inf, refusal=ImageError) <= max_level:
        raise ImageError(f"level {level} does not exist; this pyramid has levels 0 to {max_level}")


def check_quality(quality: Quality) -> None:
    choice("quality", quality, QUALITIES)


def check_normalisation(
    mean: Sequence[float], std: Sequence[float]
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Both as three numbers."""
    means, stds = (
        numbers(name, value, "3 numbers, one for each of red, green, blue", refusal=ImageError).reshape(-1).tolist()
        for name, value in (("mean", mean), ("std", std))
    )
    if len(means) != 3 or len(stds) != 3:
        raise ImageError(
            f"mean has {len(means)} and std {len(stds)} values; both need 3, one for each of red, green, blue"
        )
    if not all(math.isfinite(value) for value in means):
        raise ImageError(f"mean is {tuple(means)}; every value must be finite")
    if not all(0 < value < math.inf for value in stds):
        raise ImageError(f"std is {tuple(stds)}; every value must be above 0 and finite")
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])


def check_dtype(dtype: torch.dtype, widest: torch.dtype) -> None:
    """The type of patches. widest: what the backend computes in."""
    if dtype not in (*PATCH_DTYPES, torch.float64):
        raise ImageError(f"dtype is {dtype}; patches come as torch.float32, torch.float16 or torch.bfloat16")
    if dtype == torch.float64 != widest:
        raise ImageError(f"dtype is torch.float64; texture units filter in float32. Use torch.float32, or {INSTEAD}")


def check_fixations(points: Tensor) -> None:
    """Points [K, 2]. Those on a device are not looked at, which would cost a visit to the host."""
    whole("the number of fixations", len(points), FIXATIONS, least=0)
    if not len(points) or (points.device.type == "cpu" and not bool(torch.isfinite(points).all())):
        raise PlanError(f"fixations are {points.tolist()}; expected at least one finite point (x, y)")


def check_layers(plan: SamplePlan, layers: int) -> None:
    plan = check_plan(plan)
    rows = plan.footprints if plan.texels is None else plan.texels.reshape(-1, 8)
    if rows.device.type != "cpu":  # looking would cost a visit to the host; the shader clamps the layer instead
        return
    named = rows.detach()[:, 6].numpy()  # torch takes 70 us to find the least and the greatest of a few hundred
    low, high = round(float(named.min())), round(float(named.max()))
    if low < 0 or high >= layers:
        raise PlanError(f"the plan reads layers {low} to {high}; the pyramid holds {layers} (0 to {layers - 1})")


def check_exact(plan: SamplePlan, max_level: int) -> None:
    """Quality `exact` promises an exact box mean, which only mip-aligned footprints have. Rows on a device are not looked at."""
    rows = plan.footprints if plan.texels is None else plan.texels.reshape(-1, 8)
    if rows.device.type != "cpu":
        return
    rows = rows.double() + torch.tensor([*plan.origin, 0, 0, 0, 0, 0, 0], dtype=torch.float64, device="cpu")
    aligned = law.is_mip_aligned(rows.detach(), plan.patch_size if plan.texels is None else 1, max_level)
    if not bool(aligned.all()):
        count = int((~aligned).sum())
        raise PlanError(
            f"quality 'exact' needs mip-aligned footprints; {count} of {len(rows)} are not "
            f"(the first is row {int((~aligned).nonzero()[0])}). Use quality='high', or a layout of aligned patches such as quadtree"
        )
