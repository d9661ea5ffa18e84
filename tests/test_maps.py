"""Relevance maps from files: every format, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from homunculus.bridge.errors import HomunculusError
from homunculus.relevance.maps import read_relevance

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) / 11


def test_every_format_gives_the_same_map(tmp_path: Path) -> None:
    np.save(tmp_path / "map.npy", VALUES.astype(np.float64))
    save_file({"scores": torch.from_numpy(VALUES)}, tmp_path / "one.safetensors")
    other = {"relevance": torch.from_numpy(VALUES), "saliency": torch.zeros(2, 2)}
    save_file(other, tmp_path / "two.safetensors")
    Image.fromarray(np.rint(VALUES * 255).astype(np.uint8)).save(tmp_path / "map.png")
    for name, tolerance in (("map.npy", 0), ("one.safetensors", 0), ("two.safetensors", 0), ("map.png", 1 / 510)):
        relevance = read_relevance(tmp_path / name)
        assert relevance.dtype == torch.float32
        assert torch.allclose(relevance, torch.from_numpy(VALUES), rtol=0, atol=tolerance + 1e-7), name
    np.save(tmp_path / "mask.npy", VALUES > 0.5)
    assert read_relevance(tmp_path / "mask.npy").unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "write", "text"),
    [
        (
            "a.npy",
            lambda path: np.save(path, VALUES - 1),
            "a.npy runs from -1 to 0; it must be finite and not neg",
        ),
        ("a.npy", lambda path: np.save(path, VALUES * np.nan), "a.npy runs from nan to nan"),
        (
            "a.npy",
            lambda path: np.save(path, VALUES[0]),
            "a.npy is torch.float32 (4,); expected floats [h, w]",
        ),
        ("a.npy", lambda path: np.save(path, np.array([["x"]])), "it holds <U1, not numbers; write it with numpy.save"),
        ("a.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), "a.npy cannot be read: Object arrays"),
        ("a.npy", lambda path: path.write_bytes(b"junk"), "a.npy cannot be read"),
        ("a.npy", lambda path: path.write_bytes(b""), "a.npy is empty (0 bytes)"),
        ("a.safetensors", lambda path: path.write_bytes(b"junk"), "a.safetensors cannot be read"),
        (
            "a.safetensors",
            lambda path: save_file({"a": torch.ones(2, 2), "b": torch.ones(2, 2)}, path),
            "it holds a, b, and none named relevance",
        ),
        ("a.png", lambda path: path.write_bytes(b"junk"), "a.png is not a picture"),
        ("a.npy", lambda path: None, "a.npy cannot be opened: No such file or directory"),
    ],
)
def test_what_is_no_map_is_refused(tmp_path: Path, name: str, write: Callable[[Path], object], text: str) -> None:
    write(tmp_path / name)
    with pytest.raises(HomunculusError) as caught:
        read_relevance(tmp_path / name)
    assert text in str(caught.value)
