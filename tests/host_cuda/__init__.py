"""A test tool: kernels compiled as C++ for this machine's CPU, so that their arithmetic is proven without a GPU."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

HEADER = Path(__file__).with_name("host_cuda.h")
COMPILER = shutil.which("g++") or shutil.which("clang++")
FLAGS = ("-std=c++20", "-O2", "-shared", "-fPIC", "-w", "-ffp-contract=off")
_FOLDER = Path(tempfile.gettempdir()) / f"homunculus-host-kernels-{os.getuid()}"


def build(name: str, text: str) -> ctypes.CDLL:
    """The library of a CUDA text, kept between runs. For every kernel `k` it has `launch_k(grid, block, arguments)`."""
    assert COMPILER is not None
    kernels = re.findall(r"__global__ void (?:__launch_bounds__\([^)]*\) )?(\w+)\(", text)
    assert kernels, "no kernel found"
    whole = f'#include "{HEADER}"\n{text}\n' + "".join(f"HOST_KERNEL({kernel})\n" for kernel in kernels)
    key = hashlib.sha256((whole + HEADER.read_text() + " ".join(FLAGS)).encode()).hexdigest()[:16]
    library = _FOLDER / f"{name.replace('/', '-')}-{key}.so"
    if not library.exists():
        _FOLDER.mkdir(exist_ok=True)
        source = library.with_suffix(f".{os.getpid()}.cpp")
        source.write_text(whole)
        part = library.with_suffix(f".{os.getpid()}.part")
        done = subprocess.run([COMPILER, *FLAGS, "-o", part, source], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr[:4000]
        part.rename(library)
        source.unlink()
    return ctypes.CDLL(str(library))
