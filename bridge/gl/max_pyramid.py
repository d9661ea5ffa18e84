"""The max-reduction pyramid of a map by compute dispatches, six levels each."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.bridge.errors import PlanError
from homunculus.bridge.gl.context import Context
from homunculus.bridge.twin.max_pyramid import level_sizes, padded
from homunculus.bridge.unit import Stats

TILE = 64
LEVELS_PER_DISPATCH = 6
MAP, LEVELS = 0, 1


def max_pyramid(context: Context, stats: Stats, map: Tensor) -> list[Tensor]:
    """Levels 0 to 1 x 1 of a checked map [h, w], float32 on the context's torch device. Runs on the context's thread."""
    map = map.detach().to(context.memory.device, torch.float32)
    sizes = level_sizes(map.shape[0], map.shape[1])
    counts = [height * width for height, width in sizes]
    limit = context.limits.storage_bytes
    if max(map.numel(), sum(counts[1:])) * 4 > limit:
        raise PlanError(
            f"a map of {map.shape[0]} x {map.shape[1]} needs more than the {limit} bytes this device allows; reduce it first"
        )
    levels = [padded(map, sizes[0])]
    if len(sizes) == 1:
        return levels
    program = context.program("reduce_max.comp", {})
    source = context.buffer(map.numel() * 4, stats)
    target = context.buffer(sum(counts[1:]) * 4, stats)
    try:
        source.write(map)
        source.bind(MAP)
        target.bind(LEVELS)
        program["map_size"] = (map.shape[1], map.shape[0])
        for base in range(0, len(sizes) - 1, LEVELS_PER_DISPATCH):
            height, width = sizes[base]
            program["base"] = base
            program["base_size"] = (width, height)
            program["base_offset"] = sum(counts[1:base])
            program["next_offset"] = sum(counts[1 : base + 1])
            program["level_count"] = min(LEVELS_PER_DISPATCH, len(sizes) - 1 - base)
            program.run(-(-width // TILE), -(-height // TILE))
            context.moderngl.memory_barrier()
            stats.dispatches += 1
        context.check(f"a max pyramid over {map.shape[0]} x {map.shape[1]}")
        packed = target.read((sum(counts[1:]),), torch.float32)
    finally:
        context.release(source)
        context.release(target)
    first = 0
    for size, count in zip(sizes[1:], counts[1:], strict=True):
        levels.append(packed[first : first + count].reshape(size))
        first += count
    return levels
