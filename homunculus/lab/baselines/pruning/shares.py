"""Counts of tokens that were published for one model, carried over to another."""

from __future__ import annotations

from homunculus.bridge.errors import ModelError


def kept_of(keep: int, of: int, name: str, count: int = 1) -> int:
    """`keep` of `of` tokens as a number of `count`: rounded, at least 1. Raises ModelError where they are no share."""
    if not 1 <= keep <= of:
        raise ModelError(f"{name} keeps {keep} of {of} tokens; give at least 1, and no more than there are")
    return max(1, round(count * keep / of))
