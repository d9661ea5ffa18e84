"""What this machine offers OpenGL: libraries, drivers and devices."""

from __future__ import annotations

import ctypes
import ctypes.util
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from homunculus.bridge.backends import INSTEAD
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.findings import Report
from homunculus.bridge.gl.context import open_context
from homunculus.bridge.opencv import HAS_OPENCV
from homunculus.interop.egl import EGLDevice, egl_devices

VENDOR_FOLDERS = ("/etc/glvnd/egl_vendor.d", "/usr/share/glvnd/egl_vendor.d")
MESA = "Debian, Ubuntu: apt install libegl1 libgl1 libgl1-mesa-dri"


def candidates(report: Report) -> Iterator[dict[str, Any]]:
    """Looks at the EGL libraries and drivers, and opens each device: the options of a unit on each that opens."""
    if _libraries(report):
        _vendors(report)
        yield from _devices(report)
    report.add(
        "opencv",
        HAS_OPENCV,
        "installed: builder 'simd' can be used" if HAS_OPENCV else "not installed: no builder 'simd'",
        "" if HAS_OPENCV else "pip install opencv-python-headless makes pyramids on software OpenGL three times faster",
    )


def _libraries(report: Report) -> bool:
    loaded = True
    for name, file in (("EGL", "libEGL.so.1"), ("GL", "libGL.so.1")):
        try:
            ctypes.CDLL(ctypes.util.find_library(name) or file)
        except OSError as error:
            loaded = False
            remedy = MESA if sys.platform.startswith("linux") else f"OpenGL through EGL needs Linux; {INSTEAD}"
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


def _devices(report: Report) -> Iterator[dict[str, Any]]:
    devices = egl_devices()
    if not devices:
        report.add("EGL devices", False, "none", f"libEGL found no usable driver. {MESA}")
    if report.cuda and not any(device.cuda_ordinal is not None for device in devices):
        report.add(
            "EGL and CUDA",
            False,
            "a CUDA device exists, but EGL lists no device of NVIDIA's",
            "in a container set NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics; elsewhere install libnvidia-gl for the "
            "running driver and check that /usr/share/glvnd/egl_vendor.d/10_nvidia.json names libEGL_nvidia.so.0",
        )
    for device in devices:
        if _opens(report, device):
            yield {"device_index": device.index}


def _opens(report: Report, device: EGLDevice) -> bool:
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
        return False
    report.add(topic, True, f"{kind}: {context.renderer}, OpenGL {context.version}")
    report.add("  limits", None, ", ".join(f"{name} {value}" for name, value in asdict(context.limits).items()))
    if context.software and report.cuda:
        report.add(
            "  speed", False, "this is a software renderer, although a CUDA device exists", "see 'EGL and CUDA' above"
        )
    return True
