"""The options of `homunculus evaluate`: what is asked, of whom, how it sees, and how the work is shared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from homunculus.cli.names import ALLOCATORS, DTYPES, PRUNINGS, one_of
from homunculus.cli.options import Backend, Trust

if TYPE_CHECKING:
    from homunculus.lab.datasets.asking import WayOfAsking

WHOLE = "whole"


@dataclass(frozen=True)
class WhichQuestions:
    """What is asked."""

    data: Annotated[Path, typer.Option(help="The folder with the data set's official files.")]
    split: Annotated[str, typer.Option(help="train, val or test; vqav2 also has test-dev.")] = "val"
    limit: Annotated[int | None, typer.Option(help="Only the first so many questions.")] = None
    trust: Trust = None


@dataclass(frozen=True)
class Answering:
    """Where the answers come from."""

    predictions: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Judge these answers, in the official result format.")
    ] = None
    model: Annotated[
        str | None, typer.Option(metavar="PATH", help="Ask this vision-language model: a folder or hub name.")
    ] = None

    def check(self, comparing: Comparing) -> None:
        if (self.predictions is None) == (self.model is None):
            raise typer.BadParameter(
                "give either --predictions FILE.json, answers in the official result format, or --model PATH, a folder with the "
                "config.json, weights and tokenizer of a vision-language model, such as `hf download Qwen/Qwen2.5-VL-3B-Instruct "
                "--local-dir PATH` writes"
            )
        if self.predictions is not None and comparing != Comparing():
            raise typer.BadParameter("--whole, --pruning and --against ask a model; give --model PATH")


@dataclass(frozen=True)
class Seeing:
    """What a model sees of a picture, and with what; None leaves it to the model's own default."""

    budget: Annotated[int | None, typer.Option(help="How many tokens the model sees of a picture.")] = None
    allocator: Annotated[
        str | None,
        typer.Option(help="How they are spent; see `homunculus compare`.", autocompletion=one_of(ALLOCATORS)),
    ] = None
    fixations: Annotated[int | None, typer.Option(help="At most so many on a picture.")] = None
    texts: Annotated[
        str | None,
        typer.Option(
            metavar="PATH",
            help="A whole CLIP or SigLIP model that the vision tower was taken from: it lends the eye, and cdpruner, its words.",
        ),
    ] = None
    backend: Backend = None
    dtype: Annotated[
        str | None,
        typer.Option(help=f"Of the model: {', '.join(DTYPES)}; by default the first.", autocompletion=one_of(DTYPES)),
    ] = None
    device: Annotated[str, typer.Option(help="Where the model runs, such as cuda.")] = "cpu"

    @property
    def chosen(self) -> dict[str, Any]:
        """All but the device, which changes no answer."""
        return {name: value for name, value in vars(self).items() if value is not None and name != "device"}

    @property
    def of_eye(self) -> list[str]:
        """Those of them that change no answer from all tokens."""
        return [name for name in self.chosen if name not in ("dtype", "texts")]


@dataclass(frozen=True)
class Comparing:
    """In which ways questions are asked."""

    whole: Annotated[
        bool, typer.Option("--whole", help="The model sees all tokens of a picture, instead of the eye's.")
    ] = False
    pruning: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Tokens are dropped before or between layers: {', '.join(PRUNINGS)}. With --against of all tokens; repeat it.",
            autocompletion=one_of(PRUNINGS),
        ),
    ] = None
    against: Annotated[
        str | None,
        typer.Option(
            help="whole: every question from the eye and from all tokens, without and with each --pruning; and a table.",
            autocompletion=one_of((WHOLE,)),
        ),
    ] = None

    def ways(self, seeing: Seeing) -> tuple[WayOfAsking, ...]:
        """The first is what the others are compared with. Refuses what does not go together."""
        from homunculus.lab.baselines.pruning import registry
        from homunculus.lab.datasets.asking import WayOfAsking

        names = list(dict.fromkeys(self.pruning or ()))
        for name in names:
            registry.get(name)
        if self.whole and seeing.of_eye:
            raise typer.BadParameter(f"--whole needs no eye; leave out --{', --'.join(seeing.of_eye)}")
        if self.against is None:
            if len(names) > 1:
                raise typer.BadParameter(f"--pruning is given {len(names)} times; give one, or --against {WHOLE}")
            return (WayOfAsking(self.whole, names[0] if names else None),)
        if self.against != WHOLE or self.whole:
            raise typer.BadParameter(f"--against {self.against!r}: give --against {WHOLE}, and not --whole")
        return WayOfAsking(), WayOfAsking(whole=True), *(WayOfAsking(whole=True, pruning=name) for name in names)


@dataclass(frozen=True)
class Working:
    """How the work is shared. It changes no answer."""

    workers: Annotated[
        int, typer.Option(min=0, help="Processes that share the questions, each with the model; 0 for none but this.")
    ] = 0
    batch: Annotated[
        int, typer.Option(min=1, help="Questions that are looked at together; what is said is decoded one by one.")
    ] = 1
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Ask again what could not be asked before.")] = (
        False
    )


@dataclass(frozen=True)
class Judging:
    """How answers are judged."""

    px_per_character: Annotated[float, typer.Option(help="What counts as legible, in an answer's box.")] = 8.0
    seed: Annotated[int, typer.Option(help="Of the interval's resampling.")] = 0
