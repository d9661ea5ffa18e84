"""A vision-language model that answers a question from what an eye saw of the picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

import torch
from torch import Tensor

from homunculus.allocators.scene import Allocator
from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.open import Backend
from homunculus.bridge.pictures.entrance import Picture, picture
from homunculus.bridge.pictures.files import PictureFile
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Closing
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import FIXATIONS, TOKENS, whole
from homunculus.encoder import TextEncoder, Texts
from homunculus.encoder import load as encoder_load
from homunculus.language import load
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.evidence import admitted, evidence_of, fits, wanted, watched
from homunculus.language.prompt import Prompter
from homunculus.language.pruning import ImageEvidence, Pruning
from homunculus.language.sequence import Prefill
from homunculus.language.texts import woven
from homunculus.language.together import TOGETHER, spoken
from homunculus.loop import Homunculus
from homunculus.loop.record import Look, bytes_of
from homunculus.loop.tiled import Looked, opened


@dataclass(frozen=True, eq=False)
class Answer:
    """What the model said of a picture, and from what.

    fixations: (x, y) in pixels. plan: None where the whole image was shown. tokens: in the image's place; mean_tokens: the same, mean
    over the language model's layers, which is less where some are pruned. notes: what the caller might not expect. chances: of each
    token said, its probability by the decoder's own logits.
    """

    text: str
    fixations: list[tuple[float, float]]
    plan: SamplePlan | None
    tokens: int
    mean_tokens: float
    notes: list[str] = field(default_factory=list)
    chances: tuple[float, ...] = ()


class LookingOptions(TypedDict, total=False):
    """How an `Answerer` looks; as its own arguments."""

    budget: int
    allocator: str | Allocator
    fixations: int
    unit: TextureUnit | None
    backend: Backend | None
    pruning: Pruning | None


class Answerer(Closing):
    """Answers questions about pictures from exactly `budget` tokens, placed where the question needs them.

    connector, prompter: the model and how it is asked; `from_pretrained` makes both. allocator, fixations, backend: as of `Homunculus`.
    text: what compares the question's words with what the model's own vision tower sees. Towers come without one; then places and
    colours in the words, and what stands out by itself, choose the fixations, and the answer's notes say so.
    pruning: drops tokens before the layers, between them or while it answers; another may be set between questions. processor: makes
    the model's own, for `answer_whole`.
    Raises PlanError for a budget or fixations out of range, ModelError for a pruning that does not fit the model.
    """

    def __init__(
        self,
        connector: Connector,
        prompter: Prompter,
        *,
        budget: int = 273,
        allocator: str | Allocator = "foveated_pyramid",
        fixations: int = 1,
        unit: TextureUnit | None = None,
        backend: Backend | None = None,
        pruning: Pruning | None = None,
        text: TextEncoder | None = None,
        processor: Callable[[], Any] | None = None,
    ) -> None:
        self.budget, self.fixations = whole("budget", budget, TOKENS), whole("fixations", fixations, FIXATIONS)
        if budget <= connector.special:
            raise PlanError(f"budget is {budget} and {connector.special} of them see no place of their own; give more")
        self.connector, self.prompter, self._processor = connector, prompter, processor
        self._check(pruning, text)
        self.eye = Homunculus(
            unit,
            connector.encoder,
            budget=budget - connector.special,
            allocator=allocator,
            backend=backend,
            hidden=connector.hidden,
            text=text,
        )
        self.pruning = pruning

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        device: torch.device | str = "cpu",
        device_map: load.DeviceMap | None = None,
        template: str | None = None,
        texts: str | Path | None = None,
        dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
        local_files_only: bool = False,
        **options: Unpack[LookingOptions],
    ) -> Self:
        """From a folder or a hub name of a vision-language model with its tokenizer, of a type in `load.registry`. Options as of the class.

        device_map: as of transformers, instead of `device`: the language model's layers may lie on several, what sees on one (accelerate).
        template: the prompt, with `{image}` and `{question}`; by default the tokenizer's chat template, or the one the model was
        trained with. texts: a whole CLIP or SigLIP model, by folder or name, that the vision tower was taken from (`lend_texts`).
        Raises ModelError and PlanError.
        """
        connector = load.connector(
            path,
            dtype=dtype,
            device=device,
            device_map=device_map,
            attention=attention,
            local_files_only=local_files_only,
        )
        tokenizer = encoder_load.tokenizer(path, local_files_only=local_files_only)
        if template is None and not tokenizer.chat_template:
            template = connector.template
        return cls(
            connector,
            Prompter(
                tokenizer, int(connector.model.config.image_token_id), template, connector.around, connector.marker
            ),
            text=None if texts is None else load.lend_texts(connector, texts, local_files_only=local_files_only),
            processor=lambda: encoder_load.processor(path, local_files_only=local_files_only),
            **options,
        )

    @property
    def pruning(self) -> Pruning | None:
        return self._pruning

    @pruning.setter
    def pruning(self, pruning: Pruning | None) -> None:
        self._check(pruning, self.eye.text)
        self._pruning = pruning
        self.eye.keep((*self.connector.hidden, *wanted(pruning, self.connector)))

    def _check(self, pruning: Pruning | None, text: Texts | None) -> None:
        if pruning is not None:
            self.connector.check(pruning)
            fits(pruning, self.connector, text)

    @cached_property
    def processor(self) -> Any:
        """What the model's authors do to a whole image. Raises ModelError where there is none, or it cannot be loaded."""
        if self._processor is None:
            raise ModelError("there is no processor for whole images; give one, or load the model with from_pretrained")
        return self._processor()

    def answer(self, image: Looked, question: str, *, limit: int = 32) -> Answer:
        """Looks at a picture, as for `Homunculus.look`, where the question says; says `limit` tokens or less.

        Raises QueryError for a question that says nothing, and what `Homunculus.look` raises.
        """
        return self.answers([image], [question], limit=limit)[0]

    def answers(self, images: Sequence[Looked], questions: Sequence[str], *, limit: int = 32) -> list[Answer]:
        """The same for several, a picture and a question each, which are looked at together, and answered `TOGETHER` at a time.

        Of a picture that comes again, by its path or the object itself, the pyramid is built once for all that is asked of it.
        Raises PlanError for another number of pictures than of questions, and as `answer` does, then for all of them.
        """
        if len(images) != len(questions):
            raise PlanError(f"{len(images)} pictures and {len(questions)} questions; give as many of each")
        limit, prompts = whole("limit", limit), [self.prompter.ids(question) for question in questions]
        asked = list(zip(questions, prompts, self._looks(images, questions), strict=True))
        parts = (asked[first : first + TOGETHER] for first in range(0, len(asked), TOGETHER))
        return [answer for part in parts for answer in self._answers(part, limit)]

    def _looks(self, images: Sequence[Looked], questions: Sequence[str]) -> list[Look]:
        """In the questions' order. A picture that is asked of several times is looked at with all of them, all others together."""
        places: dict[Hashable, list[int]] = {}
        for place, image in enumerate(images):
            same: Hashable = image if isinstance(image, str | Path | PictureFile) else id(image)
            places.setdefault(same, []).append(place)
        often = [found for found in places.values() if len(found) > 1]
        once = [found[0] for found in places.values() if len(found) == 1]
        looks: dict[int, Look] = {}
        for group in [*often, *([once] if once else [])]:
            shown = group if group is once else group[:1]
            with ExitStack() as stack:
                given = [opened(images[place], stack) for place in shown]
                if any(one is not images[place] for one, place in zip(given, shown, strict=True)):
                    stack.callback(self.eye.forget)
                asked = [questions[place] for place in group]
                looks |= zip(group, self.eye.looks(given, asked, self.fixations), strict=True)
        return [looks[place] for place in range(len(images))]

    def answer_from(self, seen: Look, question: str, *, limit: int = 32) -> Answer:
        """The same from what this answerer's own eye has seen already. Raises QueryError and PlanError."""
        return self._answers([(question, self.prompter.ids(question), seen)], whole("limit", limit))[0]

    def _answers(self, asked: Sequence[tuple[str, tuple[Tensor, Tensor], Look]], limit: int) -> list[Answer]:
        """Of prompts that are read one by one, written together."""
        read = [self._read_look(*each) for each in asked]
        said = self._said([reading for _, reading in read], limit)
        return [
            Answer(text, seen.fixations, seen.plan, len(each[0].tokens), each[1].mean_tokens, seen.notes, chances)
            for (_, _, seen), each, (text, chances) in zip(asked, read, said, strict=True)
        ]

    def _read_look(self, question: str, ids: tuple[Tensor, Tensor], seen: Look) -> tuple[ImageTokens, Prefill]:
        encoding = seen.glimpses[-1].encoding
        assert encoding is not None
        with torch.no_grad():
            image_tokens = self.connector.image_tokens(encoding, seen.plan, seen.size)
        return image_tokens, self.read(ids, image_tokens, self._evidence(image_tokens, encoding.hidden, question))

    def answer_whole(self, image: Picture, question: str, *, limit: int = 32) -> Answer:
        """The same from the whole picture, as the model's own processor and forward take it, with pruning where it is asked for.

        Raises ModelError where there is no processor, or it cannot be loaded, and ImageError for a picture that it refuses.
        """
        limit, ids, processor = whole("limit", limit), self.prompter.ids(question), self.processor
        inputs = self.connector.prepared(processor, bytes_of(picture(image)))
        with torch.no_grad(), watched(self.connector.encoder, wanted(self.pruning, self.connector)) as hidden:
            image_tokens = self.connector.whole(inputs)
        reading = self.read(ids, image_tokens, self._evidence(image_tokens, hidden, question))
        ((said, chances),) = self._said([reading], limit)
        return Answer(said, [], None, len(image_tokens.tokens), reading.mean_tokens, chances=chances)

    def _evidence(self, image_tokens: ImageTokens, hidden: Mapping[str, Tensor], question: str) -> ImageEvidence | None:
        if self.pruning is None:
            return None
        return evidence_of(self.pruning, self.connector, image_tokens.tokens, hidden, self.eye.text, question)

    @torch.no_grad()
    def read(
        self, ids: tuple[Tensor, Tensor], image_tokens: ImageTokens, evidence: ImageEvidence | None = None
    ) -> Prefill:
        """The prompt, tokens before and after the image as `Prompter.ids` gives them, read with what was seen in between.

        evidence: what a pruning that chooses among the image's tokens is told of them; by default the tokens alone. Raises ModelError
        for one that needs more, and, where text stands among the image's tokens, for one that drops some between layers.
        """
        if self.pruning is not None:
            image_tokens = admitted(self.pruning, image_tokens, evidence, self.connector.behind)
        decoder, device = self.connector.decoder, self.connector.decoder.device

        def embedded(part: Tensor) -> Tensor:
            return decoder.model.embed_tokens(part.to(device))  # type: ignore[no-any-return]

        seen = len(image_tokens.tokens)
        ids, image_tokens = woven(ids, image_tokens, self.prompter.said, embedded)
        before, after = (embedded(part) for part in ids)
        prompt = torch.cat([before, image_tokens.tokens.to(before), after])
        visual = range(len(before), len(before) + len(image_tokens.tokens))
        positions = image_tokens.positions(len(before), len(after)).to(device)
        deep, ahead = image_tokens.deep, self.connector.ahead
        reading = decoder.read(prompt, positions, visual, self.pruning, deep=deep, ahead=ahead)
        reading.texts = len(visual) - seen
        return reading

    def _said(self, readings: Sequence[Prefill], limit: int) -> list[tuple[str, tuple[float, ...]]]:
        """What follows each, and the probability of each of its tokens."""
        tokenizer, configured = self.prompter.tokenizer, self.connector.model.generation_config.eos_token_id
        stop = {tokenizer.eos_token_id, *(configured if isinstance(configured, list) else [configured])} - {None}
        said = [
            list(zip(*each, strict=True)) or [(), ()] for each in spoken(self.connector.decoder, readings, stop, limit)
        ]
        texts = [str(tokenizer.decode(list(tokens), skip_special_tokens=True)).strip() for tokens, _ in said]
        return [(text, tuple(chances)) for text, (_, chances) in zip(texts, said, strict=True)]

    def close(self) -> None:
        self.eye.close()
