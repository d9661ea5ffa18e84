"""A prefilter that is learned: what stands before the pyramid is trained through it, with the model behind it.

The task: are fine stripes horizontal or vertical? An eye of 4 tokens sees 64 x 64 px at one texel for 8 x 8 px, which hold two or
three whole periods: their mean is grey, and a tiny ViT can only guess; also where a convolution before the upload, begun as the
identity, and its absolute value stay fixed. Where it learns, through `unit.pyramid(image)` and `unit.sample`, stripes survive the mean.
You should see `prefilter.png` (for each kind the picture, what the tokens show of it, only noise, and what they show after the learned
filter; below, its kernels) and, printed, loss and share of 200 right: about half as it is and with the fixed filter, then all.
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from transformers import ViTConfig, ViTModel

import homunculus as hm
from homunculus.report import to_picture

SIDE, STEPS, random = 64, 40, torch.Generator().manual_seed(0)
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
PLAN = hm.layouts.grid((SIDE, SIDE), budget=4, patch_size=4)


def stripes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Grey pictures [count, SIDE, SIDE, 3] of stripes of 4 or 8/3 px in noise, and whether each is vertical."""
    vertical, fine, phase = torch.rand(3, count, 1, 1, generator=random)
    waves = torch.sin(6.2832 * (torch.arange(SIDE) * (2 + fine.round()) / 8 + phase)).expand(count, SIDE, SIDE)
    noisy = torch.where(vertical < 0.5, waves, waves.mT) / 3 + 0.05 * torch.randn(waves.shape, generator=random)
    return (0.5 + noisy).clamp(0, 1)[..., None].repeat(1, 1, 1, 3), (vertical < 0.5).flatten().long()


def tokens(unit: hm.TextureUnit, images: torch.Tensor) -> torch.Tensor:
    """[B, N, 3, P, P] of mean 0 and deviation 1, so that faint is no excuse."""
    plan = hm.SamplePlan.concatenate([PLAN.on_layer(k) for k in range(len(images))])
    seen = unit.sample(unit.pyramid(images, format="rgba32f"), plan).pixels.unflatten(0, (len(images), -1))
    return (seen - seen.mean()) / seen.std()


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
with hm.open_unit(sys.argv[2] if len(sys.argv) > 2 else "auto") as unit:
    for name in ("as it is", "identity", "learned"):
        torch.manual_seed(1)
        vit = hm.FoveatedViT(ViTModel(ViTConfig(image_size=8, patch_size=4, **SIZES)))
        model = torch.nn.ModuleList([torch.nn.Conv2d(3, 3, 5, padding=2, bias=False), vit, torch.nn.Linear(32, 2)])
        torch.nn.init.dirac_(model[0].weight).requires_grad_(name == "learned")
        adam = torch.optim.Adam(model.parameters(), lr=3e-3)
        for step in range(STEPS + 1):
            images, vertical = stripes(200 if step % STEPS == 0 else 16)
            filtered = model[0](images.movedim(-1, 1) - 0.5).abs().movedim(1, -1)
            seen = tokens(unit, images if name == "as it is" else filtered)
            guess = model[2](vit(seen, PLAN, (SIDE, SIDE)).tokens.mean(1))
            loss = torch.nn.functional.cross_entropy(guess, vertical)
            if len(guess) == 200:
                right = (guess.argmax(1) == vertical).float().mean()
                print(f"{name}, step {step}: loss {loss:.2f}, {right:.0%} of 200 right")
            adam.zero_grad()
            loss.backward()
            adam.step()
    parts = torch.stack([tokens(unit, images), seen.detach()], 1).unflatten(2, (2, 2)).permute(0, 1, 4, 2, 5, 3, 6)
    texels, kinds = 0.5 + parts.reshape(200, 2, 3, 8, 8) / 5, (vertical.argmin(), vertical.argmax())
    shown = [part for k in kinds for part in (images[k].movedim(-1, 0), *texels[k])]
kernels = model[0].weight.detach().sum(1, keepdim=True).expand(-1, 3, -1, -1)  # what they are to grey pictures
shown += list(0.5 + kernels / kernels.abs().amax() / 2)
sheet = Image.new("RGB", (396, 396), "white")
for k, values in enumerate(shown):
    sheet.paste(to_picture(values.clamp(0, 1)).resize((128, 128), Image.NEAREST), (k % 3 * 132, k // 3 * 132))
sheet.save(out / "prefilter.png")
print(out / "prefilter.png")
