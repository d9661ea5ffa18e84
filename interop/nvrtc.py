"""CUDA text to machine code by NVRTC, which needs no GPU. With `interop.cuda` the only place that touches cuda-python."""

from __future__ import annotations

from typing import Any

from homunculus.interop.errors import CudaError

OPTIONS = ("--std=c++20", "-default-device", "-lineinfo")
REMEDY = "pip install cuda-bindings; the library itself comes with a CUDA build of torch, or by pip install nvidia-cuda-nvrtc"


def compile_text(name: str, text: str, architecture: str) -> bytes:
    """Machine code (cubin) of a header-free CUDA text for an architecture such as `sm_90`; PTX of the newest that NVRTC knows, for
    the driver to finish, where it does not know that one. Raises CudaError with the compiler's log.
    """
    nvrtc = _nvrtc()
    known = _call(nvrtc, "nvrtcGetSupportedArchs", None)
    number = int(architecture.removeprefix("sm_"))
    native = number in known
    target = architecture if native else f"compute_{max((arch for arch in known if arch <= number), default=known[0])}"
    program = _call(nvrtc, "nvrtcCreateProgram", None, text.encode(), name.encode(), 0, [], [])
    try:
        options = [option.encode() for option in (f"--gpu-architecture={target}", *OPTIONS)]
        _call(nvrtc, "nvrtcCompileProgram", program, len(options), options)
        kind = "CUBIN" if native else "PTX"
        binary: bytes = b" " * _call(nvrtc, f"nvrtcGet{kind}Size", program)  # cuda-python fills it in place
        _call(nvrtc, f"nvrtcGet{kind}", program, binary)
        return binary
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _nvrtc() -> Any:
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()  # loads the library
    except Exception as error:  # cuda-pathfinder raises a type of its own where there is no library
        raise CudaError(f"NVRTC cannot be loaded ({str(error).splitlines()[0]})", REMEDY) from None
    return nvrtc


def _call(nvrtc: Any, call: str, program: Any, *arguments: Any) -> Any:
    given = arguments if program is None else (program, *arguments)
    status, *values = getattr(nvrtc, call)(*given)
    if int(status) != 0:
        log = ""
        if program is not None:
            _, size = nvrtc.nvrtcGetProgramLogSize(program)
            buffer = b" " * size
            nvrtc.nvrtcGetProgramLog(program, buffer)
            log = ": " + buffer.decode(errors="replace").strip("\0 \n")
        raise CudaError(f"{call} answered {getattr(status, 'name', status)}{log}")
    return values[0] if len(values) == 1 else tuple(values)
