"""What the reader is told: beside the answer, what every token holds and where every value stands."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bridge.plan import SamplePlan
from homunculus.evaluation.needle import COLORS, DIGITS, FINE_PX, MARKS, READABLE, SHAPES
from homunculus.evaluation.reader import CELLS, Reader

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


def loss(reader: Reader, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The weighted sum, and its parts with the shares of digits and values read rightly."""
    vit = reader.encoder(area_attention=batch.area)
    plans = [SamplePlan(rows, vit.patch_size) for rows in batch.footprints]
    encoding = vit(batch.pixels.float() / 127.5 - 1, plans, batch.size)
    tokens = encoding.tokens
    there = batch.marks >= 0
    queries = reader.queries(batch.marks.clamp(min=0))
    boxes = boxes_of(batch.footprints, vit.patch_size)
    area = _area(boxes)
    side = area.sqrt()
    value_area = _area(batch.value_boxes).clamp(min=1)
    on_value = overlap(batch.value_boxes[:, :, None], boxes[:, None])  # [B, M, N] px
    fine = (side < FINE_PX)[:, None]
    readable = there & ((on_value * fine).sum(-1) >= READABLE * value_area)

    reading = reader.read(tokens, queries)
    digits = batch.digits.clamp(min=0)
    answer = -reading.digits.gather(-1, digits[..., None])[..., 0].sum(-1)
    holds = fine & (on_value > LEAST_OVERLAP * torch.minimum(area[:, None], value_area[..., None]))
    looked = ((reading.attention * holds[:, :, None, None]).sum(-1) + 1e-6).log().mean((-1, -2))

    owner = torch.where(holds & readable[..., None], on_value, 0.0)
    best, whose = owner.max(1)  # [B, N]
    color, shape = reader.token_owner(tokens).split([len(COLORS), len(SHAPES)], -1)
    mark = batch.marks.clamp(min=0).gather(1, whose)[..., None]
    painted = color.log_softmax(-1).gather(-1, mark // len(SHAPES))[..., 0]
    shaped = shape.log_softmax(-1).gather(-1, mark % len(SHAPES))[..., 0]
    told = reader.token_digits(tokens).unflatten(-1, (DIGITS, 10)).log_softmax(-1)
    truth = digits.gather(1, whose[..., None].expand(-1, -1, DIGITS))
    dense = -told.gather(-1, truth[..., None])[..., 0].sum(-1)

    cells = cells_of(boxes)
    middle = (cells[..., :2] + cells[..., 2:]) / 2  # [B, N, C, 2]
    inside = batch.value_boxes.gather(1, whose[..., None].expand(-1, -1, 4))[:, :, None]
    place = (middle - inside[..., :2]) / (inside[..., 2:] - inside[..., :2]).clamp(min=1)
    on_digit = ((place >= 0) & (place < 1)).all(-1) & (best > 0)[..., None]
    which = (place[..., 0] * DIGITS).long().clamp(0, DIGITS - 1)
    drawn = truth.gather(-1, which)  # [B, N, C]
    local = reader.cell_digits(tokens).unflatten(-1, (CELLS**2, 10)).log_softmax(-1)
    local = -local.gather(-1, drawn[..., None])[..., 0]

    found = reader.find(tokens, queries).flatten(2).log_softmax(-1)
    cells = cells.flatten(1, 2)
    target = overlap(batch.value_boxes[:, :, None], cells[:, None])
    covered = there & (target.sum(-1) > 0.5 * value_area)
    target = target / target.sum(-1, keepdim=True).clamp(min=1)
    where = -(target * found).sum(-1)

    on_mark = overlap(batch.mark_boxes[:, :, None], boxes[:, None])
    shows = on_mark > 0.35 * torch.minimum(area[:, None], _area(batch.mark_boxes)[..., None])
    labels = torch.zeros(*boxes.shape[:2], len(MARKS) + 1, device=tokens.device)
    labels.scatter_add_(
        2,
        torch.where(there, batch.marks, len(MARKS))[:, None].expand(-1, boxes.shape[1], -1),
        (shows & there[..., None]).mT.float(),
    )
    labels = labels[..., : len(MARKS)].clamp(max=1)
    named = F.binary_cross_entropy_with_logits(reader.token_marks(tokens), labels, reduction="none").sum(-1)
    page = F.binary_cross_entropy_with_logits(
        reader.page_marks(encoding.last_hidden_state[:, 0]), labels.amax(1), reduction="none"
    ).sum(-1)
    parts = {
        "answer": mean_where(answer, readable),
        "cells": mean_where(local, on_digit),
        "tokens": mean_where(dense, best > 0),
        "owner": -mean_where(painted + shaped, best > 0),
        "attention": -mean_where(looked, readable),
        "find": mean_where(where, covered),
        "marks": named.mean(),
        "page": page.mean(),
    }
    total = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
    right = reading.digits.argmax(-1) == digits
    with torch.no_grad():
        parts["digits_right"] = mean_where(right.float().mean(-1), readable)
        parts["values_right"] = mean_where(right.all(-1).float(), readable)
        pointed = (
            cells[:, None]
            .expand(-1, found.shape[1], -1, -1)
            .gather(2, found.argmax(-1)[..., None, None].expand(-1, -1, 1, 4))[:, :, 0]
        )
        middle = torch.stack([pointed[..., 0] + pointed[..., 2], pointed[..., 1] + pointed[..., 3]], -1) / 2
        truly = (
            torch.stack(
                [
                    batch.value_boxes[..., 0] + batch.value_boxes[..., 2],
                    batch.value_boxes[..., 1] + batch.value_boxes[..., 3],
                ],
                -1,
            )
            / 2
        )
        near = ((middle - truly).abs() < 40).all(-1)
        parts["found"] = mean_where(near.float(), covered)
        parts["asked"] = readable.sum().float()
    return total, parts


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


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Shared area of boxes [..., 4], broadcast."""
    sides = torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])
    return sides.clamp(min=0).prod(-1)


def mean_where(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over a mask, 0 where it is empty."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).prod(-1)
