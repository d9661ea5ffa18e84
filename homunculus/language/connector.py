"""What differs between vision-language models. One subclass of `Connector` in one file adds a model type."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from homunculus.bridge.errors import ImageError
from homunculus.bridge.pictures.turning import Array
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding, FoveatedViT
from homunculus.language.decoder import Decoder
from homunculus.language.masks import Ahead
from homunculus.language.pruning import Admitted, Pruning

Texts: TypeAlias = tuple[tuple[int, str], ...]


@dataclass(frozen=True, eq=False)
class ImageTokens:
    """An image as the language model takes it. tokens: [N, D]. places: int [A, N] their positions from where the image begins, for
    A = 1 or 3 axes (time, row, column). length: by how much the image moves the text behind it. deep: [L, N, D] what is added to the
    image's rows behind each of the language model's first L layers (DeepStack: Meng et al., 2024), or None. texts: what the model's own
    processor writes among the tokens, each before the token of its number, or behind the last; no tokens of the image.
    """

    tokens: Tensor
    places: Tensor
    length: int
    deep: Tensor | None = None
    texts: Texts = ()

    @property
    def parted(self) -> bool:
        """Whether text stands between two of them."""
        return any(0 < at < len(self.tokens) for at, _ in self.texts)

    def admitted(self, chosen: Admitted) -> ImageTokens:
        """What is left of it, one after the other on one axis, at their own rows and columns on three; each text behind as many of what is
        left as came before it."""
        keep, gone = chosen.keep, len(self.tokens) - len(chosen.keep)
        tokens = self.tokens[keep] if chosen.tokens is None else chosen.tokens.to(self.tokens)
        deep = None if self.deep is None else self.deep[:, keep]
        texts = tuple((int((keep < at).sum()), text) for at, text in self.texts)
        if len(self.places) > 1:
            return ImageTokens(tokens, self.places[:, keep], self.length, deep, texts)
        return ImageTokens(tokens, self.places[:, : len(keep)], self.length - gone, deep, texts)

    def positions(self, before: int, after: int) -> Tensor:
        """int [A, before + N + after] the positions of a prompt with so many text tokens before and after the image."""
        axes, device = len(self.places), self.places.device
        first = torch.arange(before, device=device, dtype=torch.int64).expand(axes, -1)
        last = torch.arange(after, device=device, dtype=torch.int64).expand(axes, -1) + before + self.length
        return torch.cat([first, self.places + before, last], 1)


class Connector(ABC):
    """One kind of vision-language model: its eye, its decoder, and how what the one saw is put to the other.

    hidden: intermediates of the encoder that `image_tokens` reads. special: tokens that it adds to the footprints' own. behind: of
    them those of the model itself, which follow the others. axes: of
    positions. template: the prompt, with `{image}` and `{question}`, for folders without a chat template of their own. around: what the
    model's own processor writes right before and behind the image's tokens. marker: what stands for the image in a chat template,
    where that is not the image's token. ahead: whose tokens see those behind them too: nobody's, the image's among themselves, or the
    whole prompt's. processing: what the model's own processor tells its image processor.
    """

    model_types: ClassVar[tuple[str, ...]]
    template: str
    language_path: ClassVar[str] = "model.language_model"
    axes: ClassVar[int] = 1
    around: ClassVar[tuple[str, str]] = ("", "")
    marker: ClassVar[str | None] = None
    ahead: ClassVar[Ahead] = "none"
    hidden: tuple[str, ...] = ()
    special = 0
    behind = 0
    processing: tuple[tuple[str, Any], ...] = ()

    def __init__(self, model: Any, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> None:
        self.model = model
        self.encoder = FoveatedViT(self.tower(model), merge=self.merge(model.config), mean=mean, std=std)
        language = attrgetter(self.language_path)(model)
        self.decoder = Decoder(language, model.lm_head, getattr(model, "logit_scale", 1.0), self.ahead)

    @classmethod
    def merge(cls, config: Any) -> int:
        """Patches along a side of a token, where what stands between tower and language model makes one of several."""
        return 1

    def check(self, pruning: Pruning) -> None:
        """Raises ModelError for a method that does not fit."""
        self.decoder.check(pruning, self.axes)

    @classmethod
    @abstractmethod
    def tower(cls, model: Any) -> Any:
        """The vision tower."""

    @abstractmethod
    def image_tokens(self, encoding: Encoding, plan: SamplePlan, size: tuple[int, int]) -> ImageTokens:
        """What the encoder made of a plan's patches, of an image of `size` (height, width), for the language model."""

    def prepared(self, processor: Any, image: Array) -> dict[str, Any]:
        """What the model's own image processor makes of a picture, uint8 [H, W, 3], where the tower is. Raises ImageError."""
        told = dict(self.processing)
        if image.shape[0] in (1, 3):  # rows that could be taken for channels
            told["input_data_format"] = "channels_last"
        try:
            with torch.device("cpu"):  # whatever the program's default is
                inputs = processor(images=image, return_tensors="pt", **told)
        except ValueError as error:
            raise ImageError(
                f"the model's own processor refuses a picture of {image.shape[1]} x {image.shape[0]} px: {error}; give a part of it"
            ) from error
        device = next(self.encoder.parameters()).device
        return {name: value.to(device) if isinstance(value, Tensor) else value for name, value in inputs.items()}

    @abstractmethod
    def whole(self, inputs: Mapping[str, Any]) -> ImageTokens:
        """The same of a whole image as the model's own processor prepares it, by the model's own forward."""
