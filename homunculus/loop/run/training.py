"""Patches in a training loop: a PyTorch data set that looks at pictures in its loader's workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from homunculus.bridge.checks import check_normalisation
from homunculus.bridge.errors import BackendUnavailableError, DataError, PlanError
from homunculus.bridge.law import Quality
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.patches import Patches
from homunculus.bridge.pictures.entrance import picture
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Pyramid
from homunculus.bridge.unit import TextureUnit
from homunculus.bridge.values import shown
from homunculus.loop.look import points_of, scene_of
from homunculus.loop.options import Options
from homunculus.loop.record import Points, pairs
from homunculus.loop.tiled import is_tiled, opened


class Indexed(Protocol):
    """A list, an array, a column of a table, or a class of one's own."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Any: ...


Fixate: TypeAlias = Callable[[Tensor, int], Points]


class TrainingItem(NamedTuple):
    """pixels: [N, 3, P, P]. plan: where they stand. size: (height, width) of the picture in px. target: None without targets."""

    pixels: Tensor
    plan: SamplePlan
    size: tuple[int, int]
    target: Any


class TrainingBatch(NamedTuple):
    """pixels: [B, N, 3, P, P]. plans, sizes: one a picture, as `FoveatedViT` takes them. targets: a tensor [B] of numbers (int64, or
    float32), else a list; None without targets."""

    pixels: Tensor
    plans: list[SamplePlan]
    sizes: list[tuple[int, int]]
    targets: Any


class PatchDataset(Dataset[TrainingItem]):
    """Pictures in, patches and plans out, for a DataLoader.

    pictures: paths, arrays, PIL images, slides as `open_tiles` gives them; in a list, an array [B, H, W, 3], a column of a Hugging Face
    data set, or whatever has `len` and an index. targets: as many of anything; they pass through. budget, allocator, quality,
    patch_size, backend: as of `hm.look`; with an allocator that reads the picture it is given that. at: fixations as fractions, by default
    the middle; "random", one drawn anew every time from torch's random numbers, which a DataLoader seeds for each epoch and worker, so that
    `torch.manual_seed` repeats it; or a function of the picture [H, W, 3] (of one in tiles its overview) and its index. mean, std: what
    a model's patches are normalised by, such as `vit.mean`; without them values are in 0..1.

    An item is a `TrainingItem`, `collate` makes a `TrainingBatch` of pictures of any sizes. Every process opens a unit of its own
    when it first needs it, and keeps it. Start workers by `spawn` or `forkserver`, or by `fork` before anything has opened a unit.
    Raises DataError for what is no list of pictures or targets, PlanError, and for each item what `hm.look` raises.

    >>> from torch.utils.data import DataLoader
    >>> pictures = ["examples/data/photograph.jpg", np.zeros((300, 400, 3), np.uint8)]
    >>> dataset = hm.PatchDataset(pictures, targets=[0, 1], budget=100, at="random", backend="torch")
    >>> for batch in DataLoader(dataset, batch_size=2, collate_fn=dataset.collate):
    ...     batch.pixels.shape, batch.sizes, batch.targets
    (torch.Size([2, 100, 3, 16, 16]), [(512, 512), (300, 400)], tensor([0, 1]))
    """

    def __init__(
        self,
        pictures: Indexed,
        targets: Indexed | None = None,
        *,
        budget: int = 273,
        allocator: str = "quadtree",
        at: Points | Literal["random"] | Fixate | None = None,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        patch_size: int = 16,
        quality: Quality = "high",
        backend: Backend | None = None,
    ) -> None:
        self.options = Options(budget=budget, allocator=allocator, patch_size=patch_size, quality=quality)
        self.pictures, self.targets = _checked(pictures, targets)
        self.at = at if callable(at) or _is_random(at) else points_of(cast("Points | None", at), self.options)
        self.mean, self.std = check_normalisation(mean, std)
        self.backend = backend
        self._unit: TextureUnit | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> TrainingItem:
        with ExitStack() as stack:
            pyramid, pixels = self._opened(index, stack)
            plan = self.options.plan(scene_of(self.options, pixels, pyramid.size, self._points(pixels, index)))
            patches = self._sampled(pyramid, plan)
        target = None if self.targets is None else self.targets[index]
        return TrainingItem(patches.pixels.cpu(), plan.to("cpu"), pyramid.size, target)

    @staticmethod
    def collate(items: Sequence[TrainingItem]) -> TrainingBatch:
        """The batch of several items, whatever the sizes of their pictures."""
        pixels, plans, sizes, targets = zip(*items, strict=True)
        return TrainingBatch(torch.stack(pixels), list(plans), list(sizes), _together(targets))

    @property
    def unit(self) -> TextureUnit:
        """This process's own, opened when it is first asked for. Raises BackendUnavailableError, or ForkedContextError in a child that was
        forked from a process in which OpenGL was open."""
        if self._unit is None:
            unit = open_unit(self.backend)
            if unit.emulated and not unit.reason.startswith("asked for"):
                with suppress(
                    BackendUnavailableError
                ):  # that is why; a fork is the user's to mend, and not to be slow for
                    open_unit("gl")
            self._unit = unit
        return self._unit

    def close(self) -> None:
        """Closes this process's unit; the next item opens another."""
        unit, self._unit = self._unit, None
        if unit is not None:
            unit.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_unit": None}

    def _opened(self, index: int, stack: ExitStack) -> tuple[Pyramid, Tensor]:
        """The pyramid of a picture, and the picture [H, W, 3], or its overview where it is in tiles."""
        image = self.pictures[index]
        if isinstance(image, Mapping):
            raise DataError(
                f"picture {index} is a record of {', '.join(map(str, image))}; give the column that holds pictures, such as "
                "dataset['image']"
            )
        image = opened(image, stack)
        looked = image if is_tiled(image) else picture(image)
        if isinstance(looked, Pyramid):
            raise DataError(f"picture {index} is a pyramid, which lives on one device; give what it was made of")
        pyramid = stack.enter_context(self.unit.pyramid(looked))
        return pyramid, looked if isinstance(looked, Tensor) else pyramid.overview()

    def _points(self, pixels: Tensor, index: int) -> list[tuple[float, float]]:
        if _is_random(self.at):
            x, y = torch.rand(2, dtype=torch.float64, device="cpu").tolist()
            return [(x, y)]
        return pairs(self.at(pixels, index)) if callable(self.at) else cast("list[tuple[float, float]]", self.at)

    @torch.no_grad()
    def _sampled(self, pyramid: Pyramid, plan: SamplePlan) -> Patches:
        return self.unit.sample(pyramid, plan, quality=self.options.quality, mean=self.mean, std=self.std)


def _is_random(at: Any) -> bool:
    if isinstance(at, str) and at != "random":
        raise PlanError(f"at is {shown(at)}; give points (x, y) as fractions, 'random', or a function")
    return isinstance(at, str)


def _checked(pictures: Any, targets: Any) -> tuple[Indexed, Indexed | None]:
    for name, given in (("pictures", pictures), ("targets", targets)):
        indexed = hasattr(given, "__len__") and hasattr(given, "__getitem__")
        if not indexed or isinstance(given, str | bytes | Mapping):
            if name == "targets" and given is None:
                continue
            raise DataError(f"{name} are {shown(given)}; give a list, an array, or what has a length and an index")
    if isinstance(pictures, Tensor | np.ndarray) and pictures.ndim != 4:
        raise DataError(
            f"pictures are an array of shape {list(pictures.shape)}; give [B, H, W, 3], or a list of arrays"
        )
    if not len(pictures):
        raise DataError("pictures are empty; give at least one")
    if targets is not None and len(targets) != len(pictures):
        raise DataError(f"{len(pictures)} pictures and {len(targets)} targets; give one target for each picture")
    return pictures, targets


def _together(targets: Sequence[Any]) -> Any:
    if all(target is None for target in targets):
        return None
    if all(isinstance(target, Tensor) and target.ndim == 0 for target in targets):
        return torch.stack(list(targets))
    if not all(isinstance(target, Real) for target in targets):
        return list(targets)
    whole = all(isinstance(target, Integral) for target in targets)
    return torch.tensor([*targets], dtype=torch.int64 if whole else torch.float32, device="cpu")
