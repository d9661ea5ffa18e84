"""What methods that choose among an image's tokens are told beside the tokens: what the vision tower saw in them, and the question."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import isqrt
from typing import Any

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.encoder import FoveatedViT, TextEncoder
from homunculus.encoder.family import LayerContext
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.pruning import Admitted, ImageEvidence, Pruning


def fits(pruning: Pruning, connector: Connector, text: Any) -> None:
    """Raises ModelError where a model, and what compares texts with what it sees, lack what a method needs."""
    family = connector.encoder.family
    if "class attention" in pruning.needs and not (family.special and family.anatomy.block):
        raise ModelError(
            f"pruning {pruning.name!r} reads what a class token attends to, and the vision tower, a {family.name}, has none; choose one "
            "that reads the tokens alone, such as 'divprune'"
        )
    if "texts" in pruning.needs:
        if text is None:
            raise ModelError(
                f"pruning {pruning.name!r} compares the question with what the vision tower sees, and there is no text tower; give texts=, "
                "a whole CLIP or SigLIP model that the tower was taken from, or choose 'divprune'"
            )
        weight = next(connector.encoder.parameters())
        family.joint(torch.zeros(1, family.dim, dtype=weight.dtype, device=weight.device))


def wanted(pruning: Pruning | None, connector: Connector) -> tuple[str, ...]:
    """The encoder's intermediates from which `evidence_of` tells a method what it needs."""
    names: list[str] = []
    for need in () if pruning is None else pruning.needs:
        names += (
            _features(connector) if need == "features" else [f"{_KINDS[need]}.{connector.encoder.family.penultimate}"]
        )
    return tuple(dict.fromkeys(names))


_KINDS = {"class attention": "attention", "texts": "layer"}


def _features(connector: Connector) -> Sequence[str]:
    """The states that a connector makes tokens of, as far as it says."""
    return connector.hidden or (f"layer.{connector.encoder.family.penultimate}",)


@torch.no_grad()
def evidence_of(
    pruning: Pruning, connector: Connector, tokens: Tensor, hidden: Mapping[str, Tensor], text: Any, question: str
) -> ImageEvidence:
    """What a method needs to know of an image's tokens [N, D] and the question, but for those that are the model's own, behind the others.

    hidden: the intermediates `wanted`, of one image. Raises ModelError where the tower's patches are not the tokens'.
    """
    missing = [name for name in wanted(pruning, connector) if name not in hidden]
    if missing:
        raise ModelError(
            f"pruning {pruning.name!r} reads {', '.join(missing)} of the vision tower, which was not kept when this was looked at; look "
            "again with the pruning set, and remember several looks in one pass (one_pass=True)"
        )
    late, found = connector.encoder.family.penultimate, dict[str, Tensor]()
    tokens = tokens[: len(tokens) - connector.behind]
    if "features" in pruning.needs:
        states = torch.cat([hidden[name] for name in _features(connector)], -1)
        found["features"] = _grouped(pruning, connector, states, len(tokens)).mean(1)
    if "class attention" in pruning.needs:
        shares = hidden[f"attention.{late}"].float().mean(1)[..., None]
        found["attention"] = _grouped(pruning, connector, shares, len(tokens)).sum(1)[:, 0]
    if "texts" in pruning.needs:
        points = connector.encoder.family.joint(hidden[f"layer.{late}"])
        found["points"] = _grouped(pruning, connector, points, len(tokens)).mean(1)
        bare = TextEncoder(text.model, text.tokenizer, "{q}") if isinstance(text, TextEncoder) else text
        found["texts"] = bare.encode([question]).embedding
    return ImageEvidence(tokens, **found)


def admitted(
    pruning: Pruning, image: ImageTokens, evidence: ImageEvidence | None = None, behind: int = 0
) -> ImageTokens:
    """What a method lets into the first layer. behind: how many of the last tokens are the model's own, which stay.

    Raises ModelError where it needs to know more than the tokens and is told nothing.
    """
    if image.parted and pruning.cuts_within:
        raise ModelError(
            f"pruning {pruning.name!r} drops tokens of one run between layers, and this model writes text among those of a picture; choose "
            "one that chooses before them, such as 'divprune'"
        )
    if evidence is None and pruning.needs:
        raise ModelError(
            f"pruning {pruning.name!r} needs {', '.join(pruning.needs)} beside the image's tokens; give evidence=, or choose 'divprune'"
        )
    seen, own = image.tokens.tensor_split([len(image.tokens) - behind])
    chosen = pruning.admit(ImageEvidence(seen) if evidence is None else evidence)
    if chosen is None:
        return image
    keep = torch.arange(len(seen), len(image.tokens), device=seen.device, dtype=torch.int64)
    tokens = None if chosen.tokens is None else torch.cat([chosen.tokens, own])
    return image.admitted(Admitted(torch.cat([chosen.keep, keep]), tokens))


def _grouped(pruning: Pruning, connector: Connector, states: Tensor, count: int) -> Tensor:
    """[N, cells, D] what the tower, in [B, special + n, D], says of each of N tokens, by the cells that a token is made of."""
    family = connector.encoder.family
    first = family.special - connector.special + connector.behind
    rows, cells = states[:, first:].flatten(0, 1), family.merge**2
    if len(rows) != count * cells:
        raise ModelError(
            f"pruning {pruning.name!r} reads what the vision tower saw in each of the image's {count} tokens, and it saw {len(rows)} "
            f"patches, {cells} a token: a whole picture in parts has other tokens between them; answer from the eye, or choose 'divprune'"
        )
    return rows.reshape(count, cells, -1)


@contextmanager
def watched(encoder: FoveatedViT, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Intermediates of these names, as the encoder's own call gives them, of what else runs the tower's layers meanwhile."""
    family, seen = encoder.family, dict[str, Tensor]()

    def keep(index: int, entering: Tensor, output: Tensor, rotation: tuple[Tensor, Tensor] | None) -> None:
        found = {f"layer.{index}": output} | ({} if index else {"embeddings": entering})
        if (attention := f"attention.{index}") in names:
            turned = None if rotation is None else (rotation[0][None, None], rotation[1][None, None])
            found[attention] = family.class_attention(index, entering, LayerContext(rotation=turned)).transpose(1, 2)
        for name in set(names) & set(found):
            special, patches = found[name].tensor_split([family.special], 1)
            state = torch.cat([special, celled(patches, family.merge)], 1)
            seen[name] = state.transpose(1, 2) if name == attention else state

    with ExitStack() as stack:
        for index, layer in enumerate(family.layers if names else ()):

            def hook(_: Any, told: tuple[Any, ...], named: dict[str, Any], output: Any, index: int = index) -> None:
                entering = told[0] if told else named["hidden_states"]
                left = output[0] if isinstance(output, tuple) else output
                keep(index, entering, left, named.get("position_embeddings"))

            stack.callback(layer.register_forward_hook(hook, with_kwargs=True).remove)
        yield seen


def celled(x: Tensor, merge: int) -> Tensor:
    """Patches [B, n, D] of square grids in raster order, those of one token, merge x merge of them, one after the other; any others as
    they are.
    """
    side = isqrt(x.shape[1])
    if merge == 1 or side * side != x.shape[1] or side % merge:
        return x
    cells = x.reshape(len(x), side // merge, merge, side // merge, merge, -1)
    return cells.transpose(2, 3).flatten(1, 4)
