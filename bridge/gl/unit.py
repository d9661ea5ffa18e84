"""The texture unit of an OpenGL device."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.adjoint import Gradients, Upstream, Wanted
from homunculus.bridge.errors import ImageError
from homunculus.bridge.findings import Report
from homunculus.bridge.gl import builders, machine
from homunculus.bridge.gl.backward import BackwardSampler
from homunculus.bridge.gl.context import Context, open_context
from homunculus.bridge.gl.ingest import Ingest
from homunculus.bridge.gl.planes import GLPlanes, build_plane
from homunculus.bridge.gl.pyramid import GLPyramid, Texture
from homunculus.bridge.gl.sampler import Sampler
from homunculus.bridge.gl.simd import check_simd
from homunculus.bridge.gl.sparse import SparsePyramid, base_level
from homunculus.bridge.gl.statistics import statistics
from homunculus.bridge.images import Format, as_bytes
from homunculus.bridge.opencv import HAS_OPENCV
from homunculus.bridge.patches import Filtering, Patches, Stats
from homunculus.bridge.pictures.planes import PlaneBatch
from homunculus.bridge.plan import PlanProgram, SamplePlan
from homunculus.bridge.pool import Pool
from homunculus.bridge.pyramid import Builder, Extent, Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.tiles.pages import TexelBlock
from homunculus.bridge.unit import TextureUnit
from homunculus.interop.lending import revoke

# How far the driver's mipmaps may be from the exact box and be trusted by builder `auto`: greatest error, greatest mean error.
DRIVER_TOLERANCE: dict[Format, tuple[float, float]] = {
    "rgba8": (1.01 / 255, 0.02 / 255),
    "rgba16f": (5e-4, 1e-5),
    "rgba32f": (1e-4, 1e-5),
}
MOST_HELPERS = 3  # threads beside the context's: memory is the limit from there on


class GLUnit(TextureUnit):
    """Pyramids as GL textures, plans filtered by a compute shader, patches read back once and counted.

    May be shared by threads; pickles by configuration, so that a spawned worker opens its own.
    """

    backend = "gl"
    gradients = True
    formats = ("nv12", "rgba8", "rgba16f", "rgba32f")
    builders = ("exact", "driver", "simd", "sparse")

    def __init__(
        self,
        device_index: int | None = None,
        reason: str = "asked for",
        *,
        context: Context | None = None,
        configuration: tuple[Any, ...] | None = None,
    ) -> None:
        """context: one that is open already, such as a window's; by default the one on that EGL device."""
        self.context: Context = open_context(device_index) if context is None else context
        super().__init__(
            self.context.renderer,
            reason,
            configuration=(device_index, reason) if configuration is None else configuration,
            home=self.context,
            device=self.context.memory.device,
            software=self.context.software,
            clock=self.context.clock,
        )
        self.most_px, self.most_layers = self.context.limits.texture_px, self.context.limits.layers
        self._pool = Pool(partial(Texture, self.context))
        self.sampler = BackwardSampler(self.context, self.stats)
        self._ingest = Ingest(self.context, self.stats)
        self._helpers = ThreadPoolExecutor(
            MOST_HELPERS, "homunculus-levels"
        )  # whose threads start with their first work
        self._finalizer = weakref.finalize(self, _forget, self.context, self._pool, self.sampler, self._ingest)
        self._finalizer.atexit = False
        self._driver_is_exact: dict[Format, bool] = {}

    def default_builder(self, format: Format) -> Builder:
        """On software GL where OpenCV is installed, `sparse` for rgba8 and `simd` for nv12, else `exact`."""
        if self.software and not self.context.memory.shared and HAS_OPENCV:
            return {"rgba8": "sparse", "nv12": "simd"}.get(format, "exact")  # type: ignore[return-value]
        return "exact"

    def _built_by(self, asked: Builder | None, format: Format) -> Builder:
        if asked == "auto" and format != "nv12" and self.driver_is_exact(format):
            return "driver"
        return self.default_builder(format) if asked in (None, "auto") else super()._built_by(asked, format)

    def _pyramid(self, batch: Tensor, extent: Extent, builder: Builder) -> Pyramid:
        if builder == "sparse":
            check_simd(builder, extent.format)
            if base_level(extent):
                return self.context.call(self._keep, as_bytes(batch.cpu()), extent, torch.get_num_threads())
            builder = "simd"
        return self.context.call(self._build, batch, extent, builder)

    def _keep(self, images: Tensor, extent: Extent, threads: int) -> SparsePyramid:
        pyramid = SparsePyramid(self.context, self._pool, images, extent, self.stats)
        try:
            pyramid.build(self._helpers, threads)
            self.context.check(lambda: f"building {pyramid!r}")
        except BaseException:
            pyramid.close()
            raise
        return pyramid

    def _build(self, batch: Tensor, extent: Extent, builder: Builder) -> GLPyramid:
        pyramid = GLPyramid(self.context, self._pool, (batch.shape[1], batch.shape[2]), extent, builder)
        try:
            self._fill(pyramid, 0, batch, builder)
        except BaseException:
            pyramid.close()
            raise
        return pyramid

    def _rewrite(self, pyramid: Pyramid, layer: int, batch: Tensor) -> None:
        assert isinstance(pyramid, GLPyramid)
        self.context.call(self._refill, pyramid, layer, batch)

    def _refill(self, pyramid: GLPyramid, layer: int, batch: Tensor) -> None:
        if isinstance(pyramid, SparsePyramid) and pyramid.layers == 1:
            pyramid.begin(as_bytes(batch.cpu()))
            pyramid.build(self._helpers, torch.get_num_threads())
        else:
            builder: Builder = "simd" if pyramid.builder == "sparse" else pyramid.builder
            self._fill(pyramid, layer, batch, builder)

    def _fill(self, pyramid: GLPyramid, first: int, batch: Tensor, builder: Builder) -> None:
        """The layers from `first` on, from images [B, H, W, 3]."""
        if self.context.memory.shared and builder != "simd":
            self._ingest.build(pyramid.texture, batch, pyramid.max_level, builder, first)
        else:
            batch = builders.as_upload(batch, pyramid.format)
            builders.BUILDERS[builder](self.context, pyramid.texture, batch, pyramid.max_level, first)
            self.stats.bytes_to_device += batch.numel() * batch.element_size()
        self.context.check(lambda: f"building {pyramid!r}")

    def _planar(self, planes: PlaneBatch, extent: Extent, builder: Builder) -> Pyramid:
        if builder not in ("exact", "simd"):
            raise ImageError(f"builder {builder!r} makes RGBA; planes are built by 'exact' or 'simd', or leave it out")
        if builder == "simd":
            check_simd(builder, "rgba8")
        return self.context.call(self._build_planes, planes, extent, builder)

    def _build_planes(self, planes: PlaneBatch, extent: Extent, builder: Builder) -> Pyramid:
        pyramid = GLPlanes(self.context, self._pool, planes.size, extent, planes.coding, builder)
        try:
            self._fill_planes(pyramid, 0, planes)
        except BaseException:
            pyramid.close()
            raise
        return pyramid

    def _rewrite_planes(self, pyramid: Pyramid, layer: int, planes: PlaneBatch) -> None:
        assert isinstance(pyramid, GLPlanes)
        self.context.call(self._fill_planes, pyramid, layer, planes)

    def _fill_planes(self, pyramid: GLPlanes, first: int, planes: PlaneBatch) -> None:
        for texture, plane in zip(pyramid.both, planes[:2], strict=True):
            top = texture.extent.levels - 1
            if self.context.memory.shared and pyramid.builder != "simd":
                self._ingest.build(texture, plane, top, pyramid.builder, first)
                continue
            with self.clock.part("pyramid"):
                build_plane(texture, plane.cpu(), pyramid.builder, first)
                self.stats.bytes_to_device += plane.numel()
                if pyramid.builder != "simd":
                    self.stats.dispatches += builders.reduce(
                        self.context, texture, top, range(first, first + len(plane))
                    )
        self.context.check(lambda: f"building {pyramid!r}")

    def driver_is_exact(self, format: Format = "rgba8") -> bool:
        """Whether glGenerateMipmap is an exact box on this device: compared once with `exact` on strips of noise, both ways.

        They are as long as the device allows and no power of two, where a blit's float32 coordinates are at their worst.
        """
        if format not in self._driver_is_exact:
            blocks = (self.context.limits.texture_px // 64 - 1) // 2 * 2 + 1
            sides = (64 * blocks - 24, 40)
            self._driver_is_exact[format] = all(self._driver_agrees(format, size) for size in (sides, sides[::-1]))
        return self._driver_is_exact[format]

    def _driver_agrees(self, format: Format, size: tuple[int, int]) -> bool:
        noise = torch.randint(
            0, 256, (1, *size, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0), device="cpu"
        )
        greatest, mean = DRIVER_TOLERANCE[format]
        with (
            self.pyramid(noise, format=format, builder="driver") as driver,
            self.pyramid(noise, format=format, builder="exact") as exact,
        ):
            errors = [driver.level(level) - exact.level(level) for level in range(1, 7)]
        return all(float(error.abs().max()) <= greatest and abs(float(error.mean())) <= mean for error in errors)

    def blank(self, size: tuple[int, int], extent: Extent) -> Pyramid:
        return self.context.call(partial(GLPyramid, self.context, self._pool, size, extent, "tiles"))

    def write(self, pyramid: Pyramid, blocks: Iterable[TexelBlock]) -> None:
        assert isinstance(pyramid, GLPyramid)
        self.context.call(self._write_blocks, pyramid.texture, blocks)

    def _write_blocks(self, texture: Texture, blocks: Iterable[TexelBlock]) -> None:
        texture.use()
        with self.clock.part("upload"):
            for level, layer, top, left, texels in blocks:
                texture.write(level, layer, left, top, torch.from_numpy(texels))
                self.stats.bytes_to_device += texels.nbytes
        self.context.check(lambda: "writing tiles")

    def _sample(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Patches:
        assert isinstance(pyramid, GLPyramid | PagedPyramid)
        return self.context.call(self.sampler.sample, pyramid, plan, filtering)

    def _backward(
        self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering, upstream: Upstream, wanted: Wanted
    ) -> Gradients:
        assert isinstance(pyramid, GLPyramid | PagedPyramid)
        arguments = (self.backend, pyramid, plan, filtering, upstream, wanted)
        return self.context.call(self.sampler.backward, *arguments)

    @contextmanager
    def _sampled(self, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering) -> Iterator[Patches]:
        assert isinstance(pyramid, GLPyramid | PagedPyramid)
        lending = self.sampler.lend(pyramid, plan, filtering)
        entered_on = self.context.memory.stream()
        patches = self.context.call(lending.__enter__)
        try:
            yield patches
        finally:
            if self.context.thread.stopped:  # closed inside the block, with everything in it
                revoke(patches.tensors)
            else:  # OpenGL waits for the stream that unmaps, and with it for the one that the block began on
                self.context.memory.follow(entered_on)
                self.context.call(lending.__exit__, None, None, None)

    def _write_plan(self, program: PlanProgram, fixations: Tensor) -> SamplePlan:
        return self.context.call(self.sampler.write_plan, program, fixations)

    def _statistics(self, pyramid: Pyramid, level: int, extent: Extent) -> Pyramid:
        assert isinstance(pyramid, GLPyramid)
        return self.context.call(statistics, self._pool, self.stats, pyramid, level, extent)

    @classmethod
    def candidates(cls, report: Report) -> Iterator[dict[str, Any]]:
        return machine.candidates(report)

    def findings(self, report: Report) -> bool:
        """Whether bytes come back as they went, and what the driver's mipmaps are worth."""
        sent = torch.arange(64, dtype=torch.float32, device=self.device)

        def there_and_back() -> Tensor:
            buffer = self.context.buffer(256, Stats())
            buffer.write(sent)
            received = buffer.read((64,), torch.float32)
            self.context.release(buffer)
            return received

        whole = torch.equal(self.context.call(there_and_back), sent)
        report.add("  buffer", whole, "256 bytes there and back" if whole else "256 bytes came back changed")
        told = f"glGenerateMipmap is {'an exact box' if self.driver_is_exact() else 'not an exact box'}"
        report.add("  mipmaps", None, f"{told}; default is '{self.default_builder('rgba8')}'")
        return whole

    def _close(self) -> None:
        if not self.context.thread.stopped:  # at the interpreter's end the context goes first, with all that is in it
            self.context.thread.call(self._release)

    def _release(self) -> None:
        self._finalizer.detach()
        self._helpers.shutdown(wait=False)
        self.context.thread.run_deferred()  # pyramids and plans that were forgotten
        self._pool.close(lent=True)
        self.sampler.release()
        self._ingest.release()
        self.context.thread.run_deferred()


def _forget(context: Context, pool: Pool[Texture], sampler: Sampler, ingest: Ingest) -> None:
    """What a unit that nobody closed leaves behind, but for the pyramids that are still held: they go when they are dropped."""

    def release() -> None:
        pool.close(lent=False)
        sampler.release()
        ingest.release()

    context.thread.defer(release)
