"""The loop: query, relevance, fixation, plan, sample, encode, and on to the next fixation."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from bridge.checks import check_quality
from bridge.errors import ImageError, PlanError
from bridge.law import Quality
from bridge.open import Backend, open_unit
from bridge.plan import SamplePlan
from bridge.unit import Closing, Images, Patches, Pyramid, TextureUnit
from homunculus import allocators, layouts
from homunculus.encoder import Encoding, FoveatedViT, TextEncoder, dense_features, similarity
from homunculus.errors import ModelError, QueryError
from homunculus.fixation import Fixations, Policy, attention_entropy, check_policy, fixate, given, margin
from homunculus.image import read_image
from homunculus.layouts.frame import whole
from homunculus.look import Clock, Glimpse, Look, Points, pairs, used
from homunculus.query import Query
from homunculus.relevance import Channel, Evidence, Head, Relevance, Sought, registry, relevance
from homunculus.scene import Allocator, Scene

Confidence = Literal["margin", "attention"]
AnyQuery = Query | str | Tensor | np.ndarray[Any, Any] | tuple[float, float] | None
GENERIC = "object"  # what relevance to a text is relative to
MOST_COARSE_TOKENS = 256
BATCH = 16  # plans that are encoded at once


@dataclass(frozen=True, eq=False)
class Job:
    """One query on one image of the batch."""

    layer: int
    query: Query | None


class Homunculus(Closing):
    """An eye for a vision model: it looks where the query says, and gives the model what it saw.

    unit: an open unit to use and leave open; by default the fastest that works here, closed with the eye. encoder: what turns
    patches into tokens; without one `look` gives patches alone. text: what turns words into what is looked for; without
    one words are read for places and colours. head: a trained procedural channel; the weights learned with it are used
    where none are given. budget: tokens a look. allocator: a name of the registry, or one of your own. policy: how fixations
    are chosen (`homunculus.fixation`). weights: of the relevance channels, by name. merge: whether several fixations share
    one plan, sampled once, by the distance to the nearest; otherwise each has a plan of the whole budget, one after the
    other, and what was read at one guides the next. enough: where the coarse tokens alone are at least this confident
    (0..1), they are the answer and nothing more is sampled; None looks always. confidence: `margin` of the best place over
    the second best, or `attention`, 1 less the entropy of the coarse attention over its greatest; to compare it with
    `enough` costs a visit to the host, as does going on from one fixation to the next where they do not share a plan.
    patch_size: texels along a side of a patch, 16 by default; with an encoder it is the encoder's.
    Nothing else between pyramid and tokens reads a value back. Raises PlanError and ModelError for what does not fit.
    """

    def __init__(
        self,
        unit: TextureUnit | None = None,
        encoder: FoveatedViT | None = None,
        *,
        text: TextEncoder | None = None,
        head: Head | None = None,
        budget: int = 273,
        allocator: str | Allocator = "foveated_pyramid",
        policy: Policy = "greedy",
        quality: Quality = "high",
        weights: Mapping[str, float] | None = None,
        merge: bool = True,
        enough: float | None = None,
        confidence: Confidence = "margin",
        patch_size: int | None = None,
        backend: Backend | None = None,
    ) -> None:
        check_quality(quality)
        check_policy(policy)
        self.allocator = allocators.get(allocator) if isinstance(allocator, str) else allocator
        if enough is not None and encoder is None:
            raise ModelError("enough is given and there is no encoder whose coarse tokens could do; give one")
        if confidence == "attention" and enough is not None and encoder is not None and not encoder.family.special:
            raise ModelError(
                f"confidence 'attention' reads what a class token attends to, and a {encoder.family.model_types[0]} model "
                "has none; use confidence='margin'"
            )
        if encoder is not None and patch_size not in (None, encoder.patch_size):
            raise ModelError(
                f"patch_size is {patch_size} and this {encoder.family.model_types[0]} takes {encoder.patch_size}; leave it out"
            )
        self.patch_size = (
            encoder.patch_size if encoder is not None else whole("patch_size", 16 if patch_size is None else patch_size)
        )
        self._owns_unit = unit is None
        self.unit = open_unit(backend) if unit is None else unit
        self.encoder, self.text = encoder, text
        self.channels: dict[str, Channel] = registry if head is None else {**registry, "procedural": head}
        weights = weights or (head.weights if head is not None else None) or None
        unknown = set(weights or {}) - set(self.channels)
        if unknown:
            raise PlanError(f"weights name {sorted(unknown)}; the channels are {', '.join(self.channels)}")
        self.budget, self.policy, self.quality, self.weights = budget, policy, quality, weights
        self.merge, self.enough, self.confidence = merge, enough, confidence
        self._generic: Tensor | None = None

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        backend: Backend | None = None,
        device: torch.device | str = "cpu",
        area_attention: bool = False,
        **options: Any,
    ) -> Self:
        """An eye with the encoder, and the text tower if there is one, of a folder or a hub name; options as for the class.

        Raises ModelError for what holds no model, BackendUnavailableError where no unit opens.
        """
        encoder = FoveatedViT.from_pretrained(name, area_attention=area_attention).to(device)
        reads = hasattr(encoder.model, "get_text_features")
        text = TextEncoder.from_pretrained(name, model=encoder.model) if reads else None
        return cls(None, encoder, text=text, backend=backend, **options)

    def look(
        self,
        image: str | os.PathLike[str] | Images,
        query: AnyQuery = None,
        fixations: int = 3,
        *,
        at: Points | None = None,
    ) -> Look:
        """Looks at one picture: a path, or an image [H, W, 3], numpy or torch, uint8 or floats in 0..1.

        query: words, an example crop uint8 [h, w, 3], a point (x, y) in fractions, or a `Query` that combines them; None
        for what stands out by itself. fixations: at most so many. at: fixations that the caller names instead, (x, y) as
        fractions. Raises ImageError, PlanError, QueryError or ModelError.
        """
        pixels = read_image(image) if isinstance(image, str | os.PathLike) else image
        if pixels.ndim != 3:
            raise ImageError(
                f"the image has shape {tuple(pixels.shape)}; look takes one [H, W, 3], looks takes several"
            )
        path = os.fspath(image) if isinstance(image, str | os.PathLike) else None
        return self.looks(pixels[None], [query], fixations, at=at, path=path)[0]

    @torch.no_grad()
    def looks(
        self,
        images: Images,
        queries: Sequence[AnyQuery] = (None,),
        fixations: int = 3,
        *,
        at: Points | None = None,
        path: str | None = None,
    ) -> list[Look]:
        """Looks at images [B, H, W, 3] with as many queries, or one image with several, or several with one.

        The pyramid is built once, all plans are sampled in one dispatch, and the encoder sees one batch.
        """
        wanted = [None if query is None else Query.of(query) for query in queries]
        count = max(len(images), len(wanted))
        if not wanted or len(images) not in (1, count) or len(wanted) not in (1, count):
            raise PlanError(
                f"{len(images)} images and {len(wanted)} queries; give as many of each, or one of either for all of the other"
            )
        layers = range(count) if len(images) == count else [0] * count
        jobs = [Job(layer, wanted[index % len(wanted)]) for index, layer in enumerate(layers)]
        points = None if at is None else pairs(at)
        before, clock = vars(self.unit.stats).copy(), Clock()
        with self.unit.pyramid(images) as pyramid:
            clock.lap("pyramid")
            found = Pass(self, pyramid, images, jobs, clock).run(fixations, points)
            record = used(self.unit, pyramid, before)
        request = {
            "image": path,
            "at": points,
            "fixations": fixations,
            "budget": self.budget,
            "layout": None,
            "allocator": self.allocator.name,
            "policy": self.policy,
            "merge": self.merge,
            "enough": self.enough,
            "patch_size": self.patch_size,
            "quality": self.quality,
        }
        return [
            Look(
                images[job.layer],
                seen.glimpses,
                request,
                record,
                clock.laps_ms,
                job.query,
                seen.relevance,
                seen.remarks,
            )
            for job, seen in zip(jobs, found, strict=True)
        ]

    @property
    def coarse_tokens(self) -> int:
        """Tokens of the coarse pass: as many as the model saw in training, but no more than 256."""
        grid = None if self.encoder is None else self.encoder.native_grid
        return MOST_COARSE_TOKENS if grid is None else min(grid[0] * grid[1], MOST_COARSE_TOKENS)

    @property
    def device(self) -> torch.device:
        """Where the encoder is."""
        return torch.device("cpu") if self.encoder is None else next(self.encoder.parameters()).device

    def embedded(self, query: Query | None) -> tuple[Tensor | None, str]:
        """What is looked for as a vector [D] in the space of texts and patches, less the generic one; and a remark."""
        if query is None or (query.embedding is None and not query.subject):
            return None, ""
        if self.encoder is None:
            if query.embedding is not None:
                raise QueryError("the query has an embedding and the eye no encoder to compare it with; give one")
            return None, "there is no encoder: of the words only places and colours are read" if query.rest else ""
        if self.text is None:
            if query.embedding is not None:
                return query.embedding.to(self.device), ""
            return None, "there is no text encoder: of the words only places and colours are read" if query.rest else ""
        if self._generic is None:
            self._generic = self.text.encode([GENERIC]).embedding[0]
        if query.embedding is not None:
            return query.embedding.to(self._generic) - self._generic, ""
        found = self.text.encode([query.subject])
        return found.embedding[0] - self._generic, found.note

    def related(self, evidence: Evidence, query: Query | None, sought: Sought) -> Relevance:
        """The relevance channels for one query on the evidence of one image, and the query's prior. Visits no host."""
        found = relevance(evidence, sought, weights=self.weights, channels=self.channels)
        prior = None if query is None else query.prior(evidence.size, evidence.grid, evidence.device)
        return found if prior is None else replace(found, total=found.total * prior)

    def encoded(
        self, pixels: Tensor, plans: Sequence[SamplePlan], size: tuple[int, int], hidden: Sequence[str] = ()
    ) -> list[Encoding]:
        """What the encoder makes of patches [J, N, 3, P, P], normalised, of J plans. Visits no host."""
        assert self.encoder is not None
        found = []
        for first in range(0, len(plans), BATCH):
            part = slice(first, first + BATCH)
            whole = self.encoder(pixels[part], plans[part], size, hidden=hidden)
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

    def close(self) -> None:
        if self._owns_unit:
            self.unit.close()


@dataclass(frozen=True, eq=False)
class Coarse:
    """Every image as a whole in a few tokens: one plan, patches and encoding an image; features [images, N, D]."""

    plans: list[SamplePlan]
    patches: list[Patches]
    encodings: list[Encoding] | None
    features: Tensor | None


@dataclass(eq=False)
class Seen:
    """What has been seen for one job so far. text: what it looks for, as a vector less the generic one."""

    job: Job
    text: Tensor | None
    sought: Sought
    relevance: Relevance
    remarks: list[str]
    glimpses: list[Glimpse] = field(default_factory=list)


class Pass:
    """One passage of the loop over a pyramid. Its steps are methods, in the order in which they run."""

    def __init__(self, eye: Homunculus, pyramid: Pyramid, images: Images, jobs: Sequence[Job], clock: Clock) -> None:
        self.eye, self.pyramid, self.images, self.jobs, self.clock = eye, pyramid, images, jobs, clock
        self.size = pyramid.size
        self.evidence = Evidence.of(eye.unit, pyramid).split()
        clock.lap("statistics")
        self.texts = [eye.embedded(job.query) for job in jobs]

    def search(self) -> tuple[list[Seen], Coarse | None]:
        """The coarse pass, and what matters where for every job before anything is fixated."""
        coarse = self._coarse()
        self.clock.lap("coarse")
        seen = [self._related(job, text, coarse) for job, text in zip(self.jobs, self.texts, strict=True)]
        self.clock.lap("relevance")
        return seen, coarse

    def run(self, fixations: int, points: list[tuple[float, float]] | None) -> list[Seen]:
        """What is seen for every job."""
        seen, coarse = self.search()
        going = [one for one in seen if not self._enough(one, coarse)]
        counts = [fixations] if self.eye.merge or points is not None else [1] * fixations
        for turn, count in enumerate(counts):
            gazes = [(one, self._gaze(one, count, points)) for one in going]
            if turn:  # another look is spared where it would add too little
                gazes = [(one, gaze) for one, gaze in gazes if bool(gaze.kept[0])]
            going = [one for one, _ in gazes]
            self.clock.lap("fixation")
            if gazes:
                self._look(gazes, last=turn == len(counts) - 1)
        return seen

    def _related(self, job: Job, text: tuple[Tensor | None, str], coarse: Coarse | None) -> Seen:
        """What is sought of one image, and the relevance of everything before the first fixation."""
        eye, evidence = self.eye, self.evidence[job.layer]
        embedding, remark = text
        tokens = None
        if embedding is not None and coarse is not None and coarse.features is not None:
            if len(embedding) != coarse.features.shape[-1]:
                raise QueryError(
                    f"the embedding has {len(embedding)} numbers and the model's text space {coarse.features.shape[-1]}; "
                    "embed the query with the same model"
                )
            tokens = (similarity(coarse.features[job.layer], embedding).to(evidence.device), coarse.plans[job.layer])
        sought = Sought.of(eye.unit, evidence, job.query, tokens and _of_one(*tokens), embedding)
        found = eye.related(evidence, job.query, sought)
        return Seen(job, embedding, sought, found, [remark] if remark else [])

    def _coarse(self) -> Coarse | None:
        """The coarse pass, where anything reads it: a text, or the question whether it is enough."""
        eye = self.eye
        asked = any(text is not None for text, _ in self.texts)
        if eye.encoder is None or (eye.enough is None and not asked):
            return None
        plans = [
            layouts.grid(self.size, None, eye.coarse_tokens, eye.patch_size, layer=layer)
            for layer in sorted({job.layer for job in self.jobs})
        ]
        patches, pixels = self._sampled(plans)
        assert pixels is not None
        features = dense_features(eye.encoder, pixels, plans, self.size) if asked else None
        encodings = None
        if eye.enough is not None:
            hidden = (f"attention.{len(eye.encoder.family.layers) - 1}",) if eye.confidence == "attention" else ()
            encodings = eye.encoded(pixels, plans, self.size, hidden)
        return Coarse(plans, patches, encodings, features)

    def _enough(self, seen: Seen, coarse: Coarse | None) -> bool:
        """Whether the coarse tokens are the answer, which is then the one glimpse."""
        eye, layer = self.eye, seen.job.layer
        if eye.enough is None or coarse is None or coarse.encodings is None:
            return False
        encoding = coarse.encodings[layer]
        if eye.confidence == "margin":
            reached = float(margin(seen.relevance.total[0], self.size))
        else:
            special = encoding.last_hidden_state.shape[1] - len(encoding.tokens)
            attention = next(iter(encoding.hidden.values())).float().mean(1)[0, special:]
            attention = attention / attention.sum()
            reached = 1 - float(attention_entropy(attention)) / math.log2(len(attention))
        if reached < eye.enough:
            return False
        seen.glimpses.append(Glimpse(given([], self.size), coarse.plans[layer], coarse.patches[layer], encoding))
        seen.remarks.append(
            f"the coarse tokens were enough: {eye.confidence} {reached:.2f}, at least {eye.enough:g} asked for"
        )
        return True

    def _gaze(self, seen: Seen, count: int, points: list[tuple[float, float]] | None) -> Fixations:
        if points is not None:
            return given([(x * self.size[1], y * self.size[0]) for x, y in points], self.size)
        old = [glimpse.fixations.points for glimpse in seen.glimpses]
        total = seen.relevance.total[0]
        return fixate(total, self.size, count, policy=self.eye.policy, seen=torch.cat(old) if old else None)

    def _look(self, gazes: Sequence[tuple[Seen, Fixations]], *, last: bool) -> None:
        """One plan a job, all sampled in one dispatch and encoded in one batch."""
        eye = self.eye
        plans = [self._plan(seen, gaze) for seen, gaze in gazes]
        self.clock.lap("plan")
        patches, pixels = self._sampled(plans)
        self.clock.lap("sample")
        encodings = [None] * len(plans) if pixels is None else eye.encoded(pixels, plans, self.size)
        self.clock.lap("encode")
        for (seen, gaze), plan, shown, encoding in zip(gazes, plans, patches, encodings, strict=True):
            seen.glimpses.append(Glimpse(gaze, plan, shown, encoding))
        told = [place for place, (seen, _) in enumerate(gazes) if seen.text is not None]
        if last or not told or pixels is None or eye.encoder is None:
            return
        features = dense_features(eye.encoder, pixels[told], [plans[place] for place in told], self.size)
        for row, place in enumerate(told):
            self._read(gazes[place][0], plans[place], features[row])
        self.clock.lap("relevance")

    def _read(self, seen: Seen, plan: SamplePlan, features: Tensor) -> None:
        """What the tokens of a glimpse say of the text joins what was read before; the finer speak louder."""
        evidence = self.evidence[seen.job.layer]
        assert seen.text is not None
        tokens = _of_one(similarity(features, seen.text).to(evidence.device), plan)
        if seen.sought.tokens is not None:
            before, where = seen.sought.tokens
            tokens = torch.cat([before, tokens[0]]), SamplePlan.concatenate([where, tokens[1]])
        seen.sought = replace(seen.sought, tokens=tokens)
        seen.relevance = self.eye.related(evidence, seen.job.query, seen.sought)

    def _plan(self, seen: Seen, gaze: Fixations) -> SamplePlan:
        job = seen.job
        scene = Scene(
            self.size,
            gaze.points,
            seen.relevance.total[0],
            self.eye.patch_size,
            image=torch.as_tensor(self.images[job.layer]),
            query="" if job.query is None else job.query.text,
            layer=job.layer,
        )
        return self.eye.allocator.allocate(scene, self.eye.budget)

    def _sampled(self, plans: Sequence[SamplePlan]) -> tuple[list[Patches], Tensor | None]:
        """What each plan shows, in 0..1, and all of it as the encoder takes it, [J, N, 3, P, P]."""
        eye = self.eye
        together = SamplePlan.concatenate(plans)
        if eye.encoder is None:
            found = eye.unit.sample(self.pyramid, together, quality=eye.quality)
            return _split(found, plans), None
        mean, std = eye.encoder.mean, eye.encoder.std
        found = eye.unit.sample(self.pyramid, together, quality=eye.quality, mean=mean, std=std)
        raw = found.pixels * found.pixels.new_tensor(std)[:, None, None] + found.pixels.new_tensor(mean)[:, None, None]
        pixels = found.pixels.to(eye.device).reshape(len(plans), -1, *found.pixels.shape[1:])
        return _split(Patches(raw, found.inside), plans), pixels


def _split(patches: Patches, plans: Sequence[SamplePlan]) -> list[Patches]:
    counts = [len(plan) for plan in plans]
    parts = zip(torch.split(patches.pixels, counts), torch.split(patches.inside, counts), strict=True)
    return [Patches(pixels, inside) for pixels, inside in parts]


def _of_one(similarities: Tensor, plan: SamplePlan) -> tuple[Tensor, SamplePlan]:
    """The same as of the only image of its evidence."""
    rows = plan.footprints.to(similarities.device).clone()
    rows[:, 6] = 0
    return similarities, SamplePlan(rows, plan.patch_size)
