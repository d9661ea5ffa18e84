"""Questions as a language model reads them: text around a place for the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError, QueryError

# As LLaVA was trained and lmms-eval asks, for DocVQA, VQAv2 and TextVQA alike.
SHORT = "\nAnswer the question using a single word or phrase."


@dataclass(frozen=True, eq=False)
class Prompter:
    """Writes prompts for one model.

    tokenizer: the model's own. image_id: its token for an image. template: with `{image}` and `{question}`; without one, the tokenizer's
    chat template, which the question enters with the request for a word or phrase.
    """

    tokenizer: Any
    image_id: int
    template: str | None = None

    def __post_init__(self) -> None:
        if self.template is not None and not all(self.template.count(at) == 1 for at in ("{image}", "{question}")):
            raise QueryError(f"template {self.template!r} must have {{image}} and {{question}}, each once")

    def text(self, question: str) -> str:
        """The whole prompt. Raises QueryError for a question that is empty, or that holds the image's token."""
        image = self.tokenizer.convert_ids_to_tokens(self.image_id)
        if not isinstance(question, str) or not question.strip():
            raise QueryError(f"the question is {question!r}; ask something, such as 'What is the total?'")
        if image is None:
            raise ModelError(
                f"the tokenizer has no token {self.image_id}, the image's place by config.json; copy the folder again, whole"
            )
        if image in question:
            raise QueryError(f"the question holds {image!r}, which is the image's place; leave it out")
        question = question.strip()
        if self.template is not None:
            return self.template.replace("{image}", image).replace("{question}", question)
        said = [{"type": "image"}, {"type": "text", "text": question + SHORT}]
        written = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
        )
        return str(written)

    def ids(self, question: str) -> tuple[Tensor, Tensor]:
        """The prompt's tokens before and after the image's place, int64. Raises QueryError, or ModelError for a prompt without it."""
        text = self.text(question)
        start = self.tokenizer.bos_token
        plain = start is not None and text.startswith(start)
        ids = torch.tensor(
            self.tokenizer(text, add_special_tokens=not plain)["input_ids"], dtype=torch.int64, device="cpu"
        )
        places = (ids == self.image_id).nonzero()[:, 0].tolist()
        if len(places) != 1:
            raise ModelError(
                f"the prompt has {len(places)} places for the image, not 1: {text!r}; give template= with {{image}} and {{question}}"
            )
        return ids[: places[0]], ids[places[0] + 1 :]
