"""Looking at a video as it comes: one budget over space and time, and a gaze that follows what it looks at."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from homunculus.allocators.hysteresis import missing, squares
from homunculus.allocators.scene import Allocator, Scene
from homunculus.allocators.space_time import SpaceTime
from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.clips.timeline import Span, Timeline
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import shown
from homunculus.encoder import Encoding
from homunculus.loop.eye import Eye
from homunculus.loop.options import allocator_of
from homunculus.loop.record import Points, pairs
from homunculus.loop.visual_search import Job, VisualSearch
from homunculus.loop.watched import Watched, WatchState
from homunculus.relevance.motion import motion
from homunculus.relevance.pursuit import follow
from homunculus.relevance.query import Query

STAYS = 0.1  # a split of the plan before is kept unless another gains this share more


def watch(
    eye: Eye,
    clip: Clip,
    query: Query | None,
    at: Points | None,
    allocator: str | Allocator,
    state: WatchState | None,
) -> Watched:
    """What an eye sees of a clip after its newest frame; as `Homunculus.watch`."""
    timeline = _checked(clip)
    state = eye.watched.get(clip) if state is None else state
    state = None if state is None or timeline.scene >= state.timeline.count else state  # that was of another scene
    frames = clip.coarse
    asked = None if query is None else _searched(eye, clip, query)
    relevance = motion(frames)[-1] if asked is None else asked
    gaze, jumped = _gaze(clip, relevance, at, state)
    newest = Span(timeline.count - 1, 1)
    scene = Scene(clip.size, gaze, asked, eye.patch_size, layer=timeline.layer(newest))
    spends = allocator_of(allocator)
    if isinstance(spends, SpaceTime):
        scene = replace(scene, timeline=timeline, frames=frames)
    plan, moved = _kept(scene, spends, eye.options.budget, state)
    patches, encoding = seen_of(eye, clip, plan)
    eye.watched[clip] = after = WatchState(
        plan.to("cpu"), timeline, gaze, gaze[:0] if state is None else state.fixations
    )
    cut = timeline.scene == newest.first > 0
    moment = (newest.first, clip.time_s(newest.first), plan, timeline.times(plan), gaze, moved, cut, jumped)
    return Watched(*moment, clip.size, timeline, patches, encoding, relevance, after)


def _gaze(clip: Clip, relevance: Tensor, at: Points | None, state: WatchState | None) -> tuple[Tensor, bool]:
    """float32 [K, 2] in pixels on the host, and whether it is another place than what was followed."""
    if at is not None:
        points, jumped = [(x * clip.size[1], y * clip.size[0]) for x, y in pairs(at)], False
    else:
        last = [] if state is None else [*state.fixations[:1].tolist(), *state.earlier[:1].tolist()]
        point, jumped = follow(relevance, clip.size, *last)
        points = [point]
    return torch.tensor(points, dtype=torch.float32, device="cpu").reshape(-1, 2), jumped


def _kept(scene: Scene, allocator: Allocator, budget: int, state: WatchState | None) -> tuple[SamplePlan, int]:
    """The plan, which over time is the one before as far as that is about as good, and how many of its tokens are new."""
    if state is None or (len(state.plan), state.plan.patch_size) != (budget, scene.patch_size):
        return allocator.allocate(scene, budget), budget
    plan = (
        allocator.again(state.plan, scene, STAYS)
        if isinstance(allocator, SpaceTime)
        else allocator.allocate(scene, budget)
    )
    return plan, len(missing(squares(plan), squares(state.plan)))


def _checked(clip: Clip) -> Timeline:
    if not isinstance(clip, Clip):
        raise ImageError(
            f"{shown(clip)} is no clip; make one with unit.clip(size) and push frames, or look at a picture with look()"
        )
    if not clip.timeline.count:
        raise PlanError(f"{clip!r} holds no frame yet; push one first")
    return clip.timeline


def _searched(eye: Eye, clip: Clip, query: Query) -> Tensor:
    """[h, w] relevance of the newest frame, as a look at it alone would find it."""
    with eye.unit.pyramid(clip.newest) as pyramid:
        seen, _ = VisualSearch(eye, pyramid, clip.newest[None], [Job(0, query, clip.coarse)]).search()
        return seen[0].relevance.total[0]


def seen_of(eye: Eye, clip: Clip, plan: SamplePlan) -> tuple[Patches, Encoding | None]:
    """What a plan shows, in 0..1, and what the encoder makes of it: of one that reads clips the two halves of each token's span, or the
    span twice where its halves are not held."""
    encoder, unit, quality = eye.encoder, eye.unit, eye.options.quality
    if encoder is None:
        return unit.sample(clip, plan, quality=quality), None
    halves = encoder.frames > 1
    found = unit.sample(
        clip, _in_halves(clip.timeline, plan) if halves else plan, quality=quality, mean=encoder.mean, std=encoder.std
    )
    pixels = found.pixels.reshape(len(plan), -1, *found.pixels.shape[1:])
    mean, std = (pixels.new_tensor(value)[:, None, None] for value in (encoder.mean, encoder.std))
    patches = Patches(pixels.mean(1) * std + mean, found.inside.reshape(len(plan), -1).mean(1))
    pixels = (pixels if halves else pixels[:, 0]).to(eye.device)
    times = _from_start(clip.timeline, plan).to(eye.device) if halves else None
    return patches, encoder(pixels, plan, clip.size, times=times, hidden=eye.options.hidden)


def _in_halves(timeline: Timeline, plan: SamplePlan) -> SamplePlan:
    """2 N footprints: of each token first the one on its first half, then that on its second."""
    rows = plan.footprints.repeat_interleave(2, 0)
    layers = []
    for first, frames in timeline.times(plan).tolist():
        span = Span(first, frames)
        layers += [timeline.layer(half) for half in timeline.halves(span) or (span, span)]
    rows[:, 6] = torch.tensor(layers, dtype=rows.dtype, device="cpu").to(rows.device)
    return SamplePlan(rows, plan.patch_size, origin=plan.origin)


def _from_start(timeline: Timeline, plan: SamplePlan) -> Tensor:
    """int64 [N, 2]: first frame, counted from the first that the timeline covers, and frames."""
    return timeline.times(plan) - torch.tensor([timeline.start, 0], dtype=torch.int64, device="cpu")
