"""What happens where memory is short: an error of the library's own, after which the next call works."""

from __future__ import annotations

import re
from collections.abc import Callable

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.plan import SamplePlan

# How torch and drivers say that memory could not be had; both raise RuntimeError.
_SHORT = re.compile(r"memory|alloc", re.IGNORECASE)


class room:  # noqa: N801
    """Around what takes memory. told: what was asked for, how much it takes, and the remedy."""

    __slots__ = ("_refusal", "_told")

    def __init__(self, refusal: Callable[[str], HomunculusError], told: Callable[[], str]) -> None:
        self._refusal, self._told = refusal, told

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, MemoryError | RuntimeError) or isinstance(error, HomunculusError):
            return
        if isinstance(error, MemoryError) or _SHORT.search(str(error)):
            raise self._refusal(self._told()) from error


def patches_told(plan: SamplePlan) -> str:
    side, count = plan.patch_size, len(plan)
    return (
        f"{count} patches of {side} x {side} texels take {count * side * side * 16 / 1e6:.4g} MB and as much again to filter, for which "
        "there is no memory. Sample the plan in parts, or take a smaller patch_size"
    )


def pyramid_told(shape: tuple[int, ...]) -> str:
    layers, height, width = shape[:3]
    return (
        f"the pyramid of {layers} x {height} x {width} px takes {layers * height * width * 16 * 4 / 3 / 1e6:.4g} MB in float32, for "
        "which there is no memory. Split the batch, downscale the image, or cut it into tiles"
    )
