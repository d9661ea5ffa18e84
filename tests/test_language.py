"""Answers from foveated tokens: against transformers' own forward and generate on the native grid, and what must hold elsewhere."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from pictures import dead_leaves
from PIL import Image
from torch import Tensor

import homunculus as hm
from homunculus.bridge.errors import ClosedError, ImageError, ModelError, PlanError, QueryError
from homunculus.bridge.plan import SamplePlan

pytest.importorskip("transformers")

from tiny_language import IMAGE, save, tiny_llava, tiny_qwen, tokenizer
from tiny_models import tiny, write_tokenizer

from homunculus.language import Answerer, Prompter
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.glm4v import Glm4vConnector
from homunculus.language.llava import LlavaConnector
from homunculus.language.load import check_places, registry
from homunculus.language.qwen_vl import Qwen3VLConnector, Qwen25VLConnector

PICTURE = (dead_leaves(96) * 255).round().astype(np.uint8)
BEFORE, AFTER = torch.tensor([1, 4, 6]), torch.tensor([18, 19, 24, 23, 5, 6])
QWENS: dict[str, type[Connector]] = {
    "qwen2_vl": Qwen25VLConnector,
    "qwen2_5_vl": Qwen25VLConnector,
    "qwen3_vl": Qwen3VLConnector,
    "qwen3_vl_moe": Qwen3VLConnector,
    "glm4v": Glm4vConnector,
    "glm4v_moe": Glm4vConnector,
    "glm46v": Glm4vConnector,
    "glm_ocr": Glm4vConnector,
}
LLAVAS = [
    ("clip", -2, "default", "llama"),
    ("clip", -2, "default", "qwen2"),
    ("clip", -1, "default", "mistral"),
    ("clip", (-2, -1, 0), "full", "llama"),
    ("siglip", -1, "full", "llama"),
    ("siglip", 1, "full", "qwen2"),
]


@pytest.fixture
def unit() -> Iterator[hm.TextureUnit]:
    with hm.open_unit("torch") as unit:
        yield unit


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {"llava": save(tiny_llava(), root / "llava")} | {kind: save(tiny_qwen(kind), root / kind) for kind in QWENS}


def answerer(connector: Connector, **options: Any) -> Answerer:
    return Answerer(connector, Prompter(tokenizer(), IMAGE, connector.template), backend="torch", **options)


def seen_natively(connector: Connector, unit: hm.TextureUnit, image: np.ndarray[Any, Any]) -> ImageTokens:
    """What the native grid as a plan gives, through the library's own layout, sampler, encoder and adapter."""
    size = image.shape[0], image.shape[1]
    vit = connector.encoder
    plan = hm.layouts.grid(size, None, size[0] * size[1] // vit.patch_size**2, vit.patch_size)
    with unit.pyramid(image) as pyramid:
        patches = unit.sample(pyramid, plan, quality="exact", mean=vit.mean, std=vit.std)
    return connector.image_tokens(vit(patches.pixels, plan, size, hidden=connector.hidden), plan, size)


def llava_inputs(connector: Connector, image: np.ndarray[Any, Any], tokens: int) -> dict[str, Tensor]:
    ids = torch.cat([BEFORE, torch.full((tokens,), IMAGE), AFTER])[None]
    pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    mean, std = (torch.tensor(value)[:, None, None] for value in (connector.encoder.mean, connector.encoder.std))
    return {"input_ids": ids, "pixel_values": ((pixels - mean) / std)[None]}


def qwen_inputs(connector: Connector, image: np.ndarray[Any, Any]) -> dict[str, Tensor]:
    height, width = image.shape[:2]
    inputs = llava_inputs(connector, image, height * width // 64)
    cut = inputs["pixel_values"][0].reshape(3, height // 8, 2, 4, width // 8, 2, 4).permute(1, 4, 2, 5, 0, 3, 6)
    inputs["pixel_values"] = cut.reshape(-1, 3, 1, 16).expand(-1, -1, 2, -1).reshape(-1, 96)
    inputs["image_grid_thw"] = torch.tensor([[1, height // 4, width // 4]])
    inputs["mm_token_type_ids"] = (inputs["input_ids"] == IMAGE).int()
    return inputs


def picture(height: int, width: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(5).integers(0, 256, (height, width, 3), dtype=np.uint8)


def logits(connector: Connector, image_tokens: ImageTokens) -> Tensor:
    reading = answerer(connector).read((BEFORE, AFTER), image_tokens)
    with torch.no_grad():
        return connector.decoder.head(reading.hidden)


@pytest.mark.slow
@pytest.mark.parametrize("arguments", LLAVAS)
@torch.no_grad()
def test_on_the_native_grid_llava_is_llava_itself(unit: hm.TextureUnit, arguments: tuple[Any, ...]) -> None:
    connector, image = LlavaConnector(tiny_llava(*arguments)), picture(32, 32)
    image_tokens = seen_natively(connector, unit, image)
    assert len(image_tokens.tokens) == 16 + connector.special
    own = connector.model(**llava_inputs(connector, image, len(image_tokens.tokens))).logits[0]
    assert own.std() > 0.1
    torch.testing.assert_close(logits(connector, image_tokens), own, rtol=0, atol=1e-4)
    other = seen_natively(connector, unit, picture(32, 32)[::-1].copy())
    assert (logits(connector, other) - own).abs().max() > 1e-2


@pytest.mark.parametrize("size", [(40, 24), (16, 64)])
@pytest.mark.parametrize("kind", QWENS)
@torch.no_grad()
def test_on_the_native_grid_qwen_is_qwen_itself(unit: hm.TextureUnit, kind: str, size: tuple[int, int]) -> None:
    connector, image = QWENS[kind](tiny_qwen(kind)), picture(*size)
    image_tokens = seen_natively(connector, unit, image)
    inputs = qwen_inputs(connector, image)
    own = connector.model(**inputs).logits[0]
    assert own.std() > 0.1
    torch.testing.assert_close(logits(connector, image_tokens), own, rtol=0, atol=1e-4)
    places, _ = connector.model.model.get_rope_index(
        inputs["input_ids"], inputs["mm_token_type_ids"], inputs["image_grid_thw"]
    )
    assert torch.equal(image_tokens.positions(len(BEFORE), len(AFTER)), places[:, 0])
    flat = torch.arange(len(image_tokens.tokens))[None].expand(3, -1)
    wrong = replace(image_tokens, places=flat, length=len(image_tokens.tokens))
    assert (logits(connector, wrong) - own).abs().max() > 1e-2, "the test should notice wrong positions"
    assert (image_tokens.deep is not None) == (kind in ("qwen3_vl", "qwen3_vl_moe"))
    if image_tokens.deep is not None:
        assert (logits(connector, replace(image_tokens, deep=None)) - own).abs().max() > 1e-2


@pytest.mark.parametrize("kind", QWENS)
@torch.no_grad()
def test_in_half_precision_the_native_grid_is_the_model_itself(unit: hm.TextureUnit, kind: str) -> None:
    connector, image = QWENS[kind](copy.deepcopy(tiny_qwen(kind)).to(torch.bfloat16)), picture(40, 24)
    inputs = qwen_inputs(connector, image)
    own = connector.model(**(inputs | {"pixel_values": inputs["pixel_values"].to(torch.bfloat16)})).logits[0]
    seen = logits(connector, seen_natively(connector, unit, image))
    assert seen.dtype == own.dtype == torch.bfloat16
    assert (seen - own).float().norm() <= 2e-2 * own.float().norm()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "attention"),
    [("llava", "eager"), ("qwen3_vl", "eager"), *((kind, "sdpa") for kind in ("llava", *QWENS))],
)
@torch.no_grad()
def test_whole_images_are_answered_as_transformers_generates(
    kind: str, attention: str, folders: dict[str, Path]
) -> None:
    with Answerer.from_pretrained(folders[kind], backend="torch", attention=attention) as eye:
        connector, image = eye.connector, picture(32, 32)
        assert connector.model.config.get_text_config()._attn_implementation == attention
        inputs = (llava_inputs(connector, image, 16) if kind == "llava" else qwen_inputs(connector, image)) | {}
        own = connector.model.generate(**inputs, do_sample=False, max_new_tokens=8)[0, inputs["input_ids"].shape[1] :]
        reading = eye.read((BEFORE, AFTER), connector.whole(inputs))
        said = connector.decoder.greedy(reading, {2}, 8)
        assert len(said) > 2
        assert said == [int(token) for token in own if token != 2]


@torch.no_grad()
def test_the_cache_gives_what_reading_everything_again_gives() -> None:
    """Qwen's positions after the image go on by rows and columns, also for what is generated."""
    connector = Qwen25VLConnector(tiny_qwen())
    inputs = qwen_inputs(connector, picture(40, 24))
    image_tokens, eye = connector.whole(inputs), answerer(Qwen25VLConnector(tiny_qwen()))
    reading = eye.read((BEFORE, AFTER), image_tokens)
    said = [7, 30, 12]
    steps = [connector.decoder.step(reading, token) for token in said]
    again = eye.read((BEFORE, torch.cat([AFTER, torch.tensor(said)])), image_tokens)
    torch.testing.assert_close(torch.stack(steps), connector.decoder.head(again.hidden[-3:]), rtol=0, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl", "qwen3_vl"])
@pytest.mark.parametrize("allocator", ["foveated_pyramid", "log_polar"])
@pytest.mark.parametrize("budget", [1, 20, 37])
def test_the_budget_is_spent_exactly(kind: str, allocator: str, budget: int, folders: dict[str, Path]) -> None:
    options: dict[str, Any] = {"budget": budget, "allocator": allocator, "backend": "torch", "fixations": 2}
    with Answerer.from_pretrained(folders[kind], **options) as eye:
        seen = eye.answer(PICTURE, "what is the total?", limit=2)
    assert (seen.tokens, seen.mean_tokens) == (budget, budget)
    assert seen.plan is not None
    assert len(seen.plan) == budget
    assert 1 <= len(seen.fixations) <= 2
    assert isinstance(seen.text, str)


def test_a_class_token_that_is_shown_counts() -> None:
    with answerer(LlavaConnector(tiny_llava("clip", (-2, -1, 0), "full")), budget=20) as eye:
        seen = eye.answer(PICTURE, "what is the total?", limit=1)
    assert seen.plan is not None
    assert (seen.tokens, len(seen.plan)) == (20, 19)
    with pytest.raises(PlanError, match="budget is 1 and 1 of them see no place of their own; give more"):
        answerer(LlavaConnector(tiny_llava("clip", (-2, -1, 0), "full")), budget=1)


def test_the_question_places_the_fixation_and_the_notes_say_what_was_not_read() -> None:
    with answerer(LlavaConnector(tiny_llava()), budget=20) as eye:
        for words, expected in {"what is top left?": (16, 16), "what is bottom right?": (80, 80)}.items():
            seen = eye.answer(PICTURE, words, limit=1)
            assert seen.fixations[0] == pytest.approx(expected, abs=24)
            assert any("not understood" in note for note in seen.notes)


@pytest.mark.slow
def test_words_are_lent_by_the_model_that_the_tower_was_taken_from(tmp_path: Path, folders: dict[str, Path]) -> None:
    tiny("clip").save_pretrained(tmp_path)
    write_tokenizer(tmp_path, "clip")
    with Answerer.from_pretrained(folders["llava"], budget=20, backend="torch", texts=tmp_path) as eye:
        seen = eye.eye.look(PICTURE, "a dog", 1)
        assert seen.relevance is not None
        assert "participatory" not in seen.relevance.inactive
        assert "coarse" in seen.timings_ms
        told = eye.answer(PICTURE, "a dog", limit=3)
        assert not any("not understood" in note for note in told.notes)
        plain = LlavaConnector(tiny_llava())
        with hm.open_unit("torch") as unit, torch.no_grad():
            lent, own = (seen_natively(connector, unit, picture(32, 32)).tokens for connector in (eye.connector, plain))
        torch.testing.assert_close(lent, own, rtol=0, atol=1e-5)
    text = refusal(folders["qwen2_5_vl"], texts=tmp_path)
    assert f"the vision tower of {tmp_path} is another one (model_type clip_vision_model, not qwen2_5_vl" in text


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl"])
def test_half_precision_answers(kind: str, folders: dict[str, Path]) -> None:
    with Answerer.from_pretrained(folders[kind], budget=9, backend="torch", dtype=torch.bfloat16) as eye:
        assert eye.connector.decoder.head.weight.dtype == torch.bfloat16
        for call in (eye.answer, eye.answer_whole):
            assert call(PICTURE, "what is it?", limit=3).tokens in (9, 16, 64)


@pytest.mark.slow
def test_a_path_a_picture_and_its_pixels_are_one(tmp_path: Path, folders: dict[str, Path]) -> None:
    from PIL import Image

    Image.fromarray(PICTURE).save(tmp_path / "page.png")
    with Answerer.from_pretrained(folders["llava"], budget=9, backend="torch") as eye:
        for call in (eye.answer, eye.answer_whole):
            shown, stored = call(PICTURE, "what is it?", limit=4), call(tmp_path / "page.png", "what is it?", limit=4)
            assert (shown.text, shown.fixations) == (stored.text, stored.fixations)


@pytest.mark.slow
@torch.no_grad()
def test_a_whole_image_goes_through_the_models_own_processor(folders: dict[str, Path]) -> None:
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    for kind, tokens in ({"llava": 16} | dict.fromkeys(QWENS, 64)).items():
        with Answerer.from_pretrained(folders[kind], backend="torch") as eye:
            seen = eye.answer_whole(PICTURE, "what is it?", limit=6)
            assert (seen.tokens, seen.plan, seen.fixations) == (tokens, None, [])
            inputs = AutoImageProcessor.from_pretrained(folders[kind], backend="pil")(PICTURE, return_tensors="pt")
            before, after = eye.prompter.ids("what is it?")
            ids = torch.cat([before, torch.full((tokens,), IMAGE), after])[None]
            own = eye.connector.model.generate(
                input_ids=ids, mm_token_type_ids=(ids == IMAGE).int(), **inputs, do_sample=False, max_new_tokens=6
            ) if kind != "llava" else eye.connector.model.generate(input_ids=ids, **inputs, do_sample=False, max_new_tokens=6)  # fmt: skip
            assert seen.text == tokenizer().decode(own[0, ids.shape[1] :], skip_special_tokens=True).strip()
    with (
        answerer(LlavaConnector(tiny_llava())) as eye,
        pytest.raises(ModelError, match="there is no processor for whole images; give one"),
    ):
        eye.answer_whole(PICTURE, "what is it?")


def test_foveated_cells_stand_where_their_centres_are() -> None:
    connector = Qwen25VLConnector(tiny_qwen())
    boxes = torch.tensor(
        [[0.0, 0, 8, 8], [0, 0, 16, 16], [10, 2, 13, 5], [0, 0, 40, 24], [36, 20, 44, 28], [-9, -9, -1, -1]]
    )
    encoding = hm.encoder.Encoding(torch.zeros(1), None, torch.zeros(6, 32))
    image_tokens = connector.image_tokens(encoding, SamplePlan.boxes(boxes, 8), (24, 40))
    expected = [[0, 0, 0], [0, 1, 1], [0, 0, 1], [0, 1, 2], [0, 2, 4], [0, 0, 0]]
    assert image_tokens.places.T.tolist() == expected
    assert image_tokens.positions(2, 2).T.tolist() == [
        [0, 0, 0], [1, 1, 1], *[[time + 2, row + 2, column + 2] for time, row, column in expected], [7, 7, 7], [8, 8, 8],
    ]  # fmt: skip


# Prompts

CHAT = (
    "{% for m in messages %}{{ m.role }}{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SHORT = "\nAnswer the question using a single word or phrase."


def test_the_prompt_is_the_one_the_model_was_trained_with() -> None:
    text = Prompter(tokenizer(), IMAGE, LlavaConnector.template).text(" what is it? ")
    assert text == f"USER: <image>\nwhat is it?{SHORT} ASSISTANT:"
    before, after = Prompter(tokenizer(), IMAGE, LlavaConnector.template).ids("what is it?")
    own = tokenizer()(text)["input_ids"]
    assert [*before.tolist(), IMAGE, *after.tolist()] == own
    assert own[0] == 1
    text = Prompter(tokenizer(), IMAGE, Qwen25VLConnector.template).text("what?")
    assert text.endswith(
        f"<|im_start|>user\n<|vision_start|><image><|vision_end|>what?{SHORT}<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_chat_template_of_the_folder_comes_first_and_one_of_ours_before_it(tmp_path: Path) -> None:
    folder = save(tiny_llava(), tmp_path, CHAT)
    with Answerer.from_pretrained(folder, backend="torch") as eye:
        assert eye.prompter.text("what is it?") == f"user<image>what is it?{SHORT}ASSISTANT:"
    with Answerer.from_pretrained(folder, backend="torch", template="{image} {question}") as eye:
        assert eye.prompter.text("a {image}?") == "<image> a {image}?"


def test_a_beginning_that_is_in_the_text_is_not_said_twice() -> None:
    before, _ = Prompter(tokenizer(), IMAGE, "<s> USER {image} {question}").ids("what?")
    assert before.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("USER {image} {question}", "USER <start>.<image>.<end> what?"),
        ("USER <start>.{image}.<end> {question}", "USER <start>.<image>.<end> what?"),
        ("USER .{image}. {question}", "USER <start>.<image>.<end> what?"),
        ("{image}{question}", "<start>.<image>.<end>what?"),
    ],
)
def test_what_the_models_processor_writes_around_the_image_is_put_in_once(template: str, text: str) -> None:
    prompter = Prompter(tokenizer(), IMAGE, template, ("<start>.", ".<end>"))
    assert prompter.text("what?") == text
    before, after = prompter.ids("what?")
    assert [*before.tolist(), IMAGE, *after.tolist()] == tokenizer()(text)["input_ids"]


def test_a_marker_stands_for_the_image_in_a_chat_template() -> None:
    prompter = Prompter(tokenizer(CHAT.replace("<image>", "<start>")), IMAGE, None, ("<start>", "<end>"), "<start>")
    assert prompter.text("what?") == f"user<start><image><end>what?{SHORT}ASSISTANT:"
    with pytest.raises(QueryError, match="the question holds '<start>', which is the image's place"):
        prompter.text("what <start>?")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda p: p.ids(" "), QueryError, "the question is ' '; ask something"),
        (lambda p: p.ids("what <image>?"), QueryError, "the question holds '<image>', which is the image's place"),
        (lambda p: Prompter(p.tokenizer, IMAGE, "{question}"), QueryError, r"must have {image} and {question}, each once"),
        (lambda p: Prompter(p.tokenizer, 60, p.template).ids("what?"), ModelError, "the tokenizer has no token 60"),
        (lambda p: Prompter(tokenizer("hello"), IMAGE).ids("what?"), ModelError, "has 0 places for the image, not 1: 'hello'"),
    ],
)  # fmt: skip
def test_bad_prompts_are_refused(call: Callable[[Prompter], Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call(Prompter(tokenizer(), IMAGE, LlavaConnector.template))


# Models that do not fit


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(ModelError) as error:
        Answerer.from_pretrained(path, backend="torch", **options)
    return str(error.value)


def test_folders_that_answer_nothing_are_refused(tmp_path: Path, folders: dict[str, Path]) -> None:
    assert refusal(tmp_path) == (
        f"{tmp_path} has no config.json, so it holds no model; give a folder that save_pretrained wrote"
    )
    (tmp_path / "config.json").write_text('{"model_type": "clip"}', "utf-8")
    assert refusal(tmp_path) == (
        f"{tmp_path} holds a 'clip', which answers no questions here: it is none of the models of transformers that take a picture and a "
        f"text and write; docs/models.md lists the {len(registry)} types that do, such as llava, internvl and gemma3"
    )
    tiny_llava().save_pretrained(tmp_path)
    assert "has no vocabulary for its texts: it needs tokenizer.json, or tokenizer.model, or " in refusal(tmp_path)


def test_weights_that_lack_tensors_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = save(tiny_llava(), tmp_path)
    weights = load_file(folder / "model.safetensors")
    lost = [name for name in weights if "multi_modal_projector" in name]
    kept = {name: value for name, value in weights.items() if name not in lost}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    assert refusal(folder).startswith(f"{folder} lacks 4 of the tensors its config.json asks for")


def test_models_that_cannot_be_fed_are_refused() -> None:
    with pytest.raises(ModelError, match="'default', which leaves out a class token, and a siglip tower has none"):
        LlavaConnector(tiny_llava("siglip", -2, "default"))


def test_a_model_may_be_spread_over_devices(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert refusal(folders["qwen3_vl"], device_map="auto") == (
        "device_map needs accelerate, which is not installed; run: pip install accelerate, or give device= for one device"
    )
    monkeypatch.undo()
    pytest.importorskip("accelerate")
    with (
        Answerer.from_pretrained(folders["qwen3_vl"], budget=9, backend="torch") as one,
        Answerer.from_pretrained(folders["qwen3_vl"], budget=9, backend="torch", device_map={"": "cpu"}) as other,
    ):
        said, again = (eye.answer(PICTURE, "what is it?", limit=4) for eye in (one, other))
        assert (said.text, said.chances, said.fixations) == (again.text, again.chances, again.fixations)
    with pytest.raises(
        ModelError, match=r"class_embedding has no place on the devices of device_map; give devices with more room"
    ):
        check_places(LlavaConnector(copy.deepcopy(tiny_llava()).to("meta")))
    weights = [SimpleNamespace(device=torch.device("cuda", number)) for number in (0, 1, 1)]
    part = SimpleNamespace(parameters=lambda: weights[2:])
    model = SimpleNamespace(named_parameters=lambda: [("", each) for each in weights], parameters=lambda: weights)
    made: Any = SimpleNamespace(model=model, decoder=SimpleNamespace(model=part, head=part))
    with pytest.raises(
        ModelError, match="device_map spreads the vision tower over cuda:0, cuda:1; give one that keeps all but"
    ):
        check_places(made)


def test_bad_requests_are_refused_and_the_next_call_works() -> None:
    with answerer(LlavaConnector(tiny_llava()), budget=9) as eye:
        for call, error, text in (
            (lambda: eye.answer(PICTURE, ""), QueryError, "the question is ''"),
            (lambda: eye.answer(PICTURE, "what?", limit=0), PlanError, "limit is 0"),
            (lambda: eye.answer(PICTURE[None], "what?"), hm.ImageError, "several pictures are looked at by looks"),
        ):
            with pytest.raises(error, match=text):
                call()
        assert eye.answer(PICTURE, "what?", limit=1).tokens == 9
    with pytest.raises(ClosedError):
        eye.answer(PICTURE, "what?", limit=1)
    with pytest.raises(PlanError, match="budget is 0"):
        answerer(LlavaConnector(tiny_llava()), budget=0)
    with pytest.raises(PlanError, match="fixations is 0"):
        answerer(LlavaConnector(tiny_llava()), fixations=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl"])
def test_questions_asked_together_are_answered_as_alone(
    kind: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        Image.fromarray(np.roll(PICTURE, 17 * number, 1)[: 96 - 16 * (number == 2)]).save(path)
    asked = [
        (paths[0], "what is red?"),
        (PICTURE, "top left"),
        (paths[1], "what is the total?"),
        (Path(paths[0]), "bottom right"),
        (paths[2], "top left"),
        (PICTURE, "what is blue?"),
    ]
    with Answerer.from_pretrained(folders[kind], backend="torch", budget=14, fixations=2) as eye:
        alone = [eye.answer(image, question, limit=6) for image, question in asked]
        built: list[tuple[int, ...]] = []
        real = eye.eye.unit.pyramid

        def pyramid(images: Tensor, **options: Any) -> Any:
            built.append(tuple(images.shape[:3]))
            return real(images, **options)

        monkeypatch.setattr(eye.eye.unit, "pyramid", pyramid)
        together = eye.answers(*zip(*asked, strict=True), limit=6)
        with pytest.raises(PlanError, match="2 pictures and 1 questions; give as many of each"):
            eye.answers(paths[:2], ["what?"])
        with pytest.raises(QueryError, match="the question is ''"):
            eye.answers(paths[:2], ["what?", ""])
    assert sorted(built) == [(1, 80, 96), (1, 96, 96), (1, 96, 96), (1, 96, 96)]
    for one, other in zip(alone, together, strict=True):
        assert (one.text, one.fixations, one.tokens, one.mean_tokens) == (
            other.text, other.fixations, other.tokens, other.mean_tokens,
        )  # fmt: skip
        assert one.notes == other.notes
        assert one.plan is not None
        assert other.plan is not None
        assert torch.equal(one.plan.footprints, other.plan.footprints)
    assert len({one.text for one in alone}) > 1


def test_a_picture_that_the_models_own_processor_refuses_is_refused_as_one(folders: dict[str, Path]) -> None:
    with (
        Answerer.from_pretrained(folders["qwen2_5_vl"], backend="torch", budget=14) as eye,
        pytest.raises(ImageError, match=r"the model's own processor refuses a picture of 4000 x 8 px: .*ratio"),
    ):
        eye.answer_whole(np.zeros((8, 4000, 3), np.uint8), "what is red?")
