"""Where to look: four ways of knowing, after Vervaeke, as maps over a picture, and their sum.

A channel is a function of the statistics and of what is looked for that gives a map [B, rows, columns], or `Silent` with a reason. A new
one is one file here, with one line above the function, `@channel("its_name")`, or a row in the `channels` of a call.

>>> "perspectival" in hm.relevance.registry
True
"""

from __future__ import annotations

from collections.abc import Mapping

from homunculus.relevance.combine import Relevance, Weights, combine, z_scores
from homunculus.relevance.image_statistics import ImageStatistics
from homunculus.relevance.target import NOTHING, Channel, SearchTarget, Silent, channel, registry

# In the order in which they are asked, summed and shown.
# isort: off
from homunculus.relevance.propositional import propositional
from homunculus.relevance.perspectival import perspectival
from homunculus.relevance.participatory import participatory
from homunculus.relevance.procedural import Head, procedural
from homunculus.relevance.saliency import saliency
from homunculus.relevance.motion import moving
# isort: on

__all__ = [
    "NOTHING",
    "Channel",
    "Head",
    "ImageStatistics",
    "Relevance",
    "SearchTarget",
    "Silent",
    "channel",
    "moving",
    "participatory",
    "perspectival",
    "procedural",
    "propositional",
    "registry",
    "relevance",
    "saliency",
    "z_scores",
]


registry.discover(__name__)


def relevance(
    statistics: ImageStatistics,
    target: SearchTarget = NOTHING,
    *,
    weights: Weights | None = None,
    channels: Mapping[str, Channel] | None = None,
) -> Relevance:
    """What every channel of the registry, or of `channels`, says of the statistics, and their weighted sum; see `combine`."""
    return combine(statistics, target, registry if channels is None else channels, weights)
