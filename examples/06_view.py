"""Draw what a viewer would show, without a window.

The viewer is a session that draws on a canvas; a window is only one way to show it. Here the gaze goes from the face to the
helmet, and every view is drawn on the way. You should see `views.png`: above, the astronaut's face is sharp and the helmet a
blur, below the other way round; from left to right the footprints, what the tokens see, and the cortical image, in which the
fixated part fills most of the width.
"""

import sys
from pathlib import Path

import torch
from PIL import Image

from homunculus.viewer import headless
from homunculus.viewer.headless import Settings

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
photograph = Path(__file__).parent / "data/photograph.jpg"

rows = []
with headless.open_gl() as unit:  # one context, and so one compilation, for all pictures
    print(f"drawing on {unit.renderer}")
    for gaze in ((0.43, 0.22), (0.75, 0.85)):
        views = [
            headless.picture([photograph], Settings([gaze], view, budget=91), unit=unit, size=(384, 384))
            for view in ("footprints", "reconstruction", "cortex")
        ]
        rows.append(torch.cat(views, 1))
    print(f"{unit.stats.dispatches} compute dispatches, {unit.stats.bytes_to_host} bytes of tokens over the host")

Image.fromarray(torch.cat(rows).numpy()).save(out / "views.png")
print(out / "views.png")
