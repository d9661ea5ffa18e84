"""A picture larger than memory: 40,000 x 30,000 px of which a look reads a few dozen tiles.

The picture is a procedure: a field in slow waves, with one small target of rings in it, that is worked out tile by tile, at
whatever level is asked for; `hm.open_tiles("slide.svs")` gives the same kind of thing from a file. The eye is shown the target as
an example and asked where it is. What stands out coarsely is looked at more finely, and the fixation falls on the target, 200 px
wide. You should see `footprints.png`, `reconstruction.png` and `relevance.png`, each of the overview, and printed: by how much it
missed, how many tiles of how many were read, and that a second look reads none.
"""

import sys
from pathlib import Path

import numpy as np

import homunculus as hm
from homunculus.bridge.tiles.source import TileLevel

SIZE, TARGET, RADIUS_PX = (30_000, 40_000), (27_113, 8_742), 100


class Field:
    """A `TileSource`: a name, levels, and `read`, which any thread may call."""

    name, fingerprint = "the field", "1"
    levels = tuple(TileLevel((SIZE[0] >> level, SIZE[1] >> level), (256, 256), (2.0**level,) * 2) for level in range(5))

    def read(self, level: int, row: int, column: int) -> np.ndarray:
        step = 2**level
        height, width = (
            min(256, side - 256 * i) for side, i in zip(self.levels[level].size, (row, column), strict=True)
        )
        x = (256 * column + np.arange(width) + 0.5) * step
        y = ((256 * row + np.arange(height) + 0.5) * step)[:, None]
        waves = np.sin(x / 2300 + np.cos(y / 1700)) * np.cos(y / 1300) + 0.2 * np.sin(x / 190) * np.sin(y / 230)
        picture = np.stack([110 + 40 * waves, 130 + 30 * waves, 90 + 20 * waves], -1)
        away = np.hypot(x - TARGET[0], y - TARGET[1])
        for radius, color in ((1.0, (230, 40, 40)), (0.66, (245, 245, 240)), (0.33, (230, 40, 40))):
            share = np.clip((radius * RADIUS_PX - away) / step + 0.5, 0, 1)[..., None]
            picture = picture * (1 - share) + share * np.array(color)
        return np.rint(picture).astype(np.uint8)

    def close(self) -> None:
        pass


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
field = Field()
corner = [round(side) - RADIUS_PX for side in TARGET]
tiles = [field.read(0, corner[1] // 256 + i // 2, corner[0] // 256 + i % 2) for i in range(4)]
around = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
left, top = corner[0] % 256, corner[1] % 256
example = around[top : top + 2 * RADIUS_PX, left : left + 2 * RADIUS_PX]

with hm.Homunculus(budget=273) as eye:
    seen = eye.look(field, example, fixations=1)
    again = eye.look(field, example, fixations=1)

x, y = seen.fixations[0]
print(f"missed by {np.hypot(x - TARGET[0], y - TARGET[1]):.0f} px; {'; '.join(seen.notes)}")
of = sum(-(-height // 256) * -(-width // 256) for (height, width), *_ in Field.levels)
print(f"{seen.tiles['read']} of {of} tiles were read, at the second look {again.tiles['read']}")
print(*(path for path in seen.save(out) if path.suffix == ".png"), sep="\n")
