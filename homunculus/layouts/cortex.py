"""How finely the cortex samples at each eccentricity, and the constant that fits a budget of tokens to an image.

The linear cortical magnification is M(e) = M0 / (e + e2) (millimetres per degree: Daniel & Whitteridge 1961; Horton &
Hoyt 1991). Tokens per area follow M squared, so a patch's side follows 1 / M: S(e) = S(0) (1 + e / a). Every law below
is a function of u = e / a, the eccentricity over the law's constant. The same functions, under the same names, stand in
`shaders/cortex.glsl`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.tensors import product, tensor_of

NEWTON_STEPS = 3
RAYS = 512  # a fixation
LEAST_PX = 1e-3
A_HALVINGS = 32
# a / side0 at the ends of the bisection: below the least that one token asks of a 32768 px image (law `linear`, patches
# of 1 px), and so flat that a larger constant moves no token by a thousandth of a pixel.
A_OVER_SIDE0 = (2.0**-20, 2.0**20)


@dataclass(frozen=True)
class Law:
    """A token density over eccentricity, in closed form. Each function maps a tensor to one of its shape.

    density: rho(e) / rho(0) of u. integral: G(u), the integral of density(u) u du from 0, so that a disc of radius e
    holds 2 pi a^2 rho(0) G(e / a) tokens. inverse: u of G(u). side: S(e) / S(0) = 1 / sqrt(density).
    """

    name: str
    density: Callable[[Tensor], Tensor]
    integral: Callable[[Tensor], Tensor]
    inverse: Callable[[Tensor], Tensor]
    side: Callable[[Tensor], Tensor]

    def side_at(self, u: float) -> float:
        """`side` of one number, which needs no tensor."""
        return self.side(u)  # type: ignore[arg-type, return-value]


def areal_integral(u: Tensor) -> Tensor:
    """G(u) = ln(1 + u) - u / (1 + u), as v - 1 + exp(-v) of v = ln(1 + u)."""
    v = torch.log1p(u)
    return v + torch.expm1(-v)


def areal_inverse(y: Tensor) -> Tensor:
    """Solves v - 1 + exp(-v) = y by Newton; u = exp(v) - 1. With Lambert's W, u = -1 / W0(-exp(-1 - y)) - 1."""
    v = (2 * y + y * y).sqrt()
    for _ in range(NEWTON_STEPS):
        slope = -torch.expm1(-v)
        v = v - (v - slope - y) / slope.clamp(min=torch.finfo(y.dtype).tiny)
    return torch.expm1(v)


def linear_integral(u: Tensor) -> Tensor:
    """G(u) = u - ln(1 + u)."""
    return u - torch.log1p(u)


def linear_inverse(y: Tensor) -> Tensor:
    """Solves u - ln(1 + u) = y by Newton. With Lambert's W, u = -W-1(-exp(-1 - y)) - 1: its other branch."""
    u = y + (2 * y).sqrt()
    for _ in range(NEWTON_STEPS):
        u = u - (u - torch.log1p(u) - y) * (1 + u) / u.clamp(min=torch.finfo(y.dtype).tiny)
    return u


LAWS: dict[str, Law] = {
    # Tokens per area follow M(e) squared (Horton & Hoyt 1991).
    "areal": Law("areal", lambda u: (1 + u) ** -2, areal_integral, areal_inverse, lambda u: 1 + u),
    # Tokens per area follow M(e) itself: a milder fovea than the cortex has.
    "linear": Law("linear", lambda u: 1 / (1 + u), linear_integral, linear_inverse, lambda u: (1 + u) ** 0.5),
    # Smooth at the fixation (Florack 2014).
    "cap": Law(
        "cap",
        lambda u: 1 / (1 + u * u),
        lambda u: torch.log1p(u * u) / 2,
        lambda y: torch.expm1(2 * y).sqrt(),
        lambda u: (1 + u * u) ** 0.5,
    ),
    # No fovea at all: the limit of every law above as a grows.
    "uniform": Law("uniform", torch.ones_like, lambda u: u * u / 2, lambda y: (2 * y).sqrt(), lambda u: u**0),
}


def get_law(name: str) -> Law:
    """The law of this name. Raises PlanError for an unknown one."""
    if not isinstance(name, str) or name not in LAWS:
        raise PlanError(f"law {name!r} is unknown; choose one of {', '.join(LAWS)}")
    return LAWS[name]


class Rays(NamedTuple):
    """What `rays` casts from K fixations, each [K, 512]. reach_px: how far the part of the image nearest to the fixation
    extends along the ray. angle: the radians that the ray stands for."""

    reach_px: Tensor
    angle: Tensor


def rays(size: tuple[int, int], fixations: Tensor) -> Rays:
    """512 rays from each fixation [K, 2]: 64 to each half of each side of the image (height, width).

    A half begins where the side is nearest, d away, and is s long. Its rays meet it at d sinh t, t in the middles of 64
    equal steps of 0 to asinh(s / d), so that they crowd where a side of any length and nearness turns; there the border
    is d cosh t away, and a ray stands for dt / cosh t radians. Bisectors with the other fixations cut them shorter. A
    side less than LEAST_PX away holds nothing, and of equal fixations the first owns everything.
    """
    height, width = size
    dtype, device = fixations.dtype, fixations.device
    low, high = fixations, torch.tensor([width, height], dtype=dtype, device=device) - fixations
    x, y = torch.stack([high, low], -1).unbind(1)  # [K, 2] each: the room towards larger and smaller coordinates
    away = torch.cat([x, y], 1).repeat_interleave(2, 1)[..., None]  # right, left, below, above; [K, 8, 1]
    along = torch.cat([y, y, x, x], 1)[..., None]
    seen = away > LEAST_PX
    away = torch.where(seen, away, 1.0)
    last = torch.asinh(along / away)
    t = last * ((torch.arange(RAYS // 8, dtype=dtype, device=device) + 0.5) / (RAYS // 8))
    reach = (away * t.cosh()).flatten(1)
    angle = torch.where(seen, last / (RAYS // 8) / t.cosh(), 0.0).flatten(1)
    between = fixations[None] - fixations[:, None]  # [own, other, 2]
    half = (between * between).sum(-1, keepdim=True) / 2
    component = product(between, _directions(t))
    to_bisector = torch.where(component > 0, half / component, torch.inf)
    earlier = torch.ones_like(half[..., 0]).tril(-1).bool()[..., None]
    to_bisector = torch.where((half == 0) & earlier, 0.0, to_bisector)
    return Rays(torch.minimum(reach, to_bisector.amin(1)), angle)


def _directions(t: Tensor) -> Tensor:
    """[K, 2, 512] unit vectors of the rays at t [K, 8, 64]: 1 / cosh t towards the side, tanh t along it."""
    towards, along = 1 / t.cosh(), t.tanh()
    sign = torch.tensor([1.0, -1.0], dtype=t.dtype, device=t.device)
    side, way = sign.repeat_interleave(2).repeat(2)[:, None], sign.repeat(4)[:, None]
    towards, along = towards * side, along * way
    x = torch.cat([towards[:, :4], along[:, 4:]], 1)
    y = torch.cat([along[:, :4], towards[:, 4:]], 1)
    return torch.stack([x.flatten(1), y.flatten(1)], 1)


def mass(seen: Rays, a_px: float | Tensor, law: Law) -> Tensor:
    """I(a), the integral of density(e / a) / a^2 over the image, by the midpoint rule: a scalar."""
    return (law.integral(seen.reach_px / a_px) * seen.angle).sum()


def constant_px(
    size: tuple[int, int], fixations: Tensor, budget: int, side0_px: float, law: str = "areal"
) -> Tensor | None:
    """The law's constant a (pixels, a scalar on the device of the fixations [K, 2]) at which `budget` tokens, of side
    side0_px at the fixations, tile the image.

    Solves budget = (a / side0)^2 I(a), which grows with a, by bisection in log(a); nothing is read back to the host. None
    where no law can: under `uniform`, and where the image holds no more patches of side0_px than the budget, so that
    even a density that is nowhere lower does not need them all.
    """
    chosen = get_law(law)
    if law == "uniform" or size[0] * size[1] <= budget * side0_px**2:
        return None
    seen = rays(size, fixations)
    low, high = (fixations.new_tensor(side0_px * bound) for bound in A_OVER_SIDE0)
    for _ in range(A_HALVINGS):
        a_px = (low * high).sqrt()
        short = (a_px / side0_px).square() * mass(seen, a_px, chosen) < budget
        low, high = torch.where(short, a_px, low), torch.where(short, high, a_px)
    return low


def calibrate(
    size: tuple[int, int],
    fixations: Tensor | Sequence[Sequence[float]],
    budget: int,
    side0_px: float,
    law: str = "areal",
) -> float | None:
    """`constant_px` as a number on the host."""
    points = tensor_of(fixations, torch.float64).reshape(-1, 2)
    a_px = constant_px(size, points, budget, side0_px, law)
    return None if a_px is None else float(a_px)


@dataclass(frozen=True)
class Magnification:
    """A published fit of the linear magnification of human V1: M(e) = scale_mm / (e + e2). Of one that measured what is seen, not
    the cortex, only e2 is known, and scale_mm is None."""

    scale_mm: float | None
    e2_deg: float
    source: str

    def mm_per_deg(self, eccentricity_deg: Tensor) -> Tensor:
        """Millimetres of cortex per degree of visual field. Raises PlanError where none were measured."""
        return self._scale_mm() / (eccentricity_deg + self.e2_deg)

    def hemifield_mm2(self, eccentricity_deg: Tensor) -> Tensor:
        """Cortical area of half the visual field out to an eccentricity: pi scale^2 G(e / e2), G of `areal`. Raises PlanError where no
        millimetres were measured."""
        return math.pi * self._scale_mm() ** 2 * areal_integral(eccentricity_deg / self.e2_deg)

    def _scale_mm(self) -> float:
        if self.scale_mm is None:
            measured = ", ".join(name for name, fit in MAGNIFICATIONS.items() if fit.scale_mm is not None)
            raise PlanError(f"{self.source} measured no millimetres of cortex; choose one of {measured}")
        return self.scale_mm

    def a_px(self, pixels_per_degree: float) -> float:
        """The constant a of the laws, for an image seen at this scale."""
        return self.e2_deg * pixels_per_degree


# Values as tabulated in Strasburger, Rentschler & Juettner 2011, Journal of Vision 11(5):13; the last as published.
MAGNIFICATIONS: dict[str, Magnification] = {
    "horton_hoyt": Magnification(17.3, 0.75, "Horton & Hoyt 1991, Archives of Ophthalmology 109:816"),
    "cowey_rolls": Magnification(14.9, 1.746, "Cowey & Rolls 1974, Experimental Brain Research 21:447"),
    "rovamo_virsu": Magnification(
        24.0, 3.0, "Rovamo & Virsu 1979, Experimental Brain Research 37:495 (without the cubic terms)"
    ),
    "duncan_boynton": Magnification(15.4, 0.831, "Duncan & Boynton 2003, Neuron 38:659"),
    "larsson_heeger": Magnification(17.7, 0.785, "Larsson & Heeger 2006, Journal of Neuroscience 26:13128"),
    "geisler_perry": Magnification(
        None, 2.3, "Geisler & Perry 1998, Proceedings of SPIE 3299:294 (contrast thresholds)"
    ),
}


def pixels_per_degree(distance_mm: float, pitch_mm: float) -> float:
    """Pixels per degree of visual angle at the axis, for a screen seen from distance_mm with pixels pitch_mm apart."""
    return math.pi / 180 * distance_mm / pitch_mm


def degrees_to_pixels(eccentricity_deg: float, distance_mm: float, pitch_mm: float) -> float:
    """Distance on a flat screen from the point straight ahead: d tan(e) / pitch."""
    return distance_mm * math.tan(math.radians(eccentricity_deg)) / pitch_mm


def pixels_to_degrees(eccentricity_px: float, distance_mm: float, pitch_mm: float) -> float:
    """The inverse of `degrees_to_pixels`: atan(e pitch / d)."""
    return math.degrees(math.atan(eccentricity_px * pitch_mm / distance_mm))
