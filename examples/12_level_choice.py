"""How coarse to look, chosen by gradients: a level for each token, hard when it looks and soft when it learns.

A photograph in heavy noise is seen by 256 tokens. A coarse token has less noise and less detail, so each has a best level, and it
depends on the place: nobody tells which. Each token holds three logits, one for each `lod_bias` of 0, 1 and 2. It looks at one level,
drawn by the Gumbel trick (Jang et al. 2017; Maddison et al. 2017), and learns as if it had mixed them (straight-through: Bengio et
al. 2013). A second learner needs no draw: `lod_bias` itself is continuous and has a gradient. You should see `levels.png`: the noisy
picture, the levels that were chosen (bright is coarse: flat ground coarse, the edge of the collar fine), and the continuous bias, and,
printed, an error below that of any one level for all.
"""

import sys
from pathlib import Path

import torch
from PIL import Image

import homunculus as hm
from homunculus.report import to_picture

BIASES, STEPS = torch.tensor([0.0, 1.0, 2.0]), 80
out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
random = torch.Generator().manual_seed(0)
clean = torch.from_numpy(hm.read_image(Path(__file__).parent / "data/photograph.jpg")[:384, :384] / 255).float()
noisy = (clean + 0.15 * torch.randn(clean.shape, generator=random)).clamp(0, 1)
plan = hm.layouts.grid((384, 384), budget=256, patch_size=16)


def biased(bias: torch.Tensor) -> hm.SamplePlan:
    """The plan's tokens, each with a bias of its own."""
    return hm.SamplePlan(torch.cat([plan.footprints[:, :7], bias.reshape(-1, 1)], 1), 16)


with hm.open_unit(sys.argv[2] if len(sys.argv) > 2 else "auto") as unit:
    wanted = unit.sample(unit.pyramid(clean), plan).pixels
    pyramid = unit.pyramid(noisy)
    seen = torch.stack([unit.sample(pyramid, biased(bias.expand(256))).pixels for bias in BIASES], 1)
    print("all at one level:", ", ".join(f"{(part - wanted).square().mean():.5f}" for part in seen.unbind(1)))

    logits = torch.zeros(256, 3, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.2)
    for _ in range(STEPS):
        uniform = torch.rand(256, 3, generator=random).clamp(1e-6, 1 - 1e-6)
        soft = (logits - (-uniform.log()).log()).softmax(1)
        hard = torch.nn.functional.one_hot(soft.argmax(1), 3) + (soft - soft.detach())
        patches = (hard[..., None, None, None] * seen).sum(1)
        loss = 500 * (patches - wanted).square().mean((1, 2, 3)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    chosen = BIASES[logits.argmax(1)]
    print(f"chosen levels: {(unit.sample(pyramid, biased(chosen)).pixels - wanted).square().mean():.5f}")

    bias = torch.ones(256, requires_grad=True)
    adam = torch.optim.Adam([bias], lr=0.1)
    for _ in range(STEPS // 2):
        loss = (unit.sample(pyramid, biased(bias)).pixels - wanted).square().mean((1, 2, 3)).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
    print(f"continuous:    {(unit.sample(pyramid, biased(bias.detach())).pixels - wanted).square().mean():.5f}")

sheet = Image.new("RGB", (3 * 384, 384))
for column, values in enumerate(
    (noisy.movedim(-1, 0), *(part.detach().reshape(1, 16, 16) / 3 for part in (chosen, bias)))
):
    picture = to_picture(values.expand(3, -1, -1).clamp(0, 1))
    sheet.paste(picture.resize((384, 384), Image.Resampling.NEAREST), (384 * column, 0))
sheet.save(out / "levels.png")
print(out / "levels.png")
