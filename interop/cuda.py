"""The seam to CUDA: every call of this library to cuda-python, on one device. Nothing else imports `cuda`; tests put a stand-in here.

Handles are what cuda-python gives, opaque to callers. A mapped resource belongs to CUDA until it is unmapped, and OpenGL calls
issued before `map` complete before work issued on that stream afterwards (CUDA Runtime API, Graphics Interoperability).
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from homunculus.interop.errors import CudaError
from homunculus.interop.nvrtc import compile_text

CAPTURE_REMEDY = "run it once before the capture, so that kernels and memory exist already"
SURFACE_LOAD_STORE, LAYERED = 2, 1


def open_cuda(device: torch.device | str | int | None = None) -> Cuda:
    """The seam on that CUDA device, by default torch's current one. Raises CudaError with the reason and the remedy."""
    if not torch.cuda.is_available():
        if torch.version.cuda is None:
            raise CudaError(f"torch {torch.__version__} is a CPU build", "install a CUDA build of torch (pytorch.org)")
        raise CudaError(
            f"torch is built for CUDA {torch.version.cuda} and sees no device",
            "install NVIDIA's driver, or check CUDA_VISIBLE_DEVICES",
        )
    try:
        from cuda.bindings import driver, runtime
    except ImportError as error:
        raise CudaError(f"cuda-python is not installed ({error})", "pip install cuda-bindings") from None
    ordinal = cuda_ordinal(device)
    if not 0 <= ordinal < torch.cuda.device_count():
        raise CudaError(f"CUDA device {ordinal} does not exist", f"torch sees {torch.cuda.device_count()} of them")
    return Cuda(ordinal, runtime, driver)


def cuda_ordinal(device: torch.device | str | int | None = None) -> int:
    """The number of a CUDA device, by default of torch's current one. Raises CudaError."""
    if not isinstance(device, int):
        named = torch.device("cuda" if device is None else device)
        if named.type != "cuda":
            raise CudaError(f"device is {named}, not a CUDA device", "pass device='cuda', or use backend='torch'")
        device = named.index
    try:
        return torch.cuda.current_device() if device is None else device
    except RuntimeError as error:  # a forked child of a process that used CUDA
        raise CudaError(f"torch cannot use CUDA in this process ({error})", "start workers by spawn") from None


class Cuda:
    """CUDA on one device. Calls raise CudaError, naming the call and what CUDA answered."""

    def __init__(self, ordinal: int, runtime: Any, driver: Any) -> None:
        self.ordinal = ordinal
        self.device = torch.device("cuda", ordinal)
        self.name = torch.cuda.get_device_name(ordinal)
        self._runtime, self._driver = runtime, driver

    def _check(self, call: str, answer: tuple[Any, ...]) -> Any:
        status, *values = answer
        if int(status) != 0:
            name = getattr(status, "name", str(status))
            remedy = CAPTURE_REMEDY if "StreamCapture" in name or "STREAM_CAPTURE" in name else _REMEDIES.get(name, "")
            raise CudaError(f"{call} on {self.name} (device {self.ordinal}) answered {name}", remedy)
        return values[0] if len(values) == 1 else tuple(values)

    def _run(self, call: str, *arguments: Any) -> Any:
        return self._check(call, getattr(self._runtime, call)(*arguments))

    # streams and memory

    def active(self) -> AbstractContextManager[None]:
        """Makes this device and its context current on this thread; restores the device that was."""
        return _Active(self)

    def current_stream(self) -> Any:
        """The calling thread's current torch stream."""
        return torch.cuda.current_stream(self.device)

    def on(self, stream: Any) -> AbstractContextManager[Any]:
        """Makes that torch stream current on this thread."""
        return torch.cuda.stream(stream)

    def follow(self, stream: Any) -> None:
        """Makes the current stream wait for what was issued to another. A capture, which cannot, begins with all streams at rest."""
        current = self.current_stream()
        if stream != current and not torch.cuda.is_current_stream_capturing():
            current.wait_stream(stream)

    def stream(self) -> int:
        """The address of the current stream."""
        return int(torch.cuda.current_stream(self.device).cuda_stream)

    def synchronize(self) -> None:
        """Waits for everything that was issued to the device. For measuring; no verb of a unit waits."""
        torch.cuda.synchronize(self.device)

    def view(self, pointer: int, size_bytes: int) -> Tensor:
        """A uint8 tensor over device memory that somebody else owns."""
        # without the device torch would copy it to the host, silently
        return torch.as_tensor(_Memory(pointer, size_bytes), dtype=torch.uint8, device=self.device)

    # kernels

    @property
    def architecture(self) -> str:
        major, minor = torch.cuda.get_device_capability(self.ordinal)
        return f"sm_{major}{minor}"

    def compile(self, name: str, text: str) -> Any:
        """The module of a CUDA text, loaded. Raises CudaError with the compiler's log."""
        binary = compile_text(name, text, self.architecture)
        with self.active():
            return self._check("cuModuleLoadData", self._driver.cuModuleLoadData(binary))

    def function(self, module: Any, name: str) -> Any:
        return self._check("cuModuleGetFunction", self._driver.cuModuleGetFunction(module, name.encode()))

    def launch(
        self, function: Any, grid: tuple[int, int, int], block: tuple[int, int, int], arguments: Sequence[Any]
    ) -> None:
        """Launches on the current stream. arguments: ctypes objects, in the order of the kernel's parameters."""
        addresses = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
        self._check(
            "cuLaunchKernel",
            self._driver.cuLaunchKernel(function, *grid, *block, 0, self.stream(), ctypes.addressof(addresses), 0),
        )

    # textures

    def allocate_levels(self, size: tuple[int, int], layers: int, levels: int, bits: int, channels: int = 4) -> Any:
        """A layered mipmapped array of 1, 2 or 4 channels of 8, 16 or 32 bits, (height, width) at level 0, for surfaces and textures."""
        runtime = self._runtime
        kinds = runtime.cudaChannelFormatKind
        kind = kinds.cudaChannelFormatKindUnsigned if bits == 8 else kinds.cudaChannelFormatKindFloat
        format = runtime.cudaChannelFormatDesc()
        format.x, format.y, format.z, format.w = (bits if k < channels else 0 for k in range(4))
        format.f = kind
        extent = runtime.make_cudaExtent(size[1], size[0], layers)
        return self._run("cudaMallocMipmappedArray", format, extent, levels, SURFACE_LOAD_STORE | LAYERED)

    def free_levels(self, levels: Any) -> None:
        self._run("cudaFreeMipmappedArray", levels)

    def surface(self, levels: Any, level: int) -> int:
        """A surface object over one level."""
        description = self._runtime.cudaResourceDesc()
        description.resType = self._runtime.cudaResourceType.cudaResourceTypeArray
        description.res.array.array = self._run("cudaGetMipmappedArrayLevel", levels, level)
        return int(self._run("cudaCreateSurfaceObject", description))

    def free_surface(self, surface: int) -> None:
        self._run("cudaDestroySurfaceObject", surface)

    def texture(self, levels: Any, max_level: int, bits: int, beyond: float = 0.0) -> int:
        """A texture object over all levels: trilinear, normalised coordinates, `beyond` beyond the border, values 0..1 for bytes."""
        runtime = self._runtime
        resource = runtime.cudaResourceDesc()
        resource.resType = runtime.cudaResourceType.cudaResourceTypeMipmappedArray
        resource.res.mipmap.mipmap = levels
        texture = runtime.cudaTextureDesc()
        texture.addressMode = [runtime.cudaTextureAddressMode.cudaAddressModeBorder] * 3
        texture.filterMode = texture.mipmapFilterMode = runtime.cudaTextureFilterMode.cudaFilterModeLinear
        modes = runtime.cudaTextureReadMode
        texture.readMode = modes.cudaReadModeNormalizedFloat if bits == 8 else modes.cudaReadModeElementType
        texture.normalizedCoords = 1
        texture.borderColor = [beyond] * 4
        texture.maxMipmapLevelClamp = float(max_level)
        texture.disableTrilinearOptimization = 1  # or it may take the nearer level where that seems close enough
        return int(self._run("cudaCreateTextureObject", resource, texture, None))

    def free_texture(self, texture: int) -> None:
        self._run("cudaDestroyTextureObject", texture)

    # OpenGL. All on the thread of the GL context.

    def gl_devices(self) -> list[int]:
        """The CUDA devices that the current GL context runs on."""
        runtime = self._runtime
        count, devices = self._run("cudaGLGetDevices", 16, runtime.cudaGLDeviceList.cudaGLDeviceListAll)
        return [int(device) for device in devices[: int(count)]]

    def register_buffer(self, name: int) -> Any:
        flags = self._runtime.cudaGraphicsRegisterFlags.cudaGraphicsRegisterFlagsNone
        return self._registered(self._run("cudaGraphicsGLRegisterBuffer", name, flags))

    def register_texture(self, name: int, target: int) -> Any:
        flags = self._runtime.cudaGraphicsRegisterFlags.cudaGraphicsRegisterFlagsSurfaceLoadStore
        return self._registered(self._run("cudaGraphicsGLRegisterImage", name, target, flags))

    def _registered(self, resource: Any) -> Any:
        if not int(resource):  # cuda-bindings 12.9.3 (NVIDIA/cuda-python#1122)
            raise CudaError("registering with CUDA gave a null handle", "pip install --upgrade cuda-bindings")
        return resource

    def unregister(self, resource: Any) -> None:
        self._run("cudaGraphicsUnregisterResource", resource)

    def map(self, resources: Sequence[Any]) -> None:
        """Hands the resources to CUDA in one call, on the current stream."""
        self._graphics("cudaGraphicsMapResources", resources)

    def unmap(self, resources: Sequence[Any]) -> None:
        self._graphics("cudaGraphicsUnmapResources", resources)

    def _graphics(self, call: str, resources: Sequence[Any]) -> None:
        # cuda-python takes one resource or the address of several, but no list
        array = (ctypes.c_void_p * len(resources))(*(int(resource) for resource in resources))
        self._run(call, len(resources), ctypes.addressof(array), self.stream())

    def pointer(self, resource: Any) -> tuple[int, int]:
        """Address and size in bytes of a mapped buffer; both may differ at the next mapping."""
        pointer, size = self._run("cudaGraphicsResourceGetMappedPointer", resource)
        return int(pointer), int(size)

    def mapped_levels(self, resource: Any) -> Any:
        """The mipmapped array of a mapped texture."""
        return self._run("cudaGraphicsResourceGetMappedMipmappedArray", resource)


class _Memory:
    """What torch needs to see foreign device memory as a tensor."""

    def __init__(self, pointer: int, size_bytes: int) -> None:
        self.__cuda_array_interface__ = {
            "shape": (size_bytes,),
            "typestr": "|u1",
            "data": (pointer, False),
            "strides": None,
            "version": 3,
        }


class _Active:
    """cudaSetDevice binds the device's context to a thread that has none yet, which torch's own guard does not promise."""

    def __init__(self, cuda: Cuda) -> None:
        self._cuda = cuda

    def __enter__(self) -> None:
        self._previous = torch.cuda.current_device()
        self._cuda._run("cudaSetDevice", self._cuda.ordinal)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._previous != self._cuda.ordinal:
            self._cuda._run("cudaSetDevice", self._previous)


_REMEDIES = {
    "cudaErrorOperatingSystem": "OpenGL refused: the context runs on another device than CUDA, on the CPU, or under WSL; "
    "use backend='cuda'",
    "cudaErrorUnknown": "interop does not work with this OpenGL driver (VirtualGL and WSL are known for it); use backend='cuda'",
    "cudaErrorInvalidDevice": "the OpenGL context runs on another device; use backend='cuda'",
    "cudaErrorInvalidGraphicsContext": "no OpenGL context of this device is current; use backend='cuda'",
    "cudaErrorInsufficientDriver": "install a newer NVIDIA driver, or the cuda-bindings of the driver's CUDA, for instance "
    "pip install 'cuda-bindings<13'",
    "cudaErrorMemoryAllocation": "close pyramids that are no longer needed, or use a smaller image, batch or format",
    "CUDA_ERROR_NO_BINARY_FOR_GPU": "pip install --upgrade nvidia-cuda-nvrtc",
}
