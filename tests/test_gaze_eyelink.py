"""A real recording of an EyeLink is read, and plays."""

from __future__ import annotations

import math
import random
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from homunculus.bridge.errors import BackendUnavailableError, DataError
from homunculus.bridge.gl.unit import GLUnit
from homunculus.relevance.gaze import eyelink
from homunculus.relevance.gaze.bids import read_bids, write_bids
from homunculus.relevance.gaze.files import read_gaze
from homunculus.relevance.gaze.recording import GazeRecording, GazeScreen
from homunculus.viewer.command import ViewOptions, view
from homunculus.viewer.playlist import Playlist
from homunculus.viewer.session import Session

ASC = Path(__file__).parent / "data" / "eyelink.asc"


@pytest.mark.slow
def test_a_real_recording_of_an_eyelink_is_read(tmp_path: Path) -> None:
    """The file's own events say EFIX L 2154563 2154695 at (141.0, 132.2)."""
    read = read_gaze(ASC)
    assert isinstance(read, GazeRecording)
    assert (len(read), read.rate_hz, read.eye) == (16, 1000, "left")
    assert read.screen == GazeScreen((1024, 1280))
    assert (read.time_s[0], read.time_s[-1]) == (0, pytest.approx(184.735))
    assert read.table[0, 1:].tolist() == [138.1, 132.8, 778]
    assert read.pupil is not None
    first = read.scanpath(37.0).fixations[0]
    assert math.dist((first.x_px, first.y_px), (141.0, 132.2)) < 3
    assert first.duration_ms == pytest.approx(133, abs=10)
    write_bids(tmp_path / "a_physio.tsv.gz", read)
    assert np.allclose(read_bids(tmp_path / "a_physio.tsv.gz").table, read.table, rtol=0, atol=1e-6)
    (tmp_path / "a.asc").write_text("\n".join(line for line in ASC.read_text().splitlines() if not line[:1].isdigit()))
    for content in (b"hello", b"\xff\xfe\x00", (tmp_path / "a.asc").read_bytes()):
        (tmp_path / "a.asc").write_bytes(content)
        with pytest.raises(DataError, match=r"a.asc .*expected EyeLink's .asc with samples"):
            read_gaze(tmp_path / "a.asc")
    whole, chance = ASC.read_bytes(), random.Random(0)
    for _ in range(100):
        damaged = bytearray(whole[: chance.randrange(1, len(whole))])
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        (tmp_path / "a.asc").write_bytes(damaged)
        with suppress(DataError):
            read_gaze(tmp_path / "a.asc")


@pytest.mark.slow
def test_of_two_eyes_the_mean_is_taken(tmp_path: Path) -> None:
    text = (
        ASC.read_text()
        .replace("GAZE\tLEFT", "GAZE\tLEFT\tRIGHT")
        .replace("START\t2154556 \tLEFT", "START\t2154556 \tLEFT\tRIGHT")
    )
    lines = []
    for line in text.replace("1000 2 1 L", "1000 2 1 LR").splitlines():
        parts = line.split("\t")
        eyes = [part.strip() for part in parts[1:4]]
        if line[:1].isdigit():
            other = [".", ".", "0.0"] if len(lines) % 2 else [str(float(value) + 10) for value in eyes]
            line = "\t".join([parts[0], *eyes, *other, "0.0", "....."])
        lines.append(line)
    lines.insert(-3, "2339291\t   .\t   .\t    0.0\t   .\t   .\t    0.0\t    0.0\t.....")
    lines.insert(-3, "MSG\t2339291 Straße")
    (tmp_path / "both.asc").write_text("\n".join(lines), encoding="latin-1")
    one, two = read_gaze(ASC), read_gaze(tmp_path / "both.asc")
    assert isinstance(one, GazeRecording)
    assert isinstance(two, GazeRecording)
    assert two.eye == "cyclopean"
    assert set(np.round(two.x_px[:-1] - one.x_px, 6).tolist()) == {0, 5}
    assert set(np.round(two.pupil[:-1] - one.pupil, 6).tolist()) == {0, 5}  # type: ignore[index,operator]
    assert np.isnan(two.table[-1, 1:]).all(), "both closed"
    assert "both eyes were recorded" in two.remarks[0]


def test_without_pymovements_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(eyelink, "import_module", absent)
    with pytest.raises(BackendUnavailableError, match=r"Run: pip install 'homunculus-eye\[eyelink\]'"):
        read_gaze(ASC)


@pytest.mark.gl
@pytest.mark.slow
def test_a_real_recording_of_an_eyelink_plays(gl_unit: GLUnit, tmp_path: Path) -> None:
    """Sample by sample, before a picture as large as its display; at its end the gaze is where the last sample was."""
    picture = tmp_path / "page.png"
    Image.new("RGB", (1280, 1024), (200, 190, 90)).save(picture)
    read = read_gaze(ASC)
    assert isinstance(read, GazeRecording)
    clock = {"ms": 0.0}

    def play() -> list[tuple[float, float]]:
        session = Session(gl_unit, Playlist([picture]), (128, 160), played=read, now_ms=lambda: clock["ms"])
        session.following.play()
        seen = []
        for time_s in read.time_s.tolist():
            clock["ms"] = 1000 * time_s + 0.1
            session.look()
            seen.append(session.state.gaze)
        session.close()
        return seen

    assert gl_unit.context.thread.call(play) == list(zip(read.x_px.tolist(), read.y_px.tolist(), strict=True))
    out = tmp_path / "out.png"
    assert view(ViewOptions(paths=[picture], play=ASC, screenshot=out, size=(512, 640))) == [out]
    with Image.open(out) as image:
        assert image.size == (640, 512)
