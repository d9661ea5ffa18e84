"""Matlab files: the same as SciPy reads, and what is none is told."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from homunculus.bridge.files.matlab import variables

ARRAYS: dict[str, Any] = {
    "matrix": np.arange(6.0).reshape(2, 3),
    "cube": np.arange(24, dtype=np.int16).reshape(2, 3, 4),
    "row": np.array([[1.5, -2.0, np.nan]]),
    "one": np.array([[7]], dtype=np.uint8),
    "none": np.zeros((0, 2)),
    "small": np.float32([0.25, 3]),
    "wide": np.array([[2**40, -1]], dtype=np.int64),
    "complex": np.array([1 + 2j, 3.0]),
}


def written(found: dict[str, Any], compressed: bool) -> bytes:
    file = io.BytesIO()
    savemat(file, found, do_compression=compressed)
    return file.getvalue()


@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_are_those_that_scipy_reads(compressed: bool) -> None:
    content = written(ARRAYS, compressed)
    expected = loadmat(io.BytesIO(content))
    found = variables(content)
    assert set(found) == set(ARRAYS)
    for name in ARRAYS:
        np.testing.assert_array_equal(found[name], expected[name].squeeze(), strict=True)


@pytest.mark.parametrize("compressed", [False, True])
def test_structs_texts_and_cells(compressed: bool) -> None:
    inner = {"eyeData": np.ones((4, 2)), "name": "an eye"}
    found = variables(written({"s": {"DATA": inner, "empty": []}, "c": np.array([1, "x"], object)}, compressed))
    np.testing.assert_array_equal(found["s"]["DATA"]["eyeData"], np.ones((4, 2)))
    assert found["s"]["DATA"]["name"] == "an eye"
    assert [found["c"][0].item(), found["c"][1]] == [1, "x"]
    several = np.zeros((2,), [("a", object)])
    several["a"] = [1.0, 2.0]
    assert [one["a"].item() for one in variables(written({"s": several}, compressed))["s"]] == [1, 2]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda content: b"MATLAB 4" + bytes(200), "does not begin as a file of versions 5 to 7"),
        (lambda content: content[:-3], "claims"),
        (lambda content: content + b"abc", "3 bytes stand after the last element"),
        (
            lambda content: content[:128] + b"\x0e\0\0\0\xff\xff\xff\x7f" + content[136:],
            "an element claims 2147483647 bytes",
        ),
    ],
)
def test_what_is_no_such_file_is_told(change: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        variables(change(written({"a": np.ones((3, 3))}, False)))
