"""Where the eye stands when nobody says: at the maximum of relevance, to a fraction of the map's cells."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.allocators.scene import Scene


def fixations_of(scene: Scene) -> list[tuple[float, float]]:
    """The scene's fixations (x, y) in pixels; else the maximum of relevance; else the middle of the image.

    A map that is the same everywhere says nothing. One fixation where relevance decides. On a GPU the maximum visits
    the host.
    """
    if len(scene.fixations):
        return [(float(x), float(y)) for x, y in scene.fixations]
    height, width = scene.size
    if scene.relevance is None or bool((scene.relevance == scene.relevance[0, 0]).all()):
        return [(width / 2, height / 2)]
    x, y = maximum(scene.relevance)
    return [(x * width, y * height)]


def maximum(relevance: Tensor) -> tuple[float, float]:
    """(x, y) as fractions of width and height of the maximum of [h, w], the first in row-major order of several.

    A parabola through the maximum and its two neighbours along each axis moves it within its cell; none where a
    neighbour is missing.
    """
    values = relevance.detach().double()
    index = int(torch.argmax(values))
    row, column = divmod(index, values.shape[1])
    return (
        (column + 0.5 + _vertex(values[row], column)) / values.shape[1],
        (row + 0.5 + _vertex(values[:, column], row)) / values.shape[0],
    )


def _vertex(line: Tensor, place: int) -> float:
    """Offset, within half a cell, of the vertex of the parabola through line[place] and both neighbours."""
    if not 0 < place < len(line) - 1:
        return 0.0
    before, peak, after = line[place - 1 : place + 2].tolist()
    bend = before - 2 * peak + after
    return min(0.5, max(-0.5, (before - after) / (2 * bend))) if bend < 0 else 0.0
