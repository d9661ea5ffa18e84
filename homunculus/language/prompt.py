"""Questions as a language model reads them: text around a place for the image."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError, QueryError

# As LLaVA was trained and lmms-eval asks, for DocVQA, VQAv2 and TextVQA alike.
SHORT = "\nAnswer the question using a single word or phrase."

PIECES = re.compile(r"<[^<>]*>|\[[^\[\]]*\]|[^<\[]+|.", re.DOTALL)  # special tokens, and what stands between


@dataclass(frozen=True, eq=False)
class Prompter:
    """Writes prompts for one model.

    tokenizer: the model's own. image_id: its token for an image. template: with `{image}` and `{question}`; without one, the tokenizer's
    chat template, which the question enters with the request for a word or phrase. around, marker: as of `Connector`; texts around
    the image are put in as far as the prompt lacks them.
    """

    tokenizer: Any
    image_id: int
    template: str | None = None
    around: tuple[str, str] = ("", "")
    marker: str | None = None

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
        for place in {image, self.marker} - {None}:
            if place in question:
                raise QueryError(f"the question holds {place!r}, which is the image's place; leave it out")
        written = self._written(image, question.strip())
        if self.marker is not None and image not in written:
            written = written.replace(self.marker, image)
        if written.count(image) != 1:
            raise ModelError(
                f"the prompt has {written.count(image)} places for the image, not 1: {written!r}; give template= with {{image}} and "
                "{question}"
            )
        before, after = self._surrounded(*written.split(image))
        return f"{before}{image}{after}"

    def _written(self, image: str, question: str) -> str:
        if self.template is not None:
            return self.template.replace("{image}", image).replace("{question}", question)
        said = [{"type": "image"}, {"type": "text", "text": question + SHORT}]
        return str(
            self.tokenizer.apply_chat_template(
                [{"role": "user", "content": said}], tokenize=False, add_generation_prompt=True
            )
        )

    def _surrounded(self, before: str, after: str) -> tuple[str, str]:
        """The prompt before and behind the image, with the texts around it; of these, what stands there already is not said twice."""
        first, last = (PIECES.findall(part) for part in self.around)
        tails = ("".join(first[start:]) for start in range(len(first)) if "".join(first[start:]).strip())
        heads = ("".join(last[:end]) for end in range(len(last), 0, -1) if "".join(last[:end]).strip())
        before = before.removesuffix(next((tail for tail in tails if before.endswith(tail)), ""))
        after = after.removeprefix(next((head for head in heads if after.startswith(head)), ""))
        return before + self.around[0], self.around[1] + after

    def ids(self, question: str) -> tuple[Tensor, Tensor]:
        """The prompt's tokens before and after the image's place, int64. Raises as `text` does, or for a tokenizer that cuts it up."""
        text = self.text(question)
        start = self.tokenizer.bos_token
        plain = start is not None and text.count(start) > question.count(start)
        ids = torch.tensor(
            self.tokenizer(text, add_special_tokens=not plain)["input_ids"], dtype=torch.int64, device="cpu"
        )
        places = (ids == self.image_id).nonzero()[:, 0].tolist()
        if len(places) != 1:
            raise ModelError(
                f"the tokenizer finds {len(places)} places for the image in {text!r}; its token must be one of the tokenizer's special ones"
            )
        return ids[: places[0]], ids[places[0] + 1 :]

    def said(self, text: str) -> Tensor:
        """int64 the tokens of a text within a prompt."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return torch.tensor(ids, dtype=torch.int64, device="cpu")
