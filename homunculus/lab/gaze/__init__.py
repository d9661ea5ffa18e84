"""Where people looked, and how well a sampler's choice of where to look tells it."""

from homunculus.lab.gaze import aird, bids, cocosearch18, mit1003, onestop
from homunculus.lab.gaze.compare import BIAS, GAUSSIAN, PEOPLE, UNIFORM, compare
from homunculus.lab.gaze.density import CentreBias, centred_gaussian, log_density, uniform
from homunculus.lab.gaze.dwell import SpanDwell, dwelt
from homunculus.lab.gaze.predictors import Prediction, Predictor, at_center, at_random, by_query, by_relevance
from homunculus.lab.gaze.records import GazeData, Scanpath, Stimulus, WordDwell
from homunculus.lab.gaze.table import METRICS, GazeComparison
from homunculus.relevance.gaze.detect import detect

__all__ = [
    "BIAS",
    "GAUSSIAN",
    "METRICS",
    "PEOPLE",
    "UNIFORM",
    "CentreBias",
    "GazeComparison",
    "GazeData",
    "Prediction",
    "Predictor",
    "Scanpath",
    "SpanDwell",
    "Stimulus",
    "WordDwell",
    "aird",
    "at_center",
    "at_random",
    "bids",
    "by_query",
    "by_relevance",
    "centred_gaussian",
    "cocosearch18",
    "compare",
    "detect",
    "dwelt",
    "log_density",
    "mit1003",
    "onestop",
    "uniform",
]
