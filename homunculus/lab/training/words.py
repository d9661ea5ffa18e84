"""Fits features in which words look like a drawing of them in another typeface, at sizes too small to read."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import check_writable
from homunculus.encoder.word_features import WordFeatures
from homunculus.lab.pages.fonts import Typeface
from homunculus.lab.training import checkpoint
from homunculus.relevance.word_shapes import STRETCHES, correlation, drawn

WEIGHTS_FILE = "words.safetensors"
SAVE_EVERY = 50
LEFT_OUT = "Caladea"  # no lesson is set in it
SHEET = 112, 160  # texels of a lesson, height and width
EMS = 2.0, 5.5  # texels of its letters
EM_PX = 22  # pixels that letters are drawn with, before their mean over a texel is taken
# fmt: off
SYLLABLES = [
    "ba", "ce", "di", "fo", "gu", "ha", "je", "ki", "lo", "mu", "na", "pe", "ri", "so", "tu", "va", "we", "xi", "yo", "zu",
    "sch", "tr", "ell", "ing", "and", "or", "st", "th", "qu", "mp", "ck", "ff",
]
# fmt: on


class Lesson(NamedTuple):
    """ink: [1, H, W]. template: [1, h, w], the words drawn in the typeface of the search. place: row and column of their centre."""

    ink: Tensor
    template: Tensor
    place: tuple[int, int]


def loss(model: WordFeatures, lessons: Sequence[Lesson]) -> Tensor:
    """Cross-entropy of the right place among all texels of all lessons, where one texel's error is none."""
    pages = model(torch.stack([lesson.ink for lesson in lessons]))
    losses = []
    for number, lesson in enumerate(lessons):
        likeness = model.sharpness * correlation(pages, model(lesson.template)[None])
        row, column = lesson.place
        right = likeness[number, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        losses.append(likeness.flatten().logsumexp(0) - right.flatten().logsumexp(0))
    return torch.stack(losses).mean()


def train(
    out: Path,
    faces: Sequence[Typeface],
    *,
    steps: int = 450,
    batch: int = 6,
    rate: float = 2e-3,
    seed: int = 0,
    track: checkpoint.Track | None = None,
) -> list[float]:
    """The losses. Leaves weights and a checkpoint in `out`; stopped anywhere and called again it goes on.

    faces: of the lessons, without LEFT_OUT. Raises DataError for what does not fit, before anything is written.
    """
    if min(steps, batch) < 1 or not 0 < rate < math.inf:
        raise DataError(f"steps, batch and rate are {steps}, {batch} and {rate}; each must be above 0")
    faces = [face for face in faces if face.name != LEFT_OUT]
    if not faces:
        raise DataError(f"no typeface but {LEFT_OUT} is given; give another one to learn from")
    torch.manual_seed(seed)
    model = WordFeatures()
    check_writable(out)
    task = {"steps": steps, "batch": batch, "rate": rate, "seed": seed, "faces": [face.name for face in faces]}
    training = checkpoint.Training(out, model, [torch.optim.Adam(model.parameters(), rate)], task, SAVE_EVERY)
    for lessons in training.over(WordLessons(faces, range(training.progress.step, steps), batch, seed), steps, track):
        for group in training.optimizers[0].param_groups:
            group["lr"] = rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * training.progress.step / steps)))
        found = loss(model, lessons)
        training.learn(found, clip=1.0)
        training.progress.losses.append(float(found.detach()))
    model.save(out / WEIGHTS_FILE)
    return training.progress.losses


class WordLessons:
    """Batches of lessons for steps; each is its seed's and its step's alone."""

    def __init__(self, faces: Sequence[Typeface], steps: range, batch: int, seed: int) -> None:
        self.faces, self.steps, self.batch, self.seed = faces, steps, batch, seed

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[list[Lesson]]:
        for step in self.steps:
            rng = np.random.default_rng([self.seed, step])
            yield [lesson(rng, self.faces) for _ in range(self.batch)]


def lesson(rng: np.random.Generator, faces: Sequence[Typeface]) -> Lesson:
    """Lines of made-up words, running on or in columns, and a few of the words drawn otherwise."""
    em = float(rng.uniform(*EMS))
    per_texel = max(2, round(EM_PX / em))
    face = faces[int(rng.integers(len(faces)))]
    fonts = [face.font(em * per_texel, weight) for weight in ("regular", "regular", "bold")]
    height, width = (side * per_texel for side in SHEET)
    sheet = Image.new("L", (width, height))
    draw = ImageDraw.Draw(sheet)
    places = []
    pitch, running = float(rng.uniform(1.25, 2.3)), bool(rng.random() < 0.5)
    left, y = float(rng.uniform(0, 4)) * em * per_texel, float(rng.uniform(1, 3)) * em * per_texel
    while y < height - em * per_texel:
        x = left
        while x < width:
            words, font = phrase(rng), fonts[int(rng.integers(len(fonts)))]
            length = font.getlength(words)
            draw.text((x, y), words, 255, font, "ls")
            if len(words) >= 4 and x + length < width:
                places.append((words, x + length / 2, y - 0.35 * em * per_texel, length / per_texel))
            x += length + (0.28 if running and rng.random() < 0.9 else float(rng.uniform(1, 8))) * em * per_texel
        y += pitch * em * per_texel
    words, x, y, length = places[int(rng.integers(len(places)))]
    ink = np.asarray(sheet, np.float32).reshape(SHEET[0], per_texel, SHEET[1], per_texel).mean((1, 3)) / 255
    em *= float(rng.uniform(0.95, 1.05))
    plain = drawn(words, em)
    ratio = length * float(rng.uniform(0.97, 1.03)) / max(plain.shape[1] - 0.8 * em, 1.0)
    stretch = min(STRETCHES, key=lambda known: abs(known - ratio))
    place = min(int(y / per_texel), SHEET[0] - 1), min(int(x / per_texel), SHEET[1] - 1)
    return Lesson(torch.from_numpy(ink)[None], drawn(words, em, stretch)[None], place)


def phrase(rng: np.random.Generator) -> str:
    """One word to three, or a number."""
    if rng.random() < 0.2:
        return str(rng.integers(10, 10**7))
    words = ["".join(rng.choice(SYLLABLES, int(rng.integers(1, 4)))) for _ in range(int(rng.integers(1, 4)))]
    return " ".join(words).capitalize() if rng.random() < 0.5 else " ".join(words)
