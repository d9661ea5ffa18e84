"""What is compared: ways to spend tokens on a page, by who says where to look. A row of the table each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from homunculus import allocators
from homunculus.allocators.scene import Scene
from homunculus.bridge.errors import PlanError
from homunculus.lab.baselines.two_views import TwoViewCrop
from homunculus.lab.experiment.page import bump
from homunculus.lab.pages.desk import PATCH, Desk, Showing
from homunculus.lab.pages.document import LARGE
from homunculus.lab.pages.fonts import Typeface
from homunculus.lab.pages.judge import Pixels
from homunculus.lab.pages.sheet import Box
from homunculus.loop import Homunculus, Job, VisualSearch
from homunculus.loop.memory import together
from homunculus.loop.reading import ink_plan, shown_window
from homunculus.relevance import ImageStatistics
from homunculus.relevance import registry as channels
from homunculus.relevance.fixation import given
from homunculus.relevance.query import Query

BUDGET = 273
PRIMARY = "foveated_pyramid"
# Budgets for reading first on what is inked, and glimpses of a budget after it.
WORDS = ((0.5, 1), (1, 1), (1, 2), (2, 1), (2, 2), (3, 1))
WORDS_LARGE = ((15, 1), (7, 1), (31, 1))
DEAR = (3, 1), (7, 1), (31, 1)  # of these, what is done last
INKED, INKED_LARGE = (1, 2, 3, 4), (8, 16, 32)  # in budgets
UNIFORM, UNIFORM_LARGE = (1, 2, 3, 4, 6, 8), (8, 16, 32, 48, 64, 96)  # in budgets
AT_BOTH = f"{PRIMARY} at key and value"
SPARSE = BUDGET // 3
AT_BOTH_SPARSELY = f"{AT_BOTH}, {SPARSE} tokens"
TWO_GLIMPSES = "two glimpses, at key and at value, {} tokens together"
TWO_LOOKS = "two looks, at key and at value, of {0} tokens each, {0} kept"
CROP_PX = (-(-BUDGET // 2)) ** 0.5 * 16  # side of the crop of a two-view crop at which a texel is a pixel
Group = Literal["page", "uniform", "inked", "oracle", "memory", "channel", "words"]


@dataclass(frozen=True)
class Way:
    """One line of the table. far: whether values elsewhere on the page are read too. dear: run on all pages after the other rows."""

    name: str
    group: Group
    see: Callable[[Desk], Showing]
    far: bool = False
    dear: bool = False


def ways(kind: str, key_face: Typeface) -> list[Way]:
    """All for a kind of page. key_face: in which the key is drawn for those that are asked by example."""
    large = kind in LARGE
    uniform = UNIFORM_LARGE if large else UNIFORM
    found = [Way("the page itself", "page", Desk.page, far=True)]
    found += [Way(f"uniform {count}", "uniform", _uniform(count), far=count in (1, 4)) for count in uniform]
    found += [
        Way(f"ink alone, {count} budgets", "inked", _inked(count), dear=True)
        for count in (INKED_LARGE if large else INKED)
    ]
    by_channels = [replace(way, dear=large) for way in _channels(key_face)]
    return [
        *found,
        *_oracles(),
        *([] if large else _memory()),
        *by_channels,
        *map(_words, WORDS_LARGE if large else WORDS),
    ]


def _uniform(budgets: int) -> Callable[[Desk], Showing]:
    return lambda desk: desk.resized(budgets * BUDGET)


def _inked(budgets: int) -> Callable[[Desk], Showing]:
    return lambda desk: by_ink(desk, budgets * BUDGET)


def by_ink(desk: Desk, budget: int) -> Showing:
    """All tokens equally fine on what is inked, as the words' coarse pass spends them, and nothing looked at after it."""
    (statistics,) = ImageStatistics.of(desk.unit, desk.pyramid).split()
    plan = ink_plan(statistics, budget, PATCH)
    if plan is None:
        raise PlanError("the page has no ink; give one that is written on")
    plan = plan.to("cpu")
    pixels = desk.unit.sample(desk.pyramid, plan, quality="high").pixels

    def show(box: Box) -> Pixels:
        left, top, right, bottom = box
        window = float(left), float(top), float(right), float(bottom)
        return shown_window(pixels, plan, window, 1.0, desk.size)[: bottom - top, : right - left]

    return Showing(show, len(plan))


def _oracles() -> Iterator[Way]:
    foveated = allocators.get(PRIMARY)
    yield Way(f"{PRIMARY} at the value", "oracle", lambda desk: desk.spent(foveated, BUDGET, [desk.at_value]), far=True)
    yield Way(
        AT_BOTH,
        "oracle",
        lambda desk: desk.spent(foveated, BUDGET, [desk.at_key, desk.at_value]),
        far=True,
    )
    for side_px, name in ((None, "two-view crop"), (2 * CROP_PX, "two-view crop, twice as wide")):
        crop = TwoViewCrop(side_px=side_px)
        yield Way(f"{name}, at the value", "oracle", _at_value(crop), far=True)
    top_k = allocators.get("grid_top_k")
    yield Way(
        "grid_top_k around the value",
        "oracle",
        lambda desk: desk.spent(top_k, BUDGET, [desk.at_value], bump(desk.at_value, desk.size)),
        far=True,
    )


def _at_value(crop: TwoViewCrop) -> Callable[[Desk], Showing]:
    return lambda desk: desk.spent(crop, BUDGET, [desk.at_value])


def _memory() -> Iterator[Way]:
    """The key is looked at, then the value, and both are read off what is remembered of the two; beside that one look at both."""
    foveated = allocators.get(PRIMARY)
    yield Way(AT_BOTH_SPARSELY, "oracle", lambda desk: desk.spent(foveated, SPARSE, [desk.at_key, desk.at_value]))
    for budget in (BUDGET, SPARSE):
        yield Way(TWO_GLIMPSES.format(budget), "memory", _in_turn((budget // 2, budget - budget // 2), budget))
        yield Way(TWO_LOOKS.format(budget), "memory", _in_turn((budget, budget), budget))


def _in_turn(budgets: tuple[int, int], kept: int) -> Callable[[Desk], Showing]:
    return lambda desk: in_turn(desk, budgets, kept)


def in_turn(desk: Desk, budgets: tuple[int, int], kept: int) -> Showing:
    """Glimpses of so many tokens at the key and at the value, of whose tokens so many are kept."""
    points, allocator = [desk.at_key, desk.at_value], allocators.get(PRIMARY)
    scenes = [Scene(desk.size, [point], None, PATCH, image=desk.image) for point in points]
    plans = [allocator.allocate(scene, budget) for scene, budget in zip(scenes, budgets, strict=True)]
    eye = Homunculus(desk.unit)
    glimpses, _ = eye.see(desk.pyramid, plans, [given([point], desk.size) for point in points], [0, 0])
    whole = together(eye, glimpses, desk.size, kept)
    return desk.seen(whole.patches.pixels, whole.plan, sum(budgets), points)


def _channels(key_face: Typeface) -> Iterator[Way]:
    """By the fixation of a channel alone: the key drawn as a crop where it compares, else what it says of itself."""
    yield Way(
        f"{PRIMARY} by example",
        "channel",
        lambda desk: by_channel(desk, "participatory", Query(example=drawn(desk.document.asked.key, key_face, desk))),
    )
    for name in ("perspectival", "saliency"):
        if name in channels:
            yield Way(f"{PRIMARY} by {name}", "channel", _alone(name))


def _words(spent: tuple[float, int]) -> Way:
    reading, glimpses = spent
    again = "" if glimpses == 1 else f", {glimpses} glimpses"
    name = f"words, {reading + glimpses:g} budgets in all{again}"
    return Way(name, "words", lambda desk: by_words(desk, round(reading * BUDGET), glimpses), dear=spent in DEAR)


def by_words(desk: Desk, reading: int, glimpses: int) -> Showing:
    """The library's own loop, with a reader: it looks for the words of the key, and then at what it read."""
    eye = Homunculus(desk.unit, None, reader=desk.reader, budget=BUDGET, reading=reading, glimpses=glimpses)
    (seen,) = VisualSearch(eye, desk.pyramid, desk.image[None], [Job(0, Query(desk.document.asked.key))]).run(2)
    assert seen.target.words is not None
    best, last = seen.target.words.best, seen.glimpses[-1]
    tokens = sum(seen.coarse_tokens.values()) + sum(len(glimpse.plan) for glimpse in seen.glimpses)
    points = [point for glimpse in seen.glimpses for point in glimpse.fixations.as_list()]
    said = "" if best is None else best.answer
    return desk.seen(last.patches.pixels, last.plan, tokens, points, said=said)


def _alone(channel: str) -> Callable[[Desk], Showing]:
    return lambda desk: by_channel(desk, channel, None)


def by_channel(desk: Desk, channel: str, query: Query | None) -> Showing:
    """The library's own loop, with one relevance channel."""
    eye = Homunculus(desk.unit, None, weights={channel: 1.0}, budget=BUDGET)
    eye.channels = {channel: channels[channel]}  # the others would be asked, too, at whatever cost
    (seen,) = VisualSearch(eye, desk.pyramid, desk.image[None], [Job(0, query)]).run(1)
    glimpse = seen.glimpses[-1]
    return desk.seen(glimpse.patches.pixels, glimpse.plan, len(glimpse.plan), glimpse.fixations.as_list())


def drawn(text: str, face: Typeface, desk: Desk) -> Tensor:
    """uint8 [h, w, 3]: a text in black on white at about the page's size of letters."""
    font = face.font(desk.document.em_px)
    left, top, right, bottom = font.getbbox(text)
    picture = Image.new("RGB", (round(right - left) + 8, round(bottom - top) + 8), "white")
    ImageDraw.Draw(picture).text((4 - left, 4 - top), text, "black", font)
    return torch.from_numpy(np.array(picture))
