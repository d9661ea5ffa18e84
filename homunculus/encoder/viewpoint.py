"""From where a token sees: its place in units of its own size, and its size.

The three numbers of CanViT's viewpoint token (arXiv 2603.22570), there of a whole glimpse, here of each token. They are the same for a
picture at any resolution. Where all that is looked at grows by t about the picture's middle, as from an eye that steps back, the
first two stay and the last grows by log t.
"""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.plan import SamplePlan, check_plan
from homunculus.bridge.values import SEED, number, size_of, whole


def viewpoints(plan: SamplePlan, size: tuple[int, int]) -> Tensor:
    """float32 [N, 3] row / scale, column / scale and log scale of each footprint of a picture of (height, width), on the plan's device.

    How far its centre lies below and right of the picture's middle, in halves of its own side, and its side over the picture's longer
    one; a side is that of the square of equal area. A token that sees a square picture whole is at (0, 0, 0), the quarter of it at
    the lower right at (1, 1, -log 2). Raises PlanError.
    """
    height, width = size_of("size", size)
    rows = check_plan(plan).footprints.double()
    middle = rows.new_tensor([width / 2 - plan.origin[0], height / 2 - plan.origin[1]])
    right, down = rows[:, 2:4] * plan.patch_size, rows[:, 4:6] * plan.patch_size
    side_px = (right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]).abs().sqrt()[:, None]
    place = (rows[:, :2] - middle).flip(-1) * 2 / side_px
    return torch.cat([place, (side_px / max(height, width)).log()], -1).float()


def random_features(points: Tensor, dim: int, *, bandwidth: float = 1.0, seed: int = 0) -> Tensor:
    """float32 [..., dim] random Fourier features of points [..., k], on their device; the same for a seed everywhere.

    sqrt(2 / dim) times the cosines, then the sines, of dim / 2 projections with weights from N(0, 1 / bandwidth^2): the product of two
    points' features is about exp(-|a - b|^2 / (2 bandwidth^2)), to 1 / sqrt(dim) (Rahimi & Recht 2007, "Random Features for Large-Scale
    Kernel Machines"). dim: even. Raises PlanError.
    """
    half = whole("half of dim", dim / 2)
    bandwidth = number("bandwidth", bandwidth, 1e-6, 1e6)
    generator = torch.Generator(device="cpu").manual_seed(whole("seed", seed, SEED, least=0))
    drawn = torch.randn(points.shape[-1], half, generator=generator, dtype=torch.float64, device="cpu")
    angles = points.double() @ (drawn / bandwidth).to(points.device)
    return torch.cat([angles.cos(), angles.sin()], -1).mul(half**-0.5).float()
