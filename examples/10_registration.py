"""Registration by gradients: where, how large and how turned is a patch that was seen?

A patch is sampled through a footprint that is then forgotten. From a guess 30 px off, a sixth too large and 14 degrees turned, Adam
finds it again: the gradient of `unit.sample` in the numbers of a footprint says how to move, scale and turn it. Coarse to fine:
`lod_bias` blurs both at first, and falls to 0. Of twelve such guesses around it, all are found so and eight without the blur; from 17 px
all, from 60 one, either way. You should see `registration.png` (what was seen, guessed, and found without and with the blur; the four
footprints on the photograph; the loss of both, logarithmic) and, printed, an error without the blur of pixels and degrees, with it
below a tenth of a pixel, a tenth of a percent and a tenth of a degree.
"""

import math
import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.bridge.pyramid import Pyramid
from homunculus.report import to_picture

PATCH, STEPS = 32, 150
TRUTH = {"x": 226.4, "y": 119.7, "side": 96.0, "angle": 0.3}
GUESS = {"x": 236.1, "y": 148.1, "side": 112.0, "angle": 0.055}
COLOURS = {"seen": "#30a050", "guessed": "#d04030", "sharp": "#c080c0", "coarse to fine": "#3060d0"}


def footprint(values: dict[str, torch.Tensor], bias: float = 0.0) -> hm.SamplePlan:
    x, y, side, angle = (torch.as_tensor(values[name]) for name in TRUTH)
    rows = hm.SamplePlan.squares(torch.stack([x, y])[None], side[None], PATCH, angle=angle[None]).footprints
    return hm.SamplePlan(torch.cat([rows[:, :7], torch.full((1, 1), bias)], 1), PATCH)


def registered(unit: hm.TextureUnit, pyramid: Pyramid, blur: float) -> tuple[dict[str, float], list[float]]:
    """What is found, and the loss at each step."""
    now = {name: torch.tensor(value, requires_grad=True) for name, value in GUESS.items()}
    adam = torch.optim.Adam([{"params": [now[name]], "lr": 0.01 if name == "angle" else 0.5} for name in now])
    fading, losses = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, 2 * (1 - step / STEPS))), []
    for step in range(STEPS):
        bias = max(0.0, 1 - 2 * step / STEPS) * blur
        seen = unit.sample(pyramid, footprint(TRUTH, bias)).pixels
        loss = (unit.sample(pyramid, footprint(now, bias)).pixels - seen).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step(), fading.step()
        losses.append(loss.item())
    return {name: value.item() for name, value in now.items()}, losses


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
photograph = hm.read_image(Path(__file__).parent / "data/photograph.jpg")
draw = ImageDraw.Draw(sheet := Image.new("RGB", (4 * 160, 160 + 640 + 120), "white"))
with hm.open_unit(sys.argv[2] if len(sys.argv) > 2 else "auto") as unit, unit.pyramid(photograph) as pyramid:
    tries = [registered(unit, pyramid, blur) for blur in (0.0, 5.0)]
    sheet.paste(Image.fromarray(photograph).resize((640, 640)), (0, 160))
    for k, (name, values) in enumerate(zip(COLOURS, (TRUTH, GUESS, *(found for found, _ in tries)), strict=True)):
        plan = footprint(values)
        sheet.paste(to_picture(unit.sample(pyramid, plan).pixels[0]).resize((160, 160)), (160 * k, 0))
        draw.text((160 * k + 6, 6), name, COLOURS[name], ImageFont.load_default(16))
        corners = [(x * 640 / pyramid.size[1], 160 + y * 640 / pyramid.size[0]) for x, y in plan.corners[0].tolist()]
        draw.polygon(corners, outline=COLOURS[name], width=2 if k else 6)
        px = math.dist([values["x"], values["y"]], [TRUTH["x"], TRUTH["y"]])
        percent, degrees = 100 * (values["side"] / TRUTH["side"] - 1), math.degrees(values["angle"] - TRUTH["angle"])
        print(f"{name:15s}{px:7.3f} px {percent:+8.3f} % {degrees:+8.3f} degrees off")
for colour, (_, losses) in zip(list(COLOURS.values())[2:], tries, strict=True):
    heights = (torch.tensor(losses).clamp(min=1e-7).log10() + 7) / 6
    draw.line([(639 * k / STEPS, 919 - 115 * y) for k, y in enumerate(heights.tolist())], colour, 2)
sheet.save(out / "registration.png")
print(out / "registration.png")
