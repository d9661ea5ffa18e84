"""Registration by gradients: where, how large and how turned is a patch that was seen?

A patch is sampled through a footprint that is then forgotten. From a guess 17 px off, a sixth too large and 14 degrees turned,
Adam finds it again: the gradient of `unit.sample` in the numbers of a footprint says how to move, scale and turn it. Coarse to
fine: `lod_bias` blurs both at first, so that the way is felt from afar, and falls to 0. You should see `registration.png` (the patch
that was seen, the guess, and what was found, which looks like the first; below, the three footprints on the photograph) and, printed,
an error that ends below a tenth of a pixel, a tenth of a percent and a tenth of a degree.
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import homunculus as hm
from homunculus.report import to_picture

PATCH, STEPS, BIAS = 32, 150, 3.0
TRUTH = {"x": 226.4, "y": 119.7, "side": 96.0, "angle": 0.3}
GUESS = {"x": 238.4, "y": 107.7, "side": 112.0, "angle": 0.055}
COLOURS = {"seen": "#30a050", "guessed": "#d04030", "found": "#3060d0"}


def footprint(x: torch.Tensor, y: torch.Tensor, side: torch.Tensor, angle: torch.Tensor, bias: float) -> hm.SamplePlan:
    rows = hm.SamplePlan.squares(torch.stack([x, y])[None], side[None], PATCH, angle=angle[None]).footprints
    return hm.SamplePlan(torch.cat([rows[:, :7], torch.full((1, 1), bias)], 1), PATCH)


def placed(values: dict[str, float], bias: float = 0.0) -> hm.SamplePlan:
    return footprint(*(torch.tensor(value) for value in values.values()), bias)


def error(found: dict[str, float]) -> str:
    px = ((found["x"] - TRUTH["x"]) ** 2 + (found["y"] - TRUTH["y"]) ** 2) ** 0.5
    percent, degrees = 100 * (found["side"] / TRUTH["side"] - 1), (found["angle"] - TRUTH["angle"]) * 57.2958
    return f"{px:.3f} px, {percent:+.3f} %, {degrees:+.3f} degrees off"


out = Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples")
out.mkdir(parents=True, exist_ok=True)
photograph = hm.read_image(Path(__file__).parent / "data/photograph.jpg")
with hm.open_unit(sys.argv[2] if len(sys.argv) > 2 else "auto") as unit, unit.pyramid(photograph) as pyramid:
    now = {name: torch.tensor(value, requires_grad=True) for name, value in GUESS.items()}
    rates = {"x": 0.5, "y": 0.5, "side": 0.5, "angle": 0.01}
    adam = torch.optim.Adam([{"params": [now[name]], "lr": rate} for name, rate in rates.items()])
    fading = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, 2 * (1 - step / STEPS)))
    for step in range(STEPS):
        bias = BIAS * max(0.0, 1 - 2 * step / STEPS)
        target = unit.sample(pyramid, placed(TRUTH, bias)).pixels
        loss = (unit.sample(pyramid, footprint(*now.values(), bias)).pixels - target).square().mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        fading.step()
    found = {name: value.item() for name, value in now.items()}
    plans = dict(zip(COLOURS, (placed(TRUTH), placed(GUESS), placed(found)), strict=True))
    print(f"guessed: {error(GUESS)}\nfound:   {error(found)}")

    sheet = Image.new("RGB", (3 * 160, 160 + photograph.shape[0] * 480 // photograph.shape[1]), "white")
    below = Image.fromarray(photograph)
    for column, (name, plan) in enumerate(plans.items()):
        sheet.paste(to_picture(unit.sample(pyramid, plan).pixels[0]).resize((160, 160)), (160 * column, 0))
        ImageDraw.Draw(sheet).text((160 * column + 6, 6), name, COLOURS[name], ImageFont.load_default(16))
        points = [tuple(point) for point in plan.corners[0].tolist()]
        ImageDraw.Draw(below).polygon(points, outline=COLOURS[name], width=2)
    sheet.paste(below.resize((480, sheet.height - 160)), (0, 160))
sheet.save(out / "registration.png")
print(out / "registration.png")
