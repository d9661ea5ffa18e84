"""What several looks saw, handed on together: which tokens stay, where they see from, and what encoders and answerers make of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from torch import Tensor

import homunculus as hm
from homunculus import layouts
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.viewpoint import random_features, viewpoints
from homunculus.loop.union import union

pytest.importorskip("transformers")

from tiny_language import IMAGE, tiny_llava, tiny_qwen, tokenizer
from tiny_models import tiny

from homunculus.lab.baselines import pruning
from homunculus.language import Answerer, Prompter
from homunculus.language.llava import LlavaConnector
from homunculus.language.qwen_vl import Qwen3VLConnector, Qwen25VLConnector

SIZE = (256, 320)
PICTURE = (dead_leaves(256) * 255).round().astype(np.uint8)


def squares(*rows: tuple[float, float, float]) -> SamplePlan:
    """Upright tokens of 4 x 4 texels: x, y and side."""
    places = torch.tensor(rows)
    return SamplePlan.squares(places[:, :2], places[:, 2], patch_size=4)


Token = tuple[float, ...]  # center_x, center_y, right_x, right_y, down_x, down_y, of whole patches, and the side


def tokens_of(plan: SamplePlan) -> list[Token]:
    rows = plan.footprints.double()
    sides = torch.cat([rows[:, 2:6] * plan.patch_size, plan.side_px[:, None].double()], 1)
    return [tuple(row) for row in torch.cat([rows[:, :2], sides], 1).tolist()]


def texels(token: Token, size: tuple[int, int], count: int) -> list[tuple[float, float]]:
    """The centres of count x count texels, where they are in the picture."""
    x, y, rx, ry, dx, dy, _ = token
    steps = [(k + 0.5) / count - 0.5 for k in range(count)]
    points = [(x + u * rx + v * dx, y + u * ry + v * dy) for v in steps for u in steps]
    return [(x, y) for x, y in points if 0 <= x < size[1] and 0 <= y < size[0]]


def holds(token: Token, point: tuple[float, float]) -> bool:
    x, y, rx, ry, dx, dy, _ = token
    x, y, area = point[0] - x, point[1] - y, rx * dy - ry * dx
    return all(-0.5 <= share + 1e-6 < 0.5 for share in ((x * dy - y * dx) / area, (y * rx - x * ry) / area))


def looped(plans: list[SamplePlan], size: tuple[int, int], budget: int, fixations: list[list[float]]) -> list[int]:
    """The rule of `union` as it is told, one token and one point after the other."""
    tokens = [token for plan in plans for token in tokens_of(plan)]
    points = [texels(token, size, plans[0].patch_size) for token in tokens]
    away = [math.dist(token[:2], at) for plan, at in zip(plans, fixations, strict=True) for token in tokens_of(plan)]
    if len(tokens) <= budget:
        return list(range(len(tokens)))
    cover: list[int] = []
    for one in sorted(range(len(tokens)), key=lambda one: (-tokens[one][6], -one)):
        if any(not any(holds(tokens[other], point) for other in cover) for point in points[one]):
            cover.append(one)
    rest = [one for one in range(len(tokens)) if one not in cover]
    order = cover + sorted(rest, key=lambda one: (tokens[one][6], away[one], -one))
    for count in range(len(order), 0, -1):
        shown = []
        for place, one in enumerate(order[:count]):
            finer = [
                other for turn, other in enumerate(order[:count]) if (tokens[other][6], turn) < (tokens[one][6], place)
            ]
            if any(not any(holds(tokens[other], point) for other in finer) for point in points[one]):
                shown.append(one)
        if len(shown) <= budget:
            break
    hidden = [one for one in order[:count] if one not in shown]
    return sorted(shown + hidden[: budget - len(shown)])


POINTS = [[70.0, 60.0], [250.0, 180.0], [90.0, 200.0]]


def three_looks(layout: str, budget: int, patch_size: int = 4) -> list[SamplePlan]:
    return [getattr(layouts, layout)(SIZE, fixation=point, budget=budget, patch_size=patch_size) for point in POINTS]


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["quadtree", "log_polar", "rings"])
@pytest.mark.parametrize("budget", [8, 17, 29, 36])
def test_the_union_is_that_of_the_rule_told_token_by_token(layout: str, budget: int) -> None:
    plans = three_looks(layout, 12, 2)
    kept = union(plans, SIZE, budget, fixations=[torch.tensor([point]) for point in POINTS])
    assert kept.tolist() == looped(plans, SIZE, budget, POINTS)
    assert len(kept) == budget


def test_of_what_finer_tokens_cover_nothing_stays_but_where_there_is_room() -> None:
    coarse = squares((16, 16, 32), (48, 16, 32))
    fine = squares(*((x, y, 16) for y in (8, 24) for x in (8, 24)))
    assert union([coarse, fine], (32, 64)).tolist() == [0, 1, 2, 3, 4, 5]
    assert union([coarse, fine], (32, 64), 5).tolist() == [1, 2, 3, 4, 5]  # the first is covered
    assert union([coarse, fine], (32, 64), 4).tolist() == [0, 1, 4, 5]  # three of four would not cover it: it stays
    assert union([coarse, fine], (32, 64), 2).tolist() == [0, 1]
    assert union([fine, coarse], (32, 64), 5).tolist() == [0, 1, 2, 3, 5]
    assert union([coarse, coarse], (32, 64), 2).tolist() == [2, 3]  # of equals what was seen later
    corner = squares((64, 16, 32), (16, 16, 32))  # three quarters of the first lie outside
    fine = squares(*((x, y, 8) for y in (4, 12) for x in (52, 60)))
    assert union([corner, fine], (16, 64), 5).tolist() == [1, 2, 3, 4, 5]


def test_of_equals_those_next_to_a_fixation_stay() -> None:
    row = squares(*((8 + 16 * k, 8, 16) for k in range(4)))
    whole = squares((32, 32, 64))
    near_first = union([whole, row], (64, 64), 3, fixations=[torch.zeros(0, 2), torch.tensor([[12.0, 8.0]])])
    assert near_first.tolist() == [0, 1, 2]
    near_last = union([whole, row], (64, 64), 3, fixations=[torch.zeros(0, 2), torch.tensor([[64.0, 8.0]])])
    assert near_last.tolist() == [0, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [80, 100, 150, 240])
def test_what_was_seen_stays_covered_as_finely_as_the_rule_allows(budget: int) -> None:
    plans = three_looks("quadtree", 80)
    whole = SamplePlan.concatenate(plans)
    kept = union(plans, SIZE, budget)
    assert torch.equal(kept, union(plans, SIZE, budget)), "the same every time"
    found = SamplePlan(whole.footprints[kept], 4)
    assert len(found) == budget
    assert hm.layouts.metrics.measure(found, SIZE, POINTS[-1]).coverage == 1
    resolved = [
        hm.layouts.metrics.measure(plan, SIZE, POINTS[-1]).resolution_coverage for plan in (found, whole, plans[-1])
    ]
    assert resolved[0] <= resolved[1]
    if budget >= 150:
        assert resolved[0] > resolved[2]
    if budget == 150:
        assert resolved[0] > 0.6 * resolved[1]


def test_places_are_exact_in_pictures_of_any_size() -> None:
    far = 2**22
    near = [squares((16, 16, 32), (48, 16, 32)), squares(*((x, y, 16) for y in (8, 24) for x in (8, 24)))]
    moved = [SamplePlan(plan.footprints, 4, origin=(far, far)) for plan in near]
    for budget in (4, 5):
        kept = union(moved, (far + 64, far + 64), budget).tolist()
        assert kept == union(near, (64, 64), budget).tolist()


def test_looks_that_have_no_union_are_refused() -> None:
    plan = squares((16, 16, 32))
    with pytest.raises(PlanError, match="there are no plans; give that of one look at least"):
        union([], SIZE)
    with pytest.raises(PlanError, match=r"patch sizes \[4, 16\], layers \[0\]; give looks at one picture"):
        union([plan, layouts.grid(SIZE, None, 4, 16)], SIZE)
    with pytest.raises(PlanError, match=r"layers \[0, 2\]"):
        union([plan, plan.on_layer(2)], SIZE)
    with pytest.raises(PlanError, match="is warped, whose tokens cannot be taken apart; give affine ones"):
        union([layouts.cortical(SIZE, fixation=(100, 100), budget=273)], SIZE)
    with pytest.raises(PlanError, match="budget is 0; it must be a whole number of at least 1"):
        union([plan], SIZE, 0)


def test_a_viewpoint_is_that_of_the_formula() -> None:
    plan = squares((160, 160, 320), (240, 240, 160), (8, 8, 16))
    found = viewpoints(plan, (320, 320))
    expected = [[0, 0, 0], [1, 1, -math.log(2)], [-19, -19, math.log(16 / 320)]]
    assert torch.allclose(found, torch.tensor(expected), atol=1e-6)
    turned = SamplePlan.squares(plan.centers, plan.side_px, 4, angle=torch.tensor([0.3, 1.0, 2.0]))
    assert torch.allclose(viewpoints(turned, (320, 320)), found, atol=1e-5)
    right_of = viewpoints(squares((300.0, 100.0, 50.0)), (200, 400))[0]
    assert torch.allclose(right_of, torch.tensor([0.0, 4.0, math.log(50 / 400)]), atol=1e-6)


def test_a_viewpoint_is_the_same_at_any_resolution_of_the_scene() -> None:
    plan = layouts.log_polar(SIZE, fixation=POINTS[0], budget=50)
    for times in (2, 7):
        larger = viewpoints(plan.enlarged(times), (times * SIZE[0], times * SIZE[1]))
        assert torch.allclose(larger, viewpoints(plan, SIZE), rtol=1e-5, atol=1e-5)
    moved = plan.counted_from((96, 64))
    assert torch.allclose(viewpoints(moved, SIZE), viewpoints(plan, SIZE), rtol=1e-5, atol=1e-5)
    # The eye steps back: all that it looks at is three times as large about the middle.
    middle = torch.tensor([SIZE[1], SIZE[0]]) / 2
    rows = plan.footprints.clone()
    rows[:, :2] = middle + 3 * (rows[:, :2] - middle)
    rows[:, 2:6] *= 3
    farther = viewpoints(SamplePlan(rows), SIZE) - viewpoints(plan, SIZE)
    assert torch.allclose(farther, torch.tensor([0, 0, math.log(3)]).expand(50, 3), atol=1e-5)


def test_random_features_have_the_kernel_that_they_stand_for() -> None:
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(3))
    found = random_features(points, 8192, bandwidth=2.0)
    kernel = torch.exp(-(torch.cdist(points, points) ** 2) / (2 * 2.0**2))
    assert float((found @ found.T - kernel).abs().max()) < 5 / 8192**0.5
    assert torch.allclose(found.square().sum(1), torch.ones(40), atol=1e-5)
    assert torch.equal(found, random_features(points, 8192, bandwidth=2.0))
    assert not torch.allclose(found, random_features(points, 8192, bandwidth=2.0, seed=1))
    with pytest.raises(PlanError, match=r"half of dim is 2\.5"):
        random_features(points, 5)


@pytest.fixture
def eye() -> Iterator[hm.Homunculus]:
    with hm.Homunculus(encoder=hm.FoveatedViT(tiny("vit")), backend="torch", budget=24, hidden=("layer.0",)) as eye:
        yield eye


def three(eye: hm.Homunculus, **options: Any) -> list[hm.Look]:
    return [eye.look(PICTURE, at=at, **options) for at in ((0.2, 0.2), (0.8, 0.3), (0.4, 0.9))]


def joined(looks: list[hm.Look], budget: int) -> Tensor:
    """Which tokens of looks at one picture stay."""
    fixations = [look.glimpses[0].fixations.points for look in looks]
    return union([look.plan for look in looks], looks[0].size, budget, fixations=fixations)


@pytest.mark.slow
def test_one_look_is_remembered_as_it_was(eye: hm.Homunculus) -> None:
    (seen, *_) = three(eye)
    for one_pass in (False, True):
        again = eye.remember(seen, one_pass=one_pass)
        assert torch.equal(again.plan.footprints, seen.plan.footprints)
        assert torch.equal(again.patches.pixels, seen.patches.pixels)
        assert again.tokens is not None
        assert torch.allclose(again.tokens, seen.tokens, atol=1e-5)
        own, kept = seen.glimpses[-1].encoding, again.glimpses[-1].encoding
        assert own is not None
        assert kept is not None
        assert torch.allclose(kept.last_hidden_state, own.last_hidden_state, atol=1e-5)
        assert torch.allclose(kept.hidden["layer.0"], own.hidden["layer.0"], atol=1e-5)
        assert (kept.pooled is None) == (not one_pass)


@pytest.mark.slow
def test_what_is_handed_on_is_what_each_glimpse_saw(eye: hm.Homunculus) -> None:
    looks = three(eye)
    kept = joined(looks, 30)
    seen = eye.remember(looks, 30)
    tokens, pixels = (
        torch.cat(parts) for parts in ([look.tokens for look in looks], [look.patches.pixels for look in looks])
    )
    assert torch.equal(seen.tokens, tokens[kept])
    assert torch.equal(seen.patches.pixels, pixels[kept])
    assert seen.fixations == [point for look in looks for point in look.fixations]
    assert seen.spent == {"let_go": 42, "glimpses": [30], "in_all": 72}
    assert "30 of the 72 tokens of 3 glimpses are handed on together" in seen.notes
    assert seen.as_dict()["request"]["remembered"] == {"glimpses": 3, "budget": 30, "one_pass": False}
    special = seen.glimpses[-1].encoding.last_hidden_state[0, :1]
    assert torch.equal(special, looks[-1].glimpses[-1].encoding.last_hidden_state[0, :1])


@pytest.mark.slow
def test_cells_of_a_footprint_stay_together() -> None:
    encoder = hm.FoveatedViT(tiny("vit"), merge=2)
    special = encoder.family.special
    with hm.Homunculus(encoder=encoder, backend="torch", budget=12, hidden=("layer.0",)) as eye:
        looks = three(eye)
        kept = joined(looks, 20)
        seen = eye.remember(looks, 20).glimpses[-1].encoding
        assert seen is not None
        parts = [look.glimpses[-1].encoding for look in looks]
    for name in ("last_hidden_state", "layer.0"):
        states = [
            getattr(one, name) if name == "last_hidden_state" else one.hidden[name] for one in (seen, *parts) if one
        ]
        cells = torch.cat([state[0, special:].unflatten(0, (-1, 4)) for state in states[1:]])
        assert torch.equal(states[0][0, special:].unflatten(0, (-1, 4)), cells[kept])


@pytest.mark.slow
def test_in_one_pass_the_union_is_read_as_any_plan(eye: hm.Homunculus) -> None:
    seen = eye.remember(three(eye), 30, one_pass=True)
    encoder = eye.encoder
    assert encoder is not None
    patches = eye.unit.sample(eye.unit.pyramid(PICTURE), seen.plan, quality="high", mean=encoder.mean, std=encoder.std)
    expected = encoder(patches.pixels, seen.plan, PICTURE.shape[:2])
    assert torch.allclose(seen.tokens, expected.tokens, atol=1e-4)
    assert torch.allclose(seen.glimpses[-1].encoding.pooled, expected.pooled, atol=1e-4)


@pytest.mark.slow
def test_glimpses_of_one_look_are_remembered_too() -> None:
    with hm.Homunculus(backend="torch", budget=24, merge=False) as plain:
        look = plain.look(PICTURE, fixations=3)
        assert len(look.glimpses) == 3
        seen = plain.remember(look, 40)
        assert len(seen.plan) == 40
        assert seen.tokens is None
        rebuilt = [hm.reconstruct(one.patches.pixels, one.plan, look.size).pixels for one in (seen, look)]
        truth = torch.from_numpy(PICTURE).movedim(-1, 0) / 255
        errors = [float((picture - truth).square().mean()) for picture in rebuilt]
        assert errors[0] < errors[1], "40 tokens of three glimpses show more than the 24 of the last"
        with pytest.raises(ModelError, match="one_pass is asked for and the eye has no encoder"):
            plain.remember(look, 40, one_pass=True)


@pytest.mark.slow
def test_looks_that_cannot_be_joined_are_refused(eye: hm.Homunculus) -> None:
    looks = three(eye)
    with pytest.raises(PlanError, match="give looks at one picture, as `look` gives them"):
        eye.remember([])
    with pytest.raises(PlanError, match="give looks at one picture"):
        eye.remember([*looks, eye.look(PICTURE[:128])])
    with hm.Homunculus(backend="torch", budget=24, patch_size=eye.patch_size) as plain:
        bare = plain.look(PICTURE)
    with pytest.raises(
        ModelError, match="3 of 4 glimpses have tokens, of 1 kinds; make all looks with this eye, or give one_pass"
    ):
        eye.remember([*looks, bare])
    assert len(eye.remember([*looks, bare], 50, one_pass=True).plan) == 50


CONNECTORS = {
    "llava": lambda: LlavaConnector(tiny_llava()),
    "qwen2_5_vl": lambda: Qwen25VLConnector(tiny_qwen()),
    "qwen3_vl": lambda: Qwen3VLConnector(tiny_qwen("qwen3_vl")),
}


def answered(eye: Answerer, seen: hm.Look) -> Tensor:
    """What the language model makes of it: its last states before the answer."""
    encoding = seen.glimpses[-1].encoding
    assert encoding is not None
    with torch.no_grad():
        tokens = eye.connector.image_tokens(encoding, seen.plan, seen.size)
    return eye.read(eye.prompter.ids("what is red top left?"), tokens).hidden


@pytest.mark.slow
@pytest.mark.parametrize("kind", CONNECTORS)
def test_a_language_model_is_given_tokens_of_several_glimpses_at_their_places(kind: str) -> None:
    connector = CONNECTORS[kind]()
    with Answerer(connector, Prompter(tokenizer(), IMAGE, connector.template), backend="torch", budget=24) as asked:
        looks = three(asked.eye)
        seen = asked.eye.remember(looks, 40)
        answer = asked.answer_from(seen, "what is red top left?")
        assert (answer.tokens, len(answer.plan or ())) == (40 + connector.special, 40)
        assert answer.fixations == seen.fixations
        # Each glimpse through the connector alone, its tokens then chosen and put together by hand.
        kept = joined(looks, 40)
        with torch.no_grad():
            parts = [connector.image_tokens(look.glimpses[-1].encoding, look.plan, look.size) for look in looks]
            whole = connector.image_tokens(seen.glimpses[-1].encoding, seen.plan, seen.size)
        assert torch.allclose(whole.tokens, torch.cat([part.tokens for part in parts])[kept], atol=1e-5)
        if whole.deep is not None:
            assert torch.allclose(whole.deep, torch.cat([part.deep for part in parts], 1)[:, kept], atol=1e-5)
        assert (whole.deep is None) == (kind != "qwen3_vl")
        if connector.axes > 1:
            assert torch.equal(whole.places, torch.cat([part.places for part in parts], 1)[:, kept])
            assert whole.length == parts[0].length
        else:
            assert torch.equal(whole.places, torch.arange(40)[None])
        apart, one_pass = answered(asked, seen), answered(asked, asked.eye.remember(looks, 40, one_pass=True))
        assert not torch.allclose(apart, one_pass, atol=1e-3), "in one pass tokens attend to those of other glimpses"


@pytest.mark.slow
def test_what_a_class_token_attends_to_is_known_of_one_pass_alone() -> None:
    connector = CONNECTORS["llava"]()
    prompter, chosen = Prompter(tokenizer(), IMAGE, connector.template), pruning.get("vispruner")
    with Answerer(connector, prompter, backend="torch", budget=24, pruning=chosen) as asked:
        looks = three(asked.eye)
        with pytest.raises(ModelError, match=r"reads attention\.1 of the vision tower, which was not kept"):
            asked.answer_from(asked.eye.remember(looks, 40), "what is red?")
        answer = asked.answer_from(asked.eye.remember(looks, 40, one_pass=True), "what is red?")
        assert answer.mean_tokens < 40
