"""Where a video moves: the difference of successive frames, seen coarsely."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.target import NOTHING, SearchTarget, Silent, channel


def motion(coarse: Tensor) -> Tensor:
    """[F, h, w] of frames [F, h, w, 3] in 0..1, oldest first: root mean square over the colours of what each cell differs from the frame
    before; 0 for the first. On the frames' device. Raises PlanError for another shape.

    >>> hm.relevance.motion.motion(torch.stack([torch.zeros(2, 2, 3), torch.ones(2, 2, 3)])).amax((1, 2)).tolist()
    [0.0, 1.0]
    """
    if coarse.ndim != 4 or coarse.shape[3] != 3 or not coarse.is_floating_point():
        raise PlanError(
            f"frames are {coarse.dtype} {tuple(coarse.shape)}; expected floats [F, h, w, 3], as clip.coarse"
        )
    differences = torch.zeros_like(coarse)
    differences[1:] = coarse[1:] - coarse[:-1]
    return differences.square().mean(-1).sqrt()


@channel("motion")
def moving(statistics: ImageStatistics, target: SearchTarget = NOTHING) -> Tensor | Silent:
    """[B, rows, columns]: how much the newest of `target.frames` differs from the one before; 0 where the scene has but one.

    Silent where there is no video.
    """
    if target.frames is None:
        return Silent("there is no video, so nothing moves; a clip is watched with Homunculus.watch")
    newest = motion(target.frames[-2:])[-1].to(statistics.device)
    return F.adaptive_avg_pool2d(newest[None], statistics.grid).expand(statistics.batch, -1, -1)
