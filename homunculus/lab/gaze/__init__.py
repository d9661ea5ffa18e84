"""Where people looked, and how well a sampler's choice of where to look tells it."""

from homunculus.lab.gaze import aird, cocosearch18, mit1003
from homunculus.lab.gaze.compare import BIAS, GAUSSIAN, UNIFORM, compare
from homunculus.lab.gaze.density import CentreBias, centred_gaussian, log_density, uniform
from homunculus.lab.gaze.detect import detect
from homunculus.lab.gaze.predictors import Prediction, Predictor, at_center, at_random, by_query
from homunculus.lab.gaze.records import GazeData, Scanpath, Stimulus
from homunculus.lab.gaze.table import METRICS, GazeComparison

__all__ = [
    "BIAS",
    "GAUSSIAN",
    "METRICS",
    "UNIFORM",
    "CentreBias",
    "GazeComparison",
    "GazeData",
    "Prediction",
    "Predictor",
    "Scanpath",
    "Stimulus",
    "aird",
    "at_center",
    "at_random",
    "by_query",
    "centred_gaussian",
    "cocosearch18",
    "compare",
    "detect",
    "log_density",
    "mit1003",
    "uniform",
]
