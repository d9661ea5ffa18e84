"""Where people looked, and how well a sampler's choice of where to look tells it."""

from homunculus.evaluation.gaze import aird, cocosearch18, mit1003
from homunculus.evaluation.gaze.compare import BIAS, GAUSSIAN, UNIFORM, compare
from homunculus.evaluation.gaze.density import CentreBias, centred_gaussian, log_density, uniform
from homunculus.evaluation.gaze.detect import detect
from homunculus.evaluation.gaze.predictors import Prediction, Predictor, at_center, at_random, by_query
from homunculus.evaluation.gaze.records import GazeData, Scanpath, Stimulus
from homunculus.evaluation.gaze.table import METRICS, Comparison, Estimate

__all__ = [
    "BIAS",
    "GAUSSIAN",
    "METRICS",
    "UNIFORM",
    "CentreBias",
    "Comparison",
    "Estimate",
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
