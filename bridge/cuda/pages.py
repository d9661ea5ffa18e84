"""Tiles on the device: blocks of texels by one copy and one launch, and the table by which a shader finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.cuda.kernels import Kernels, address, handle
from homunculus.bridge.cuda.pyramid import CudaPyramid, Levels
from homunculus.bridge.cuda.sampler import ShaderInput
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import TexelBlock
from homunculus.bridge.tiles.table import Table

HEAD_WORDS = 8  # `Block` in shaders/cuda/write.cu
GROUP = 256
TEXELS_EACH = 32  # of a thread, where a block is a page
MOST_ROWS = 65535  # of a grid

Send = Callable[[Tensor], Tensor]  # to the device, counted


def write(kernels: Kernels, levels: Levels, blocks: Iterable[TexelBlock], send: Send) -> int:
    """Writes blocks of bytes [h, w, 4] into levels; returns the number of launches. Nothing waits."""
    blocks = list(blocks)
    if not blocks:
        return 0
    packed = send(_packed(blocks, pinned=kernels.cuda.device.type == "cuda"))
    largest = max(block.texels.shape[0] * block.texels.shape[1] for block in blocks)
    rows = min(-(-largest // (GROUP * TEXELS_EACH)), MOST_ROWS)
    surfaces = (handle * 16)(*levels.surfaces)
    kernels.launch(kernels.get("write", "write_blocks", {}), (len(blocks), rows), (GROUP,), (address(packed), surfaces))
    return 1


def _packed(blocks: list[TexelBlock], *, pinned: bool) -> Tensor:
    """int32: the heads of all blocks, then their texels."""
    counts = [block.texels.shape[0] * block.texels.shape[1] for block in blocks]
    ends = HEAD_WORDS * len(blocks) + np.cumsum(counts)
    packed = torch.empty(int(ends[-1]), dtype=torch.int32, device="cpu", pin_memory=pinned)
    words = packed.numpy()
    heads = words[: HEAD_WORDS * len(blocks)].reshape(len(blocks), HEAD_WORDS)
    for head, end, count, (level, layer, top, left, texels) in zip(heads, ends, counts, blocks, strict=True):
        head[:] = (level, layer, top, left, *texels.shape[:2], end - count, 0)
        words[end - count : end] = np.ascontiguousarray(texels).view(np.int32).reshape(-1)
    return packed


class Tables:
    """The table that was sent last. It is sent again for another stream, which nothing orders after the first."""

    def __init__(self, send: Send, *, pinned: bool) -> None:
        """pinned: whether what is sent lies in pinned memory first, so that nothing waits."""
        self._send, self._pinned = send, pinned
        self._sent: tuple[tuple[int, Any], Tensor] | None = None

    def input_of(self, pyramid: PagedPyramid, plan: SamplePlan) -> ShaderInput:
        """A pyramid in pages, with the plan resident, whose last user the current stream waits for."""
        store = pyramid.store
        assert isinstance(store, CudaPyramid)
        store.levels.reuse()
        values = {
            **pyramid.uniforms(plan),
            "pyramid": store.levels.sampler(),
            "table": self._on_device(pyramid.table, store.levels.stream),
        }
        return ShaderInput(values, {"PAGED": 1, **pyramid.variant(plan)})

    def _on_device(self, table: Table, stream: Any) -> Tensor:
        sent = self._sent
        if sent is None or sent[0] != (table.stamp, stream):
            entries = torch.from_numpy(table.entries)
            sent = self._sent = (table.stamp, stream), self._send(entries.pin_memory() if self._pinned else entries)
        return sent[1]
