"""A tree over (x, y, t): where a picture stands still few tokens last long, where it moves more of them last short.

Roots are the whole picture on each span with which the clip's timeline covers the scene. A node, a square of a span, is split into its
quarters or into the halves of its span, where that shows most for a token, as small pictures of the frames tell (`volume`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from homunculus.allocators.cells import MOST_CELLS, Array, Cells
from homunculus.allocators.growth import Growth, Leaf, splits_of
from homunculus.allocators.hierarchy import fixation_points
from homunculus.allocators.scene import Scene, registry
from homunculus.allocators.volume import Spans, Volume
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.errors import PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import check_share
from homunculus.layouts.dyadic import extras
from homunculus.layouts.frame import Frame, check_a_px, natives

# Leaves over even detail have sides as 1 / weight^(1/3): so that they follow S(e), and relevance, as those of `foveated_pyramid`.
LAW = 3
A_SHARE = 0.1  # of the longer side: where acuity halves


@registry.register("space_time")
@dataclass(frozen=True)
class SpaceTime:
    """The greedy tree over space and time, by energy gained a token, weighted as the scene says.

    Without a timeline it is a tree over the one picture, by the detail of `Scene.image` where there is one. Errors weigh by the cube of
    relevance times acuity, 1 / (1 + e/a) around the fixations if any are given. a_px: by default a tenth of the longer side. prior: the
    share of relevance that is spread evenly. Leaves by span, then row by row, then the quadtree layout's extras on the newest. On the host.
    """

    a_px: float | None = None
    prior: float = 0.25
    name: str = "space_time"

    def __post_init__(self) -> None:
        check_share("prior", self.prior, "0 to trust the map alone and 1 to ignore it")
        check_a_px(self.a_px)

    def allocate(self, scene: Scene, budget: int) -> SamplePlan:
        """Raises PlanError for a budget below 1, and for a clip without its frames, or without any."""
        frame = Frame.of(scene.size, None, budget, scene.patch_size, layer=scene.layer)
        volume = self._volume(scene)
        return planned(scene, frame, volume, Growth(volume).leaves(frame.budget))

    def again(self, previous: SamplePlan, scene: Scene, threshold: float) -> SamplePlan:
        """As many tokens as the previous plan has, and split as that is wherever another split does not gain a share `threshold` more.

        The previous plan's tokens count for what their layers show now.
        """
        frame = Frame.of(scene.size, None, len(previous), scene.patch_size, layer=scene.layer)
        volume = self._volume(scene)
        before = splits_of(volume, leaves_of(previous, scene.timeline, volume.spans))
        return planned(scene, frame, volume, Growth(volume, before, 1 + threshold).leaves(frame.budget))

    def _volume(self, scene: Scene) -> Volume:
        return scene.once(("volume", self), lambda: self._measured(scene))

    def _measured(self, scene: Scene) -> Volume:
        timeline, frames = timeline_of(scene), frames_of(scene)
        cells = Cells.of(scene.size, scene.patch_size, None if frames is None else frames.shape[1:3])
        if frames is None:
            frames = np.zeros((1, *cells.areas[0].shape, 3), np.float32)
        return Volume.of(cells, timeline, frames, self.weight(scene, cells))

    def weight(self, scene: Scene, cells: Cells) -> Array:
        """float32 [rows, columns]: what an error in each cell counts."""
        weight = np.ones(cells.areas[0].shape)
        if scene.relevance is not None:
            map_ = np.asarray(scene.relevance.detach().double().cpu())
            map_ = cells.resampled(map_ / map_.max()) if map_.any() else weight
            weight = self.prior + (1 - self.prior) * map_ / map_.mean()
        if len(scene.fixations):
            x, y = cells.centers
            points = fixation_points(scene).cpu().numpy()[:, :, None, None]
            away = np.hypot(x - points[:, 0], y[:, None] - points[:, 1]).min(0)
            weight = weight / (1 + away / (self.a_px or A_SHARE * max(scene.size)))
        return np.asarray(weight**LAW, np.float32)


def timeline_of(scene: Scene) -> Timeline:
    """The scene's; that of a single frame where it is a picture. Raises PlanError for a clip without frames."""
    if scene.timeline is None:
        return Timeline(1, 1)
    if not scene.timeline.count:
        raise PlanError(f"no frame has been pushed to this clip: {scene.timeline}; push one first")
    if scene.frames is None:
        raise PlanError(
            "space_time spends by what its frames show and this scene has none; give Scene(..., frames=clip.coarse)"
        )
    return scene.timeline


def frames_of(scene: Scene) -> Array | None:
    """float32 [F, h, w, 3] on the host; a picture as one of at most 128 cells along the longer side; None where nothing can be seen."""
    if scene.timeline is not None and scene.frames is not None:
        return np.asarray(scene.frames.detach().float().cpu())
    if scene.image is None:
        return None
    image = scene.image.detach().cpu()
    scale = 1 if image.is_floating_point() else 255
    step = -(-max(image.shape[:2]) // MOST_CELLS)
    shape = (-(-image.shape[0] // step), -(-image.shape[1] // step))
    small = F.adaptive_avg_pool2d(image.permute(2, 0, 1)[None].double() / scale, shape)
    return np.asarray(small[0].permute(1, 2, 0)[None].float())


def planned(scene: Scene, frame: Frame, volume: Volume, leaves: list[Leaf]) -> SamplePlan:
    """The leaves' squares on their spans' layers, and what is left of the budget on the layer of the newest."""
    spans = volume.spans
    layers = [scene.layer if scene.timeline is None else scene.timeline.layer(span) for span in spans.all]
    span, level, row, column = np.array(leaves).T
    side = frame.patch_size * 2.0**level
    order = np.lexsort((column * side, row * side, span))
    squares = torch.from_numpy(np.stack([column * side, row * side, side], 1)[order])
    rest = frame.budget - len(leaves)
    if rest:
        squares = torch.cat([squares, extras(frame, rest, fixation_points(scene).cpu(), overview=len(leaves) > 1)])
    plan = frame.squares(squares, note(frame, spans, rest))
    own = [layers[number] for number in span[order].tolist()] + [layers[spans.roots - 1]] * rest
    plan.footprints[:, 6] = torch.tensor(own, dtype=torch.float32, device="cpu")
    return plan if scene.device.type == "cpu" else plan.to(scene.device)


def leaves_of(plan: SamplePlan, timeline: Timeline | None, spans: Spans) -> Array:
    """int64 [M, 4], as `Leaf`: the tokens that are squares of the tree, on layers that are held; the others are left out."""
    layers = [0] if timeline is None else [timeline.layer(span) for span in spans.all]
    numbers = np.full(max(layers) + 1, -1)
    numbers[layers] = np.arange(len(layers))
    rows = plan.footprints.detach().double().cpu().numpy()
    texel = rows[:, 2]
    level = np.log2(np.maximum(texel, 0.5))
    side = texel * plan.patch_size
    corner = rows[:, 1::-1] / side[:, None] - 0.5
    layer = np.minimum(rows[:, 6], len(numbers)).astype(np.int64)
    span = np.append(numbers, np.full(2, -1))[layer]
    whole = (level == np.rint(level)) & (corner == np.rint(corner)).all(1) & (level >= 0) & (corner >= 0).all(1)
    return np.asarray(np.stack([span, level, *corner.T], 1)[whole & (span >= 0)], np.int64)


def note(frame: Frame, spans: Spans, rest: int) -> str:
    """What the caller might not expect; else empty."""
    if frame.budget < spans.roots:
        return (
            f"the scene lies on {spans.roots} spans, more than the budget of {frame.budget}: only the newest are shown"
        )
    if rest <= 2 and natives(frame.size, frame.patch_size) >= frame.budget:
        return ""
    return (
        f"the image of {frame.height} x {frame.width} px has no more to show for the budget of {frame.budget}: an overview, then native "
        "patches around the fixation that repeat what is seen"
    )
