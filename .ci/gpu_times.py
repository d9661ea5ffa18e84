"""Where the time goes on a GPU, one JSON object a line: usage, gpu_times.py [SIZE_PX...]. Run from the source tree.

wall_us: median of one call from Python, the device waited for. device_us: device time of one of many calls in a row, by events. Both
warm, on a device image, with a device plan of 273 patches of 16 x 16 texels, quality high, float16.
"""

import json
import statistics
import sys
import time
from collections.abc import Callable

import torch

from homunculus import layouts
from homunculus.bridge.cuda.unit import CudaUnit
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.gl.cuda import GLCudaUnit
from homunculus.bridge.open import open_unit
from homunculus.bridge.tiles.arrays import ArraySource

SIZES_PX = (1024, 2048, 4096, 8192)
CALLS = 50


def wall_us(call: Callable[[], object]) -> float:
    times = []
    for turn in range(CALLS + 10):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        if turn >= 10:
            times.append(1e6 * (time.perf_counter() - start))
    return round(statistics.median(times), 1)


def device_us(call: Callable[[], object]) -> float:
    """Includes gaps where Python cannot keep the device busy."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    call()
    start.record()
    for _ in range(CALLS):
        call()
    end.record()
    torch.cuda.synchronize()
    return round(1e3 * start.elapsed_time(end) / CALLS, 1)


def tell(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def measure(unit: GLCudaUnit | CudaUnit, size_px: int) -> None:
    image = torch.randint(0, 256, (size_px, size_px, 3), dtype=torch.uint8, device="cuda")
    plan = layouts.log_polar((size_px, size_px), (0.4 * size_px, 0.6 * size_px), 273).to("cuda", torch.float32)

    def whole() -> None:
        with unit.pyramid(image) as pyramid:
            unit.sample(pyramid, plan, dtype=torch.float16)

    facts = {"backend": unit.backend, "size_px": size_px}
    pages = unit.pyramid(ArraySource(image.cpu().numpy()))
    with unit.pyramid(image) as pyramid, pages:
        tasks: dict[str, Callable[[], object]] = {
            "image to patches": whole,
            "pyramid": lambda: unit.pyramid(image).close(),
            "sample": lambda: unit.sample(pyramid, plan, dtype=torch.float16),
            "sample of pages": lambda: unit.sample(pages, plan, dtype=torch.float16),
        }
        if isinstance(unit, GLCudaUnit):
            memory, buffer = unit.context.memory, unit.sampler._buffers

            def round_trip() -> None:
                with memory.mapped([buffer["pixels"], buffer["inside"]]):  # type: ignore[attr-defined]
                    pass

            def lent() -> None:
                with unit.sampled(pyramid, plan, dtype=torch.float16):
                    pass

            whole()
            tasks["map and unmap two buffers"] = lambda: unit.context.call(round_trip)
            tasks["one hop to the GL thread"] = lambda: unit.context.call(lambda: None)
            tasks["sampled"] = lent
        for task, call in tasks.items():
            try:
                tell(**facts, task=task, wall_us=wall_us(call), device_us=device_us(call))
            except (HomunculusError, RuntimeError) as error:
                tell(**facts, task=task, error=str(error)[:300])
    if isinstance(unit, CudaUnit):
        graph = torch.cuda.CUDAGraph()
        whole()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            pyramid = unit.pyramid(image)
            unit.sample(pyramid, plan, dtype=torch.float16)
        tell(**facts, task="image to patches, graph", wall_us=wall_us(graph.replay), device_us=device_us(graph.replay))


def main() -> None:
    floor = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(floor)
    copied_us = device_us(lambda: target.copy_(floor))
    tell(
        task="copy",
        device=torch.cuda.get_device_name(),
        gigabytes_per_second=round(2 * floor.numel() / copied_us / 1e3),
    )
    for backend in ("cuda", "gl-cuda"):
        try:
            with open_unit(backend) as unit:  # type: ignore[arg-type]
                for size_px in [int(text) for text in sys.argv[1:]] or SIZES_PX:
                    measure(unit, size_px)  # type: ignore[arg-type]
        except Exception as error:  # the other backend must be measured all the same
            tell(backend=backend, error=f"{type(error).__name__}: {error}"[:500])
    with open_unit() as unit:
        tell(task="auto", backend=unit.backend, reason=unit.reason)


if __name__ == "__main__":
    main()
