"""Features in which words look like a drawing of them in another typeface, at sizes too small to read."""

from __future__ import annotations

from importlib.resources import as_file, files
from itertools import pairwise
from os import PathLike
from pathlib import Path
from typing import Self

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.bridge.files import write_tensors
from homunculus.bridge.files.reading import fill, read_tensors

SHIPPED = "words.safetensors"
HIDDEN, FEATURES = 16, 6
FIRST_SHARPNESS = 20.0  # of likeness in -1..1, before places compete for the probability
REMEDY = "give the file that `homunculus train words` wrote"


class WordFeatures(nn.Module):
    """[..., 1, H, W] of ink to [..., 1 + FEATURES, H, W]: the ink, and what three convolutions make of it."""

    def __init__(self) -> None:
        super().__init__()
        widths = 1, HIDDEN, HIDDEN, FEATURES
        layers: list[nn.Module] = []
        for coming, going in pairwise(widths):
            layers += [nn.Conv2d(coming, going, 3, padding=1, dtype=torch.float32, device="cpu"), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
        self.sharpness = nn.Parameter(torch.tensor(FIRST_SHARPNESS, dtype=torch.float32, device="cpu"))
        with torch.no_grad():
            layers[-2].get_parameter("weight").mul_(0.1)  # it starts near to plain correlation

    def forward(self, ink: Tensor) -> Tensor:
        return torch.cat([ink, self.layers(ink)], -3)

    def save(self, path: Path) -> None:
        """Raises WriteError."""
        write_tensors(path, dict(self.state_dict()), {})

    @classmethod
    def load(cls, path: str | PathLike[str] | None = None) -> Self:
        """As they were saved, in eval mode, on the CPU; without a path those that ship with the library.

        Raises ModelError for a file that is missing, or holds none.
        """
        if path is None:
            with as_file(files("homunculus.encoder") / "data" / SHIPPED) as shipped:
                return cls.load(shipped)
        tensors, _ = read_tensors(Path(path), error=ModelError, remedy=REMEDY)
        model = cls()
        fill(model, tensors, Path(path), error=ModelError, remedy=REMEDY)
        return model.eval()
