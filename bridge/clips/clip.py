"""The last frames of a video as one pyramid, whose layers are the frames and the means of 2, 4, 8 ... of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor

from homunculus.bridge.clips.frame import VideoFrame
from homunculus.bridge.clips.means import Means
from homunculus.bridge.clips.timeline import Span, Timeline
from homunculus.bridge.errors import ImageError, PlanError
from homunculus.bridge.images import Format
from homunculus.bridge.live import unit_of
from homunculus.bridge.notebook import Pictured, tiled
from homunculus.bridge.pictures.entrance import Picture, picture
from homunculus.bridge.pictures.planes import NEUTRAL, Planes
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.pyramid import Extent, Pyramid
from homunculus.bridge.values import number

COARSE_CELLS = 128  # along the longer side of a coarse frame, at most
TILE = 16  # its side in texels; a coarse frame is read in tiles
CUT = 0.1  # mean absolute difference of two coarse frames in 0..1 beyond which they are of unlike scenes


class Clip(Pyramid, Pictured):
    """A pyramid of the last frames, each on a layer of its own, and of means over whole durations: `timeline` says which layer lasts
    how long. Made by `TextureUnit.clip`, and sampled as any pyramid; layers that no frame has reached are black.

    A mean is made of its frames' exact sum and rounded once. None runs across a cut, told by the mean difference of two successive
    coarse frames.

    >>> with hm.open_unit("torch") as unit, unit.clip((64, 64), frames=4) as clip:
    ...     for grey in (10, 20, 40, 50):
    ...         clip.push(np.full((64, 64, 3), grey, np.uint8))
    ...     span = clip.timeline.spans[0]
    ...     span.frames, round(255 * float(clip.level(0)[clip.timeline.layer(span), 0, 0, 0]))
    (4, 30)
    """

    def __init__(self, store: Pyramid, timeline: Timeline) -> None:
        """store: of `timeline.layers` black pictures; it is closed with the clip."""
        extent = Extent(*store.padded_size, store.layers, store.max_level + 1, store.format)
        super().__init__(store.home, store.size, extent, store.builder)
        self._store = store
        self.coding = store.coding
        self.timeline = timeline
        self.cut = False  # whether the newest frame is of another scene than the one before it
        self._newest: Tensor | Planes | None = None
        self._means = self._new_means()
        self._seen: dict[int, tuple[Tensor, float]] = {}  # the coarse frame and the time, by number
        self._level_of_coarse = self._overview_level(COARSE_CELLS)
        tiles = tiles_of(self.coarse_size, 1 << self._level_of_coarse)
        self._tiles = [tiles.on_layer(slot) for slot in range(timeline.slots)]

    def _new_means(self) -> list[Means]:
        """Of pictures, or of luma and of chroma, which are bytes."""
        return [Means("rgba8"), Means("rgba8")] if self.format == "nv12" else [Means(self.format)]

    def built(self) -> Pyramid:
        return self._store

    @property
    def coarse_size(self) -> tuple[int, int]:
        """(height, width) of coarse frames: of the level whose longer side has 128 texels at most."""
        return self.size_at(self._level_of_coarse)

    @property
    def coarse(self) -> Tensor:
        """float32 [F, h, w, 3] in 0..1, where the unit's patches are: small pictures of the frames from
        `timeline.start` on, oldest first."""
        frames = [self._seen[number][0] for number in range(self.timeline.start, self.timeline.count)]
        return (
            torch.stack(frames) if frames else torch.zeros(0, *self.coarse_size, 3, dtype=torch.float32, device="cpu")
        )

    @property
    def newest(self) -> Tensor:
        """[H, W, 3], the frame that was pushed last, as it was given, or its planes as RGB. Raises PlanError before the first."""
        if self._newest is None:
            raise PlanError(f"{self!r} holds no frame yet; push one first")
        return self._newest.rgb() if isinstance(self._newest, Planes) else self._newest

    def time_s(self, number: int) -> float:
        """When a frame is shown. Raises PlanError for one that the timeline no longer covers."""
        if number not in self._seen:
            raise PlanError(
                f"frame {number} is not held; this clip covers frames {self.timeline.start} to {self.timeline.count - 1}"
            )
        return self._seen[number][1]

    def push(self, frame: VideoFrame | Picture, time_s: float | None = None) -> None:
        """Takes the next frame, of the clip's size: writes its layer, and that of each mean that it completes.

        time_s: when it is shown, later than the frame before it; by default what a `VideoFrame` says, or else the frame's number.
        Raises ImageError for another size, PlanError for a time that is not later; the clip is as it was then.
        """
        image = frame.image if isinstance(frame, VideoFrame) else frame
        time_s = self._later(frame.time_s if isinstance(frame, VideoFrame) and time_s is None else time_s)
        shown, before = self._frame(image), self.timeline
        slot = before.count % before.slots
        self._store.write(slot, shown)
        coarse = self._coarse_of(slot)
        cut = self._differs(coarse)
        after = before.pushed(cut)
        for span, mean in self._means_of(shown, after):
            self._store.write(after.layer(span), mean)
        self.timeline, self.cut, self._newest = after, cut, shown
        self._seen[before.count] = coarse, time_s
        first = min(after.start, before.count)
        self._seen = {held: seen for held, seen in self._seen.items() if held >= first}

    def _frame(self, image: Picture) -> Tensor | Planes:
        """What can be written. The first of a clip in planes says what the bytes of all mean; until then they are black in any coding."""
        if not isinstance(image, Planes) or self.coding is None:
            return picture(image).detach()
        if not self.timeline.count and image.size == self.size:
            self.coding = self._store.coding = image.coding
        return image

    def _means_of(self, shown: Tensor | Planes, after: Timeline) -> Iterator[tuple[Span, Tensor | Planes]]:
        if after.slots == 1:
            return
        if not isinstance(shown, Planes):
            yield from self._means[0].pushed(shown, after.completed)
            return
        made = (
            means.pushed(part, after.completed)
            for means, part in zip(self._means, (shown.luma, shown.chroma), strict=True)
        )
        for (span, luma), (_, chroma) in zip(*made, strict=True):
            yield span, replace(shown, luma=luma, chroma=chroma)

    def write(self, layer: int, image: Picture) -> None:
        raise ImageError(f"{self!r} writes its layers itself; give it frames with push()")

    def _later(self, time_s: float | None) -> float:
        count = self.timeline.count
        time_s = float(count) if time_s is None else number("time_s", time_s, -torch.inf)
        last = self._seen[count - 1][1] if count - 1 in self._seen else -torch.inf
        if not last < time_s < torch.inf:
            raise PlanError(
                f"time_s is {time_s:g} and the frame before is shown at {last:g}; give frames in the order of their times"
            )
        return time_s

    def _coarse_of(self, slot: int) -> Tensor:
        """[h, w, 3] of the frame in a slot."""
        seen: Tensor = unit_of(self._store.unit).sample(self._store, self._tiles[slot], quality="fast").pixels
        (height, width), columns = self.coarse_size, -(-self.coarse_size[1] // TILE)
        rows = seen.reshape(-1, columns, 3, TILE, TILE).permute(0, 3, 1, 4, 2).reshape(-1, columns * TILE, 3)
        return rows[:height, :width].contiguous()

    def _differs(self, coarse: Tensor) -> bool:
        before = self._seen.get(self.timeline.count - 1)
        return before is not None and float((coarse - before[0]).abs().mean()) > CUT

    def _level(self, level: int) -> Tensor:
        return self._store._level(level)

    def close(self) -> None:
        self._store.close()
        self._newest = None
        self._means = self._new_means()

    def __repr__(self) -> str:
        return f"Clip({self._store!r}, {self.timeline!r})"

    def _picture(self) -> Image.Image:
        """The frames of this scene that it holds, small, oldest first."""
        frames = self.coarse if self.timeline.count else self.coarse.new_ones(1, *self.coarse_size, 3)
        return tiled(frames.permute(0, 3, 1, 2))


def tiles_of(size: tuple[int, int], step_px: int) -> SamplePlan:
    """Over texels of step_px, (height, width) of them: a tap in the middle of each."""
    down, right = torch.meshgrid(
        *(torch.arange(TILE / 2, -(-side // TILE) * TILE, TILE, dtype=torch.float32, device="cpu") for side in size),
        indexing="ij",
    )
    centers = step_px * torch.stack([right.flatten(), down.flatten()], 1)
    return SamplePlan.squares(
        centers, torch.full((len(centers),), float(TILE * step_px), dtype=torch.float32, device="cpu"), TILE
    )


def black_pictures(count: int, size: tuple[int, int], format: Format) -> Tensor | list[Planes]:
    """For a pyramid of that format; in planes they are black whatever range it turns out to be."""
    if format == "nv12":
        luma = torch.zeros(size, dtype=torch.uint8, device="cpu")
        return [Planes(luma, luma.new_full((-(-size[0] // 2), -(-size[1] // 2), 2), NEUTRAL))] * count
    kind = torch.uint8 if format == "rgba8" else torch.float32
    return torch.zeros(count, *size, 3, dtype=kind, device="cpu")
