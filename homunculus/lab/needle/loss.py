"""What the reader is told: beside the answer, what every token holds and where every value stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding
from homunculus.encoder.marks import COLORS, DIGITS, MARKS, SHAPES
from homunculus.encoder.reader import CELLS, Reader, Reading
from homunculus.lab.needle.needle import FINE_PX, READABLE

LEAST_OVERLAP = 0.12  # of a token with a value, to be told its digits
WEIGHTS = {
    "answer": 1.0,
    "cells": 1.0,
    "tokens": 0.5,
    "attention": 1.0,
    "owner": 1.0,
    "find": 0.4,
    "marks": 1.0,
    "page": 0.05,
}


@dataclass(frozen=True, eq=False)
class Batch:
    """B plans of N tokens over pictures of one size, with up to M items a picture.

    pixels: uint8 [B, N, 3, P, P]. footprints: [B, N, 8]. size: of the pictures, px. marks: int [B, M], -1 where there is no item.
    digits: int [B, M, DIGITS]. mark_boxes, value_boxes: [B, M, 4] px. area: whether area attention is on.
    """

    pixels: Tensor
    footprints: Tensor
    size: tuple[int, int]
    marks: Tensor
    digits: Tensor
    mark_boxes: Tensor
    value_boxes: Tensor
    area: bool


@dataclass(frozen=True, eq=False)
class Truth:
    """What the tokens of a batch hold. boxes: [B, N, 4] px. area: [B, N] px. there: bool [B, M], an item and no filling.

    on_cells: [B, M, N * CELLS ** 2] px of a value under each cell. inside: [B, M] px of it under all of them. covered: bool [B, M],
    more than half of it. holds: bool [B, M, N], enough of a value, finely enough. readable: bool [B, M], all of it under such tokens.
    owned: [B, N] px of the value that a token holds most of, 0 for none. whose: [B, N] the item it belongs to. digits: [B, N, DIGITS]
    of that item.
    """

    boxes: Tensor
    area: Tensor
    there: Tensor
    on_cells: Tensor
    inside: Tensor
    covered: Tensor
    holds: Tensor
    readable: Tensor
    owned: Tensor
    whose: Tensor
    digits: Tensor

    @classmethod
    def of(cls, batch: Batch, patch_size: int) -> Self:
        boxes = boxes_of(batch.footprints, patch_size)
        area = _area(boxes)
        there = batch.marks >= 0
        value_area = _area(batch.value_boxes).clamp(min=1)
        on_cells = overlap_cells(batch.value_boxes[:, :, None], boxes[:, None])
        on_value = on_cells.sum(-1)
        fine = (area.sqrt() < FINE_PX)[:, None]
        readable = there & ((on_value * fine).sum(-1) >= READABLE * value_area)
        holds = fine & (on_value > LEAST_OVERLAP * torch.minimum(area[:, None], value_area[..., None]))
        owned, whose = torch.where(holds & readable[..., None], on_value, 0.0).max(1)
        digits = batch.digits.gather(1, whose[..., None].expand(-1, -1, DIGITS))
        on_cells = on_cells.flatten(2)
        inside = on_cells.sum(-1)
        covered = there & (inside > 0.5 * value_area)
        return cls(boxes, area, there, on_cells, inside, covered, holds, readable, owned, whose, digits)


def loss(reader: Reader, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and its parts with the shares of digits and values read rightly."""
    vit = reader.encoder(area_attention=batch.area)
    plans = [SamplePlan(rows, vit.patch_size) for rows in batch.footprints]
    encoding = vit(batch.pixels.float() / 127.5 - 1, plans, batch.size)
    queries = reader.queries(batch.marks.clamp(min=0))
    truth = Truth.of(batch, vit.patch_size)
    reading = reader.read(encoding.tokens, queries)
    found = reader.find(encoding.tokens, queries).flatten(2)
    parts = (
        _answers(reading, batch, truth)
        | _values_on_tokens(reader, encoding.tokens, batch, truth)
        | _marks(reader, encoding, batch, truth)
        | _places(found, truth)
    )
    total = torch.stack([weight * parts[name] for name, weight in WEIGHTS.items()]).sum()
    return total, parts | _scores(reading, found, batch, truth)


def _answers(reading: Reading, batch: Batch, truth: Truth) -> dict[str, Tensor]:
    """The digits asked for, and that they are read from the tokens that show them."""
    answer = -reading.digits.gather(-1, batch.digits[..., None])[..., 0].sum(-1)
    looked = ((reading.attention * truth.holds[:, :, None, None]).sum(-1) + 1e-6).log().mean((-1, -2))
    return {"answer": mean_where(answer, truth.readable), "attention": -mean_where(looked, truth.readable)}


def _values_on_tokens(reader: Reader, tokens: Tensor, batch: Batch, truth: Truth) -> dict[str, Tensor]:
    """Of each token on a value: all its digits, the mark it stands beside, and the digit under each of the token's cells."""
    on = truth.owned > 0
    told = reader.token_digits(tokens).unflatten(-1, (DIGITS, 10)).log_softmax(-1)
    told = told.gather(-1, truth.digits[..., None])[..., 0].sum(-1)
    color, shape = reader.token_owner(tokens).split([len(COLORS), len(SHAPES)], -1)
    mark = batch.marks.clamp(min=0).gather(1, truth.whose)[..., None]
    painted = color.log_softmax(-1).gather(-1, mark // len(SHAPES))[..., 0]
    shaped = shape.log_softmax(-1).gather(-1, mark % len(SHAPES))[..., 0]

    cells = cells_of(truth.boxes)  # [B, N, C, 4]
    value = batch.value_boxes.gather(1, truth.whose[..., None].expand(-1, -1, 4))[:, :, None]
    place = (_middle(cells) - value[..., :2]) / (value[..., 2:] - value[..., :2]).clamp(min=1)
    on_digit = ((place >= 0) & (place < 1)).all(-1) & on[..., None]
    drawn = truth.digits.gather(-1, (place[..., 0] * DIGITS).long().clamp(0, DIGITS - 1))  # [B, N, C]
    local = reader.cell_digits(tokens).unflatten(-1, (CELLS**2, 10)).log_softmax(-1)
    local = local.gather(-1, drawn[..., None])[..., 0]
    return {
        "cells": -mean_where(local, on_digit),
        "tokens": -mean_where(told, on),
        "owner": -mean_where(painted + shaped, on),
    }


def _marks(reader: Reader, encoding: Encoding, batch: Batch, truth: Truth) -> dict[str, Tensor]:
    """Which marks each token shows, and which are on the page."""
    on_mark = overlap(batch.mark_boxes[:, :, None], truth.boxes[:, None])
    shows = on_mark > 0.35 * torch.minimum(truth.area[:, None], _area(batch.mark_boxes)[..., None])
    labels = torch.zeros(*truth.boxes.shape[:2], len(MARKS) + 1, device=on_mark.device, dtype=torch.float32)
    labels.scatter_add_(
        2,
        torch.where(truth.there, batch.marks, len(MARKS))[:, None].expand(-1, labels.shape[1], -1),
        (shows & truth.there[..., None]).mT.float(),
    )
    labels = labels[..., : len(MARKS)].clamp(max=1)
    of_page = reader.page_marks(encoding.last_hidden_state[:, 0])
    of_token = reader.token_marks(encoding.tokens)
    return {
        "marks": F.binary_cross_entropy_with_logits(of_token, labels, reduction="none").sum(-1).mean(),
        "page": F.binary_cross_entropy_with_logits(of_page, labels.amax(1), reduction="none").sum(-1).mean(),
    }


def _places(found: Tensor, truth: Truth) -> dict[str, Tensor]:
    """That the value asked for is where the query points, whether it can be read or not."""
    where = found.logsumexp(-1) - (truth.on_cells * found).sum(-1) / truth.inside.clamp(min=1)
    return {"find": mean_where(where, truth.covered)}


@torch.no_grad()
def _scores(reading: Reading, found: Tensor, batch: Batch, truth: Truth) -> dict[str, Tensor]:
    """Shares of digits and values read, and of values pointed to within 40 px."""
    right = reading.digits.argmax(-1) == batch.digits
    cells = cells_of(truth.boxes).flatten(1, 2)
    pointed = _middle(cells).gather(1, found.argmax(-1)[..., None].expand(-1, -1, 2))
    near = ((pointed - _middle(batch.value_boxes)).abs() < 40).all(-1)
    return {
        "digits_right": mean_where(right.float().mean(-1), truth.readable),
        "values_right": mean_where(right.all(-1).float(), truth.readable),
        "found": mean_where(near.float(), truth.covered),
        "asked": truth.readable.sum().float(),
    }


def _middle(boxes: Tensor) -> Tensor:
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def boxes_of(footprints: Tensor, patch_size: int) -> Tensor:
    """[..., 4] left, top, right, bottom of upright footprints [..., 8]."""
    center = footprints[..., 0:2]
    reach = torch.stack([footprints[..., 2], footprints[..., 5]], -1) * (patch_size / 2)
    return torch.cat([center - reach, center + reach], -1)


def cells_of(boxes: Tensor) -> Tensor:
    """[..., CELLS ** 2, 4] each box cut in CELLS x CELLS, row by row."""
    step = (boxes[..., 2:] - boxes[..., :2]) / CELLS
    row, column = torch.meshgrid(*(torch.arange(CELLS, device=boxes.device, dtype=boxes.dtype),) * 2, indexing="ij")
    start = boxes[..., None, :2] + torch.stack([column.flatten(), row.flatten()], -1) * step[..., None, :]
    return torch.cat([start, start + step[..., None, :]], -1)


def overlap_cells(values: Tensor, boxes: Tensor) -> Tensor:
    """[..., CELLS ** 2] what `overlap` gives for the cells of boxes [..., 4]: the product of what two sides share."""
    steps = torch.arange(CELLS + 1, device=boxes.device, dtype=boxes.dtype) / CELLS
    sides = []
    for axis in (1, 0):
        edges = boxes[..., axis, None] + steps * (boxes[..., axis + 2] - boxes[..., axis])[..., None]
        shared = torch.minimum(values[..., axis + 2, None], edges[..., 1:]) - torch.maximum(
            values[..., axis, None], edges[..., :-1]
        )
        sides.append(shared.clamp(min=0))
    rows, columns = sides
    return (rows[..., :, None] * columns[..., None, :]).flatten(-2)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Shared area of boxes [..., 4], broadcast."""
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    return sides.clamp(min=0).prod(-1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over a mask, 0 where it is empty."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
