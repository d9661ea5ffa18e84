"""The loop: query, relevance, fixation, plan, sample, encode, and on to the next fixation."""

from homunculus.loop.eye import Eye
from homunculus.loop.homunculus import Homunculus
from homunculus.loop.passage import SHARPNESS, Job, Passage, Seen

__all__ = ["SHARPNESS", "Eye", "Homunculus", "Job", "Passage", "Seen"]
