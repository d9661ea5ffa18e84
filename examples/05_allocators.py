"""One budget, every way of spending it, and what each way leaves unseen.

Relevance says where an answer may be, but it is only an estimate. Here it finds the face, takes the helmet for half as
important, and has no idea of the mission patch on the sleeve, which is what the question turns out to be about. You should see
`compare.png`: for every allocator where its footprints lie and what they alone let one see. The printed table tells how
sharply each sees the face (target), the helmet (secondary) and the patch (periphery), in pixels a texel: 1 is all there is.
Those that keep something for everywhere see the patch coarsely; plain top-K, printed last, sees the face and the helmet, and nothing else.
"""

import sys
from pathlib import Path

import numpy as np
import torch

import homunculus as hm
from homunculus.allocators.blind_spots import step_px

FACE, HELMET, PATCH = (0.43, 0.22), (0.78, 0.83), (0.32, 0.75)

out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
place = (torch.arange(64) + 0.5) / 64
relevance = torch.zeros(64, 64)
for (x, y), height in ((FACE, 1.0), (HELMET, 0.5)):
    relevance += height * torch.exp(-((place - x) ** 2 + (place[:, None] - y) ** 2) / (2 * 0.06**2))
np.save(out / "relevance.npy", relevance.numpy())

landmarks = {"target": FACE, "secondary": HELMET, "periphery": PATCH}
photograph = Path(__file__).parent / "data/photograph.jpg"
found = hm.compare(photograph, relevance=relevance, landmarks=landmarks, budget=192)


def told(steps: dict[str, float | None]) -> str:
    return ", ".join(f"{name} {'not seen' if step is None else f'{step:.1f}'}" for name, step in steps.items())


for entry in found.entries:
    print(f"{entry.name:20s}", told(dict(entry.sight.step_px)) if entry.sight else entry.reason)

# The 192 most relevant of the 32 x 32 native patches, and nothing else.
scores = torch.nn.functional.avg_pool2d(relevance[None], 2)[0].reshape(-1)
best = scores.topk(192).indices
corners = torch.stack([best % 32, best // 32], -1) * 16.0
top_k = hm.SamplePlan.boxes(torch.cat([corners, corners + 16], -1))
print(f"{'plain top-K':20s}", told({name: step_px(top_k, point) for name, point in found.landmarks.items()}))

for path in found.save(out):
    print(path)
