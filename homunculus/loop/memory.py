"""Memory between glimpses: what several looks at one picture saw, handed on together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError, PlanError
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.bridge.values import entries, shown
from homunculus.encoder import Encoding, FoveatedViT
from homunculus.loop.eye import Eye
from homunculus.loop.record import Glimpse, Look
from homunculus.loop.union import union
from homunculus.relevance.fixation import given


def remember(eye: Eye, looks: Look | Sequence[Look], budget: int | None = None, *, one_pass: bool = False) -> Look:
    """All glimpses of several looks at one picture as one look, for all that takes a look: its plan is their union within the budget
    (`union` says what stays), its patches and tokens are theirs. Nothing is sampled again.

    budget: footprints in all; None keeps all. one_pass: whether the eye's encoder reads the union in one pass, in which every token
    attends to all others; else tokens stay what they were when each glimpse was read, at their places, beside the special tokens of the
    last. There is no pooled output then, and nothing that a class token attends to. What was let go is counted in
    `spent`. Raises PlanError for no look, pictures of different sizes or plans that have no union, and ModelError where tokens are
    missing or another encoder's.
    """
    looks = [looks] if isinstance(looks, Look) else entries("looks", looks, "a look, or a list of looks at one picture")
    sizes = {look.size for look in looks if isinstance(look, Look)}
    if len(sizes) != 1 or not all(isinstance(look, Look) for look in looks):
        raise PlanError(f"looks are {shown(looks)}; give looks at one picture, as `look` gives them")
    glimpses, last = [glimpse for look in looks for glimpse in look.glimpses], looks[-1]
    found = together(eye, glimpses, last.size, budget, one_pass=one_pass)
    seen, kept = sum(len(glimpse.plan) for glimpse in glimpses), len(found.plan)
    coarse = {name for look in looks for name in look.coarse_tokens}
    spent = {name: sum(look.coarse_tokens.get(name, 0) for look in looks) for name in sorted(coarse)}
    notes = [note for look in looks for note in look.notes]
    return replace(
        last,
        glimpses=[found],
        request={**last.request, "remembered": {"glimpses": len(glimpses), "budget": budget, "one_pass": one_pass}},
        remarks=[
            *dict.fromkeys(notes),
            f"{kept} of the {seen} tokens of {len(glimpses)} glimpses are handed on together",
        ],
        coarse_tokens={**spent, "let_go": seen - kept},
    )


@torch.no_grad()
def together(
    eye: Eye, glimpses: Sequence[Glimpse], size: tuple[int, int], budget: int | None = None, *, one_pass: bool = False
) -> Glimpse:
    """One glimpse of several, in the order in which they were seen; arguments and errors as for `remember`."""
    plans = [glimpse.plan for glimpse in glimpses]
    kept = union(plans, size, budget, fixations=[glimpse.fixations.points for glimpse in glimpses])
    whole = SamplePlan.concatenate(plans)
    plan = replace(whole, footprints=whole.footprints[kept.to(whole.footprints.device)])
    seen = Patches.concatenate([glimpse.patches for glimpse in glimpses])
    rows = kept.to(seen.pixels.device)
    resident = None if seen.resident is None else seen.resident[rows]
    patches = Patches(seen.pixels[rows], seen.inside[rows], resident)
    points = [point for glimpse in glimpses for point in glimpse.fixations.as_list()]
    encoding = None
    if eye.encoder is not None:
        encoding = _read_again(eye, plan, patches, size) if one_pass else _spliced(eye.encoder, glimpses, kept)
    elif one_pass:
        raise ModelError("one_pass is asked for and the eye has no encoder; give it one, or leave one_pass out")
    return Glimpse(given(points, size), plan, patches, size, encoding)


def _read_again(eye: Eye, plan: SamplePlan, patches: Patches, size: tuple[int, int]) -> Encoding:
    """What the encoder makes of the union in one pass."""
    assert eye.encoder is not None
    pixels = patches.pixels.to(eye.device)
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (eye.encoder.mean, eye.encoder.std))
    (encoding,) = eye.encoded(((pixels - mean) / std)[None], [plan], size)
    return encoding


def _spliced(encoder: FoveatedViT, glimpses: Sequence[Glimpse], kept: Tensor) -> Encoding:
    """The kept tokens as each glimpse's own pass made them, with the special ones of the last pass before them."""
    found = [glimpse.encoding for glimpse in glimpses if glimpse.encoding is not None]
    hidden = [{name for name in one.hidden if not name.startswith("attention.")} for one in found]
    kinds = {(*sorted(names), one.tokens.shape[-1], one.tokens.dtype) for names, one in zip(hidden, found, strict=True)}
    if len(found) < len(glimpses) or len(kinds) != 1:
        raise ModelError(
            f"{len(found)} of {len(glimpses)} glimpses have tokens, of {len(kinds)} kinds; make all looks with this eye, or give one_pass"
        )
    special, count = encoder.family.special, sum(len(one.tokens) for one in found)

    def spliced(states: Sequence[Tensor]) -> Tensor:
        """[1, special + n, D] of states [1, special + N, D]; of N * m * m where tokens are of m x m cells, which stay together."""
        own = torch.cat([state[0, special:] for state in states])
        cells = own.reshape(count, -1, own.shape[-1])[kept.to(own.device)]
        return torch.cat([states[-1][0, :special], cells.flatten(0, 1)])[None]

    tokens = torch.cat([one.tokens for one in found])
    return Encoding(
        spliced([one.last_hidden_state for one in found]),
        None,
        tokens[kept.to(tokens.device)],
        {name: spliced([one.hidden[name] for one in found]) for name in sorted(hidden[0])},
    )
