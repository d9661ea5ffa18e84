"""V-JEPA 2 (Assran et al., 2025), its encoder: tubelets of two frames, turned by when and where they are; a whole clip attends jointly.

Positions are in tubelets from the clip's start and in native patches of the frame at full size, whole or not.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from homunculus.encoder.anatomy import IMAGENET, Anatomy, Position
from homunculus.encoder.coordinates import Coordinates
from homunculus.encoder.families.rotary import InPatches
from homunculus.encoder.family import LayerContext
from homunculus.encoder.positions import axial_rotation

ANATOMY = Anatomy(
    types=("vjepa2",),
    projection="embeddings.patch_embeddings.proj",
    layers="layer",
    norm="layernorm",
    block=("norm1", "attention.query", "attention.key", "attention.value", "attention.proj", "norm2", "mlp"),
    pooled="",
    optional=("predictor",),
    normalisation=IMAGENET,
)


class VJEPA2(InPatches):
    frames = 2

    @property
    def head(self) -> int:
        return int(self.config.hidden_size) // int(self.config.num_attention_heads)

    @property
    def frequencies(self) -> Tensor:
        """[F] radians a tubelet or a patch: of each axis two channels a frequency, in a third of a head."""
        count = self.head // 6
        return 1e4 ** -(torch.arange(count, dtype=torch.float32, device=self.projection.weight.device) / count)

    def rotation(self, at: Coordinates, position: Position) -> tuple[Tensor, Tensor]:
        patches = (at.size_px / self.cell_px).flip(-1)
        time, length = at.during[..., :1], at.during[..., 1:]
        batch = max(len(at.center), len(time))
        points, extent = (
            torch.cat([each.expand(batch, -1, -1) for each in pair], -1)
            for pair in ((time, at.center.flip(-1) * patches - 0.5), (length, at.extent.flip(-1) * patches))
        )
        cos, sin = axial_rotation(points, self.frequencies, extent if position == "footprint" else None)
        return self.channels(cos, 1.0)[:, None], self.channels(sin, 0.0)[:, None]

    def channels(self, turned: Tensor, still: float) -> Tensor:
        """[..., head] as the model lays them out: the angles of an axis and again, then those of the next; what is left is not turned."""
        axes = turned.chunk(2, -1)[0].chunk(3, -1)
        laid = torch.cat([part for axis in axes for part in (axis, axis)], -1)
        return F.pad(laid, (0, self.head - laid.shape[-1]), value=still)

    def rotated(self, keys: Tensor, context: LayerContext) -> Tensor:
        """Neighbours are the two parts of complex numbers, and each has an angle of its own: so the published weights were trained."""
        assert context.rotation is not None
        cos, sin = context.rotation
        first, second = keys.float()[..., ::2], keys.float()[..., 1::2]
        return (keys.float() * cos + torch.stack([-second, first], -1).flatten(-2) * sin).to(keys.dtype)
