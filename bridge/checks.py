"""What every backend refuses, in the same words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from homunculus.bridge import law
from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import ClosedError, GradientError, ImageError, PlanError
from homunculus.bridge.images import Format
from homunculus.bridge.law import QUALITIES, Quality
from homunculus.bridge.plan import SamplePlan, check_plan, rows_of
from homunculus.bridge.values import FIXATIONS, choice, numbers, visible, whole

Found = TypeVar("Found")
# By plan: how often its rows had been written to, and what was found in them then.
_known: WeakKeyDictionary[SamplePlan, tuple[int | None, dict[str, Any]]] = WeakKeyDictionary()

PATCH_DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def check_open(owner: object, closed: bool) -> None:
    if closed:
        raise ClosedError(f"{owner!r} is closed; open another with open_unit()")


def no_gradient(why: str) -> GradientError:
    """What says that a gradient is asked for where none passes. why: as a sentence without its end."""
    return GradientError(
        f"{why}. {INSTEAD[0].upper()}{INSTEAD[1:]}, or pass it detached, or under torch.no_grad(), where no gradient is wanted"
    )


def check_unrounded(format: Format) -> None:
    """The format of images that require a gradient."""
    if format == "rgba8":
        raise GradientError(
            "the image requires a gradient, and format 'rgba8' rounds it to 256 values, through which none passes. Pass "
            "format='rgba32f', or the image detached where no gradient is wanted"
        )


def check_replacement(pyramid: Any, layer: int, batch: Tensor) -> int:
    """The layer that a picture [1, H, W, 3] takes. Raises what `Pyramid.write` says."""
    layer = whole("layer", layer, least=0)
    if layer >= pyramid.layers:
        raise PlanError(f"layer is {layer}; {pyramid!r} has layers 0 to {pyramid.layers - 1}")
    if batch.shape[:3] != (1, *pyramid.size):
        told = f"{batch.shape[0]} x {batch.shape[1]} x {batch.shape[2]} px"
        raise ImageError(f"the image is {told} and {pyramid!r} holds others; give one of its size, or build another")
    if pyramid.wants_gradient or (batch.requires_grad and torch.is_grad_enabled()):
        raise no_gradient("what is written to a pyramid passes no gradient to its image")
    return layer


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
    means, stds = _three("mean", mean), _three("std", std)
    if len(means) != 3 or len(stds) != 3:
        raise ImageError(
            f"mean has {len(means)} and std {len(stds)} values; both need 3, one for each of red, green, blue"
        )
    if not all(math.isfinite(value) for value in means):
        raise ImageError(f"mean is {tuple(means)}; every value must be finite")
    if not all(0 < value < math.inf for value in stds):
        raise ImageError(f"std is {tuple(stds)}; every value must be above 0 and finite")
    return (means[0], means[1], means[2]), (stds[0], stds[1], stds[2])


def _three(name: str, value: Sequence[float]) -> Sequence[float]:
    if type(value) in (tuple, list) and all(type(one) is float for one in value):  # as nearly always
        return value
    found = numbers(name, value, "3 numbers, one for each of red, green, blue", refusal=ImageError)
    flat: list[float] = found.reshape(-1).tolist()
    return flat


def check_dtype(dtype: torch.dtype, widest: torch.dtype) -> None:
    """The type of patches. widest: what the backend computes in."""
    if dtype not in (*PATCH_DTYPES, torch.float64):
        raise ImageError(f"dtype is {dtype}; patches come as torch.float32, torch.float16 or torch.bfloat16")
    if dtype == torch.float64 != widest:
        raise ImageError(f"dtype is torch.float64; texture units filter in float32. Use torch.float32, or {INSTEAD}")


def check_fixations(points: Tensor) -> None:
    """Points [K, 2]. Those on a device are not looked at, which would cost a visit to the host."""
    whole("the number of fixations", len(points), FIXATIONS, least=0)
    if not len(points) or (visible(points) and not bool(torch.isfinite(points).all())):
        raise PlanError(f"fixations are {points.tolist()}; expected at least one finite point (x, y)")


def check_layers(plan: SamplePlan, layers: int) -> None:
    plan = check_plan(plan)
    rows = rows_of(plan)
    if not visible(rows):  # looking would cost a visit to the host; the shader clamps the layer instead
        return
    low, high = _seen(plan, rows, "layers", lambda: _layers(rows))
    if low < 0 or high >= layers:
        raise PlanError(f"the plan reads layers {low} to {high}; the pyramid holds {layers} (0 to {layers - 1})")


def check_exact(plan: SamplePlan, max_level: int) -> None:
    """Quality `exact` promises an exact box mean, which only mip-aligned footprints have. Rows on a device are not looked at."""
    rows = rows_of(plan)
    if not visible(rows):
        return
    odd = _seen(plan, rows, f"levels 0..{max_level}", lambda: _unaligned(plan, rows, max_level))
    if odd:
        raise PlanError(
            f"quality 'exact' needs mip-aligned footprints; {len(odd)} of {rows.numel() // 8} are not "
            f"(the first is row {odd[0]}). Use quality='high', or a layout of aligned patches such as quadtree"
        )


def _layers(rows: Tensor) -> tuple[int, int]:
    """The least and the greatest that rows [..., 8] name."""
    named = rows.detach()[..., 6].numpy()  # torch takes 70 us to find the least and the greatest of a few hundred
    return round(float(named.min())), round(float(named.max()))


def _unaligned(plan: SamplePlan, rows: Tensor, max_level: int) -> tuple[int, ...]:
    """Which rows are not mip-aligned."""
    origin = torch.tensor([*plan.origin, 0, 0, 0, 0, 0, 0], dtype=torch.float64, device="cpu")
    texels = plan.patch_size if plan.texels is None else 1
    aligned = law.is_mip_aligned(rows.detach().reshape(-1, 8).double() + origin, texels, max_level)
    return tuple((~aligned).nonzero()[:, 0].tolist())


def _seen(plan: SamplePlan, rows: Tensor, what: str, look: Callable[[], Found]) -> Found:
    """What was found when these rows of the plan were looked at, which is once for each time that torch has written to them."""
    if rows.is_inference():  # torch does not count then
        return look()
    version, found = _known.get(plan, (None, {}))
    if version != rows._version:
        found = {}
        _known[plan] = rows._version, found
    if what not in found:
        found[what] = look()
    return cast("Found", found[what])
