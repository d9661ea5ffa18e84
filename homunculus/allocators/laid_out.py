"""Layouts as allocators that read no relevance, but for where the eye stands when nobody says.

Of two of them, Vogel's spiral (1979) at the density of a cortical law (Horton & Hoyt 1991) and the log-polar image itself
(Schwartz 1977) cut into rings x wedges, the strength of the fovea can be asked for, as `foveal_share`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from homunculus import layouts
from homunculus.allocators.fixation import fixations_of
from homunculus.allocators.scene import Scene, registry
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import number
from homunculus.layouts.frame import Fixation, Frame
from homunculus.layouts.log_polar import fitted_px

FOVEA = 0.1  # default radius of the fovea, of the image's half diagonal
LEAST_A_PX = 1.0  # the strongest fovea that may magnify
FLATTEST = 100.0  # a_px over the image's diagonal at which tokens are evenly spread
HALVINGS = 40


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """The layout of this name at the scene's fixations, else at the maximum of relevance, else in the middle.

    a_px: the law's constant; None leaves it to the calibration, one texel a pixel at the fixation.
    """

    name: str
    a_px: float | None = None

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1, or more fixations than the layout takes."""
        return self.around(scene, fixations_of(scene), budget, self.a_px)

    def around(self, scene: Scene, fixations: Fixation, budget: int, a_px: float | None, **options: Any) -> SamplePlan:
        """The plan where the scene's relevance lives."""
        layout = layouts.get(self.name)
        plan = layout(scene.size, fixations, budget, scene.patch_size, a_px=a_px, layer=scene.layer, **options)
        return plan if scene.device.type == "cpu" else plan.to(scene.device)


for layout in layouts.registry:
    registry.register(layout)(LaidOut(name=layout))


@registry.register("log_polar")
@dataclass(frozen=True)
class LogPolar(LaidOut):
    """`layouts.log_polar` with a fovea as strong as asked for.

    foveal_share: share of the tokens whose centre lies within fovea_px of a fixation, kept to within one token by choosing
    the law's a_px; None leaves the law as `LaidOut` does. fovea_px: by default a tenth of the image's half diagonal.
    Patches lie inside the image; unless `magnify` none is finer than one texel a pixel, and a share that would ask for
    it is refused.
    """

    name: str = field(default="log_polar", kw_only=True)
    foveal_share: float | None = None
    fovea_px: float | None = None
    magnify: bool = False
    overlap: float = 1.0

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1, or a foveal share that is out of reach."""
        frame = frame_of(scene, budget, self.magnify)

        def plan(a_px: float | None) -> SamplePlan:
            return self.around(scene, frame.fixations, budget, a_px, magnify=self.magnify, overlap=self.overlap)

        if self.foveal_share is None:
            return plan(self.a_px)
        radius_px = fovea_px(self.fovea_px, scene)

        def counted(a_px: float) -> float:
            return float((plan(a_px).eccentricity_px(frame.fixations) <= radius_px).sum())

        least_a_px = LEAST_A_PX if self.magnify else fitted_px(frame, self.overlap)
        return plan(solve(counted, self.foveal_share, frame, least_a_px, radius_px))


@registry.register("cortical")
@dataclass(frozen=True)
class Cortical(LaidOut):
    """`layouts.cortical` with a fovea as strong as asked for.

    foveal_share: share of the rings, counted in texel rows, within fovea_px of the fixation; as in `LogPolar`. Texels next to the
    fixation are finer than a pixel whatever the share, and patches may reach, or lie, outside the image.
    """

    name: str = field(default="cortical", kw_only=True)
    foveal_share: float | None = None
    fovea_px: float | None = None
    magnify: bool = False

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1, several fixations, or a foveal share that is out of reach."""
        if self.foveal_share is None:
            return super().allocate(scene, budget)
        frame = frame_of(scene, budget, self.magnify)
        radius_px, reach_px = fovea_px(self.fovea_px, scene), frame.farthest_px()

        def counted(a_px: float) -> float:
            return frame.budget * min(1.0, math.log1p(radius_px / a_px) / math.log1p(reach_px / a_px))

        least_a_px = LEAST_A_PX if self.magnify else frame.constant_px()
        a_px = solve(counted, self.foveal_share, frame, least_a_px, radius_px)
        return self.around(scene, frame.fixations, budget, a_px)


def frame_of(scene: Scene, budget: int, magnify: bool) -> Frame:
    return Frame.of(scene.size, fixations_of(scene), budget, scene.patch_size, magnify=magnify, layer=scene.layer)


def fovea_px(radius_px: float | None, scene: Scene) -> float:
    """The radius asked for, or the default. Raises PlanError where it is not above 0."""
    if radius_px is None:
        return FOVEA * math.hypot(*scene.size) / 2
    return number("fovea_px", radius_px, above=0, instead="or None for a tenth of half the diagonal")


def solve(counted: Callable[[float], float], share: float, frame: Frame, least_a_px: float, radius_px: float) -> float:
    """a_px at which the tokens counted within the fovea, fewer as a_px grows, are the share of the budget.

    Raises PlanError for a share outside 0..1, and one that even the strongest or the weakest fovea misses by over a token.
    """
    wanted = number("foveal_share", share, above=0, most=1, instead="or None for the law's own") * frame.budget
    low, high = least_a_px, max(FLATTEST * math.hypot(*frame.size), 2 * least_a_px)
    most, fewest = counted(low), counted(high)
    asked = f"foveal_share {share:g} within {radius_px:.4g} px asks for {wanted:.1f} of {frame.budget} tokens"
    if wanted > most + 1:
        limit = "the law's limit is" if frame.magnify else "without magnifying at most"
        remedy = "" if frame.magnify else ", or set magnify=True"
        raise PlanError(
            f"{asked}; {limit} {most:.1f} ({most / frame.budget:.3f}): lower the share or widen fovea_px{remedy}"
        )
    if wanted < fewest - 1:
        raise PlanError(
            f"{asked}; evenly spread tokens already put {fewest:.1f} ({fewest / frame.budget:.3f}) there: raise the share "
            "or narrow fovea_px"
        )
    best = min((abs(most - wanted), low), (abs(fewest - wanted), high))
    for _ in range(HALVINGS):
        if best[0] <= 0.5:
            break
        a_px = math.sqrt(low * high)
        count = counted(a_px)
        best = min(best, (abs(count - wanted), a_px))
        low, high = (a_px, high) if count > wanted else (low, a_px)
    return best[1]
