"""Pictures made from a formula, and the exact area integral over them."""

from functools import cache

import numpy as np


@cache
def dead_leaves(size_px: int, seed: int = 0, smallest_px: float = 3, largest_px: float = 200) -> np.ndarray:
    """float64 [S, S, 3]: opaque discs with radius density r^-3, front to back (Lee, Mumford & Huang 2001)."""
    rng = np.random.default_rng(seed)
    image = np.zeros((size_px, size_px, 3))
    empty, left = np.ones((size_px, size_px), bool), size_px**2
    y, x = np.mgrid[:size_px, :size_px] + 0.5
    while left / size_px**2 > 1e-3:
        u = rng.random()
        radius = 1 / np.sqrt((1 - u) / smallest_px**2 + u / largest_px**2)
        cx, cy = rng.uniform(-radius, size_px + radius, 2)
        rows = slice(max(0, int(cy - radius)), max(0, int(cy + radius) + 1))
        columns = slice(max(0, int(cx - radius)), max(0, int(cx + radius) + 1))
        disc = ((x[rows, columns] - cx) ** 2 + (y[rows, columns] - cy) ** 2 <= radius**2) & empty[rows, columns]
        image[rows, columns][disc] = rng.random(3)
        empty[rows, columns] &= ~disc
        left -= np.count_nonzero(disc)
    image[empty] = 0.5
    return image


@cache
def pink_noise(size_px: int, seed: int = 0, sigma: float = 0.15) -> np.ndarray:
    """float64 [S, S, 3] in 0..1: amplitude 1/f, mean 0.5, standard deviation `sigma` before clipping."""
    rng = np.random.default_rng(seed)
    fy, fx = np.fft.fftfreq(size_px)[:, None], np.fft.rfftfreq(size_px)[None]
    frequency = np.hypot(fx, fy)
    frequency[0, 0] = np.inf
    noise = np.stack(
        [
            np.fft.irfft2(np.fft.rfft2(rng.standard_normal((size_px, size_px))) / frequency, (size_px, size_px))
            for _ in range(3)
        ],
        -1,
    )
    return np.clip(0.5 + noise * (sigma / noise.std()), 0, 1)


def white_noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def box_mean(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """[M, C] exact mean of the piecewise-constant image [H, W, C] over boxes [M, 4] (left, top, right, bottom) inside it.

    The summed-area table of a piecewise-constant image, read bilinearly, is its exact integral.
    """
    table = np.pad(image.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0)))

    def integral(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        x0, y0 = np.minimum(x.astype(int), image.shape[1] - 1), np.minimum(y.astype(int), image.shape[0] - 1)
        fx, fy = (x - x0)[:, None], (y - y0)[:, None]
        top = (1 - fx) * table[y0, x0] + fx * table[y0, x0 + 1]
        bottom = (1 - fx) * table[y0 + 1, x0] + fx * table[y0 + 1, x0 + 1]
        return (1 - fy) * top + fy * bottom

    left, top, right, bottom = boxes.T
    area = ((right - left) * (bottom - top))[:, None]
    return (integral(right, bottom) - integral(left, bottom) - integral(right, top) + integral(left, top)) / area


def psnr_db(measured: np.ndarray, expected: np.ndarray) -> float:
    return float(10 * np.log10(1 / max(np.mean((measured - expected) ** 2), 1e-30)))


def zone_plate(size_px: int, edge_cycles_per_px: float = 0.5) -> np.ndarray:
    """float64 [S, S, 3]: 0.5 + 0.5 cos of a phase whose radial frequency grows linearly to `edge_cycles_per_px` at the edge's middle."""
    y, x = np.mgrid[:size_px, :size_px] + 0.5 - size_px / 2
    rate = edge_cycles_per_px / (size_px / 2)
    return np.repeat((0.5 + 0.5 * np.cos(np.pi * rate * (x**2 + y**2)))[..., None], 3, -1)
