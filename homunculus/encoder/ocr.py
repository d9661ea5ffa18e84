"""Reading text: where lines stand in a picture and what they say, by PP-OCRv6 as the wheel of rapidocr carries it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from homunculus.bridge.errors import BackendUnavailableError, ImageError, ModelError
from homunculus.bridge.values import shown, whole

MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
REMEDY = "run: pip install rapidocr onnxruntime"
LONGEST_SIDE_PX = 6000  # beyond it rapidocr shrinks a picture; the default, 2000, is less than a page
MOST_TALL = 8  # heights a width: a narrower picture is widened by its last column, or detection would enlarge it beyond all memory
LEAST_DETECTED_PX = 736  # what rapidocr enlarges the smaller side to before it looks for lines

Pixels = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Line:
    """A line of text as it was read. box: (left, top, right, bottom) in pixels of the picture read. confidence: in 0..1."""

    text: str
    box: tuple[float, float, float, float]
    confidence: float


class ReadsText(Protocol):
    """Whatever reads lines off a picture."""

    def read(self, image: Pixels, /) -> Sequence[Line]:
        """The lines of a picture, uint8 [h, w, 3]."""
        ...


class TextReader:
    """PP-OCRv6 (small) as rapidocr's wheel carries it, on the CPU: detection of lines, and recognition of what they say.

    Nothing is fetched: weights that are not in the wheel are refused. Nothing is dropped for a low confidence. threads: of the
    inference. least_side_px: what the smaller side of a picture is enlarged to before lines are looked for in it.
    Raises BackendUnavailableError, with the remedy, without rapidocr or onnxruntime, and ModelError where its weights are missing.
    """

    def __init__(self, *, threads: int = 1, least_side_px: int = LEAST_DETECTED_PX) -> None:
        self.threads = whole("threads", threads)
        self.least_side_px = whole("least_side_px", least_side_px, least=32)
        package = _package()
        folder = Path(str(package.__file__)).parent / "models"
        if lacking := [name for name in MODELS.values() if not (folder / name).is_file()]:
            raise ModelError(
                f"rapidocr here lacks {', '.join(lacking)}, and nothing is fetched; install a version that carries "
                "them, such as: pip install rapidocr==3.10.0"
            )
        params = {
            "Global.log_level": "critical",
            "Global.text_score": 0.0,
            "Global.max_side_len": LONGEST_SIDE_PX,
            "Global.use_cls": False,
            "EngineConfig.onnxruntime.intra_op_num_threads": self.threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            "Det.limit_side_len": self.least_side_px,
            **{f"{part}.model_path": str(folder / name) for part, name in MODELS.items()},
        }
        self._engine: Any = package.RapidOCR(params=params)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (self.threads, self.least_side_px)

    def read(self, image: Pixels) -> list[Line]:
        """The lines of a picture, uint8 [h, w, 3], from top to bottom. Raises ImageError for what is no such picture."""
        image = _checked(image)
        height, width = image.shape[:2]
        padded = np.pad(image, ((0, 0), (0, max(0, -(-height // MOST_TALL) - width)), (0, 0)), mode="edge")
        found = self._engine(padded[..., ::-1].copy(), use_det=True, use_cls=False, use_rec=True)
        if found.boxes is None or found.txts is None:
            return []
        corners = np.asarray(found.boxes, dtype=np.float64)
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1).tolist()
        return [
            Line(text, (left, top, min(right, width), bottom), float(score))
            for text, (left, top, right, bottom), score in zip(found.txts, boxes, found.scores, strict=True)
        ]

    def recognise(self, crops: Sequence[Pixels]) -> list[tuple[str, float]]:
        """What each picture, uint8 [h, w, 3], of one line says, and how sure that is, in 0..1."""
        pictures = [_checked(crop)[..., ::-1].copy() for crop in crops]
        if not pictures:
            return []
        recogniser = self._engine._load_rec_model()
        found = recogniser(import_module("rapidocr.ch_ppocr_rec").TextRecInput(img=pictures, return_word_box=False))
        return [(str(text), float(score)) for text, score in zip(found.txts, found.scores, strict=True)]


def missing() -> str:
    """Why nothing can be read here, with the remedy; empty where it can."""
    try:
        _package()
    except BackendUnavailableError as error:
        return str(error)
    return ""


def _package() -> ModuleType:
    try:
        import_module("onnxruntime")
        return import_module("rapidocr")
    except ImportError as error:
        raise BackendUnavailableError(f"to read text needs rapidocr and onnxruntime ({error})", REMEDY) from None


def _checked(image: Pixels) -> Pixels:
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise ImageError(f"the picture to read is {image.dtype} {shown(image.shape)}; expected uint8 [h, w, 3]")
    return image


def _made(threads: int, least_side_px: int) -> TextReader:
    return TextReader(threads=threads, least_side_px=least_side_px)
