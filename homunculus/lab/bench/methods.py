"""Every way from images to patches that the benchmark times: this library's backends, plain PyTorch, other libraries."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from homunculus.bridge.backends import BACKENDS
from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.law import Quality
from homunculus.bridge.open import open_unit
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Builder, Pyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.lab.bench import libraries, peers

Family = Literal["ours", "torch", "library"]


@dataclass(frozen=True)
class Method:
    """build: what is made of a batch once; sample: patches [B * N, 3, P, P] of a plan from it.

    pixel_bytes: what one image pixel needs at the peak, on `device`. refusal: why the method cannot work here, or nothing.
    unit: set for this library's own, whose plans name the image of a batch and whose calls tell their parts.
    default: what a user gets of a backend by asking for nothing; the twin is compared only where it is asked for.
    """

    name: str
    family: Family
    build: Callable[[Tensor], Any]
    sample: Callable[[Any, SamplePlan], Tensor]
    pixel_bytes: float
    device: str = "cpu"
    refusal: str = ""
    unit: TextureUnit | None = None
    default: bool = False

    def close(self, built: Any) -> None:
        if isinstance(built, Pyramid):
            built.close()


def ours(backend: str | None, quality: Quality, size_px: int, stack: ExitStack) -> Iterator[Method]:
    """One backend, which must work, or all that do, by every builder that works on pictures of that side, and by quality `high`;
    units are closed with the stack."""
    for name in [backend] if backend else list(BACKENDS):
        try:
            unit = stack.enter_context(open_unit(name))
        except HomunculusError as error:
            if backend:
                raise
            yield Method(name, "ours", _nothing, _nothing, 0, refusal=str(error).split(". ")[0])
            continue
        usual = _built(unit, None, size_px)
        assert usual is not None
        others = [
            builder for builder in unit.builders if builder != usual and _built(unit, builder, size_px) == builder
        ]
        for builder in [usual, *others]:
            mark = f"{unit.backend} backend" if unit.emulated else unit.backend  # not to be taken for a peer
            default = builder == usual and (not unit.emulated or backend is not None)
            yield _own(unit, f"{mark}, {builder} levels", builder, quality, default=default)
        if quality != "high" and not unit.emulated:
            yield _own(unit, f"{unit.backend}, quality high", usual, "high")


def _own(unit: TextureUnit, name: str, builder: Builder, quality: Quality, *, default: bool = False) -> Method:
    def sample(pyramid: Pyramid, plan: SamplePlan) -> Tensor:
        return unit.sample(pyramid, plan, quality=quality).pixels

    pixel_bytes = 80.0 if unit.emulated else 13.0  # tensors in float32; a texture in bytes and a spare one
    return Method(
        name, "ours", partial(unit.pyramid, builder=builder), sample, pixel_bytes, unit.device.type, "", unit, default
    )


def _built(unit: TextureUnit, builder: Builder | None, size_px: int) -> Builder | None:
    """What builds a picture as long as that where this builder is asked for; None where it cannot."""
    try:
        with unit.pyramid(torch.zeros(1, size_px, 3, dtype=torch.uint8, device="cpu"), builder=builder) as pyramid:
            return pyramid.builder
    except HomunculusError:
        return None


def in_torch(device: str, *, compiled: bool = True) -> Iterator[Method]:
    """PyTorch on that device."""
    mark = "torch" if device == "cpu" else f"torch {device}"
    yield Method(f"{mark}, tokens grouped", "torch", peers.average_pool_pyramid, peers.grouped_patches, 20, device)
    yield Method(f"{mark}, every level", "torch", peers.average_pool_pyramid, peers.every_level_patches, 20, device)
    yield Method(f"{mark}, packed atlas", "torch", peers.packed_atlas, peers.atlas_patches, 36, device)
    graph = peers.CapturedAtlas()
    yield Method(
        f"{mark}, packed atlas, CUDA graph", "torch", graph.build, graph.sample, 40, device,
        "" if device == "cuda" else "CUDA graphs need a CUDA device",
    )  # fmt: skip
    fused = peers.FusedGather() if compiled else None
    yield Method(
        f"{mark}, fused gather, compiled", "torch",
        fused.build if fused else _nothing, fused.sample if fused else _nothing, 44, device,
        _no_compiler() if compiled else "left out: it compiles for half a minute",
    )  # fmt: skip
    yield Method(f"{mark}, loop of crops", "torch", _same, libraries.cropped_patches, 4, device)


def in_libraries(device: str) -> Iterator[Method]:
    """What other packages offer on that device."""
    suffix = "" if device == "cpu" else f" {device}"
    yield Method(
        f"torchvision{suffix} roi_align", "torch", peers.as_planes, libraries.aligned_patches, 28, device,
        libraries.refusal("torchvision.ops", "torchvision"),
    )  # fmt: skip
    yield Method(
        f"kornia{suffix} patches from pyramid", "torch", peers.as_planes, libraries.kornia_patches, 90, device,
        libraries.refusal("kornia.feature", "kornia"),
    )  # fmt: skip
    if device == "cpu":
        yield Method(
            "OpenCV area pyramid, remap", "library", libraries.opencv_pyramid, libraries.opencv_patches, 2,
            refusal=libraries.refusal("cv2", "OpenCV"),
        )  # fmt: skip


def _no_compiler() -> str:
    asked = os.environ.get("CXX")
    if any(map(shutil.which, [asked] if asked else ["g++", "clang++", "c++", "cl"])):
        return ""
    return "torch.compile needs a C++ compiler; none is on the path, and CXX names none"


def _same(batch: Tensor) -> Tensor:
    return batch


def _nothing(*_: object) -> Any:
    raise NotImplementedError
