"""What works on this machine, what does not, and the remedy."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.gl.context import open_context
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.gl.simd import HAS_OPENCV
from homunculus.bridge.gl.unit import GLUnit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.twin.unit import TwinUnit
from homunculus.bridge.unit import Stats, TextureUnit
from homunculus.interop import EGLDevice, egl_devices

HARDWARE, SOFTWARE, TORCH_ONLY, BROKEN = 0, 10, 20, 30
VERDICTS = {
    HARDWARE: "a GPU's texture units work, by OpenGL, by CUDA or by both, as the lines above tell",
    SOFTWARE: "OpenGL runs on the CPU; results are right, speed is the processor's",
    TORCH_ONLY: "no OpenGL here; the torch backend does the same, more slowly",
    BROKEN: "a backend opens but gives wrong results; do not trust it",
}
VENDOR_FOLDERS = ("/etc/glvnd/egl_vendor.d", "/usr/share/glvnd/egl_vendor.d")
MESA = "Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri"
# patches of the round trip may differ by one step of rgba8 at the image's border
AGREEMENT = 1 / 255
# and with 8 fractional bits in the weights by twice that
HARDWARE_AGREEMENT = 2 / 255


@dataclass(frozen=True)
class Finding:
    """One thing looked at. ok is None where there is nothing to judge."""

    topic: str
    ok: bool | None
    text: str
    remedy: str = ""


@dataclass
class Report:
    """Findings in the order they were made, and the class of machine: exit_code is 0 with OpenGL or CUDA on a GPU, 10 with OpenGL on the
    CPU, 20 with torch alone, 30 where a backend gives wrong results."""

    findings: list[Finding] = field(default_factory=list)
    exit_code: int = TORCH_ONLY

    def add(self, topic: str, ok: bool | None, text: str, remedy: str = "") -> None:
        self.findings.append(Finding(topic, ok, text, remedy))

    @property
    def verdict(self) -> str:
        return VERDICTS[self.exit_code]

    @property
    def lines(self) -> list[str]:
        marks = {True: "ok  ", False: "no  ", None: "    "}
        lines = []
        for finding in self.findings:
            lines.append(f"{marks[finding.ok]} {finding.topic:<14} {finding.text}")
            if finding.remedy:
                lines.append(f"{'':19} remedy: {finding.remedy}")
        return [*lines, "", f"verdict: {self.verdict} (exit status {self.exit_code})"]

    def as_dict(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "exit_code": self.exit_code,
            "findings": [asdict(finding) for finding in self.findings],
        }


def examine() -> Report:
    """Looks at CUDA, the EGL libraries, drivers and devices, opens each, and samples a picture with every backend."""
    report = Report()
    report.add("python", None, f"{platform.python_version()} on {platform.platform()}, torch {torch.__version__}")
    cuda = _cuda(report)
    if _libraries(report):
        _vendors(report)
        _devices(report, cuda)
    report.add(
        "opencv",
        HAS_OPENCV,
        "installed: builder 'simd' can be used" if HAS_OPENCV else "not installed: no builder 'simd'",
        "" if HAS_OPENCV else "pip install opencv-python-headless makes pyramids on software OpenGL three times faster",
    )
    for unit in (GLCudaUnit, CudaUnit):
        _shared(report, unit, cuda)
    _torch(report)
    return report


def _shared(report: Report, kind: type[GLCudaUnit] | type[CudaUnit], cuda: bool) -> None:
    topic = f"backend {kind.backend}"
    try:
        with kind() as unit:
            difference = _difference_from_twin(unit)
    except HomunculusError as error:
        text, remedy = getattr(error, "text", str(error)), getattr(error, "remedy", "")
        if cuda:
            report.add(topic, False, f"off: {text}", remedy)
        else:
            report.add(
                topic,
                None,
                f"off: no NVIDIA driver is loaded, and {text}",
                f"on an NVIDIA GPU with its driver: {remedy}",
            )
        return
    right = difference <= HARDWARE_AGREEMENT
    told = f"patches within {difference * 255:.3f}/255 of the float64 twin"
    report.add(topic, right, told, "" if right else "a fault of the driver; use backend='torch' and report this output")
    report.exit_code = HARDWARE if right and report.exit_code != BROKEN else BROKEN


def _cuda(report: Report) -> bool:
    driver = Path("/proc/driver/nvidia/version")
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        report.add("cuda", True, f"CUDA {torch.version.cuda}: {', '.join(names)}")
        return True
    if driver.exists():
        build = (
            f"this torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "this torch is a CPU build"
        )
        report.add(
            "cuda",
            False,
            f"an NVIDIA driver is loaded, but torch sees no device: {build}",
            "install a CUDA build of torch",
        )
        return True
    report.add("cuda", None, "no NVIDIA driver is loaded")
    return False


def _libraries(report: Report) -> bool:
    loaded = True
    for name, file in (("EGL", "libEGL.so.1"), ("GL", "libGL.so.1")):
        try:
            ctypes.CDLL(ctypes.util.find_library(name) or file)
        except OSError as error:
            loaded = False
            remedy = MESA if sys.platform.startswith("linux") else "OpenGL through EGL needs Linux; use backend='torch'"
            report.add(file, False, str(error), remedy)
        else:
            report.add(file, True, "loads")
    return loaded


def _vendors(report: Report) -> None:
    named = os.environ.get("__EGL_VENDOR_LIBRARY_FILENAMES")
    folders = os.environ.get("__EGL_VENDOR_LIBRARY_DIRS", os.pathsep.join(VENDOR_FOLDERS)).split(os.pathsep)
    files = (
        [Path(file) for file in named.split(os.pathsep)]
        if named
        else [file for folder in folders for file in sorted(Path(folder).glob("*.json"))]
    )
    if not files:
        report.add("vendor files", False, f"none in {', '.join(folders)}", f"no EGL driver is installed. {MESA}")
    for file in files:
        try:
            library = json.loads(file.read_text())["ICD"]["library_path"]
            ctypes.CDLL(library)
        except FileNotFoundError:
            report.add(
                "vendor file", False, f"{file} does not exist", "unset __EGL_VENDOR_LIBRARY_FILENAMES, or correct it"
            )
        except (OSError, ValueError, KeyError) as error:
            report.add(
                "vendor file",
                False,
                f"{file}: {error}",
                "the driver it names is not installed, or not in this container",
            )
        else:
            report.add("vendor file", True, f"{file} names {library}, which loads")


def _devices(report: Report, cuda: bool) -> None:
    devices = egl_devices()
    if not devices:
        report.add("EGL devices", False, "none", f"libEGL found no usable driver. {MESA}")
    if cuda and not any(device.cuda_ordinal is not None for device in devices):
        report.add(
            "EGL and CUDA",
            False,
            "a CUDA device exists, but EGL lists no device of NVIDIA's",
            "in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics; elsewhere install libnvidia-gl for the "
            "running driver and check that /usr/share/glvnd/egl_vendor.d/10_nvidia.json names libEGL_nvidia.so.0",
        )
    for device in devices:
        _device(report, device, cuda)


def _device(report: Report, device: EGLDevice, cuda: bool) -> None:
    topic = f"EGL device {device.index}"
    kind = (
        "software"
        if device.software
        else f"CUDA device {device.cuda_ordinal}"
        if device.cuda_ordinal is not None
        else "hardware"
    )
    try:
        context = open_context(device.index)
    except HomunculusError as error:
        remedy = "add yourself to the groups render and video" if device.device_file else ""
        report.add(topic, False, f"{kind}, {device.device_file or 'no device file'}: {error}", remedy)
        return
    report.add(topic, True, f"{kind}: {context.renderer}, OpenGL {context.version}")
    limits = context.limits
    report.add("  limits", None, ", ".join(f"{name} {value}" for name, value in limits.as_dict().items()))
    if context.software and cuda:
        report.add(
            "  speed", False, "this is a software renderer, although a CUDA device exists", "see 'EGL and CUDA' above"
        )
    try:
        _round_trip(report, device.index)
    except HomunculusError as error:
        report.add("  backend gl", False, str(error))
        report.exit_code = BROKEN


def _round_trip(report: Report, index: int) -> None:
    with GLUnit(index) as unit:
        sent = torch.arange(64, dtype=torch.float32, device="cpu")

        def there_and_back() -> torch.Tensor:
            buffer = unit.context.buffer(256, Stats())
            buffer.write(sent)
            received = buffer.read((64,), torch.float32)
            unit.context.release(buffer)
            return received

        whole = torch.equal(unit.context.thread.call(there_and_back), sent)
        report.add("  buffer", whole, "256 bytes there and back" if whole else "256 bytes came back changed")
        exact = unit.driver_is_exact("rgba8")
        report.add(
            "  mipmaps",
            None,
            f"glGenerateMipmap is {'an exact box' if exact else 'not an exact box'}; default is '{unit.default_builder('rgba8')}'",
        )
        difference = _difference_from_twin(unit)
        right = whole and difference <= (AGREEMENT if unit.software else HARDWARE_AGREEMENT)
        report.add(
            "  backend gl",
            right,
            f"patches within {difference * 255:.3f}/255 of the float64 twin",
            "" if right else "a fault of the driver; use backend='torch' and report this output",
        )
        if not right:
            report.exit_code = BROKEN
        elif report.exit_code != BROKEN:
            report.exit_code = min(report.exit_code, SOFTWARE if unit.software else HARDWARE)


def _difference_from_twin(unit: TextureUnit) -> float:
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (200, 328, 3), dtype=torch.uint8, generator=random, device="cpu")
    x, y, octaves, angle = torch.rand(4, 32, generator=random, dtype=torch.float32, device="cpu")
    plan = SamplePlan.squares(60 + 80 * torch.stack([x, y], -1), 8 * 2 ** (3 * octaves), 8, angle=angle)
    with (
        TwinUnit(dtype=torch.float64) as twin,
        twin.pyramid(image) as oracle,
        unit.pyramid(image, builder="exact") as pyramid,
    ):
        expected = twin.sample(oracle, plan).pixels
        return float((unit.sample(pyramid, plan).pixels.cpu() - expected).abs().max())


def _torch(report: Report) -> None:
    with TwinUnit() as unit, unit.pyramid(torch.full((20, 30, 3), 93, dtype=torch.uint8, device="cpu")) as pyramid:
        plan = SamplePlan.boxes(torch.tensor([[11, 6, 19, 14]], dtype=torch.float32, device="cpu"), 8)
        patches = unit.sample(pyramid, plan)
        right = bool((patches.pixels - 93 / 255).abs().max() < 1e-5)
    report.add(
        "backend torch",
        right,
        "a constant picture comes back constant" if right else "a constant picture comes back changed",
    )
    if not right:
        report.exit_code = BROKEN
