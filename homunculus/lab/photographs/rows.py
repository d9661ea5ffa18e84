"""What is compared on photographs: a method, who says where to look, and how the ViT is told where its tokens stand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from homunculus.encoder.anatomy import Position
from homunculus.lab.baselines import Baseline, get
from homunculus.lab.baselines.placed import allocated

BUDGET: Final = 273
UNIFORM: Final = "uniform resize"
# What the fixation is told by: nothing; the middle; the saliency decoder; the truth; an example of what is asked for; a first pass.
Told = Literal["none", "center", "salient", "truth", "example", "first pass"]
ANY_QUESTION: Final = ("none", "center", "salient")  # these see a picture alike whatever is asked


@dataclass(frozen=True)
class PhotographRow:
    """One line of the table. budget: None for every native patch. tokens: all that it costs, a first pass included."""

    name: str
    method: Baseline
    told: Told = "none"
    budget: int | None = BUDGET
    position: Position = "center"
    area: bool = False

    @property
    def tokens(self) -> str:
        if self.budget is None:
            return "all"
        return str(self.budget * (2 if self.told == "first pass" else 1))


def rows() -> Iterator[PhotographRow]:
    """Every row, in the order of the table."""
    uniform, foveated = get("resize_grid"), allocated("foveated_pyramid")
    yield PhotographRow("full native grid", uniform, budget=None)
    yield PhotographRow(UNIFORM, uniform)
    yield PhotographRow(f"{UNIFORM}, `area_attention`", uniform, area=True)
    yield PhotographRow(f'{UNIFORM}, `position="footprint"`', uniform, position="footprint")
    yield PhotographRow(f"{UNIFORM}, twice the tokens", uniform, budget=2 * BUDGET)
    yield PhotographRow("foveated at the middle", foveated, "center")
    yield PhotographRow("foveated at the middle, `area_attention`", foveated, "center", area=True)
    yield PhotographRow('foveated at the middle, `position="footprint"`', foveated, "center", position="footprint")
    yield PhotographRow("quadtree at the middle", allocated("quadtree"), "center")
    yield PhotographRow("log-polar at the middle", get("log_polar"), "center")
    yield PhotographRow("foveated at the most salient place", foveated, "salient")
    yield PhotographRow("foveated at the place", foveated, "truth")
    yield PhotographRow("foveated at the place, `area_attention`", foveated, "truth", area=True)
    yield PhotographRow('foveated at the place, `position="footprint"`', foveated, "truth", position="footprint")
    yield PhotographRow("quadtree at the place", allocated("quadtree"), "truth")
    yield PhotographRow("log-polar at the place", get("log_polar"), "truth")
    yield PhotographRow("two-view crop at the place", get("two_view_crop"), "truth")
    yield PhotographRow("foveated where `example` says", foveated, "example")
    yield PhotographRow("foveated where a uniform pass says", foveated, "first pass")
    for name, title in (
        ("cls_top_k", "top-K by class attention"),
        ("hired", "HiRED"),
        ("visionzip", "VisionZip-style"),
        ("vscan_stage1", "VScan stage 1"),
        ("tome", "ToMe-style"),
    ):
        yield PhotographRow(title, get(name))
