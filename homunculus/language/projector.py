"""What most models do between tower and language model: chosen layers, and of them m x m cells at a time, through a small network.

A footprint's m x m cells go through the model's own modules as if they were a picture of m x m patches: pixel shuffle, pooling and
merging make one token of them, whatever their place and scale. Foveated tokens are the one view that spans the picture; tiles are for
whole images alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, ClassVar

import torch
from torch import Tensor

from homunculus.bridge.errors import ModelError
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder import Encoding
from homunculus.language.bands import bands, ends
from homunculus.language.connector import Connector, ImageTokens, Texts
from homunculus.language.prompt import SHORT
from homunculus.language.pruning import Pruning

LAST = "last_hidden_state"
INSTRUCTION = "<s>[INST]{image}{question}" + SHORT + "[/INST]"  # of models with a Pixtral tower


class ProjectorConnector(Connector):
    """A model whose tokens are those of its tower, through its projector. Paths are dotted names below the model.

    Which layers it takes, and whether a first token is left out, says the configuration; where that has no word on layers, they are
    the tower's last hidden state. newline_path: an embedding that stands behind the one view, and counts as a token. inputs: of the
    processor's output, what the model's own `get_image_features` takes. lines: whether a text is written behind each row of tokens.

    Raises ModelError where `default`, which leaves the first token out, would leave out a patch, for layers that do not exist, and
    where a token of the tower that is no patch would be merged with patches.
    """

    tower_path: ClassVar[str] = "model.vision_tower"
    projector_path: ClassVar[str] = "model.multi_modal_projector"
    newline_path: ClassVar[str] = ""
    strategy: ClassVar[str] = "full"  # where the configuration has no word on it
    inputs: ClassVar[tuple[str, ...]] = ("pixel_values",)
    lines: bool = True  # where the tower is one that takes pictures of any shape

    def __init__(self, model: Any, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> None:
        super().__init__(model, mean, std)
        config, family = model.config, self.encoder.family
        self.side = self.merge(config)
        self.left_out = int(getattr(config, "vision_feature_select_strategy", self.strategy) == "default")
        unseen = family.special - self.left_out
        if unseen < 0:
            raise ModelError(
                f"vision_feature_select_strategy is 'default', which leaves out a class token, and a {family.name} "
                "tower has none; set it to 'full' in config.json"
            )
        if unseen and self.side > 1:
            raise ModelError(
                f"{unseen} tokens of the tower are no patches, and {self.side} x {self.side} patches make a token; set "
                "vision_feature_select_strategy to 'default' in config.json, or use a tower without them"
            )
        self.behind = int(bool(self.newline_path))
        self.special = unseen + self.behind
        if family.name == "pixtral":
            self.processing = (("patch_size", self.encoder.patch_size),)
        else:
            self.lines = False
        self.states = self.layers(config, len(family.layers))
        self.hidden = tuple(name for name in self.states if name != LAST)

    def layers(self, config: Any, depth: int) -> tuple[str, ...]:
        """What of the encoder goes to the projector, side by side."""
        layers = getattr(config, "vision_feature_layer", None)
        if layers is None:
            return (LAST,)
        if layers in ([], ()):
            raise ModelError(
                "vision_feature_layer names no layer of the tower; set it to -2 in config.json, as LLaVA-1.5 has it"
            )
        return tuple(named(layer, depth) for layer in ([layers] if isinstance(layers, int) else layers))

    @classmethod
    def tower(cls, model: Any) -> Any:
        return attrgetter(cls.tower_path)(model)

    def image_tokens(self, encoding: Encoding, plan: SamplePlan, size: tuple[int, int]) -> ImageTokens:
        states = [encoding.last_hidden_state if name == LAST else encoding.hidden[name] for name in self.states]
        cells = torch.cat([state[0, self.left_out :] for state in states], -1)
        tokens = self.project(cells.reshape(-1, self.side**2, cells.shape[-1]))
        if self.newline_path:
            tokens = torch.cat([tokens, attrgetter(self.newline_path)(self.model)[None].to(tokens)])
        if self.lines:
            order, lengths = bands(plan.centers.to(tokens.device), size)
            return in_order(tokens[order], ends(lengths))
        return in_order(tokens, self.texts([len(tokens)], {}))

    def check(self, pruning: Pruning) -> None:
        if self.lines and (pruning.cuts_within or pruning.needs):
            raise ModelError(
                f"pruning {pruning.name!r} drops tokens between layers or reads more than them, and this model writes text behind each row "
                "of them, in an order of its own; choose one that reads the tokens alone before the layers, such as 'divprune'"
            )
        super().check(pruning)

    @property
    def projector(self) -> Any:
        return attrgetter(self.projector_path)(self.model)

    def project(self, cells: Tensor) -> Tensor:
        """[N, D'] tokens of [N, m * m, D] cells, row by row, by the model's own modules."""
        return self.projector(cells).flatten(0, -2)  # type: ignore[no-any-return]

    def whole(self, inputs: Mapping[str, Any]) -> ImageTokens:
        views = self.views({name: inputs[name] for name in self.inputs if name in inputs})
        if self.lines:
            rows, columns = (int(side) // self.encoder.patch_size for side in inputs["image_sizes"][0])
            return in_order(torch.cat(views), ends([columns] * rows))
        return in_order(torch.cat(views), self.texts([len(view) for view in views], inputs))

    def views(self, inputs: Mapping[str, Tensor]) -> list[Tensor]:
        """[[N, D'], ...] the tokens of all views of a whole image, or of all at once, by the model's own forward."""
        return list(self.model.model.get_image_features(**inputs).pooler_output)

    def texts(self, lengths: Sequence[int], inputs: Mapping[str, Any]) -> Texts:
        """What the model's own processor writes before tokens of views of such lengths. inputs: its output, of a whole image."""
        return ()


def named(layer: int, depth: int) -> str:
    """transformers' number of a hidden state, of depth + 1, by the encoder's name for it. Raises ModelError where there is none."""
    if not -depth - 1 <= layer <= depth:
        raise ModelError(
            f"vision_feature_layer is {layer} and the tower has {depth} layers; expected -{depth + 1} to {depth} in config.json"
        )
    index = layer if layer >= 0 else layer + depth + 1
    return f"layer.{index - 1}" if index else "embeddings"


def in_order(tokens: Tensor, texts: Texts = ()) -> ImageTokens:
    """Tokens [N, D] one after the other, like words."""
    places = torch.arange(len(tokens), device=tokens.device, dtype=torch.int64)[None]
    return ImageTokens(tokens, places, len(tokens), texts=texts)
