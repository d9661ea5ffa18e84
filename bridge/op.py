"""`TextureUnit.sample` as one op of torch, `homunculus::sample`: with it gradients pass through texture units, and torch.compile,
torch.export and torch.func through the verbs.

An op is given tensors and plain values: the unit and the pyramid travel as keys (`bridge.live`), or the images in the pyramid's place,
which is then built where it is sampled. Its backward is an op of its own, which asks the unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.adjoint import Upstream, Wanted
from homunculus.bridge.errors import GradientError
from homunculus.bridge.live import NOWHERE, pyramid_of, unit_of
from homunculus.bridge.patches import Filtering, Patches
from homunculus.bridge.plan import SamplePlan, rows_of
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.tiles.paged import PagedPyramid
from homunculus.bridge.traced import TracedPyramid


def sample(unit: str, pyramid: Pyramid, plan: SamplePlan, filtering: Filtering, wait: bool) -> Patches:
    """Patches whose gradients reach the plan and the images that the pyramid was made of. unit: its key."""
    traced = isinstance(pyramid, TracedPyramid)
    format, builder = pyramid.asked if isinstance(pyramid, TracedPyramid) else (None, None)
    pixels, inside, resident = _called(_sample, _TransformedSample)(
        pyramid.images,
        rows_of(plan),
        unit,
        NOWHERE if traced else pyramid.key,
        format,
        builder,
        pyramid.max_level,
        list(plan.origin),
        plan.patch_size,
        filtering.quality,
        filtering.dtype,
        list(filtering.mean),
        list(filtering.std),
        wait,
    )
    return Patches(pixels, inside, resident if isinstance(pyramid, PagedPyramid) else None)


@torch.library.custom_op("homunculus::sample", mutates_args=())
def _sample(
    images: Tensor | None,
    rows: Tensor,
    unit: str,
    pyramid: int,
    format: str | None,
    builder: str | None,
    max_level: int,
    origin: Sequence[int],
    patch_size: int,
    quality: str,
    dtype: torch.dtype,
    mean: Sequence[float],
    std: Sequence[float],
    wait: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels, inside and resident of `Patches`; the last all 1 where a pyramid has all its levels.

    images: [B, H, W, 3], those that the pyramid was made of, where they require a gradient, or are to be built here: its key is
    `NOWHERE` then, and it is made as `TextureUnit.pyramid` makes it. rows: [N, 8], or [N, P, P, 8] of a warped plan.
    """
    with torch.no_grad():
        opened = unit_of(unit)
        found = _pyramid(images, unit, pyramid, format, builder, max_level)
        seen = opened.sample(
            found,
            _plan(rows, patch_size, origin),
            quality=quality,
            dtype=dtype,
            mean=mean,
            std=std,
            wait=wait,
        )
        resident = torch.ones_like(seen.inside) if seen.resident is None else seen.resident
        return seen.pixels.contiguous(), seen.inside, resident


@_sample.register_fake
def _(images: Tensor | None, rows: Tensor, unit: str, pyramid: int, *settings: Any) -> tuple[Tensor, Tensor, Tensor]:
    patch_size, dtype = settings[4], settings[6]
    device, count = unit_of(unit).device, rows.shape[0]
    pixels = rows.new_empty((count, 3, patch_size, patch_size), device=device, dtype=dtype)
    inside, resident = (rows.new_empty((count,), device=device, dtype=torch.float32) for _ in range(2))
    return pixels, inside, resident


@torch.library.custom_op("homunculus::sample_backward", mutates_args=())
def _backward(
    pixels: Tensor,
    inside: Tensor,
    images: Tensor | None,
    rows: Tensor,
    unit: str,
    pyramid: int,
    format: str | None,
    builder: str | None,
    max_level: int,
    origin: Sequence[int],
    patch_size: int,
    quality: str,
    dtype: torch.dtype,
    mean: Sequence[float],
    std: Sequence[float],
    of_rows: bool,
    of_images: Sequence[int],
    image_dtype: torch.dtype,
) -> tuple[Tensor, Tensor]:
    """The gradients of `sample`'s rows and images, of the shape `of_images`, from those of its pixels and insides; empty where not
    asked for."""
    with torch.no_grad():
        opened = unit_of(unit)
        found = _pyramid(images, unit, pyramid, format, builder, max_level)
        given = opened.sample_backward(
            found,
            _plan(rows, patch_size, origin),
            Filtering(quality, dtype, tuple(mean), tuple(std)),  # type: ignore[arg-type]
            Upstream(pixels, inside),
            Wanted(of_rows, bool(of_images)),
        )
        return (
            rows.new_empty(0) if given.rows is None else given.rows.to(rows),
            pixels.new_empty(0, dtype=image_dtype)
            if given.images is None
            else given.images.to(image_dtype).contiguous(),
        )


@_backward.register_fake
def _(
    pixels: Tensor, inside: Tensor, images: Tensor | None, rows: Tensor, unit: str, pyramid: int, *settings: Any
) -> tuple[Tensor, Tensor]:
    of_rows, of_images, image_dtype = settings[-3:]
    return (
        torch.empty_like(rows, memory_format=torch.contiguous_format) if of_rows else rows.new_empty(0),
        pixels.new_empty(tuple(of_images) or (0,), dtype=image_dtype),
    )


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    images, rows, unit, pyramid, *settings = inputs
    built_here = isinstance(pyramid, int) and pyramid == NOWHERE
    ctx.save_for_backward(rows, images if built_here else None)
    ctx.unit, ctx.pyramid, ctx.settings = unit, pyramid, settings[:-1]  # without `wait`
    ctx.images = None if images is None else (list(images.shape), images.dtype, images.device)
    # Held until the backward has run, whatever becomes of the caller's own.
    ctx.held = None if built_here or not isinstance(pyramid, int) else pyramid_of(pyramid)


def _back(ctx: Any, pixels: Tensor, inside: Tensor, resident: Tensor) -> tuple[Tensor | None, ...]:
    rows, images = ctx.saved_tensors
    of_images, of_rows = ctx.needs_input_grad[:2]
    shape, dtype, device = ctx.images if of_images else ([], torch.float32, None)
    rows_gradient, image_gradient = _called(_backward, _TransformedBackward)(
        pixels, inside, images, rows, ctx.unit, ctx.pyramid, *ctx.settings, of_rows, shape, dtype
    )
    return (
        image_gradient.to(device) if of_images else None,
        rows_gradient if of_rows else None,
        *[None] * (2 + len(ctx.settings) + 1),
    )


def _refuse(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
    raise GradientError(
        "a second derivative is asked of a sample, and texture units give the first alone. Use backend='torch' outside of torch.compile "
        "and torch.func, or sample without create_graph"
    )


def _forget(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    pass


def _with_gradient(op: Any, keep: Callable[..., None], back: Callable[..., Any]) -> type[torch.autograd.Function]:
    """Gives the op its gradient, and the same as a Function for torch.func, whose transforms take no op that has one."""
    op.register_autograd(back, setup_context=keep)

    class Transformed(torch.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(*inputs: Any) -> Any:
            return op(*inputs)

    Transformed.setup_context = staticmethod(keep)  # type: ignore[method-assign]
    Transformed.backward = staticmethod(back)  # type: ignore[method-assign]
    return Transformed


def _called(op: Any, transformed: type[torch.autograd.Function]) -> Callable[..., Any]:
    inside = torch._C._functorch.peek_interpreter_stack() is not None and not torch.compiler.is_compiling()
    return transformed.apply if inside else op


_TransformedSample = _with_gradient(_sample, _keep, _back)
_TransformedBackward = _with_gradient(_backward, _forget, _refuse)


def _vmapped(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    """One sample of all plans behind each other, of all images as one batch."""
    images, rows = _stacked(info.batch_size, in_dims, inputs[0], inputs[1])
    found = _sample(images, rows, *inputs[2:])
    return tuple(part.unflatten(0, (info.batch_size, -1)) for part in found), (0, 0, 0)


_sample.register_vmap(_vmapped)


def _backward_vmapped(info: Any, in_dims: tuple[Any, ...], *inputs: Any) -> tuple[Any, Any]:
    count = info.batch_size
    pixels, inside = (
        (part.movedim(dim, 0) if dim is not None else part.expand(count, *part.shape))
        for part, dim in zip(inputs[:2], in_dims[:2], strict=True)
    )
    *settings, of_rows, of_images, image_dtype = inputs[4:]
    if of_images and in_dims[2] is None:  # one sum of its own for each
        rows = inputs[3].movedim(in_dims[3], 0) if in_dims[3] is not None else inputs[3].expand(count, *inputs[3].shape)
        parts = [
            _backward(pixels[k], inside[k], inputs[2], rows[k], *settings, of_rows, of_images, image_dtype)
            for k in range(count)
        ]
        return tuple(torch.stack(part) for part in zip(*parts, strict=True)), (0, 0)
    images, rows = _stacked(count, in_dims[2:4], inputs[2], inputs[3])
    shape = [count * of_images[0], *of_images[1:]] if of_images else []
    found = _backward(pixels.flatten(0, 1), inside.flatten(0, 1), images, rows, *settings, of_rows, shape, image_dtype)
    wanted = (of_rows, bool(of_images))
    return (
        tuple(part.unflatten(0, (count, -1)) if asked else part for part, asked in zip(found, wanted, strict=True)),
        tuple(0 if asked else None for asked in wanted),
    )


_backward.register_vmap(_backward_vmapped)


def _stacked(
    count: int, in_dims: Sequence[int | None], images: Tensor | None, rows: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Images [count * B, H, W, 3], where they differ, and rows [count * N, ...], each of its own images."""
    image_dim, row_dim = in_dims[:2]
    rows = rows.movedim(row_dim, 0) if row_dim is not None else rows.expand(count, *rows.shape)
    if images is not None and image_dim is not None:
        images = images.movedim(image_dim, 0)
        layers = images.shape[1]
        first = layers * torch.arange(count, device=rows.device, dtype=rows.dtype)
        own = rows[..., 6].round().clamp(0, layers - 1) + first.view(-1, *[1] * (rows.ndim - 2))
        rows = torch.cat([rows[..., :6], own[..., None], rows[..., 7:]], -1)
        images = images.flatten(0, 1)
    return images, rows.flatten(0, 1)


def _pyramid(
    images: Tensor | None, unit: str, key: int, format: str | None, builder: str | None, max_level: int
) -> Pyramid:
    if key != NOWHERE:
        found: Pyramid = pyramid_of(key)
        return found
    assert images is not None
    built: Pyramid = unit_of(unit).pyramid(images.detach(), format=format, builder=builder, max_level=max_level)
    return built


def _plan(rows: Tensor, patch_size: int, origin: Sequence[int]) -> SamplePlan:
    rows = rows.detach()
    texels = rows if rows.ndim == 4 else None
    return SamplePlan(rows if texels is None else rows[:, 0, 0], patch_size, texels, origin=(origin[0], origin[1]))
