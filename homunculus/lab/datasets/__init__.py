"""Questions about pictures, read from the folders of DocVQA, TextVQA and VQAv2 in their official formats."""

from homunculus.bridge.files.fields import Box
from homunculus.lab.datasets.docvqa import DOCVQA
from homunculus.lab.datasets.record import Dataset, Question, VQABenchmark
from homunculus.lab.datasets.results import read_results, submission, write_results
from homunculus.lab.datasets.textvqa import TEXTVQA
from homunculus.lab.datasets.vqav2 import VQAV2

SOURCES = {source.name: source for source in (DOCVQA, TEXTVQA, VQAV2)}

__all__ = [
    "DOCVQA",
    "SOURCES",
    "TEXTVQA",
    "VQAV2",
    "Box",
    "Dataset",
    "Question",
    "VQABenchmark",
    "read_results",
    "submission",
    "write_results",
]
