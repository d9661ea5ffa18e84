"""A vision-language model that asks to look, or is not sure: scripted, and tiny with its own logits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves

from homunculus.bridge.errors import PlanError

pytest.importorskip("transformers")

from tiny_language import IMAGE, tiny_llava, tokenizer

from homunculus.language import Answerer, Prompter
from homunculus.language.asking import INVITATION, Attempt, Conclusion, LookAgain, asked_for
from homunculus.language.llava import LlavaConnector
from homunculus.loop.region import Region

PICTURE = (dead_leaves(128)[:96] * 255).round().astype(np.uint8)  # 128 x 96 px
BUDGET = 20
Said = list[tuple[str, float]]


class Scripted:
    """A tokenizer and a decoder that say what stands in a script, a line an answer, and keep what they were asked."""

    def __init__(self, script: list[Said]) -> None:
        self.script, self.words, self.prompts = script, list[str](), list[str]()
        self.own = tokenizer()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own, name)

    def __call__(self, text: str, **options: Any) -> Any:
        self.prompts.append(text)
        return self.own(text, **options)

    def spoken(self, reading: object, stop: object, limit: int) -> Iterator[tuple[int, float]]:
        for word, chance in self.script.pop(0)[:limit]:
            self.words.append(word)
            yield len(self.words) - 1, chance

    def decode(self, ids: list[int], **options: Any) -> str:
        return " ".join(self.words[place] for place in ids)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Answerer, Scripted]]:
    def made(*script: Said) -> tuple[Answerer, Scripted]:
        stub, connector = Scripted([*script]), LlavaConnector(tiny_llava())
        monkeypatch.setattr(connector.decoder, "spoken", stub.spoken)
        prompter = Prompter(stub, IMAGE, connector.template)
        return Answerer(connector, prompter, backend="torch", budget=BUDGET), stub

    return made


@pytest.mark.slow
def test_a_model_that_asks_sees_its_box_and_answers(scripted: Any) -> None:
    answerer, stub = scripted([("<look>90,60,", 0.3), ("120,90</look>", 0.4)], [("42", 0.9), ("kg", 0.7)])
    found = LookAgain(answerer, invite=INVITATION).answer(PICTURE, "what is the total ?")
    asked, told = found.attempts
    assert (asked.region, asked.text, asked.asks) == (Region(90, 60, 120, 90), "", True)
    assert asked.confidence == 0.3
    assert (found.text, found.best, told.confidence) == ("42 kg", told, 0.7)
    assert told.answer.fixations == [(105.0, 75.0)]
    plan = told.answer.plan
    fine = plan.side_px == plan.side_px.min()
    assert (plan.centers[fine] - torch.tensor([105.0, 75.0])).norm(dim=-1).max() < 32  # of 128 x 96 px
    assert found.tokens == 2 * BUDGET
    assert "The picture is 128 x 96 px." in stub.prompts[-1]
    assert "<look>" in stub.prompts[0]


def test_the_last_look_is_not_invited_to_ask_again(scripted: Any) -> None:
    asking = [("<look>0,0,50,40</look>", 0.9)]
    answerer, stub = scripted(asking, [("perhaps", 0.2), *asking], asking)
    found = LookAgain(answerer, looks=3, invite=INVITATION).answer(PICTURE, "what is red ?")
    assert [("<look>" in prompt) for prompt in stub.prompts if "ASSISTANT" in prompt][-3:] == [True, True, False]
    assert len(found.attempts) == 3
    assert (found.text, found.best) == ("", found.attempts[0])  # it never did anything but ask
    assert found.attempts[1].text == "perhaps"


def test_a_box_that_is_none_is_refused_in_the_next_question_with_the_real_size(scripted: Any) -> None:
    answerer, stub = scripted([("<look>100,10,300,20</look>", 0.9)], [("red", 0.8)])
    found = LookAgain(answerer, looks=3).answer(PICTURE, "what is red ?")
    assert found.attempts[0].region is None
    assert "the picture is 128 x 96 px (width x height)" in found.attempts[0].refused
    assert "does not lie inside the picture" in stub.prompts[-1]
    assert found.text == "red"


def test_doubt_goes_elsewhere_and_the_most_confident_answer_wins(scripted: Any) -> None:
    answerer, _ = scripted([("a", 0.3)], [("b", 0.5), ("c", 0.55)], [("d", 0.45)], [("never", 1.0)])
    found = LookAgain(answerer, looks=3).answer(PICTURE, "what is red ?")
    assert [attempt.confidence for attempt in found.attempts] == [0.3, 0.5, 0.45]
    assert found.text == "b c"
    places = [attempt.answer.fixations[0] for attempt in found.attempts]
    gaps = [np.hypot(a[0] - b[0], a[1] - b[1]) for n, a in enumerate(places) for b in places[:n]]
    assert len(gaps) == 3
    assert min(gaps) > 25
    assert {attempt.budget for attempt in found.attempts} == {BUDGET}
    assert answerer.eye.options.budget == BUDGET  # as before


def test_doubt_may_look_more_finely_instead(scripted: Any) -> None:
    answerer, _ = scripted([("a", 0.1)], [("b", 0.2)], [("c", 0.3)])
    found = LookAgain(answerer, looks=3, again="finer", confidence="mean").answer(PICTURE, "what is red ?")
    assert [(attempt.budget, attempt.answer.tokens) for attempt in found.attempts] == [(20, 20), (40, 40), (80, 80)]
    assert len({tuple(attempt.answer.fixations) for attempt in found.attempts}) == 1
    assert found.tokens == 140
    again = answerer.eye.look(PICTURE, "red")
    assert len(again.plan) == BUDGET


def test_what_is_sure_is_said_at_once(scripted: Any) -> None:
    for measure, chances, looks in (("least", (0.99, 0.7), 1), ("least", (0.99, 0.5), 2), ("mean", (0.99, 0.5), 1)):
        answerer, _ = scripted([("so", chances[0]), ("it", chances[1])], [("again", 0.1)])
        found = LookAgain(answerer, looks=2, confidence=measure).answer(PICTURE, "what ?")
        assert len(found.attempts) == looks
        assert found.text == "so it"


def test_nothing_said_is_no_confidence(scripted: Any) -> None:
    answerer, _ = scripted([], [("late", 0.2)])
    found = LookAgain(answerer, looks=2).answer(PICTURE, "what ?")
    assert [attempt.confidence for attempt in found.attempts] == [0.0, 0.2]
    assert found.text == "late"


def test_chances_are_those_of_transformers_own_generation() -> None:
    model = tiny_llava()
    connector = LlavaConnector(model)
    with Answerer(
        connector, Prompter(tokenizer(), IMAGE, connector.template), backend="torch", budget=BUDGET
    ) as answerer:
        seen = answerer.eye.look(PICTURE, "red", 1)
        answer = answerer.answer_from(seen, "what is red ?", limit=6)
        encoding = seen.glimpses[-1].encoding
        assert encoding is not None
        with torch.no_grad():
            tokens = connector.image_tokens(encoding, seen.plan, seen.size).tokens
            before, after = (model.get_input_embeddings()(part) for part in answerer.prompter.ids("what is red ?"))
            made = model.generate(
                inputs_embeds=torch.cat([before, tokens, after])[None], max_new_tokens=6, do_sample=False,
                output_scores=True, return_dict_in_generate=True,
            )  # fmt: skip
    chances = [float(scores[0].softmax(-1).max()) for scores in made.scores]
    assert answer.chances == pytest.approx(chances[: len(answer.chances)], abs=1e-5)
    assert len(answer.chances) >= len(chances) - 1


@pytest.mark.slow
def test_a_tiny_model_looks_its_three_times_and_keeps_them() -> None:
    connector = LlavaConnector(tiny_llava())
    with Answerer(
        connector, Prompter(tokenizer(), IMAGE, connector.template), backend="torch", budget=BUDGET
    ) as answerer:
        found = LookAgain(answerer, enough=1.0).answer(PICTURE, "what is red ?", limit=4)
        alone = answerer.answer(PICTURE, "what is red ?", limit=4)
    assert len(found.attempts) == 3
    assert found.attempts[0].answer.text == alone.text
    assert found.attempts[0].answer.chances == alone.chances
    assert found.best.confidence == max(attempt.confidence for attempt in found.attempts)
    assert all(attempt.confidence == min(attempt.answer.chances) for attempt in found.attempts)


@pytest.mark.parametrize(
    ("text", "region", "told"),
    [
        ("the total is 5", None, ""),
        ("<look>1,2,30,40</look>", (1, 2, 30, 40), ""),
        ("let me see <look> [1.5, 2, 30, 40.2] </look> there", (1, 2, 30, 41), ""),
        ("<look>1,2,30,40", (1, 2, 30, 40), ""),
        (
            "<look>here</look>",
            None,
            "the region is 'here', which is not four finite numbers; the picture is 128 x 96 px",
        ),
        ("<look></look>", None, "which is not four finite numbers; the picture is 128 x 96 px"),
        ("<look>1,2,nan,4</look>", None, "not four finite numbers"),
        ("<look>9,9,1,1</look>", None, "has its corners the wrong way round; the picture is 128 x 96 px"),
    ],
)
def test_a_text_that_asks(text: str, region: tuple[int, ...] | None, told: str) -> None:
    found, refused = asked_for(text, (96, 128))
    assert found == region
    assert told in refused
    assert bool(refused) == bool(told)


def test_a_long_box_is_looked_at_along_its_length() -> None:
    assert Region(10, 20, 50, 30).points() == [(15, 25), (25, 25), (35, 25), (45, 25)]
    assert Region(10, 20, 20, 50).points() == [(15, 25), (15, 35), (15, 45)]
    assert Region(0, 0, 30, 28).points() == [(15, 14)]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"looks": 0}, "looks is 0"),
        ({"looks": 33}, "looks are 33; give 32 at most"),
        ({"enough": 1.5}, "enough is 1.5"),
        ({"enough": float("nan")}, "enough is nan"),
        ({"confidence": "most"}, "choose one of least, mean"),
        ({"again": "there"}, "choose one of elsewhere, finer"),
        ({"invite": None}, "it must be a text"),
    ],
)
def test_what_the_loop_cannot_mean_is_refused(scripted: Any, options: dict[str, Any], told: str) -> None:
    answerer, _ = scripted()
    with pytest.raises(PlanError, match=told):
        LookAgain(answerer, **options)
    assert Conclusion([Attempt(None, "a", 0.2, 1), Attempt(None, "b", 0.4, 1, refused="no")]).text == "a"  # type: ignore[arg-type]
