"""The loop: query, relevance, fixation, plan, sample, encode, and on to the next fixation."""

from homunculus.loop.eye import Eye
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.options import Options
from homunculus.loop.visual_search import SHARPNESS, Job, Seen, VisualSearch

__all__ = ["SHARPNESS", "Eye", "Homunculus", "Job", "Options", "Seen", "VisualSearch"]
