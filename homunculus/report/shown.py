"""What tokens show, small enough for a page."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from homunculus.bridge.notebook import LONGER_PX
from homunculus.bridge.plan import SamplePlan
from homunculus.report.files import to_picture
from homunculus.report.reconstruction import reconstruct
from homunculus.report.scaled import scaled


def small_reconstruction(
    pixels: Tensor, plan: SamplePlan, size: tuple[int, int], *, layer: int = 0
) -> tuple[np.ndarray[Any, Any], float]:
    """What patches [N, 3, P, P] of a picture of (height, width) let one see, uint8 [h, w, 3], 640 px along its longer side at most, and
    how many times as large it is. Raises PlanError as `reconstruct` does."""
    scale = min(1.0, LONGER_PX / max(size))
    small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    seen = reconstruct(pixels, scaled(plan, scale, small), small, layer=layer)
    return np.asarray(to_picture(seen.pixels)), scale
