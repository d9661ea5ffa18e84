"""The doctor tells the truth about machines with and without OpenGL."""

import json
import os
import subprocess
import sys
from pathlib import Path

import host_cuda
import pytest
import torch
from stand_in_cuda import StandInCuda

from homunculus.bridge import doctor, findings
from homunculus.bridge.backends import BACKENDS, BackendRow
from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import CudaError
from homunculus.bridge.findings import Report
from homunculus.bridge.gl import machine
from homunculus.bridge.gl.unit import GLUnit


def run_doctor(**environment: str) -> tuple[int, dict]:
    done = subprocess.run(
        [sys.executable, "-m", "homunculus", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **environment},
    )
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.gl
def test_where_opengl_works(gl_works: str) -> None:
    status, report = run_doctor()
    topics = {finding["topic"]: finding for finding in report["findings"]}
    assert status == report["exit_code"] == (findings.SOFTWARE if "llvmpipe" in gl_works else findings.HARDWARE)
    for topic in ("libEGL.so.1", "vendor file", "EGL device 0", "  buffer", "  backend gl", "backend torch"):
        assert topics[topic]["ok"], topics[topic]
    assert gl_works in topics["EGL device 0"]["text"]
    assert "texture_px" in topics["  limits"]["text"]


@pytest.mark.slow
def test_without_a_driver_it_names_the_remedy_and_torch_still_works() -> None:
    status, report = run_doctor(__EGL_VENDOR_LIBRARY_FILENAMES="/nonexistent.json")
    topics = {finding["topic"]: finding for finding in report["findings"]}
    assert status == report["exit_code"] == findings.TORCH_ONLY
    assert "does not exist" in topics["vendor file"]["text"]
    assert "unset __EGL_VENDOR_LIBRARY_FILENAMES" in topics["vendor file"]["remedy"]
    assert topics["EGL devices"]["ok"] is False
    assert "apt install libegl1" in topics["EGL devices"]["remedy"]
    assert topics["backend torch"]["ok"]


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(machine.ctypes, "CDLL", refuse)
    report = doctor.examine()
    assert report.exit_code == findings.TORCH_ONLY
    assert any("libgl1-mesa-dri" in finding.remedy for finding in report.findings if finding.topic == "libEGL.so.1")


def test_a_container_without_graphics_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    report = Report(cuda=True)
    monkeypatch.setattr(machine, "egl_devices", list)
    assert list(machine.candidates(report)) == []
    (finding,) = [finding for finding in report.findings if finding.topic == "EGL and CUDA"]
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics" in finding.remedy


@pytest.mark.gl
def test_wrong_patches_are_called_broken(gl_unit: GLUnit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "difference_from_reference", lambda unit: 0.1)
    report = doctor.examine()
    assert report.exit_code == findings.BROKEN
    assert "do not trust it" in report.lines[-1]
    assert any("25.500/255" in line for line in report.lines)


def test_why_the_cuda_backends_are_off_and_what_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA; the reasons are for machines without")
    monkeypatch.setattr(torch.version, "cuda", None)
    for driver, mark in ((False, None), (True, False)):
        report = Report(cuda=driver)
        rows = {name: row for name, row in BACKENDS.items() if row.cuda}
        for name, row in rows.items():
            doctor.examine_backend(report, name, row)
        assert [finding.topic for finding in report.findings] == [f"backend {name}" for name in rows]
        for finding in report.findings:
            assert finding.ok is mark
            assert finding.text.startswith("off: ")
            assert "is a CPU build" in finding.text
            assert "install a CUDA build of torch" in finding.remedy
            assert ("no NVIDIA driver is loaded" in finding.text) is not driver


def test_cuda_python_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "cuda", None)
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    report = Report(cuda=True)
    doctor.examine_backend(report, "cuda", BACKENDS["cuda"])
    assert "cuda-python is not installed" in report.findings[0].text
    assert report.findings[0].remedy == "pip install cuda-bindings"


class Works(CudaUnit):
    """On a machine without CUDA."""

    def __init__(self) -> None:
        super().__init__(cuda=StandInCuda())


def test_cuda_backends_that_work_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    if host_cuda.COMPILER is None:
        pytest.skip("no C++ compiler (g++ or clang++) to build the kernels for the CPU with")
    row, load = BackendRow("", frozenset(), cuda=True), BackendRow.load
    monkeypatch.setattr(BackendRow, "load", lambda self: Works if self is row else load(self))
    report = Report(cuda=True)
    doctor.examine_backend(report, "cuda", row)
    assert report.findings[0].ok
    assert "/255 of the float64 twin" in report.findings[0].text
    assert report.exit_code == findings.HARDWARE
    monkeypatch.setattr(doctor, "difference_from_reference", lambda unit: 0.1)
    doctor.examine_backend(report, "cuda", row)
    assert report.exit_code == findings.BROKEN


def test_a_unit_that_opens_and_fails_at_its_work_is_called_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(unit: object) -> float:
        raise CudaError("cudaGraphicsMapResources answered cudaErrorUnknown")

    monkeypatch.setattr(doctor, "difference_from_reference", fail)
    report = Report()
    doctor.examine_backend(report, "mine", BackendRow("homunculus.bridge.twin.unit:TwinUnit", frozenset()))
    assert report.findings[0].text == "fails at its work: cudaGraphicsMapResources answered cudaErrorUnknown"
    assert report.exit_code == findings.BROKEN


@pytest.mark.slow
def test_a_slide_is_examined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile = pytest.importorskip("tifffile", reason="slides need tifffile and imagecodecs")
    pytest.importorskip("imagecodecs", reason="slides need tifffile and imagecodecs")
    import slides
    import typer.testing

    from homunculus.cli.commands import app

    slide = slides.write(tmp_path / "a.svs", (1501, 2003), steps=(1, 4))
    done = typer.testing.CliRunner().invoke(app, ["doctor", str(slide.path)])
    assert done.exit_code == 0
    for told in (
        "ok   reader         tiff\n",
        "     format         BigTIFF (svs), JPEG, 8 bits, RGB, tiles\n",
        "     pixel          0.25 µm, the description's MPP\n",
        "ok   level 0        2003 x 1501 px, 48 tiles of 256 x 256\n",
        "ok   level 1        500 x 375 px, 4 tiles of 256 x 256, scale 4: a whole step; 0.",
        "     tiles          52 in 2 levels\n",
        "verdict: every level is in register with level 0, and is read as it lies in the file (exit status 0)",
    ):
        assert told in done.output
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        for pixels in (slide.picture.region(0, 0, 512, 512), slide.picture.region(0, 9, 256, 256, 2)):
            file.write(pixels, photometric="rgb", tile=(128, 128), metadata=None)
    done = typer.testing.CliRunner().invoke(app, ["doctor", str(tmp_path / "b.tif"), "--json"])
    found = json.loads(done.output)
    assert done.exit_code == found["exit_code"] == 10
    assert [one["ok"] for one in found["findings"] if one["topic"].startswith("level")] == [True, False]
    assert "not in register: left out, and made of the finer level" in done.output
    done = typer.testing.CliRunner().invoke(app, ["doctor", str(tmp_path / "none.svs")])
    assert done.exit_code == 2
