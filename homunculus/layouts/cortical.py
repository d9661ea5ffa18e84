"""The log-polar image itself: rings and wedges that partition the disc around the fixation, as warped patches."""

from __future__ import annotations

import math
from functools import partial

import torch

from homunculus.bridge.plan import PlanProgram
from homunculus.layouts.frame import Fixation, Frame, registry
from homunculus.layouts.warped import CorticalChart, WarpedPlan

# Wedges over rings at which the outer cells are square for R / a = 48, where 273 = 13 x 21 (2 pi / ln(1 + 48) = 1.61).
WEDGES_PER_RING = 2 * math.pi / math.log1p(48)
# Each group of the shader fits the constant for itself: enough groups to use a GPU, few enough to fit it seldom.
GROUPS = 8


@registry.register("cortical")
def cortical(
    size: tuple[int, int],
    fixation: Fixation | None = None,
    budget: int = 273,
    patch_size: int = 16,
    *,
    law: str = "areal",
    a_px: float | None = None,
    magnify: bool = False,
    layer: int = 0,
) -> WarpedPlan:
    """`budget` = rings x wedges patches of the cortical image, 13 x 21 = 273 by default, ring by ring outwards.

    rings x wedges is the factorisation nearest to 13 : 21 in ratio; a prime budget becomes one ring of wedges. a_px:
    the constant of the complex logarithm; by default the one that a law's calibration gives, whatever the law. One
    fixation only. The cells must partition the disc, so none is resized: near the fixation texels are smaller than a
    pixel (filtered at LOD 0), whatever `magnify` says, and towards a corner many patches may lie outside the image.
    Raises PlanError for arguments out of range.
    """
    frame = Frame.of(size, fixation, budget, patch_size, law, a_px, magnify, layer, single="cortical")
    x, y = frame.fixations[0].tolist()
    rings, wedges = factors(frame.budget)
    chart = CorticalChart(frame.size, (x, y), rings, wedges, frame.patch_size, frame.constant_px())
    axes = chart.footprints(rings, wedges).reshape(-1, 6)
    axes[:, :2] -= axes.new_tensor(frame.origin)
    axes[:, 2:] /= frame.patch_size
    p = frame.patch_size
    footprints, texels = (
        torch.zeros(frame.budget, 8, dtype=torch.float32, device="cpu"),
        torch.zeros(frame.budget, p, p, 8, dtype=torch.float32, device="cpu"),
    )
    footprints[:, 6] = texels[..., 6] = frame.layer
    footprints[:, :6] = axes
    cells = chart.footprints(chart.rows, chart.columns).reshape(rings, p, wedges, p, 6).permute(0, 2, 1, 3, 4)
    cells[..., :2] -= cells.new_tensor(frame.origin)
    texels[..., :6].view(rings, wedges, p, p, 6).copy_(cells)
    return WarpedPlan(footprints, p, texels, frame.small_image_note(), frame.origin, chart=chart)


def factors(budget: int) -> tuple[int, int]:
    """Rings and wedges whose product is the budget, as near as can be to the ratio of 13 : 21."""
    rings = [r for r in range(1, budget + 1) if budget % r == 0]
    best = min(rings, key=lambda r: abs(math.log(budget / r / r / WEDGES_PER_RING)))
    return best, budget // best


def cortical_program(
    size: tuple[int, int],
    budget: int = 273,
    patch_size: int = 16,
    law: str = "areal",
    a_px: float | None = None,
    *,
    layer: int = 0,
) -> PlanProgram:
    """`cortical` as a compute shader that reads the fixation where it is and writes texels; its twin is `cortical`."""
    frame = Frame.of(size, None, budget, patch_size, law, a_px, False, layer)
    rings, wedges = factors(frame.budget)
    twin = partial(cortical, size, budget=budget, patch_size=patch_size, law=law, a_px=a_px, layer=layer)
    uniforms: dict[str, float | tuple[float, ...]] = {
        "image_px": (float(frame.width), float(frame.height)),
        "patch_size": frame.patch_size,
        "rings": rings,
        "wedges": wedges,
        "given_a_px": 0.0 if frame.calibrates() else frame.constant_px(),
        "layer": float(layer),
    }
    if law != "uniform":
        uniforms["budget"] = frame.budget
    return PlanProgram(
        "plan_cortical.comp",
        frame.budget,
        frame.patch_size,
        twin,
        defines={"LAW": f"LAW_{law.upper()}"},
        uniforms=uniforms,
        groups=min(GROUPS, frame.budget),
        warped=True,
    )
