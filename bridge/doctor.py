"""What works on this machine, what does not, and the remedy."""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from homunculus.bridge.backends import BACKENDS, INSTEAD, REFERENCE, BackendRow
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.findings import BROKEN, HARDWARE, SOFTWARE, Report
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.unit import TextureUnit

# patches may differ by one step of rgba8 at the image's border
AGREEMENT = 1 / 255
# and with 8 fractional bits in the weights by twice that
HARDWARE_AGREEMENT = 2 / 255


def examine() -> Report:
    """Looks at what each backend needs, opens it on each device, and samples a picture with it."""
    report = Report()
    report.add("python", None, f"{platform.python_version()} on {platform.platform()}, torch {torch.__version__}")
    report.cuda = _cuda(report)
    for name, row in reversed(BACKENDS.items()):  # from what works wherever torch does to what is fastest
        examine_backend(report, name, row)
    return report


def examine_backend(report: Report, name: str, row: BackendRow) -> None:
    """One backend, on each device that is worth trying."""
    kind = row.load()
    for options in kind.candidates(report):
        topic = f"{'  ' if options else ''}backend {name}"
        try:
            unit = kind(**options)
        except HomunculusError as error:
            _off(report, topic, row, error)
            continue
        with unit:
            _judge(report, topic, row, unit)


def _off(report: Report, topic: str, row: BackendRow, error: HomunculusError) -> None:
    text, remedy = getattr(error, "text", str(error)), getattr(error, "remedy", "")
    if row.cuda and not report.cuda:
        told = f"off: no NVIDIA driver is loaded, and {text}"
        report.add(topic, None, told, f"on an NVIDIA GPU with its driver: {remedy}")
    else:
        report.add(topic, False, f"off: {text}", remedy)


def _judge(report: Report, topic: str, row: BackendRow, unit: TextureUnit) -> None:
    try:
        right = unit.findings(report)
        if row.reference:
            agrees = _constant_is_kept(unit)
            told = f"a constant picture comes back {'constant' if agrees else 'changed'}"
        else:
            difference = difference_from_reference(unit)
            agrees = difference <= (AGREEMENT if unit.software else HARDWARE_AGREEMENT)
            told = f"patches within {difference * 255:.3f}/255 of the float64 twin"
    except HomunculusError as error:
        right, agrees, told = False, False, f"fails at its work: {error}"
    right = right and agrees
    report.add(topic, right, told, "" if right else f"a fault of the driver; {INSTEAD} and report this output")
    if not right:
        report.exit_code = BROKEN
    elif not unit.emulated and report.exit_code != BROKEN:
        report.exit_code = min(report.exit_code, SOFTWARE if unit.software else HARDWARE)


def _cuda(report: Report) -> bool:
    """Whether an NVIDIA driver is loaded."""
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


def difference_from_reference(unit: TextureUnit) -> float:
    """The greatest, of patches of a picture in 0..1."""
    random = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (200, 328, 3), dtype=torch.uint8, generator=random, device="cpu")
    x, y, octaves, angle = torch.rand(4, 32, generator=random, dtype=torch.float32, device="cpu")
    plan = SamplePlan.squares(60 + 80 * torch.stack([x, y], -1), 8 * 2 ** (3 * octaves), 8, angle=angle)
    with (
        BACKENDS[REFERENCE].opened("asked for", {"dtype": torch.float64}) as twin,
        twin.pyramid(image) as oracle,
        unit.pyramid(image, builder="exact") as pyramid,
    ):
        expected = twin.sample(oracle, plan).pixels
        return float((unit.sample(pyramid, plan).pixels.cpu() - expected).abs().max())


def _constant_is_kept(unit: TextureUnit) -> bool:
    with unit.pyramid(torch.full((20, 30, 3), 93, dtype=torch.uint8, device="cpu")) as pyramid:
        plan = SamplePlan.boxes(torch.tensor([[11, 6, 19, 14]], dtype=torch.float32, device="cpu"), 8)
        return bool((unit.sample(pyramid, plan).pixels - 93 / 255).abs().max() < 1e-5)
