"""Questions about pictures, read from the folders of DocVQA, TextVQA and VQAv2 in their official formats."""

from homunculus.evaluation.datasets.docvqa import DOCVQA
from homunculus.evaluation.datasets.record import Box, Dataset, Question, Source
from homunculus.evaluation.datasets.results import read_results, submission, write_results
from homunculus.evaluation.datasets.textvqa import TEXTVQA
from homunculus.evaluation.datasets.vqav2 import VQAV2

SOURCES = {source.name: source for source in (DOCVQA, TEXTVQA, VQAV2)}

__all__ = [
    "DOCVQA",
    "SOURCES",
    "TEXTVQA",
    "VQAV2",
    "Box",
    "Dataset",
    "Question",
    "Source",
    "read_results",
    "submission",
    "write_results",
]
