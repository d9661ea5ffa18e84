"""A pretrained vision transformer that takes patches of any place and scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import Limit, texts, whole
from homunculus.encoder import load
from homunculus.encoder.anatomy import Position
from homunculus.encoder.coordinates import Coordinates, Sizes, sizes_of
from homunculus.encoder.families import family_of
from homunculus.encoder.family import LayerContext
from homunculus.encoder.guard import refusing

MERGED = Limit(32, "as many cells along a side as a footprint can be cut into")


@dataclass(frozen=True, eq=False)
class Encoding:
    """What the model made of the patches.

    last_hidden_state: [B, special + N, D] as the model itself gives it; B is 1 for a single plan.
    pooled: [B, D] the model's pooled output, None where it has none; for Qwen2.5-VL its merged tokens, [B, N, D].
    tokens: [N, D], or [B, N, D] for a batch: one a footprint, in the plan's order, without special ones; of several cells, their mean.
    hidden: the intermediates that were asked for, each [B, special + N, D]; `attention.3` is [B, heads, special + N].
    """

    last_hidden_state: Tensor
    pooled: Tensor | None
    tokens: Tensor
    hidden: dict[str, Tensor] = field(default_factory=dict)


class FoveatedViT(nn.Module):
    """Feeds a transformers vision model with patches that stand where a plan says, by the model's own modules.

    model: a vision transformer of transformers, such as a ViT, CLIP, SigLIP or DINO model (docs/models.md has all), or a whole model with
        such a tower.
    position: `center`, a learned table read bicubically at the footprint's centre, rotary positions at it; `footprint`, the mean over
        the footprint, or over a native cell where that is larger. By default the model's own rule: `footprint` for SigLIP 2 and
        DINOv2 with registers, whose own code resizes the table by a filter as wide as a patch, `center` for the rest.
    area_attention: adds log(area) of each token to its logit as a key, in every layer and in a pooling head, so that two tokens halving
        an area count as the one they came from (proportional attention: Bolya et al., ICLR 2023). Area is relative to a cell of the
        native grid, so nothing changes on that grid; special tokens count as one cell. Needs attention `sdpa` or `eager`.
        Leave it off unless the model was trained with it: it has helped nowhere yet, and foveated tokens of a real DINOv2 tell parts
        of photographs apart less well with it (docs/vit.md).
    merge: cells along a side of a footprint, each a patch of the tower, for language models that make one token of several patches; towers
        that merge themselves, Qwen's, know theirs.
    On its native grid the output equals the model's own, and by the model's own rule on every other regular grid, too, where
    transformers would resize the table (`interpolate_pos_encoding`). A square table is stretched over the image. Patches must be
    normalised with `mean` and `std`: `unit.sample(..., mean=vit.mean, std=vit.std)`. What some models add in training to positions,
    such as DINOv3's jitter, is not added.
    Raises ModelError for a model type that is not supported, or an attention that takes no bias.

    >>> from transformers import ViTConfig, ViTModel
    >>> small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    >>> vit = hm.FoveatedViT(ViTModel(ViTConfig(**small)))
    >>> plan = hm.layouts.quadtree((512, 512), fixation=(220, 110), budget=100)
    >>> vit(torch.zeros(100, 3, 16, 16), plan, size=(512, 512)).tokens.shape
    torch.Size([100, 32])
    """

    def __init__(
        self,
        model: Any,
        *,
        position: Position | None = None,
        area_attention: bool = False,
        merge: int = 1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if position not in (None, "center", "footprint"):
            raise ModelError(f"position is {position!r}; expected 'center' or 'footprint'")
        self.model = model
        self.training = bool(model.training)
        self.family = family_of(model, whole("merge", merge, MERGED, refusal=ModelError))
        anatomy = self.family.anatomy
        self.position: Position = position or anatomy.position
        self.area_attention = area_attention
        self.mean = tuple(mean or anatomy.normalisation[0])
        self.std = tuple(std or anatomy.normalisation[1])
        attention = getattr(self.family.config, "_attn_implementation", "sdpa")
        if area_attention and attention not in ("sdpa", "eager", None):
            raise ModelError(
                f"area_attention adds a bias that attention {attention!r} ignores; load the model with "
                "attn_implementation='sdpa' or 'eager'"
            )

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        position: Position | None = None,
        area_attention: bool = False,
        dtype: torch.dtype = torch.float32,
        attention: str = "sdpa",
        local_files_only: bool = False,
    ) -> Self:
        """Loads a model from a folder that `save_pretrained` wrote, or by its name on the hub; in eval mode, on the CPU.

        mean and std are what the folder's own preprocessing does to values, or the family's own where it has none. Code in the folder
        never runs, and weights are safetensors. Raises ModelError for a folder or name that holds no supported model, settings that
        name code or sizes no model has, weights that are pickled or lack tensors, or an attention that is not installed.
        """
        model = load.model(name, dtype=dtype, attention=attention, local_files_only=local_files_only)
        mean, std = load.values(name, local_files_only=local_files_only)
        with refusing(name):
            return cls(model, position=position, area_attention=area_attention, mean=mean, std=std)

    @property
    def patch_size(self) -> int:
        """Texels along a side of the patches it takes: what a plan must be laid out with."""
        return self.family.patch_size

    @property
    def dim(self) -> int:
        """Width of `tokens`."""
        return self.family.dim

    @property
    def native_grid(self) -> tuple[int, int] | None:
        """Rows and columns of footprints in the images the model was trained on; None where it has no such grid."""
        grid, merge = self.family.native_grid, self.family.merge
        return None if grid is None else (max(grid[0] // merge, 1), max(grid[1] // merge, 1))

    @property
    def frames(self) -> int:
        """Frames of one token: 1 of a model of pictures, 2 (or as many as its projection takes) of one that reads clips."""
        return self.family.frames

    def forward(
        self,
        pixels: Tensor,
        plan: SamplePlan | Sequence[SamplePlan],
        size: Sizes,
        *,
        times: Tensor | None = None,
        area_px: Tensor | None = None,
        hidden: Sequence[str] = (),
    ) -> Encoding:
        """Encodes pixels [N, 3, P, P], or [B, N, 3, P, P] with B plans or one for all, normalised with `mean` and `std`.

        times: of a clip, for a model with `frames`, (first frame, frames) of each token, [N, 2] or [B, N, 2], whole or not, counted from
        the clip's start. Pixels are then [N, frames, 3, P, P] or [B, N, frames, 3, P, P]: of a token that lasts longer, or not as long,
        the means of as many equal parts of its duration. Without times such a model takes a picture as a clip of that alone, as
        long as one token.

        size: (height, width) of the image in pixels, such as pyramid.size, or one for each of the batch; a plan does not know it, and
        positions are relative to it.
        area_px: [N] or [B, N] what each token stands for, by default its footprint; for area_attention.
        hidden: names of wanted intermediates: `embeddings`, `layer.0` and so on for outputs of layers, `attention.0` and so on for what
        the class token attends to. Never waits for the device.
        Raises ModelError for pixels, a plan or names that do not fit the model.
        """
        last, hidden = len(self.family.layers) - 1, texts("hidden", hidden, refusal=ModelError)
        each = [f"{kind}.{index}" for kind in ("layer", "attention") for index in range(last + 1)]
        unknown = set(hidden) - {"embeddings", *each}
        if unknown:
            raise ModelError(
                f"hidden names {sorted(unknown)} do not exist; this model has 'embeddings', 'layer.0' to 'layer.{last}' and "
                f"'attention.0' to 'attention.{last}'"
            )
        x, context = self.begin(pixels, plan, size, times=times, area_px=area_px)
        seen = {"embeddings": x}
        for index in range(last + 1):
            if f"attention.{index}" in hidden:
                seen[f"attention.{index}"] = self.family.class_attention(index, x, context)
            x = self.family.layer(index, x, context)
            if f"layer.{index}" in hidden:  # of many tokens, the states of all layers are more than a device may hold
                seen[f"layer.{index}"] = x
        state, tokens, pooled = self.family.finish(x, context)
        single = pixels.ndim == (4 if times is None else 5)
        return Encoding(state, pooled, tokens[0] if single else tokens, {name: seen[name] for name in hidden})

    def begin(
        self,
        pixels: Tensor,
        plan: SamplePlan | Sequence[SamplePlan],
        size: Sizes,
        *,
        times: Tensor | None = None,
        area_px: Tensor | None = None,
    ) -> tuple[Tensor, LayerContext]:
        """What enters the first layer, [B, special + N, D], and what all layers are told. Arguments as for the call."""
        plans = [plan] if isinstance(plan, SamplePlan) else list(plan)
        pixels = self._checked(self._batched(pixels, times), plans, len(sizes_of(size)))
        coordinates = Coordinates.of(plans, size, pixels.device, area_px)
        if times is not None:
            coordinates = coordinates.lasting(times, self.frames, len(pixels))
        coordinates, pixels = coordinates.cells(self.family.merge), cut(pixels, self.family.merge)
        x = self.family.embed(pixels, coordinates, self.position)
        areas = self.family.areas(coordinates).clamp(min=torch.finfo(torch.float32).tiny)
        bias = areas.log().to(x.dtype).expand(len(x), -1) if self.area_attention else None
        return x, self.family.context(coordinates, self.position, bias)

    def _batched(self, pixels: Tensor, times: Tensor | None) -> Tensor:
        """The pixels of pictures or clips as a batch. Raises ModelError where they are none, or have times that the model cannot take."""
        P, F = self.patch_size, self.frames
        if times is not None and F == 1:
            raise ModelError(
                f"{self.family.name} reads pictures, whose tokens have no times; leave times out, or take a model of clips (docs/models.md)"
            )
        patch = (3,) if times is None else (F, 3)
        dims = len(patch) + 3
        known = pixels.ndim in (dims, dims + 1) and pixels.shape[-len(patch) - 2 : -2] == patch
        if not known or not pixels.is_floating_point():
            still, clip = (f"[N, {each}{P}, {P}] or [B, N, {each}{P}, {P}]" for each in ("3, ", f"{F}, 3, "))
            expected = clip if times is not None else still if F == 1 else f"{still}, and with times {clip}"
            raise ModelError(f"pixels are {pixels.dtype} {tuple(pixels.shape)}; expected floats {expected}")
        return pixels if pixels.ndim > dims else pixels[None]

    def _checked(self, batch: Tensor, plans: Sequence[SamplePlan], sizes: int) -> Tensor:
        """The batch. Raises ModelError where shapes of pixels, plans and model disagree, or there are too few sizes."""
        P = self.patch_size
        wrong = {plan.patch_size for plan in plans} | set(batch.shape[-2:])
        if wrong != {P}:
            raise ModelError(
                f"patches are {tuple(batch.shape[-2:])} texels and the plan's {sorted({plan.patch_size for plan in plans})}; this "
                f"{self.family.name} takes {P}: lay the plan out with patch_size={P} and sample again"
            )
        if len(plans) not in (1, len(batch)):
            raise ModelError(
                f"{len(plans)} plans for a batch of {len(batch)} images; give one plan for all or one for each"
            )
        if sizes not in (1, len(batch)):
            raise ModelError(
                f"{sizes} sizes for a batch of {len(batch)} images; give one (height, width) for all or one for each"
            )
        for plan in plans:
            if len(plan) != batch.shape[1]:
                raise ModelError(
                    f"{batch.shape[1]} patches for a plan of {len(plan)} footprints; give the patches that this plan sampled"
                    + (", and of a clip's the times, too" if batch.shape[1] == self.frames > 1 else "")
                )
        return batch

    def extra_repr(self) -> str:
        return f"{self.family.name}, patches of {self.patch_size}, position={self.position}, area_attention={self.area_attention}"


def cut(pixels: Tensor, merge: int) -> Tensor:
    """[B, N * merge**2, ..., P, P] the cells of footprints [B, N, ..., merge * P, merge * P], row by row."""
    if merge == 1:
        return pixels
    *lead, height, width = pixels.shape
    cells = pixels.reshape(*lead, merge, height // merge, merge, width // merge)
    return cells.movedim((-4, -2), (2, 3)).flatten(1, 3)
