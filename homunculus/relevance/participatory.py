"""Participatory relevance: the query held against the picture."""

from __future__ import annotations

import torch
from torch import Tensor

from homunculus.relevance.color import color
from homunculus.relevance.combine import z_scores
from homunculus.relevance.evidence import Evidence
from homunculus.relevance.exemplar import exemplar
from homunculus.relevance.sought import Silent, Sought
from homunculus.relevance.tokens import tokens


def participatory(evidence: Evidence, sought: Sought) -> Tensor | Silent:
    """[B, rows, columns]: likeness to an example, an asked colour, what tokens say; of several the sum of their z-scores.

    Each is relative to what the picture has everywhere, or to a generic query: nothing is relevant for being there.
    """
    parts = []
    if sought.example is not None:
        parts.append(exemplar(evidence, sought.example))
    if sought.color is not None:
        parts.append(color(evidence, sought.color))
    if sought.tokens is not None:
        parts.append(tokens(evidence, *sought.tokens))
    if not parts:
        return Silent("nothing to compare is sought; give an example, a colour word, or an encoder's similarities")
    return parts[0] if len(parts) == 1 else torch.stack([z_scores(part) for part in parts]).sum(0)
