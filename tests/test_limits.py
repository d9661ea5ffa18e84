"""What a call may cost: past a limit it is refused at once, with the value, the limit and the remedy."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch

import homunculus as hm
from homunculus import allocators, layouts
from homunculus.bridge.errors import DataError, QueryError
from homunculus.bridge.images import padded_size
from homunculus.lab.datasets.answers import anls, textvqa_accuracy, vqa_accuracy
from homunculus.lab.datasets.legibility import legibility
from homunculus.relevance.fixation import fixate

TINY, SMALL = (5, 7), (96, 130)
MAP = torch.rand(12, 16, generator=torch.Generator().manual_seed(0))


def looked(**given: object) -> object:
    with hm.Homunculus(backend="torch") as eye:
        return eye.look(np.zeros((*SMALL, 3), np.uint8), **given)


def built(max_level: int) -> object:
    with hm.open_unit("torch") as unit:
        return unit.pyramid(np.zeros((*TINY, 3), np.uint8), max_level=max_level)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "fixations": (lambda: looked(fixations=10_000), r"fixations is 10000; it must be at most 128, .* look again"),
    "points": (lambda: looked(at=[(0.5, 0.5)] * 129), r"number of points is 129; it must be at most 128"),
    "sequence": (lambda: fixate(MAP, SMALL, 129), r"fixations is 129; it must be at most 128"),
    "layout": (lambda: layouts.quadtree(SMALL, [(1, 1)] * 129), r"number of fixations is 129; it must be at most 128"),
    "levels": (lambda: built(14), r"max_level is 14; it would pad 7 x 5 px to 16384 x 16384, .* Choose a lower one"),
    "strip": (
        lambda: padded_size((5, 10_000), 14),
        r"max_level is 14; it would pad 10000 x 5 px to 16384 x 16384, more than 16 times the 10048 x 64 of level 6",
    ),
    "budget": (lambda: layouts.grid(SMALL, budget=10**15), r"budget is 10{15}; it must be at most 65536, .* tiles"),
    "float budget": (
        lambda: layouts.grid(SMALL, budget=1e15),
        r"budget is 1000000000000000.0; it must be at most 65536",
    ),  # type: ignore[arg-type]
    "patch": (lambda: layouts.grid(SMALL, patch_size=2048), r"patch_size is 2048; it must be at most 1024"),
    "size": (lambda: layouts.grid((96, 2**25)), r"width is 33554432; it must be at most 16777216"),
    "tree": (
        lambda: allocators.get("grid_top_k").allocate(hm.Scene((90_000, 70_000)), 273),
        r"number of patches of 16 px in 90000 x 70000 px is 24609375; it must be at most 4194304, .* larger patch_size",
    ),
    "lattice": (
        lambda: allocators.get("stratified").allocate(hm.Scene((8192, 8192), patch_size=1), 273),
        r"number of patches of 1 px in 8192 x 8192 px is 67108864; it must be at most 4194304",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_cost_too_much_is_refused_at_once(name: str) -> None:
    ask, text = REFUSED[name]
    start = time.perf_counter()
    with pytest.raises(hm.HomunculusError, match=text):
        ask()
    assert time.perf_counter() - start < 5  # it took minutes, or gigabytes


def test_what_lies_at_the_limit_is_given() -> None:
    assert len(layouts.grid(SMALL, budget=65_536)) == 65_536
    assert padded_size(TINY, 6) == (64, 64)
    assert padded_size((1000, 3000), 12) == (4096, 4096)
    assert padded_size((8192, 8192), 13) == (8192, 8192)
    assert len(fixate(MAP, SMALL, 128).points) == 128


def test_one_text_is_no_list_of_texts() -> None:
    assert anls("4", ["42"]) == 0.5
    ten = ["4"] * 10
    assert vqa_accuracy("4", ten) == textvqa_accuracy("4", tuple(ten)) == 1
    for judge, text in ((anls, "42"), (vqa_accuracy, "4" * 10), (textvqa_accuracy, "4" * 10)):
        with pytest.raises(
            DataError, match=rf"(truths|people) is '{text}'; give a list of texts, such as \['{text}'\]"
        ):
            judge("4", text)
        with pytest.raises(DataError, match=r"(truths|people) holds 4; give a list of texts"):
            judge("4", [4] * 10)  # type: ignore[list-item]
    with pytest.raises(DataError, match="answers is '42'; give a list of texts"):
        legibility(layouts.grid(SMALL), [(1, 1)], [(0, 0, 9, 9)], "42")
    with (
        hm.Homunculus(backend="torch", budget=8) as eye,
        pytest.raises(QueryError, match="queries are 'red'; give a list"),
    ):
        eye.looks(np.zeros((1, *SMALL, 3), np.uint8), "red")
