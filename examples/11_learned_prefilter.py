"""A prefilter that is learned: what stands before the pyramid is trained through it, with the model behind it.

The task: are stripes of 3 px horizontal or vertical? An eye of 16 tokens sees 128 x 128 px at one texel for 8 x 8 px, where every
stripe is grey, so a tiny ViT can only guess. A convolution before the upload, five by five, then its absolute value, can turn
stripes into something that survives a mean. Its weights get gradients through `unit.pyramid(image)` and `unit.sample`. You should see
`prefilter.png` (a row for each kind: the picture, what the tokens show of it as it is, and what they show after the learned filter) and,
printed, about one half right without the prefilter and nearly all with it.
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import ViTConfig, ViTModel

import homunculus as hm
from homunculus.report import to_picture

SIDE, PATCH, BATCH, STEPS = 128, 4, 16, 40
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PLAN = hm.layouts.grid((SIDE, SIDE), budget=16, patch_size=PATCH)
random = torch.Generator().manual_seed(0)


def stripes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey pictures [count, SIDE, SIDE, 3] of stripes in noise, and whether each is vertical."""
    vertical = torch.rand(count, generator=random) < 0.5
    period, phase = 2.6 + torch.rand(2, count, 1, 1, generator=random)
    waves = 0.5 + 0.3 * torch.sin(6.2832 * (torch.arange(SIDE) / period + phase)).expand(count, SIDE, SIDE)
    noisy = torch.where(vertical[:, None, None], waves, waves.mT) + 0.05 * torch.randn(waves.shape, generator=random)
    return noisy.clamp(0, 1)[..., None].repeat(1, 1, 1, 3), vertical.long()


def tokens(unit: hm.TextureUnit, images: torch.Tensor, prefilter: torch.nn.Module) -> torch.Tensor:
    filtered = prefilter(images.movedim(-1, 1) - 0.5).abs().movedim(1, -1)
    plan = hm.SamplePlan.concatenate([PLAN.on_layer(k) for k in range(len(images))])
    return unit.sample(unit.pyramid(filtered, format="rgba32f"), plan).pixels.unflatten(0, (len(images), -1))


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
whole = hm.SamplePlan.boxes(torch.tensor([[0.0, 0.0, SIDE, SIDE]]), patch_size=16)
sheet = Image.new("RGB", (3 * 132, 2 * 132), "white")
with hm.open_unit(sys.argv[2] if len(sys.argv) > 2 else "auto") as unit:
    for name, prefilter in (("without", torch.nn.Identity()), ("learned", torch.nn.Conv2d(3, 3, 5, padding=2))):
        torch.manual_seed(1)
        vit = hm.FoveatedViT(ViTModel(ViTConfig(image_size=16, patch_size=PATCH, **SIZES)))
        model = torch.nn.ModuleList([prefilter, vit, torch.nn.Linear(32, 2)])
        adam = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(STEPS + 1):
            images, vertical = stripes(BATCH if step < STEPS else 200)
            seen = tokens(unit, images, prefilter)
            guess = model[2](vit((seen - 0.3) / 0.2, PLAN, (SIDE, SIDE)).tokens.mean(1))
            if step < STEPS:
                adam.zero_grad()
                torch.nn.functional.cross_entropy(guess, vertical).backward()
                adam.step()
        print(f"{name}: {(guess.argmax(1) == vertical).float().mean():.0%} of 200 right")
    for row, k in enumerate((int(vertical.argmin()), int(vertical.argmax()))):
        before = unit.sample(unit.pyramid(images[k]), whole).pixels[0]
        after = seen[k].detach().unflatten(0, (4, 4)).permute(2, 0, 3, 1, 4).reshape(3, 16, 16)
        for column, values in enumerate((images[k].movedim(-1, 0), before, after / after.amax())):
            sheet.paste(to_picture(values).resize((128, 128), Image.Resampling.NEAREST), (132 * column, 132 * row))
sheet.save(out / "prefilter.png")
print(out / "prefilter.png")
