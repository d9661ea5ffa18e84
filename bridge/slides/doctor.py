"""How a file of tiles is read, by whom and why, and whether its levels show what level 0 shows."""

from __future__ import annotations

import math
import os

from homunculus.bridge.errors import TileError
from homunculus.bridge.findings import Report
from homunculus.bridge.slides.file import Registered, TileFile
from homunculus.bridge.slides.open import open_tiles
from homunculus.bridge.tiles.source import TileLevel, grid

WHOLE, LACKING, DAMAGED = 0, 10, 30
VERDICTS = {
    WHOLE: "every level is in register with level 0, and is read as it lies in the file",
    LACKING: "what is seen is right; levels that are left out are made of the finer ones, which takes longer",
    DAMAGED: "level 0 has damaged tiles where it was tried; what is seen there comes from a coarser level",
}


def examine_file(path: str | os.PathLike[str], *, page: int = 0, dpi: float | None = None) -> Report:
    """Opens a file, and tells its reader, its levels and what was decided of them. Raises what `open_tiles` raises."""
    report = Report(exit_code=WHOLE, verdicts=VERDICTS)
    with open_tiles(path, page=page, dpi=dpi) as file:
        report.add("file", None, f"{file.name}, fingerprint {file.fingerprint}")
        report.add("reader", True, file.reader + "".join(f"; left to it by {reason}" for reason in file.passed_on))
        for topic, text in file.facts:
            report.add(topic, None, text)
        readable = _tried(file)
        report.add("level 0", not readable, _size(file.levels[0]) + (f"; {readable}" if readable else ""))
        if readable:
            report.exit_code = DAMAGED
        verdicts = {verdict.size: verdict for verdict in file.registration}
        told = [(level.size, level) for level in file.levels[1:]]
        told += [
            (verdict.size, TileLevel(verdict.size, verdict.size, verdict.scale))
            for verdict in file.registration
            if not verdict.kept
        ]
        for number, (size, level) in enumerate(sorted(told, key=lambda one: one[0], reverse=True), 1):
            _tell(report, f"level {number}", level, verdicts.get(size))
        tiles = sum(math.prod(grid(level)) for level in file.levels)
        report.add("tiles", None, f"{tiles} in {len(file.levels)} levels")
    return report


def _tried(file: TileFile) -> str:
    """What is wrong with a tile in the middle; empty where nothing is."""
    rows, columns = grid(file.levels[0])
    try:
        file.read(0, rows // 2, columns // 2)
    except TileError as error:
        return str(error)
    return ""


def _tell(report: Report, topic: str, level: TileLevel, verdict: Registered | None) -> None:
    scale = " x ".join(f"{step:.6g}" for step in dict.fromkeys(level.scale))
    if verdict is None:
        report.add(topic, None, f"{_size(level)}, scale {scale}")
        return
    figures = [] if math.isnan(verdict.rms) else [f"{verdict.rms:.2f}/255 off the finer level's mean"]
    figures += [] if math.isnan(verdict.shift_px) else [f"{verdict.shift_px:.2f} px off its place"]
    size = _size(level) if verdict.kept else f"{level.size[1]} x {level.size[0]} px"
    report.add(topic, verdict.kept, f"{size}, scale {scale}: {'; '.join([verdict.told, *figures])}")
    if not verdict.kept and report.exit_code == WHOLE:
        report.exit_code = LACKING


def _size(level: TileLevel) -> str:
    return f"{level.size[1]} x {level.size[0]} px, {math.prod(grid(level))} tiles of {level.tile[1]} x {level.tile[0]}"
