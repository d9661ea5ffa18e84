"""Measured, never remembered: what sampling costs on this machine, beside PyTorch doing the same work."""

from homunculus.lab.bench.sampling import run

__all__ = ["run"]
