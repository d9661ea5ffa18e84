"""Models, configurations, pictures and prunings that do not fit a vision-language model are refused, with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from answering import QUESTION, connector, picture
from tiny_answerers import save, tiny_answerer

from homunculus.bridge.errors import ImageError, ModelError
from homunculus.language import Answerer, load, refused


@pytest.mark.slow
@pytest.mark.parametrize("family", ["internvl", "mistral3", "lighton_ocr"])
def test_the_least_pictures_are_answered_or_refused_as_such(family: str, tmp_path: Path) -> None:
    with Answerer.from_pretrained(save(family, tmp_path), backend="torch", budget=1) as eye:
        for size in ((1, 1), (3, 2), (1, 40)):
            image = picture(*size)
            assert eye.answer(image, QUESTION, limit=1).tokens == 1
            if family == "mistral3" and max(size) < 17:
                with pytest.raises(
                    ImageError, match="takes no picture of one token, 16 x 16 px; show it larger, or foveated"
                ):
                    eye.answer_whole(image, QUESTION)
            else:
                whole = eye.answer_whole(image, QUESTION, limit=1).tokens
                rows, columns = (-(-length // 16) for length in size)
                assert whole == (rows * columns if family != "internvl" else whole // 9 * 9)  # 9 a tile


def test_every_type_that_takes_pictures_and_texts_answers_or_says_why_not(tmp_path: Path) -> None:
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES as KNOWN

    assert set(refused.REFUSED) <= set(KNOWN)
    assert not set(refused.REFUSED) & set(load.registry)
    assert sum(map(len, refused.REASONS.values())) == len(refused.REFUSED)
    reasons = {kind: load.why_not(kind) for kind in KNOWN}
    assert {kind for kind, why in reasons.items() if not why} == set(load.registry)
    assert load.why_not("ovis2") == refused.NO_ADAPTER
    assert load.why_not("bert") == refused.NO_EYES
    for kind, why in reasons.items():
        if why:
            (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}', "utf-8")
            with pytest.raises(
                ModelError, match=f"holds a '{kind}', which answers no questions here: {re.escape(why)}; docs"
            ):
                Answerer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("family", "changed", "text"),
    [
        ("internvl", {"downsample_ratio": 0.3}, "downsample_ratio is 0.3; expected one over a whole number"),
        ("internvl", {"vision_feature_layer": [-1, -2]}, r"vision_feature_layer is \[-1, -2\]; its own code takes one"),
        ("internvl", {"vision_feature_select_strategy": "full"}, "1 tokens of the tower are no patches, and 2 x 2 patches make a"),
        ("gemma3", {"mm_tokens_per_image": 8}, "mm_tokens_per_image is 8 and the tower has 6 x 6 patches; expected squares"),
        ("llava_onevision", {"vision_feature_select_strategy": "default"}, "'default', which leaves out a class token, and a siglip"),
        ("llava_next", {"vision_feature_layer": 7}, "vision_feature_layer is 7 and the tower has 3 layers; expected -4 to 3"),
    ],
)  # fmt: skip
def test_configurations_that_do_not_fit_are_refused(
    family: str, changed: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_answerer(family)
    for name, value in changed.items():
        monkeypatch.setattr(model.config, name, value)
    with pytest.raises(ModelError, match=text):
        connector(model)
