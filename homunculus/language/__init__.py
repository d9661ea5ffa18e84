"""A vision-language model that answers from foveated tokens; what drops tokens inside it follows `Pruning`."""

from homunculus.language.answerer import Answer, Answerer
from homunculus.language.decoder import Decoder, Reading
from homunculus.language.prompt import Prompter
from homunculus.language.pruning import Pruning
from homunculus.language.speaker import Sight, Speaker

__all__ = ["Answer", "Answerer", "Decoder", "Prompter", "Pruning", "Reading", "Sight", "Speaker"]
