"""Every public parameter refuses what it cannot mean with an error of the library's own, and says what it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import homunculus as hm
from homunculus import allocators, layouts
from homunculus.allocators import (
    AdaptiveStratified,
    CoverageTopK,
    FoveatedPyramid,
    Frequency,
    LogPolar,
    PseudoLogPolar,
    PyramidTopK,
    Stratified,
    TokenDag,
    hysteresis,
)
from homunculus.allocators.budget import TokenBank, split
from homunculus.relevance.fixation import fixate
from homunculus.relevance.query import Query

SIZE = (64, 96)
IMAGE = np.full((*SIZE, 3), 200, np.uint8)
MAP = torch.rand(8, 12, generator=torch.Generator().manual_seed(0))
WRONG: dict[str, Any] = {
    "None": None,
    "text": "ab",
    "number as text": "16",
    "half": 1.5,
    "True": True,
    "empty": [],
    "list": [1, 2, 3],
    "nan": math.nan,
    "infinite": math.inf,
    "negative": -1,
    "zero": 0,
    "huge": 10**18,
    "beyond floats": 10**400,
    "object": object(),
    "dictionary": {"a": 1},
    "complex": 1j,
}


def plan() -> hm.SamplePlan:
    return layouts.quadtree(SIZE, budget=8)


def scene(**given: Any) -> hm.Scene:
    return hm.Scene(**{"size": SIZE, "relevance": MAP, "image": torch.from_numpy(IMAGE), **given})


def sampled(backend: str, **given: Any) -> object:
    with hm.open_unit(backend) as unit, unit.pyramid(IMAGE) as pyramid:
        return unit.sample(**{"pyramid": pyramid, "plan": plan(), **given})


def pyramid(backend: str, **given: Any) -> object:
    with hm.open_unit(backend) as unit, unit.pyramid(IMAGE, **given) as built:
        return built


def read(backend: str, method: str, *given: Any) -> object:
    with hm.open_unit(backend) as unit, unit.pyramid(IMAGE) as built:
        return unit.statistics(built, *given) if method == "statistics" else getattr(built, method)(*given)


def eye(**given: Any) -> object:
    with hm.Homunculus(**{"backend": "torch", "budget": 8, **given}) as opened:
        return opened.options.budget


def looked(**given: Any) -> object:
    with hm.Homunculus(backend="torch", budget=8) as opened:
        return opened.look(IMAGE, **given)


def of_layout(name: str, parameter: str) -> Callable[[Any], object]:
    return lambda value: layouts.get(name)(**{"size": SIZE, "budget": 8, parameter: value})


def of_allocator(name: str) -> Callable[[Any], object]:
    return lambda value: allocators.get(name).allocate(scene(), value)


def once(**given: Any) -> object:
    return hm.look(IMAGE, **{"backend": "torch", "budget": 8, **given})


# What is asked, and which of the wrong values it may take.
Case = tuple[Callable[[Any], object], set[str]]


def of_unit(backend: str) -> dict[str, Case]:
    return {
        "pyramid max_level": (lambda value: pyramid(backend, max_level=value), {"zero"}),
        "pyramid format": (lambda value: pyramid(backend, format=value), {"None"}),
        "pyramid builder": (lambda value: pyramid(backend, builder=value), {"None"}),
        "pyramid level": (lambda value: read(backend, "level", value), {"zero"}),
        "pyramid at": (lambda value: read(backend, "at", value, 0.5), {"zero"}),
        "statistics level": (lambda value: read(backend, "statistics", value), {"zero"}),
        "sample pyramid": (lambda value: sampled(backend, pyramid=value), set()),
        "sample plan": (lambda value: sampled(backend, plan=value), set()),
        "sample quality": (lambda value: sampled(backend, quality=value), set()),
        "sample dtype": (lambda value: sampled(backend, dtype=value), set()),
        "sample mean": (lambda value: sampled(backend, mean=value), {"list"}),
        "sample std": (lambda value: sampled(backend, std=value), {"list"}),
    }


CASES: dict[str, Case] = {
    **{f"{name} budget": (of_layout(name, "budget"), set()) for name in layouts.registry},
    **{f"{name} size": (of_layout(name, "size"), set()) for name in ("grid", "quadtree", "log_polar")},
    **{f"{name} fixation": (of_layout(name, "fixation"), {"None"}) for name in layouts.registry},
    "layout patch_size": (of_layout("quadtree", "patch_size"), set()),
    "layout law": (of_layout("quadtree", "law"), set()),
    "layout a_px": (of_layout("quadtree", "a_px"), {"None", "half"}),
    "layout magnify": (of_layout("quadtree", "magnify"), {"True"}),
    "layout layer": (of_layout("quadtree", "layer"), {"zero"}),
    "layout overlap": (of_layout("log_polar", "overlap"), {"half"}),
    "layout across": (of_layout("clipmap", "across"), set()),
    "layout name": (layouts.get, set()),
    "allocator name": (allocators.get, set()),
    **{f"{name} allocates": (of_allocator(name), set()) for name in allocators.registry if name != "hybrid_atlas"},
    "foveated_pyramid prior": (lambda value: FoveatedPyramid(prior=value), {"zero"}),
    "foveated_pyramid floor": (lambda value: FoveatedPyramid(floor=value), {"zero"}),
    "foveated_pyramid a_px": (lambda value: FoveatedPyramid(a_px=value), {"None", "half"}),
    "pyramid weights": (lambda value: PyramidTopK(weights=value), set()),
    "pyramid split": (lambda value: PyramidTopK(split=value), {"None"}),
    "token_dag cut": (lambda value: TokenDag(value), set()),
    "stratified strata": (lambda value: Stratified(value), {"None"}),
    "stratified overview": (lambda value: Stratified(overview=value), {"True"}),
    "adaptive_stratified head": (lambda value: AdaptiveStratified(value), {"None"}),
    "coverage_top_k grow": (lambda value: CoverageTopK(value), {"True"}),
    "pseudo_log_polar bins": (lambda value: PseudoLogPolar(value), set()),
    "frequency gamma": (lambda value: Frequency(gamma=value), {"half", "zero", "huge"}),
    "frequency floor": (lambda value: Frequency(floor=value), {"zero"}),
    "log_polar foveal_share": (lambda value: LogPolar(value).allocate(scene(), 8), {"None"}),
    "log_polar magnify": (lambda value: LogPolar(magnify=value).allocate(scene(), 8), {"True"}),
    "log_polar overlap": (lambda value: LogPolar(overlap=value).allocate(scene(), 8), {"half"}),
    "hysteresis threshold": (lambda value: hysteresis(plan(), plan(), scene(), value), {"half", "zero", "huge"}),
    "split total": (lambda value: split(value, [1, 2]), {"zero", "huge", "beyond floats"}),
    "split weights": (lambda value: split(8, value), {"list"}),
    "split floor": (lambda value: split(8, [1, 2], value), {"zero"}),
    "split ceiling": (lambda value: split(6, [1, 2, 3], 0, value), {"None", "list", "huge", "beyond floats"}),
    "bank budget": (lambda value: TokenBank(value).divide([scene()]), {"huge", "beyond floats"}),
    "bank floor": (lambda value: TokenBank(8, value).divide([scene()]), {"zero"}),
    "scene size": (lambda value: scene(size=value), set()),
    "scene fixations": (lambda value: scene(fixations=value), {"empty"}),
    "scene relevance": (lambda value: scene(relevance=value), {"None"}),
    "scene patch_size": (lambda value: scene(patch_size=value), set()),
    "scene image": (lambda value: scene(image=value), {"None"}),
    "scene regions": (lambda value: scene(regions=value), {"None"}),
    "scene query": (lambda value: scene(query=value), {"text", "number as text"}),
    "scene layer": (lambda value: scene(layer=value), {"zero"}),
    "plan footprints": (hm.SamplePlan, set()),
    "plan patch_size": (lambda value: hm.SamplePlan(plan().footprints, value), set()),
    "plan texels": (lambda value: hm.SamplePlan(plan().footprints, 16, value), {"None"}),
    "plan note": (
        lambda value: hm.SamplePlan(plan().footprints, 16, note=value),
        {"text", "number as text"},
    ),
    "squares patch_size": (lambda value: hm.SamplePlan.squares(torch.ones(2, 2), torch.ones(2), value), set()),
    "boxes": (hm.SamplePlan.boxes, set()),
    "plans to concatenate": (hm.SamplePlan.concatenate, set()),
    "eccentricity": (lambda value: plan().eccentricity_px(value), set()),
    "backend": (hm.open_unit, {"None"}),
    **of_unit("torch"),
    "eye unit": (lambda value: eye(unit=value), {"None"}),
    "eye encoder": (lambda value: eye(encoder=value), {"None"}),
    "eye text": (lambda value: eye(text=value), {"None"}),
    "eye head": (lambda value: eye(head=value), {"None"}),
    "eye budget": (lambda value: eye(budget=value), set()),
    "eye allocator": (lambda value: eye(allocator=value), set()),
    "eye policy": (lambda value: eye(policy=value), set()),
    "eye quality": (lambda value: eye(quality=value), set()),
    "eye weights": (lambda value: eye(weights=value), {"None"}),
    "eye merge": (lambda value: eye(merge=value), {"True"}),
    "eye enough": (lambda value: eye(enough=value), {"None"}),
    "eye confidence": (lambda value: eye(confidence=value), set()),
    "eye patch_size": (lambda value: eye(patch_size=value), {"None"}),
    "eye backend": (lambda value: eye(backend=value), {"None"}),
    "fixations": (lambda value: looked(fixations=value), set()),
    "at": (lambda value: looked(at=value), {"None"}),
    "look query": (lambda value: looked(query=value), {"None", "text", "number as text"}),
    "once budget": (lambda value: once(budget=value), set()),
    "once patch_size": (lambda value: once(patch_size=value), set()),
    "once at": (lambda value: once(at=value), {"None"}),
    "once layout": (lambda value: once(layout=value), {"None"}),
    "once allocator": (lambda value: once(allocator=value), {"None"}),
    "once query": (
        lambda value: once(query=value, allocator="grid_top_k"),
        {"text", "number as text"},
    ),
    "once quality": (lambda value: once(quality=value), set()),
    "once backend": (lambda value: once(backend=value), {"None"}),
    "once unit": (lambda value: once(unit=value), {"None"}),
    "query text": (Query, {"text", "number as text"}),
    "query example": (lambda value: Query("red", example=value), {"None"}),
    "query point": (lambda value: Query("red", point=value), {"None"}),
    "query embedding": (lambda value: Query("red", embedding=value), {"None"}),
    "fixate relevance": (lambda value: fixate(value, SIZE), set()),
    "fixate size": (lambda value: fixate(MAP, value), set()),
    "fixate count": (lambda value: fixate(MAP, SIZE, value), set()),
    "fixate policy": (lambda value: fixate(MAP, SIZE, policy=value), set()),
    "fixate a_px": (lambda value: fixate(MAP, SIZE, a_px=value), {"None", "half", "huge"}),
    "fixate sharpness": (lambda value: fixate(MAP, SIZE, sharpness=value), {"half", "huge"}),
    "fixate seed": (lambda value: fixate(MAP, SIZE, seed=value), {"zero", "huge"}),
    "read_image": (hm.read_image, set()),
    "read_video": (lambda value: next(hm.read_video(value)), set()),
    "read_video planes": (lambda value: next(hm.read_video("none.mp4", planes=value)), set()),
    "read_video start_s": (lambda value: next(hm.read_video("none.mp4", start_s=value)), set()),
    "read_video every": (lambda value: next(hm.read_video("none.mp4", every=value)), set()),
    "read_video frames": (lambda value: next(hm.read_video("none.mp4", frames=value)), set()),
    "read_relevance": (hm.read_relevance, set()),
    "measure size": (lambda value: hm.layouts.metrics.measure(plan(), value), set()),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_what_a_parameter_cannot_mean_is_refused_by_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(name, *CASES[name])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.gl
def test_opengl_refuses_the_same(gl_works: str) -> None:
    for name, case in of_unit("gl").items():
        refused(name, *case)


def refused(name: str, ask: Callable[[Any], object], allowed: set[str]) -> None:
    for kind, value in WRONG.items():
        if kind in allowed:
            ask(value)
            continue
        try:
            ask(value)
        except hm.HomunculusError:
            continue
        except BaseException as error:
            pytest.fail(f"{name} of {kind}: raw {error!r}")
        pytest.fail(f"{name} of {kind}: taken")


def test_whatever_holds_a_whole_number_is_one() -> None:
    for value in (8, 8.0, np.int64(8), np.float32(8), torch.tensor(8), np.array(8)):
        made = layouts.quadtree(SIZE, budget=value, patch_size=value)  # type: ignore[arg-type]
        assert len(made) == 8
        assert made.patch_size == 8
