"""The reader of text: what it reads, what it refuses, and what it says without its extra."""

from __future__ import annotations

import builtins
import pickle
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from homunculus.bridge.errors import BackendUnavailableError, ImageError, ModelError
from homunculus.encoder import ocr
from homunculus.encoder.ocr import TextReader

needs_ocr = pytest.mark.skipif(
    not (find_spec("rapidocr") and find_spec("onnxruntime")), reason="rapidocr and onnxruntime are not installed"
)
LINES = {"Invoice number": (40, 30), "2024-118": (340, 30), "Amount due": (40, 110)}


@pytest.fixture(scope="module")
def reader() -> TextReader:
    return TextReader()


def written() -> np.ndarray[Any, Any]:
    matplotlib = pytest.importorskip("matplotlib")
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), 24)
    image = Image.new("RGB", (560, 180), "white")
    for text, place in LINES.items():
        ImageDraw.Draw(image).text(place, text, font=font, fill="black")
    return np.asarray(image)


@needs_ocr
@pytest.mark.slow
def test_it_reads_lines_where_they_stand_and_says_nothing_else(reader: TextReader, capfd: Any) -> None:
    lines = reader.read(written())
    assert {line.text for line in lines} == set(LINES)
    for line in lines:
        left, top = LINES[line.text]
        assert left - 8 <= line.box[0] <= left + 4
        assert top - 8 <= line.box[1] <= top + 12
        assert line.box[0] + 90 < line.box[2] < line.box[0] + 240
        assert line.confidence > 0.9
    assert capfd.readouterr() == ("", "")


@needs_ocr
@pytest.mark.slow
def test_it_recognises_crops_in_their_order_and_survives_a_pickle(reader: TextReader) -> None:
    image = written()
    crops = [image[y - 4 : y + 36, x - 6 : x + 220] for x, y in LINES.values()]
    found = pickle.loads(pickle.dumps(reader)).recognise(crops[::-1])
    assert [text for text, _ in found] == list(LINES)[::-1]
    assert all(0.9 < confidence <= 1 for _, confidence in found)
    assert reader.recognise([]) == []


@needs_ocr
@pytest.mark.slow
def test_blank_pictures_of_any_shape_hold_no_line() -> None:
    reader = TextReader(least_side_px=96)
    for shape in ((64, 64), (400, 3), (3, 400), (1, 1)):
        assert reader.read(np.full((*shape, 3), 255, np.uint8)) == []


@needs_ocr
@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_no_picture_is_refused(reader: TextReader, bad: np.ndarray[Any, Any]) -> None:
    call: Callable[[], Any]
    for call in (lambda: reader.read(bad), lambda: reader.recognise([bad])):
        with pytest.raises(ImageError, match=r"expected uint8 \[h, w, 3\]"):
            call()


@needs_ocr
def test_weights_that_are_not_in_the_wheel_are_never_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ocr.MODELS, "Rec", "PP-OCRv99.onnx")
    with pytest.raises(ModelError, match=r"lacks PP-OCRv99.onnx, and nothing is fetched; install a version"):
        TextReader()


@pytest.mark.parametrize("absent", ["rapidocr", "onnxruntime"])
def test_without_the_extra_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch, absent: str) -> None:
    def without(name: str) -> Any:
        if name == absent:
            raise ImportError(f"No module named {absent!r}")
        return builtins

    monkeypatch.setattr(ocr, "import_module", without)
    with pytest.raises(BackendUnavailableError, match=rf"{absent}.*Run: pip install rapidocr onnxruntime"):
        TextReader()
    assert "pip install rapidocr onnxruntime" in ocr.missing()
