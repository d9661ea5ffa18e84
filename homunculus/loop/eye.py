"""What a look is made with: unit, encoder, texts, channels; and the one way to make patches and tokens of plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from homunculus.bridge.clips.clip import Clip
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import ModelError, PlanError, QueryError
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Closing, Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.source import TileSource
from homunculus.bridge.unit import TextureUnit, check_unit
from homunculus.bridge.values import shown
from homunculus.encoder import Encoding, FoveatedViT, Texts
from homunculus.encoder.coordinates import Sizes, sizes_of
from homunculus.encoder.ocr import ReadsText
from homunculus.loop.options import Options
from homunculus.loop.record import Glimpse
from homunculus.loop.tiled import check_single, reads_of
from homunculus.loop.watched import WatchState
from homunculus.relevance import Channel, Head, ImageStatistics, Relevance, SearchTarget, registry, relevance
from homunculus.relevance.acuity import Fixations
from homunculus.relevance.query import Query
from homunculus.relevance.word_search import WordSearch

GENERIC = "object"  # what relevance to a text is relative to
MOST_COARSE_TOKENS = 256
BATCH = 16  # plans that are encoded at once
UNTIMED = Clock(lambda: None)


class Eye(Closing):
    """What a look is made with, and what it can do: read a query, measure relevance, sample, encode.

    unit: an open unit to use and leave open; by default the fastest that works here, closed with the eye. encoder: what turns
    patches into tokens; without one `look` gives patches alone. text: what turns words into what is looked for; without
    one words are read for places and colours. head: a trained procedural channel; the weights learned with it are used
    where none are given. reader: what reads text off tokens, such as `TextReader`; a query's words are then looked for among what
    has been read. options: as of `Options`.
    Nothing else between pyramid and tokens reads a value back. Raises PlanError and ModelError for what does not fit.
    """

    def __init__(
        self,
        unit: TextureUnit | None = None,
        encoder: FoveatedViT | None = None,
        *,
        text: Texts | None = None,
        head: Head | None = None,
        reader: ReadsText | None = None,
        backend: Backend | None = None,
        **options: Any,
    ) -> None:
        self.options = Options(**options)
        _check_parts(unit, encoder, text, head, reader)
        if encoder is None and self.options.enough is not None:
            raise ModelError("enough is given and there is no encoder whose coarse tokens could do; give one")
        self.patch_size = self.options.patch_size or 16
        if encoder is not None:
            _check_encoder(encoder, self.options)
            self.patch_size = encoder.patch_size
        self.channels: Mapping[str, Channel] = registry if head is None else {**registry, "procedural": head}
        self.weights = self.options.weights or (head.weights if head is not None else None) or None
        unknown = set(self.weights or {}) - set(self.channels)
        if unknown:
            raise PlanError(f"weights name {sorted(unknown)}; the channels are {', '.join(self.channels)}")
        self._owns_unit = unit is None
        self.unit = open_unit(backend) if unit is None else unit
        self._paged: tuple[TileSource, Pyramid] | None = None
        self._measured: tuple[Pyramid, list[ImageStatistics]] | None = None
        self.watched: WeakKeyDictionary[Clip, WatchState] = WeakKeyDictionary()  # where the next look at it goes on
        self.encoder, self.text, self.reader = encoder, text, reader
        self._generic: Tensor | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "watched"}  # clips stay where they are

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, watched=WeakKeyDictionary())

    @property
    def coarse_tokens(self) -> int:
        """Tokens of the coarse pass: as many as the model saw in training, but no more than 256."""
        grid = None if self.encoder is None else self.encoder.native_grid
        return MOST_COARSE_TOKENS if grid is None else min(grid[0] * grid[1], MOST_COARSE_TOKENS)

    def spend(self, budget: int) -> None:
        """From now on so many tokens a look. Raises PlanError."""
        self.options = replace(self.options, budget=budget)

    def keep(self, hidden: Sequence[str]) -> None:
        """From now on every encoding keeps the encoder's intermediates of these names."""
        self.options = replace(self.options, hidden=hidden)

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return torch.device("cpu") if self.encoder is None else next(self.encoder.parameters()).device

    def embedded(self, query: Query | None) -> tuple[Tensor | None, str]:
        """What is looked for as a vector [D] in the space of texts and patches, less the generic one; and a remark."""
        if query is None or (query.embedding is None and not query.subject):
            return None, ""
        untold = self.reading(query) if query.rest and self.words(query) is None else ""
        if self.encoder is None:
            if query.embedding is not None:
                raise QueryError("the query has an embedding and the eye no encoder to compare it with; give one")
            return None, untold
        if self.text is None:
            if query.embedding is not None:
                return query.embedding.to(self.device), ""
            return None, untold
        if query.embedding is None and not self.text.knows(query.subject):
            return None, self.reading(query)
        if self._generic is None:
            self._generic = self.text.encode([GENERIC]).embedding[0]
        if query.embedding is not None:
            return query.embedding.to(self._generic) - self._generic, ""
        found = self.text.encode([query.subject])
        return found.embedding[0] - self._generic, found.note

    def reading(self, query: Query | None) -> str:
        """What of a query's words this eye understands and what it does not; empty for one without words."""
        if query is None:
            return ""
        if self.words(query) is not None:
            return query.reading(query.subject)
        read = "" if self.encoder is None or self.text is None else self.text.read(query.subject)
        return query.reading(read)

    def words(self, query: Query | None) -> WordSearch | None:
        """The words that this eye's reader is to find; None where it has none, or the query no words but places and colours."""
        return None if self.reader is None or query is None or not query.rest else WordSearch.of(query.subject)

    def related(self, statistics: ImageStatistics, query: Query | None, target: SearchTarget) -> Relevance:
        """The relevance channels for one query on the statistics of one image, and the query's prior. Visits no host."""
        found = relevance(statistics, target, weights=self.weights, channels=self.channels)
        prior = None if query is None else query.prior(statistics.size, statistics.grid, statistics.device)
        return found if prior is None else replace(found, total=found.total * prior)

    def encoded(
        self, pixels: Tensor, plans: Sequence[SamplePlan], size: Sizes, hidden: Sequence[str] = ()
    ) -> list[Encoding]:
        """What the encoder makes of patches [J, N, 3, P, P], normalised, of J plans on pictures of one (height, width) or of J. Visits no
        host."""
        assert self.encoder is not None
        found, sizes = [], sizes_of(size)
        for first in range(0, len(plans), BATCH):
            part = slice(first, first + BATCH)
            own = sizes[part] if len(sizes) > 1 else sizes
            whole = self.encoder(pixels[part], plans[part], own, hidden=(*hidden, *self.options.hidden))
            found += [
                Encoding(
                    whole.last_hidden_state[row : row + 1],
                    None if whole.pooled is None else whole.pooled[row : row + 1],
                    whole.tokens[row],
                    {name: value[row : row + 1] for name, value in whole.hidden.items()},
                )
                for row in range(len(whole.tokens))
            ]
        return found

    def see(
        self,
        pyramid: Pyramid,
        plans: Sequence[SamplePlan],
        gazes: Sequence[Fixations],
        layers: Sequence[int],
        clock: Clock = UNTIMED,
    ) -> tuple[list[Glimpse], Tensor | None]:
        """A glimpse for each plan, of the picture on its layer: all sampled in one dispatch and encoded in one batch.

        Beside them, with an encoder, all patches as it took them, [J, N, 3, P, P].
        """
        with clock.part("sample"):
            patches, pixels = self.sampled(pyramid, plans, layers)
        encodings: Sequence[Encoding | None] = [None] * len(plans)
        if pixels is not None:
            with clock.part("encode"):
                encodings = self.encoded(pixels, plans, pyramid.size)
        sizes = [pyramid.size] * len(plans)
        return [Glimpse(*parts) for parts in zip(gazes, plans, patches, sizes, encodings, strict=True)], pixels

    def sampled(
        self, pyramid: Pyramid, plans: Sequence[SamplePlan], layers: Sequence[int]
    ) -> tuple[list[Patches], Tensor | None]:
        """What each plan shows of its layer, in 0..1, and all of it as the encoder takes it, [J, N, 3, P, P].

        The plans are of a picture alone, on layer 0; where it lies in the batch concerns nobody but the pyramid.
        """
        together = SamplePlan.concatenate([plan.on_layer(layer) for plan, layer in zip(plans, layers, strict=True)])
        if self.encoder is None:
            found = self.unit.sample(pyramid, together, quality=self.options.quality)
            return _split(found, plans), None
        mean, std = self.encoder.mean, self.encoder.std
        found = self.unit.sample(pyramid, together, quality=self.options.quality, mean=mean, std=std)
        raw = found.pixels * found.pixels.new_tensor(std)[:, None, None] + found.pixels.new_tensor(mean)[:, None, None]
        pixels = found.pixels.to(self.device).reshape(len(plans), -1, *found.pixels.shape[1:])
        return _split(Patches(raw, found.inside, found.resident), plans), pixels

    def pages(self, image: TileSource | Pyramid) -> Pyramid:
        """A pyramid as it is, that of a source of tiles: kept until another source is looked at or the eye is closed, so that a second
        look reads nothing again. Raises ImageError for a batch."""
        if isinstance(image, Pyramid):
            return check_single(image)
        if self._paged is None or self._paged[0] is not image:
            self.forget()
            self._paged = image, self.unit.pyramid(image)
        return self._paged[1]

    def reads(self, image: object) -> int:
        """How many tiles have been read of a picture in tiles so far."""
        kept = self._paged[1] if self._paged is not None and self._paged[0] is image else image
        return reads_of(kept) if isinstance(kept, Pyramid) else 0

    def statistics(self, pyramid: Pyramid) -> list[ImageStatistics]:
        """Of every picture of a pyramid; of one in tiles measured once, for it is looked at again."""
        if not isinstance(pyramid, PagedPyramid):
            return ImageStatistics.of(self.unit, pyramid).split()
        if self._measured is None or self._measured[0] is not pyramid:
            self._measured = pyramid, ImageStatistics.of(self.unit, pyramid).split()
        return self._measured[1]

    def forget(self) -> None:
        """Lets the pages go of the tiles that were looked at last."""
        paged, self._paged, self._measured = self._paged, None, None
        if paged is not None:
            paged[1].close()

    def close(self) -> None:
        self.forget()
        if self._owns_unit:
            self.unit.close()


def _split(patches: Patches, plans: Sequence[SamplePlan]) -> list[Patches]:
    counts = [len(plan) for plan in plans]
    pixels, inside = torch.split(patches.pixels, counts), torch.split(patches.inside, counts)
    shares = patches.resident
    resident = [None] * len(counts) if shares is None else torch.split(shares, counts)
    return [Patches(*parts) for parts in zip(pixels, inside, resident, strict=True)]


def _check_parts(unit: object, encoder: object, text: object, head: object, reader: object) -> None:
    if unit is not None:
        check_unit(unit)
    if encoder is not None and not isinstance(encoder, FoveatedViT):
        raise ModelError(f"encoder is {shown(encoder)}; give a FoveatedViT, or None")
    if (text is not None and not hasattr(text, "encode")) or isinstance(text, str | bytes):
        raise ModelError(f"text is {shown(text)}; give a text encoder, or None")
    if head is not None and not isinstance(head, Head):
        raise ModelError(f"head is {shown(head)}; give a Head, as Head.load reads it, or None")
    if reader is not None and (
        isinstance(reader, type | nn.Module | str) or not callable(getattr(reader, "read", None))
    ):
        raise ModelError(f"reader is {shown(reader)}; give a TextReader, or what has its `read`, or None")


def _check_encoder(encoder: FoveatedViT, options: Options) -> None:
    kind = encoder.family.name
    if options.confidence == "attention" and options.enough is not None and not encoder.family.special:
        raise ModelError(
            f"confidence 'attention' reads what a class token attends to, and a {kind} model has none; use confidence='margin'"
        )
    if options.patch_size not in (None, encoder.patch_size):
        raise ModelError(f"patch_size is {options.patch_size} and this {kind} takes {encoder.patch_size}; leave it out")
