"""What plans leave unseen: the table of docs/layouts.md. `python docs/layouts/holes.py [NAME ...]`, by default all layouts.

273 tokens of 16 px on seven pictures, each looked at in the middle, off the middle and near a corner. Coverage is the share of the
picture, and of the disc of 8 px around the fixation, that any footprint covers. The picture is put back from the tokens alone by
`homunculus.report.reconstruct`, unseen pixels grey, and compared with itself: PSNR over all pixels and over the 32 px around the
fixation, at most 99 dB, and SSIM (Wang et al. 2004: Gaussian window of 1.5 px, on grey). Means over pictures and fixations.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy import ndimage

import homunculus as hm
from homunculus.report import reconstruct

EXAMPLES = Path(__file__).parents[2] / "examples"
SIDE, FOVEA_PX, NEAR_PX, MOST_DB = 1024, 32, 8, 99.0
FIXATIONS = (0.5, 0.5), (0.32, 0.61), (0.06, 0.08)


def noise(power: float, seed: int) -> np.ndarray:
    """Coloured noise whose amplitude falls with frequency to this power: 1 for that of natural pictures."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.fftfreq(SIDE)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(np.random.default_rng(seed).normal(size=(3, SIDE, SIDE))) * frequency**-power
    waves = np.fft.ifft2(spectrum).real
    return (0.5 + waves / (6 * waves.std())).clip(0, 1).transpose(1, 2, 0)


def dead_leaves(seed: int) -> np.ndarray:
    """Discs of all sizes over one another (Lee, Mumford & Huang 2001)."""
    rng, (y, x) = np.random.default_rng(seed), np.mgrid[:SIDE, :SIDE]
    picture = np.zeros((SIDE, SIDE, 3))
    for _ in range(1500):
        radius = 4 * (1 - rng.random() * (1 - (4 / 200) ** 2)) ** -0.5
        center = rng.uniform(0, SIDE, 2)
        picture[np.hypot(x - center[0], y - center[1]) < radius] = rng.random(3)
    return picture


def pictures() -> dict[str, np.ndarray]:
    """uint8 or 0..1 [H, W, 3]."""
    photograph = hm.read_image(EXAMPLES / "data/photograph.jpg")
    row, column = np.mgrid[:SIDE, :SIDE]
    chirp = 0.5 + 0.5 * np.cos(((row - SIDE / 2) ** 2 + (column - SIDE / 2) ** 2) * np.pi / (4 * SIDE))
    text = np.tile(np.kron(np.random.default_rng(3).random((SIDE // 16, SIDE // 8)) > 0.6, np.ones((4, 8))), (4, 1))
    return {
        "photograph, 512 px": photograph,
        "photograph, 1024 px": np.asarray(Image.fromarray(photograph).resize((SIDE, SIDE), Image.Resampling.LANCZOS)),
        "1/f noise": noise(1.0, 1),
        "1/f^2 noise": noise(2.0, 2),
        "dead leaves": dead_leaves(4),
        "zone plate": np.repeat(chirp[..., None], 3, 2),
        "lines of text": np.repeat(1 - 0.9 * text[:SIDE, :, None], 3, 2),
    }


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    def mean(values: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(values, 1.5, truncate=3.5)

    a, b = a.mean(-1), b.mean(-1)
    mu, nu = mean(a), mean(b)
    both, first, second = mean(a * b) - mu * nu, mean(a * a) - mu * mu, mean(b * b) - nu * nu
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * mu * nu + c1) * (2 * both + c2) / ((mu**2 + nu**2 + c1) * (first + second + c2))).mean())


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    return min(MOST_DB, -10 * np.log10(max(float(((a - b) ** 2).mean()), 1e-12)))


def measured(unit, pyramid, picture: np.ndarray, name: str, at: tuple[float, float]) -> list[float]:  # type: ignore[no-untyped-def]
    height, width = pyramid.size
    x, y = at[0] * width, at[1] * height
    plan = hm.allocators.get(name).allocate(
        hm.Scene(pyramid.size, [(x, y)], image=torch.from_numpy(picture.copy())), 273
    )
    seen = reconstruct(unit.sample(pyramid, plan).pixels, plan, pyramid.size)
    told, covered = seen.pixels.permute(1, 2, 0).numpy(), seen.covered.numpy()
    truth = picture / 255 if picture.dtype == np.uint8 else picture
    distance = np.hypot(np.arange(width) + 0.5 - x, (np.arange(height) + 0.5 - y)[:, None])
    fovea = distance <= FOVEA_PX
    return [
        100 * covered.mean(),
        100 * covered[distance <= NEAR_PX].mean(),
        psnr_db(told, truth),
        psnr_db(told[fovea], truth[fovea]),
        ssim(told, truth),
        float(plan.side_px.min()) / plan.patch_size,
    ]


def main() -> None:
    names = sys.argv[1:] or list(hm.layouts.registry)
    found: dict[str, list[list[float]]] = {name: [] for name in names}
    with hm.open_unit("torch") as unit:
        for picture in pictures().values():
            given = picture if picture.dtype == np.uint8 else (picture * 255).round().astype(np.uint8)
            with unit.pyramid(given) as pyramid:
                for name in names:
                    found[name] += [measured(unit, pyramid, given, name, at) for at in FIXATIONS]
    print(
        "| layout | coverage | within 8 px | PSNR, dB | fovea PSNR, dB | SSIM | finest texel, px |\n|---|---|---|---|---|---|---|"
    )
    for name, rows in found.items():
        mean = np.array(rows).mean(0)
        print("| `{}` | {:.1f} % | {:.1f} % | {:.1f} | {:.1f} | {:.3f} | {:.2f} |".format(name, *mean))


if __name__ == "__main__":
    main()
