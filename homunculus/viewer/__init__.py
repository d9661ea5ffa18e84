"""The fixation visualiser: the mouse is the gaze, and what is drawn is what `unit.sample` gives the model."""

from homunculus.viewer import views as views  # so that every view has its row
from homunculus.viewer.guide import Guidance as Guidance
from homunculus.viewer.guide import Guide as Guide
from homunculus.viewer.guide import MapGuide as MapGuide
