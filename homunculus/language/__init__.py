"""A vision-language model that answers from foveated tokens; what drops tokens inside it follows `Pruning`."""

from homunculus.language.answerer import Answer, Answerer
from homunculus.language.connector import Connector, ImageTokens
from homunculus.language.decoder import Decoder
from homunculus.language.prompt import Prompter
from homunculus.language.pruning import Pruning
from homunculus.language.sequence import Prefill

__all__ = ["Answer", "Answerer", "Connector", "Decoder", "ImageTokens", "Prefill", "Prompter", "Pruning"]
