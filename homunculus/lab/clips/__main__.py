"""Prints both measurements of the videos that are named: `python -m homunculus.lab.clips bikes.mp4 bigbuckbunny.mp4`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from homunculus.bridge.clips.video import read_video
from homunculus.bridge.open import open_unit
from homunculus.lab.clips.followed import pursued
from homunculus.lab.clips.shown import APART, BOUND, KEYS, OURS, clips, mean_gain, psnr


def main(paths: Sequence[str]) -> None:
    """Of each video its first 300 frames at most."""
    with open_unit() as unit:
        for path in paths:
            frames = np.stack([np.asarray(frame.image) for frame in read_video(path, frames=300)])
            found = [psnr(unit, clip) for clip in clips(frames)]
            means = {name: float(np.mean([one[name] for one in found])) for name in (OURS, APART, KEYS, BOUND)}
            print(path, *(f"{name} {value:.2f} dB" for name, value in means.items()), sep="; ")
            print(
                f"  ahead of {APART} by {mean_gain(found, APART):.2f} dB, of {KEYS} by {mean_gain(found, KEYS):.2f} dB"
            )
            for query in (None, "red"):
                print(f"  followed by {query or 'an example'}: {pursued(unit, frames, query)}")


if __name__ == "__main__":
    main(sys.argv[1:])
