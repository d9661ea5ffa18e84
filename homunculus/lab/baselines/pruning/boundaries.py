"""Layer numbers of one model, carried over to a deeper or shallower one."""

from __future__ import annotations

from collections.abc import Sequence

from homunculus.bridge.errors import ModelError


def boundaries(layers: Sequence[int], of: int, depth: int) -> list[int]:
    """For numbers of layers run, of `of` in all, those of a model of `depth` layers: in proportion, rounded, increasing, at least 1.

    Raises ModelError where the model has fewer layers than that takes.
    """
    found: list[int] = []
    for layer in layers:
        found.append(max(round(layer * depth / of), found[-1] + 1 if found else 1))
    if found and found[-1] >= depth:
        raise ModelError(
            f"the language model has {depth} layers and the {len(found)} cuts, before layers {', '.join(map(str, found))}, do not fit; "
            "give fewer layers to cut at"
        )
    return found
