"""Words for an eye whose vision tower came without them: those of the CLIP or SigLIP model that the tower was taken from."""

from __future__ import annotations

from pathlib import Path

from homunculus.bridge.errors import ModelError
from homunculus.encoder import FoveatedViT, TextEncoder, load
from homunculus.language.connector import Connector

SAME = ("model_type", "hidden_size", "num_hidden_layers", "patch_size", "image_size")


def lend_texts(connector: Connector, name: str | Path, *, local_files_only: bool = False) -> TextEncoder:
    """The text tower of a whole CLIP or SigLIP model, to compare words with what the connector's own vision tower sees.

    The projections into the space of texts are the whole model's, the vision tower stays the connector's: the two fit as far as the
    tower was not trained further, which LLaVA-1.5 left frozen. Raises ModelError for a model without texts, or another tower.
    """
    own = connector.encoder
    weight = next(own.parameters())
    whole = load.model(name, dtype=weight.dtype, attention="sdpa", local_files_only=local_files_only).to(weight.device)
    theirs = getattr(whole.config, "vision_config", whole.config)
    unlike = [part for part in SAME if getattr(own.family.config, part, None) != getattr(theirs, part, None)]
    if unlike:
        told = ", ".join(
            f"{part} {getattr(theirs, part, None)}, not {getattr(own.family.config, part, None)}" for part in unlike
        )
        raise ModelError(
            f"the vision tower of {name} is another one ({told}); give the model that this tower was taken from"
        )
    text = TextEncoder.from_pretrained(name, model=whole, local_files_only=local_files_only)
    whole.vision_model = own.model
    connector.encoder = FoveatedViT(whole, mean=own.mean, std=own.std)
    return text
