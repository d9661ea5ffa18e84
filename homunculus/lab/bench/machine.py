"""What a number was measured on: processor, memory, versions, commit."""

from __future__ import annotations

import ctypes
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import torch

from homunculus.bridge.versions import version_of
from homunculus.lab.bench.timing import laps_ms, summary

PACKAGES = ("torch", "numpy", "moderngl", "opencv-python-headless", "kornia", "torchvision")
COPIED_BYTES = 256 << 20
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def describe() -> dict[str, Any]:
    """Processor, threads, versions and commit, in JSON types."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "load_average": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "commit": _commit(),
    }


def copy_gb_per_s(device: str = "cpu") -> float:
    """How many bytes, read and written, a plain copy of 256 MiB moves in a second: what nothing on this memory can exceed."""
    source = torch.ones(COPIED_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    timing = summary(laps_ms(lambda: target.copy_(source), 9))
    return round(2 * COPIED_BYTES / timing.lower_quartile_ms / 1e6, 1)


def free_bytes(device: str = "cpu") -> int | None:
    """Memory that can still be had there; None where the system does not tell."""
    if device == "cuda":
        return int(torch.cuda.mem_get_info()[0])
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return None


def peak_mib(*, reset: bool = False) -> float:
    """The process's greatest resident memory since the last reset; on Linux alone, elsewhere 0.

    reset: gives freed memory back to the system, begins anew, and returns what is resident now.
    """
    if not STATUS.is_file():
        return 0.0
    if reset:
        ctypes.CDLL(None).malloc_trim(0)
        CLEAR.write_text("5")
    kib = re.search(r"VmHWM:\s+(\d+)", STATUS.read_text())
    return int(kib[1]) / 1024 if kib else 0.0


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The source's commit, with a mark where it was changed since; None outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
