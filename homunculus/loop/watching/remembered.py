"""What the tokens of a clip show of its newest frame: where later ones are coarse, the detail that earlier ones saw and nothing has
contradicted."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from homunculus.bridge.clips.timeline import Span
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit
from homunculus.report.durations import seen_by
from homunculus.report.reconstruction import reconstruct


def remembered(
    unit: TextureUnit, pixels: Tensor, plan: SamplePlan, times: Tensor, spans: Sequence[Span], size: tuple[int, int]
) -> Tensor:
    """[3, height, width] in 0..1. pixels: [N, 3, P, P] in 0..1 of a plan on a picture of that size; times: [N, 2]; spans: those of the
    timeline, oldest first.

    Of each span its last moment is drawn: the first as its tokens show it, then of each token what its texels differ by from what is
    remembered there, so that nothing changes where a token sees what was seen before.
    """
    picture: Tensor | None = None
    for span in spans:
        rows = seen_by(times, span.end - 1)
        if not len(rows):
            continue
        shown = SamplePlan(plan.footprints[rows], plan.patch_size).on_layer(0)
        values = pixels[rows].cpu()
        if picture is not None:
            with unit.pyramid(picture.permute(1, 2, 0).contiguous(), format="rgba32f") as before:
                values = values - unit.sample(before, shown).pixels.cpu()
        change = reconstruct(values, shown, size)
        seen = change.pixels if picture is None else picture + change.pixels * change.covered
        picture = seen.clamp(0, 1)
    return torch.zeros(3, *size, dtype=torch.float32, device="cpu") if picture is None else picture
