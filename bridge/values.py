"""What may stand for a number, a switch, a name or a list of texts: one yes or no for each kind, at every public entrance.

Every check names the parameter, the value and what it must be, and returns the plain Python value. Others' types count:
whatever holds one whole number is one. A switch is no number, and a text is no list of texts.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.compiler import is_compiling

from homunculus.bridge.errors import HomunculusError, PlanError

P = ParamSpec("P")
T = TypeVar("T")
Refusal = Callable[[str], HomunculusError]

MOST_SHOWN = 80  # characters of a value in a message


class Limit(NamedTuple):
    """How much a call may ask for, and what to do about it."""

    most: int
    remedy: str


TOKENS = Limit(2**16, "which is every patch of 16 px of 4096 x 4096 px. Give fewer, or cut the image into tiles")
NODES = Limit(
    2**22, "which is every patch of 16 px of 32768 x 32768 px. Cut the image into tiles, or take a larger patch_size"
)
PATCH = Limit(1024, "texels along a side; models take 14 to 32")
FIXATIONS = Limit(128, "which is more than people make in half a minute. Give fewer, or look again")
LAYER = Limit(2**24, "beyond which a footprint's float32 does not hold it")
SEED = Limit(2**63 - 1, "what a generator takes")
SIDE_PX = Limit(2**24, "beyond which float32 does not tell one pixel from the next. Cut the image into tiles")


def whole(name: str, value: Any, limit: Limit | None = None, *, least: float = 1, refusal: Refusal = PlanError) -> int:
    """A whole number of at least `least`, and within the limit."""
    found = _whole(value)
    if found is None or found < least:
        raise refusal(f"{name} is {shown(value)}; it must be a whole number of at least {least}")
    if limit is not None and found > limit.most:
        raise refusal(f"{name} is {shown(value)}; it must be at most {limit.most}, {limit.remedy}")
    return found


def number(
    name: str,
    value: Any,
    least: float = -math.inf,
    most: float = math.inf,
    *,
    above: float = -math.inf,
    instead: str = "",
    refusal: Refusal = PlanError,
) -> float:
    """A finite number in least..most, and greater than `above`. instead: what else may be given, as the message's end."""
    found = _real(value)
    if not (math.isfinite(found) and least <= found <= most and found > above):
        limits = {"above": above, "at least": least, "at most": most}
        told = " and ".join(f"{word} {limit:g}" for word, limit in limits.items() if math.isfinite(limit))
        raise refusal(
            f"{name} is {shown(value)}; it must be a finite number{told and ', ' + told}{instead and ', ' + instead}"
        )
    return found


def check_share(name: str, value: Any, meaning: str) -> None:
    """A number in 0..1. meaning: what its ends mean."""
    if not 0 <= _real(value) <= 1:
        raise PlanError(f"{name} is {shown(value)}; it is a share, {meaning}")


def flag(name: str, value: Any, *, refusal: Refusal = PlanError) -> bool:
    """True or False."""
    if not isinstance(value, bool | np.bool_):
        raise refusal(f"{name} is {shown(value)}; it must be True or False")
    return bool(value)


def one_text(name: str, value: Any, *, refusal: Refusal = PlanError) -> str:
    """A text, empty or not."""
    if not isinstance(value, str):
        raise refusal(f"{name} is {shown(value)}; it must be a text")
    return value


def choice(name: str, value: Any, choices: Collection[str], *, refusal: Refusal = PlanError) -> str:
    """One of these names."""
    if not isinstance(value, str) or value not in choices:
        raise refusal(f"{name} is {shown(value)}; choose one of {', '.join(choices)}")
    return value


def texts(name: str, value: Any, *, refusal: Refusal = PlanError) -> list[str]:
    """A list, or whatever yields them, of texts. One text alone is none: its letters are not meant."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise refusal(f"{name} is {shown(value)}; give a list of texts, such as [{shown(value)}]")
    found = list(value)
    for one in found:
        if not isinstance(one, str):
            raise refusal(f"{name} holds {shown(one)}; give a list of texts")
    return found


def entries(name: str, value: Any, expected: str, *, refusal: Refusal = PlanError) -> list[Any]:
    """What a list, a tuple or an array holds; a text is none of these."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise refusal(f"{name} is {shown(value)}; expected {expected}")
    try:
        return list(value)
    except TypeError:  # a tensor without an axis
        raise refusal(f"{name} is {shown(value)}; expected {expected}") from None


def tensor(name: str, value: Any, expected: str, *, refusal: Refusal = PlanError) -> Tensor:
    """A tensor."""
    if not isinstance(value, Tensor):
        raise refusal(f"{name} is {shown(value)}; expected a tensor, {expected}")
    return value


def traced(value: Any = None) -> bool:
    """Whether torch looks at this call instead of running it (torch.compile, torch.export), or at this tensor (torch.func)."""
    if is_compiling():
        return True
    return isinstance(value, Tensor) and (
        torch._C._functorch.is_functorch_wrapped_tensor(value) or isinstance(value, torch._subclasses.FakeTensor)
    )


def untraced(function: Callable[P, T]) -> Callable[P, T]:
    """A function that torch.compile does not look into: the graph breaks there, and it runs as it would without. What torch has for
    this loads its compiler at the first call, whether anything is compiled or not."""

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> T:
        if is_compiling():
            outside: Callable[P, T] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
            return outside(*args, **kwargs)
        return function(*args, **kwargs)

    return called


def visible(tensor: Tensor) -> bool:
    """Whether its values can be looked at: those on a device would cost a visit to the host, and what is traced has none."""
    return tensor.device.type == "cpu" and not traced(tensor)


def numbers(name: str, value: Any, expected: str, *, refusal: Refusal = PlanError) -> Tensor:
    """float64 on the CPU, of a tensor, an array, or nested lists."""
    try:
        if isinstance(value, str | bytes | bool) or value is None:
            raise TypeError
        found = value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        if found.dtype == torch.bool or found.is_complex():
            raise TypeError
        return found.detach().to(device="cpu", dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise refusal(f"{name} is {shown(value)}; expected {expected}") from None


def pair(name: str, value: Any, expected: str = "two numbers", *, refusal: Refusal = PlanError) -> tuple[Any, Any]:
    """Two things, whatever they are, but no text."""
    try:
        if isinstance(value, str | bytes):
            raise TypeError
        first, second = value
    except (TypeError, ValueError, RuntimeError):
        raise refusal(f"{name} is {shown(value)}; give {expected}") from None
    return first, second


def size_of(name: str, value: Any, *, refusal: Refusal = PlanError) -> tuple[int, int]:
    """(height, width) in pixels."""
    height, width = pair(name, value, "(height, width) in pixels", refusal=refusal)
    return (
        whole("height", height, SIDE_PX, refusal=refusal),
        whole("width", width, SIDE_PX, refusal=refusal),
    )


def shown(value: Any) -> str:
    """The value as a message tells it: short, and on one line."""
    told = " ".join(repr(value).split())
    return told if len(told) <= MOST_SHOWN else f"{told[:MOST_SHOWN]}..."


def _item(value: Any) -> Any:
    """The Python number in an array or tensor of one element; None for what holds no number."""
    try:
        found = value.item() if hasattr(value, "item") else value
    except (TypeError, ValueError, RuntimeError):
        return None
    return None if isinstance(found, bool | str | bytes | bytearray) else found


def _whole(value: Any) -> int | None:
    found = _item(value)
    if isinstance(found, float):
        return int(found) if found.is_integer() else None
    try:
        return operator.index(found)
    except TypeError:
        return None


def _real(value: Any) -> float:
    """The value as float; NaN for what is no number."""
    try:
        return float(_item(value))
    except (TypeError, ValueError, OverflowError):
        return math.nan
