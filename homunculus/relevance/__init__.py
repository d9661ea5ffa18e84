"""Where to look: four ways of knowing, after Vervaeke, as maps over a picture, and their sum.

A channel is a function of the evidence and of what is sought that gives a map [B, rows, columns], or `Silent` with a reason. A new
one is one file, and one row in the registry below, or in the `channels` of a call.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from homunculus.relevance.combine import Relevance, Weights, combine, z_scores
from homunculus.relevance.evidence import Evidence
from homunculus.relevance.participatory import participatory
from homunculus.relevance.perspectival import perspectival
from homunculus.relevance.procedural import Head, procedural
from homunculus.relevance.propositional import propositional
from homunculus.relevance.sought import NOTHING, Channel, Silent, Sought

__all__ = [
    "NOTHING",
    "Channel",
    "Evidence",
    "Head",
    "Relevance",
    "Silent",
    "Sought",
    "participatory",
    "perspectival",
    "procedural",
    "propositional",
    "registry",
    "relevance",
    "z_scores",
]


def _propositional(evidence: Evidence, sought: Sought) -> Tensor:
    return propositional(evidence)


def _perspectival(evidence: Evidence, sought: Sought) -> Tensor:
    return perspectival(evidence)


# Functions with names, so that what holds them can go to another process.
registry: dict[str, Channel] = {
    "propositional": _propositional,
    "perspectival": _perspectival,
    "participatory": participatory,
    "procedural": procedural,
}


def relevance(
    evidence: Evidence,
    sought: Sought = NOTHING,
    *,
    weights: Weights | None = None,
    channels: Mapping[str, Channel] | None = None,
) -> Relevance:
    """What every channel of the registry, or of `channels`, says of the evidence, and their weighted sum; see `combine`."""
    return combine(evidence, sought, registry if channels is None else channels, weights)
