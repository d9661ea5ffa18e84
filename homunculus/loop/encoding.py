"""Tokens of what has been seen: glimpses of any pictures in one batch of the encoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from homunculus.bridge.clock import Clock
from homunculus.loop.eye import BATCH, UNTIMED, Eye
from homunculus.loop.visual_search import Seen


def encode(eye: Eye, seen: Sequence[tuple[tuple[int, int], Seen]], clock: Clock = UNTIMED) -> None:
    """Fills in what the encoder makes of all glimpses that wait for it, of pictures of any (height, width), in batches."""
    waiting = [(size, one, number) for size, one in seen for number in one.waiting]
    for first in range(0, len(waiting), BATCH):
        sizes, owners, numbers = zip(*waiting[first : first + BATCH], strict=True)
        pixels = torch.stack([one.waiting.pop(number) for one, number in zip(owners, numbers, strict=True)])
        plans = [one.glimpses[number].plan for one, number in zip(owners, numbers, strict=True)]
        with clock.part("encode"):
            found = eye.encoded(pixels, plans, sizes)
        for one, number, encoding in zip(owners, numbers, found, strict=True):
            one.glimpses[number] = replace(one.glimpses[number], encoding=encoding)
