"""How far two backends may differ. One table; a looser number says why."""

from homunculus.bridge.unit import TextureUnit

# Premultiplied colour, so that a texel hardly inside the image is not held to more than its share of it. Pixels in 0..1.
SOFTWARE = {
    "rgba8": 1 / 255,
    "nv12": 1e-4,  # bytes as well, whose colours the matrix stretches; alpha is reckoned, not stored
    "rgba16f": 5e-4,  # one half-precision step at 1.0: a mean that is almost a tie may round either way
    "rgba32f": 1e-4,  # float32 texture coordinates on pictures up to 1024 px
}
HARDWARE = {name: max(value, 4e-3) for name, value in SOFTWARE.items()}  # filter weights have 8 fractional bits

LEVELS = (0.51, 0.02)  # against the exact box mean of level 0, in units of 1/255: greatest error, greatest mean error
INSIDE = 1e-5
INSIDE_HARDWARE = 4e-3  # alpha is filtered like any colour
# Statistics against the twin on the same texels, all channels premultiplied; energies reach 1 on black and white noise.
STATISTICS = 1e-6  # float32 sums of 81 products and of up to 4096 texels; measured 2e-7
STATISTICS_HARDWARE = 4e-3  # contrast, whose surround is one filtered fetch
BETWEEN_PLANS_PX = 0.01  # a plan written by a shader in float32 against its float64 twin


def is_software(unit: TextureUnit) -> bool:
    """Whether filter weights are full floats: software OpenGL, or kernels built for the CPU."""
    return unit.software or unit.renderer == "StandInCuda"


def tolerance(unit: TextureUnit) -> dict[str, float]:
    return SOFTWARE if is_software(unit) else HARDWARE
