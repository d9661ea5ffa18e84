"""A vision-language model that answers from foveated tokens, and the rivals that drop tokens inside it."""

from homunculus.language import pruning
from homunculus.language.answerer import Answer, Answerer
from homunculus.language.decoder import Decoder, Reading
from homunculus.language.prompt import Prompter
from homunculus.language.speaker import Sight, Speaker

__all__ = ["Answer", "Answerer", "Decoder", "Prompter", "Reading", "Sight", "Speaker", "pruning"]
