"""What pops out and what does not, and finding what is asked for: hits over generated pictures, printed with -s."""

from __future__ import annotations

from collections.abc import Iterator

import bars
import numpy as np
import pytest
import scenes
import torch
from bars import BARS, Bar

from homunculus.bridge.unit import TextureUnit
from homunculus.loop import SHARPNESS
from homunculus.relevance import ImageStatistics, SearchTarget, participatory, perspectival, propositional, relevance
from homunculus.relevance.fixation import fixate
from homunculus.relevance.query import Query

TRIALS, SCENES = 40, 120


def odd_bar(map: torch.Tensor) -> tuple[int, int]:
    """(row, column) of the bar's cell where the map is greatest."""
    rows, columns = map.shape
    place = int(map.argmax())
    return place // columns * BARS // rows, place % columns * BARS // columns


def rate(fields: list[bars.Field], maps: torch.Tensor) -> float:
    return float(np.mean([odd_bar(map) == field.odd for field, map in zip(fields, maps, strict=True)]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", bars.KINDS)
def test_what_is_odd_in_one_way_pops_out_and_a_conjunction_does_not(fastest_unit: TextureUnit, kind: str) -> None:
    fields = [bars.field(kind, seed) for seed in range(TRIALS)]
    with fastest_unit.pyramid(np.stack([field.image for field in fields])) as pyramid:
        statistics = ImageStatistics.of(fastest_unit, pyramid)
    told, stands_out = rate(fields, propositional(statistics)), rate(fields, perspectival(statistics))
    print(f"{kind:12s} propositional {told:.1%}  perspectival {stands_out:.1%}")
    if kind == "conjunction":
        assert max(told, stands_out) <= 0.10
    else:
        assert told >= 0.95
        assert stands_out >= 0.90


def said(statistics: ImageStatistics, target: SearchTarget) -> torch.Tensor:
    maps = participatory(statistics, target)
    assert isinstance(maps, torch.Tensor)
    return maps


def bar_example(target: Bar, seed: int) -> np.ndarray:
    """uint8 [h, w, 3]: the bar drawn anew on grey, moved and turned as in a field."""
    rng = np.random.default_rng([seed, 99])
    bar = Bar(target.length, target.width, target.angle + rng.uniform(-5, 5) * np.pi / 180, target.color)
    image = np.full((64, 64, 3), rng.uniform(0.2, 0.35))
    bars.draw_bar(image, *(32 + rng.uniform(-2, 2, 2)), bar)
    half = [
        bar.length / 2 * abs(f(bar.angle)) + bar.width / 2 * abs(g(bar.angle))
        for f, g in ((np.cos, np.sin), (np.sin, np.cos))
    ]
    x, y = (round(side) + 4 for side in half)
    return np.rint(255 * image[32 - y : 32 + y, 32 - x : 32 + x]).astype(np.uint8)


@pytest.mark.slow
def test_a_conjunction_is_found_by_an_example(fastest_unit: TextureUnit) -> None:
    hits = []
    for seed in range(TRIALS):
        field = bars.field("conjunction", seed)
        with fastest_unit.pyramid(field.image) as pyramid:
            statistics = ImageStatistics.of(fastest_unit, pyramid)
        target = SearchTarget.of(fastest_unit, statistics, bar_example(field.target, seed))
        hits.append(odd_bar(said(statistics, target)[0]) == field.odd)
    print(f"conjunction by example {np.mean(hits):.1%}")
    assert np.mean(hits) >= 0.90


def fixation(map: torch.Tensor, statistics: ImageStatistics) -> tuple[float, float]:
    """(x, y) in pixels of the middle of the cell where the map is greatest."""
    place, (height, width) = int(map.argmax()), statistics.cell_px
    columns = map.shape[1]
    return (place % columns + 0.5) * width, (place // columns + 0.5) * height


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors on few cores: threads would wait for one another."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_the_first_fixation_falls_on_what_is_asked_for(fastest_unit: TextureUnit) -> None:
    """The two coarser sources suffice, and take a fifth of the time."""
    rng = np.random.default_rng(0)
    hits: dict[tuple[str, str], list[bool]] = {}
    for seed in range(SCENES):
        scene = scenes.scene(seed)
        with fastest_unit.pyramid(scene.image) as pyramid:
            statistics = ImageStatistics.of(fastest_unit, pyramid, levels=(2, 3))
        side = scenes.SIDE_PX
        points = {"centre": (side / 2, side / 2), "random": tuple(rng.uniform(0, side, 2))}
        asked = {"example": SearchTarget.of(fastest_unit, statistics, scenes.example(scene, seed))}
        if scene.color_is_unique:
            asked["colour"] = SearchTarget.of(fastest_unit, statistics, Query(scene.target.color))
        for name, target in asked.items():
            found = relevance(statistics, target)
            points[name] = fixation(found.maps["participatory"][0], statistics)
            chosen = fixate(found.total[0], statistics.size, sharpness=SHARPNESS).points[0].tolist()
            points[f"{name}, the eye"] = (chosen[0], chosen[1])
        left, top, right, bottom = scene.box
        kind = "colour unique" if scene.color_is_unique else "colour shared"
        for name, (x, y) in points.items():
            for group in ("all", scene.clutter, kind, scene.target.kind):
                hits.setdefault((name, group), []).append(left <= x <= right and top <= y <= bottom)
    groups = list(dict.fromkeys(group for _, group in hits))
    print(f"\nfirst fixation inside the target's box, {SCENES} scenes")
    print(" " * 15 + "".join(f"{group:>14s}" for group in groups))
    for name in dict.fromkeys(name for name, _ in hits):
        row = (f"{np.mean(hits[name, group]):14.1%}" if (name, group) in hits else f"{'':14s}" for group in groups)
        print(f"{name:15s}" + "".join(row))
    assert np.mean(hits["example", "all"]) >= 0.85
    assert np.mean(hits["example", "colour shared"]) >= 0.85
    assert np.mean(hits["colour", "all"]) >= 0.85
    assert np.mean(hits["example, the eye", "all"]) >= 0.85
    assert np.mean(hits["colour, the eye", "all"]) >= 0.85
