"""Fits the procedural head and the weights of all channels to where answers lie."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import check_writable, replaced_together
from homunculus.bridge.files.reading import content_of
from homunculus.bridge.open import Backend
from homunculus.bridge.pictures.files import read_image, upright_boxes
from homunculus.lab.training import checkpoint
from homunculus.lab.training.triples import FILE, Triple, read_triples
from homunculus.loop import SHARPNESS, Homunculus, Job, Seen, VisualSearch
from homunculus.relevance import Head, ImageStatistics, z_scores
from homunculus.relevance.fixation import fixate
from homunculus.relevance.image_statistics import cover, overlaps
from homunculus.relevance.procedural import planes
from homunculus.relevance.target import default_weights

LEARNED = "procedural"
WEIGHTS_FILE, REPORT_FILE = "relevance.safetensors", "relevance.json"
SAVE_EVERY = 50
# What the learned channel starts with: it should be heard, and not drown what is measured.
FIRST_WEIGHTS = {name: weight for name, weight in default_weights.items() if weight} | {LEARNED: 0.1}
Track = Callable[[Iterable[Any], str], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Sample:
    """A triple as the channels read it. planes: [1, C, rows, columns], what the head reads; maps: [rows, columns] by channel; target:
    [rows, columns], the share of the box that lies in each cell; prior: log of the query's, or None.
    """

    size: tuple[int, int]
    level: int
    planes: Tensor
    embedding: Tensor | None
    maps: dict[str, Tensor]
    prior: Tensor | None
    target: Tensor
    box: tuple[float, float, float, float]


class Model(nn.Module):
    """The head, and one weight a channel."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = head
        self.weights = nn.ParameterDict(
            {name: torch.tensor(weight, dtype=torch.float32, device="cpu") for name, weight in FIRST_WEIGHTS.items()}
        )

    def forward(self, sample: Sample) -> Tensor:
        """[rows, columns]: the weighted sum of z-scores and the log of the prior; what softplus makes relevance of."""
        learned = cover(self.head.scores(sample.planes, sample.embedding), sample.size, sample.level)[0]
        parts = [self.weights[LEARNED] * z_scores(learned)]
        parts += [self.weights[name] * z_scores(map_) for name, map_ in sample.maps.items()]
        parts += [] if sample.prior is None else [sample.prior]
        return torch.stack(parts).sum(0)


def train(
    data: Path,
    out: Path,
    *,
    steps: int = 1000,
    batch: int = 8,
    rate: float = 3e-3,
    width: int = 32,
    seed: int = 0,
    holdout: float = 0.1,
    model: str | Path | None = None,
    backend: Backend | None = None,
    trusted: Sequence[Path] = (),
    track: Track | None = None,
) -> dict[str, Any]:
    """Fits on the triples of a folder, and writes relevance.safetensors, which `Head.load` reads, and relevance.json to `out`.

    The loss is the cross entropy between the softmax of the weighted z-scores and the box. model: whose text tower embeds the
    queries; without one the head knows no words, only pictures. holdout: the share of the pictures that is not learned from;
    on these the report counts how often the first fixation falls into the box, before and after. Stopped anywhere and
    called again it goes on from its last checkpoint; the same seed gives the same weights. trusted: as
    `read_triples` takes it. track: wraps what is long.
    Raises DataError for data, a checkpoint or numbers that do not fit, and WriteError, before the work where `out` cannot be written.
    """
    track = track or (lambda items, _: items)
    _check(steps, batch, rate, holdout)
    triples = read_triples(data, trusted=trusted)
    check_writable(out)
    task = {
        "data": hashlib.sha256(content_of(data / FILE)).hexdigest(),
        "batch": batch,
        "rate": rate,
        "width": width,
        "seed": seed,
        "holdout": holdout,
        "model": None if model is None else str(model),
    }
    torch.manual_seed(seed)
    with _eye(model, backend) as eye:
        samples = measured(eye, triples, track)
    embedding = next((len(s.embedding) for s in samples if s.embedding is not None), 0)
    learner = Model(Head(width, embedding))
    learned, held = split(triples, samples, holdout, seed)
    before = hit_rate(Model(Head(width, embedding)), held)
    progress = _fitted(learner, learned, steps, out, task, track)
    report = {**task, "steps": progress.step, "triples": len(triples), "held_out": len(held)}
    report |= {"hit_rate_before": before, "hit_rate": hit_rate(learner, held)}
    return _written(out, learner, report, progress.losses)


def _check(steps: int, batch: int, rate: float, holdout: float) -> None:
    if steps < 1 or batch < 1 or not rate > 0 or not 0 <= holdout < 1:
        raise DataError(
            f"steps is {steps}, batch {batch}, rate {rate}, holdout {holdout}; expected at least 1, at least 1, above 0, and 0 "
            "or more but below 1"
        )


def _fitted(
    learner: Model, samples: Sequence[Sample], steps: int, out: Path, task: Mapping[str, Any], track: Track
) -> checkpoint.Progress:
    """Learns what is still to be learned. Raises DataError for a loss that is no number."""
    rate = task["rate"]
    training = checkpoint.Training(out, learner, [torch.optim.Adam(learner.parameters(), rate)], task, SAVE_EVERY)
    progress = training.progress
    for step in training.over(range(progress.step, steps), steps, track):
        places = _batch(len(samples), task["batch"], step, task["seed"])
        loss = torch.stack([_loss(learner, samples[place]) for place in places]).mean()
        training.learn(loss)
        if not math.isfinite(loss.item()):
            raise DataError(
                f"the loss is {loss.item()} at step {step + 1}; give a rate below {rate:g}, in another folder"
            )
        progress.losses.append(round(loss.item(), 6))
    return progress


def _written(out: Path, learner: Model, report: dict[str, Any], losses: list[float]) -> dict[str, Any]:
    """The report with the learned weights, once it and the head are in the folder."""
    report |= {"weights": {name: round(float(weight.detach()), 4) for name, weight in learner.weights.items()}}
    learner.head.weights = {name: float(weight.detach()) for name, weight in learner.weights.items()}
    with replaced_together(out) as staging:
        learner.head.stage(staging, WEIGHTS_FILE, report)
        staging.json(REPORT_FILE, report | {"losses": losses})
    return report | {"losses": losses}


def measured(eye: Homunculus, triples: Sequence[Triple], track: Track) -> list[Sample]:
    """What every channel but the learned one says of every triple, as the loop asks them; a picture is measured once."""
    found: dict[int, Sample] = {}
    by_image: dict[Path, list[int]] = {}
    for place, triple in enumerate(triples):
        by_image.setdefault(triple.image, []).append(place)
    with torch.no_grad():
        for path, places in track(list(by_image.items()), "measuring"):
            image = torch.from_numpy(read_image(path))[None]
            boxes = upright_boxes(path, [triples[place].box for place in places])
            with eye.unit.pyramid(image) as pyramid:
                jobs = [Job(0, triples[place].query) for place in places]
                searching = VisualSearch(eye, pyramid, image, jobs)
                read = planes(searching.statistics[0])
                for place, seen, box in zip(places, searching.search()[0], boxes, strict=True):
                    found[place] = _sample(searching.statistics[0], read, seen, replace(triples[place], box=box))
    return [found[place] for place in range(len(triples))]


def _sample(statistics: ImageStatistics, read: Tensor, seen: Seen, triple: Triple) -> Sample:
    height, width = statistics.size
    left, top, right, bottom = triple.box
    if right > width or bottom > height:
        raise DataError(f"{triple.image}: box {list(triple.box)} reaches outside the picture of {width} x {height} px")
    rows, columns = statistics.grid
    down = overlaps(1, bottom - top, rows, height / rows, read, top)
    across = overlaps(1, right - left, columns, width / columns, read, left)
    prior = triple.query.prior(statistics.size, statistics.grid)
    silent = {*seen.relevance.inactive, LEARNED}
    return Sample(
        statistics.size,
        statistics.level,
        read,
        seen.text,
        {name: map_[0] for name, map_ in seen.relevance.maps.items() if name not in silent},
        None if prior is None else prior.log(),
        down[0, :, None] * across[0],
        triple.box,
    )


def split(
    triples: Sequence[Triple], samples: Sequence[Sample], holdout: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Those to learn from and those held out, by picture, at random but the same for the same seed. One picture is never split."""
    images = sorted({str(triple.image) for triple in triples})
    order = torch.randperm(
        len(images), generator=torch.Generator().manual_seed(seed), dtype=torch.int64, device="cpu"
    ).tolist()
    held = {images[place] for place in order[: round(holdout * len(images))]}
    pairs = list(zip(triples, samples, strict=True))
    learned = [sample for triple, sample in pairs if str(triple.image) not in held]
    return learned, [sample for triple, sample in pairs if str(triple.image) in held]


def _loss(learner: Model, sample: Sample) -> Tensor:
    scores: Tensor = learner(sample)
    return -(sample.target.flatten() * scores.flatten().log_softmax(0)).sum()


def _batch(count: int, batch: int, step: int, seed: int) -> list[int]:
    """The samples of a step: a new order every epoch, that depends on seed and step alone."""
    places = []
    for index in range(step * batch, (step + 1) * batch):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index // count)
        places.append(int(torch.randperm(count, generator=generator, dtype=torch.int64, device="cpu")[index % count]))
    return places


@torch.no_grad()
def hit_rate(learner: Model, samples: Sequence[Sample]) -> float | None:
    """The share of samples whose first fixation falls into the box; None without samples."""
    if not samples:
        return None
    hits = 0
    for sample in samples:
        x, y = fixate(nn.functional.softplus(learner(sample)), sample.size, sharpness=SHARPNESS).points[0].tolist()
        left, top, right, bottom = sample.box
        hits += left <= x <= right and top <= y <= bottom
    return round(hits / len(samples), 4)


def _eye(model: str | Path | None, backend: Backend | None) -> Homunculus:
    return Homunculus(backend=backend) if model is None else Homunculus.from_pretrained(model, backend=backend)
