"""One run of the loop over a pyramid, for any number of queries on its images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from homunculus import layouts
from homunculus.allocators.scene import Scene
from homunculus.bridge.clock import Clock
from homunculus.bridge.errors import QueryError
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.encoder import Encoding, dense_features, in_cells, similarity
from homunculus.loop.eye import UNTIMED, Eye
from homunculus.loop.reading import ink_plan, read_around, read_coarse, unseen
from homunculus.loop.record import Glimpse
from homunculus.relevance import Relevance, SearchTarget
from homunculus.relevance.acuity import Fixations
from homunculus.relevance.fixation import attention_entropy, fixate, given, margin
from homunculus.relevance.matching import Written
from homunculus.relevance.query import Query
from homunculus.relevance.regions import Found, search
from homunculus.relevance.word_search import WordSearch

# Of relevance where something is asked for, before a fixation is chosen on it: of 32 scenes of shapes on clutter the first one
# fell on the target in 59 % at 1, 81 % at 2, and 91 % at 4 and 8, as where the maximum itself is taken.
SHARPNESS = 6.0


@dataclass(frozen=True, eq=False)
class Job:
    """One query on one image of the batch. frames: of the video whose newest it is, as `SearchTarget` takes them."""

    layer: int
    query: Query | None
    frames: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Coarse:
    """Every image as a whole in a few tokens: one plan, patches and encoding an image; features [images, N, D]."""

    plans: list[SamplePlan]
    patches: list[Patches]
    encodings: list[Encoding] | None
    features: Tensor | None


@dataclass(eq=False)
class Seen:
    """What has been seen for one job so far. text: what it looks for, as a vector less the generic one. coarse_tokens: spent before
    the first glimpse, on the model's coarse pass and on reading; of several queries on one picture each is told all of them. waiting: by
    number of the glimpse, patches [N, 3, P, P], normalised, that `encode` has still to encode."""

    job: Job
    text: Tensor | None
    target: SearchTarget
    relevance: Relevance
    remarks: list[str]
    coarse_tokens: dict[str, int]
    glimpses: list[Glimpse] = field(default_factory=list)
    waiting: dict[int, Tensor] = field(default_factory=dict)
    found: Found | None = None  # where an example was found, in a picture too large to be measured finely everywhere

    @property
    def answered(self) -> bool:
        """Whether what was asked for has been read; for what is no words nobody knows."""
        return self.target.words is not None and self.target.words.answered


class VisualSearch:
    """One run of the loop over a pyramid. Its steps are methods, in the order in which they run."""

    def __init__(self, eye: Eye, pyramid: Pyramid, images: Tensor, jobs: Sequence[Job], clock: Clock = UNTIMED) -> None:
        self.eye, self.pyramid, self.images, self.jobs, self.clock = eye, pyramid, images, jobs, clock
        self.size = pyramid.size
        with clock.part("statistics"):
            self.statistics = eye.statistics(pyramid)
        with clock.part("coarse"):
            self.texts = [eye.embedded(job.query) for job in jobs]
        self.words = [eye.words(job.query) for job in jobs]

    @property
    def _cells(self) -> int:
        return 1 if self.eye.encoder is None else self.eye.encoder.family.cells

    @property
    def _points(self) -> bool:
        return self.eye.text is not None and self.eye.text.points

    def _alike(self, features: Tensor, embedding: Tensor) -> Tensor:
        """[N]: how much each of the tokens, or of their cells, is what is looked for."""
        found = similarity(features, embedding)
        return found.softmax(-1) if self._points else found

    def search(self) -> tuple[list[Seen], Coarse | None]:
        """The coarse pass, and what matters where for every job before anything is fixated."""
        with self.clock.part("coarse"):
            coarse = self._coarse()
        with self.clock.part("words"):
            lines = self._coarse_lines()
        with self.clock.part("relevance"):
            seen = [
                self._related(*parts, coarse, lines) for parts in zip(self.jobs, self.texts, self.words, strict=True)
            ]
        return seen, coarse

    def run(self, fixations: int, points: list[tuple[float, float]] | None = None) -> list[Seen]:
        """What is seen for every job; `encode` makes tokens of it."""
        seen, coarse = self.search()
        going = [one for one in seen if not self._enough(one, coarse)]
        for turn, count in enumerate(counts := self._counts(fixations, points)):
            going = [one for one in going if not (turn and one.answered)]
            if turn and self.eye.options.merge:  # only what is read can be looked for again
                going = [one for one in going if one.target.words is not None]
            with self.clock.part("fixation"):
                gazes = [(one, self.gaze(one, count, points)) for one in going]
                if turn:  # another look is spared where it would add too little
                    gazes = [(one, gaze) for one, gaze in gazes if bool(gaze.kept[0])]
            going = [one for one, _ in gazes]
            if gazes:
                self._look(gazes, last=turn == len(counts) - 1)
        return seen

    def _counts(self, fixations: int, points: list[tuple[float, float]] | None) -> list[int]:
        """Fixations of each glimpse."""
        if points is not None or (self.eye.options.merge and not any(self.words)):
            return [fixations]
        return [fixations] * self.eye.options.glimpses if self.eye.options.merge else [1] * fixations

    def _related(
        self,
        job: Job,
        text: tuple[Tensor | None, str],
        words: WordSearch | None,
        coarse: Coarse | None,
        lines: Mapping[int, tuple[int, list[Written]]],
    ) -> Seen:
        """What is looked for in one image, and the relevance of everything before the first fixation."""
        eye, statistics = self.eye, self.statistics[job.layer]
        embedding, remark = text
        tokens = None
        if embedding is not None and coarse is not None and coarse.features is not None:
            if len(embedding) != coarse.features.shape[-1]:
                raise QueryError(
                    f"the embedding has {len(embedding)} numbers and the model's text space {coarse.features.shape[-1]}; "
                    "embed the query with the same model"
                )
            where = in_cells(coarse.plans[job.layer], self._cells)
            tokens = (self._alike(coarse.features[job.layer], embedding).to(statistics.device), where)
        read = coarse is not None and (tokens is not None or coarse.encodings is not None)
        spent = {"coarse": len(coarse.plans[job.layer])} if coarse is not None and read else {}
        target = replace(SearchTarget.of(eye.unit, statistics, job.query, tokens, embedding), frames=job.frames)
        if tokens is not None and self._points:
            target = replace(target, color=None)
        if words is not None:
            spent["reading"], now = lines[job.layer]
            target = replace(target, words=words.reading(now))
        found = eye.related(statistics, job.query, target)
        seen = Seen(job, embedding, target, found, [remark] if remark else [], spent)
        if job.query is not None and job.query.example is not None and isinstance(self.pyramid, PagedPyramid):
            seen.found = search(eye.unit, self.pyramid, statistics, found.total[0], job.query.example)
        if seen.found is not None:
            seen.remarks.append(seen.found.told)
            seen.relevance = replace(found, total=seen.found.onto(found.total, self.size))
        return seen

    def _coarse_lines(self) -> dict[int, tuple[int, list[Written]]]:
        """By image: tokens spent on a coarse pass for reading, and what was read, of those in which words are looked for."""
        eye = self.eye
        found: dict[int, tuple[int, list[Written]]] = {}
        for layer in sorted({job.layer for job, words in zip(self.jobs, self.words, strict=True) if words is not None}):
            plan = ink_plan(self.statistics[layer], eye.options.reading_budget, eye.patch_size)
            if plan is None:
                found[layer] = 0, []
                continue
            plan = plan.to(self.statistics[layer].device)
            (patches,), _ = eye.sampled(self.pyramid, [plan], [layer])
            assert eye.reader is not None
            found[layer] = len(plan), read_coarse(eye.reader, patches.pixels, plan, self.size)
        return found

    def _coarse(self) -> Coarse | None:
        """The coarse pass, where anything reads it: a text, or the question whether it is enough."""
        eye = self.eye
        asked = any(text is not None for text, _ in self.texts)
        if eye.encoder is None or (eye.options.enough is None and not asked):
            return None
        layers = range(self.pyramid.layers)
        plans = [layouts.grid(self.size, None, eye.coarse_tokens, eye.patch_size)] * len(layers)
        patches, pixels = eye.sampled(self.pyramid, plans, layers)
        assert pixels is not None
        features = dense_features(eye.encoder, pixels, plans, self.size) if asked else None
        encodings = None
        if eye.options.enough is not None:
            hidden = (
                (f"attention.{len(eye.encoder.family.layers) - 1}",) if eye.options.confidence == "attention" else ()
            )
            encodings = eye.encoded(pixels, plans, self.size, hidden)
        return Coarse(plans, patches, encodings, features)

    def _enough(self, seen: Seen, coarse: Coarse | None) -> bool:
        """Whether the coarse tokens are the answer, which is then the one glimpse."""
        eye, layer = self.eye, seen.job.layer
        if eye.options.enough is None or coarse is None or coarse.encodings is None:
            return False
        encoding = coarse.encodings[layer]
        if eye.options.confidence == "margin":
            reached = float(margin(seen.relevance.total[0], self.size))
        else:
            special = encoding.last_hidden_state.shape[1] - len(encoding.tokens)
            attention = next(iter(encoding.hidden.values())).float().mean(1)[0, special:]
            attention = attention / attention.sum()
            reached = 1 - float(attention_entropy(attention)) / math.log2(len(attention))
        if reached < eye.options.enough:
            return False
        glimpse = Glimpse(given([], self.size), coarse.plans[layer], coarse.patches[layer], self.size, encoding)
        seen.glimpses.append(glimpse)
        seen.remarks.append(
            f"the coarse tokens were enough: {eye.options.confidence} {reached:.2f}, at least {eye.options.enough:g} asked for"
        )
        return True

    def gaze(self, seen: Seen, count: int, points: list[tuple[float, float]] | None = None) -> Fixations:
        """Where to look next: at so many of the most relevant points, or at those given as fractions."""
        if points is not None:
            return given([(x * self.size[1], y * self.size[0]) for x, y in points], self.size)
        old = [glimpse.fixations.points for glimpse in seen.glimpses]
        found = seen.relevance.total[0]
        before = torch.cat(old) if old else None
        sharpness = 1.0 if seen.job.query is None else SHARPNESS
        gaze = fixate(found, self.size, count, policy=self.eye.options.policy, sharpness=sharpness, seen=before)
        if seen.found is None:
            return gaze
        cell_px = max(self.statistics[seen.job.layer].cell_px)
        return replace(gaze, points=seen.found.nearest(gaze.points, cell_px))

    def _look(self, gazes: Sequence[tuple[Seen, Fixations]], *, last: bool) -> None:
        """One plan a job, all sampled in one dispatch."""
        eye = self.eye
        with self.clock.part("plan"):
            plans = [self._plan(seen, gaze) for seen, gaze in gazes]
        layers = [seen.job.layer for seen, _ in gazes]
        with self.clock.part("sample"):
            patches, pixels = eye.sampled(self.pyramid, plans, layers)
        for place, (seen, gaze) in enumerate(gazes):
            if pixels is not None:
                seen.waiting[len(seen.glimpses)] = pixels[place]
            seen.glimpses.append(Glimpse(gaze, plans[place], patches[place], self.size))
            self._read_words(seen, seen.glimpses[-1])
        told = [place for place, (seen, _) in enumerate(gazes) if seen.text is not None]
        if last or not told or pixels is None or eye.encoder is None:
            return
        with self.clock.part("relevance"):
            features = dense_features(eye.encoder, pixels[told], [plans[place] for place in told], self.size)
            for row, place in enumerate(told):
                self._read(gazes[place][0], plans[place], features[row])

    def _read(self, seen: Seen, plan: SamplePlan, features: Tensor) -> None:
        """What the tokens of a glimpse say of the text joins what was read before; the finer speak louder."""
        statistics = self.statistics[seen.job.layer]
        assert seen.text is not None
        tokens = self._alike(features, seen.text).to(statistics.device), in_cells(plan, self._cells)
        if seen.target.tokens is not None:
            before, where = seen.target.tokens
            tokens = torch.cat([before, tokens[0]]), SamplePlan.concatenate([where, tokens[1]])
        seen.target = replace(seen.target, tokens=tokens)
        seen.relevance = self.eye.related(statistics, seen.job.query, seen.target)

    def _read_words(self, seen: Seen, glimpse: Glimpse) -> None:
        """What can be read off a glimpse joins what was read before."""
        words = seen.target.words
        if words is None or self.eye.reader is None:
            return
        with self.clock.part("words"):
            points = glimpse.fixations.as_list()
            read = read_around(self.eye.reader, glimpse.patches.pixels, glimpse.plan, self.size, points)
            words = replace(words, lines=tuple(unseen(words.lines, glimpse.plan, self.size, points)))
            seen.target = replace(seen.target, words=words.reading(read))
        with self.clock.part("relevance"):
            seen.relevance = self.eye.related(self.statistics[seen.job.layer], seen.job.query, seen.target)

    def _plan(self, seen: Seen, gaze: Fixations) -> SamplePlan:
        job = seen.job
        scene = Scene(
            self.size,
            gaze.points,
            seen.relevance.total[0],
            self.eye.patch_size,
            image=self.images[job.layer],
            query="" if job.query is None else job.query.text,
        )
        return self.eye.options.plan(scene)
