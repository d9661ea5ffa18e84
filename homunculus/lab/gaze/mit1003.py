"""MIT1003: fifteen people looking freely at 1003 photographs for three seconds (Judd, Ehinger, Durand & Torralba 2009, ICCV).

The eye's position is published as it was recorded, 240 times a second, with Matlab code that makes fixations of it; no list
of fixations is. Everyone who uses the set runs that code, or their own. Here it is the detection of
`homunculus.relevance.gaze.detect`, on the raw files, so that nothing but DATA.zip and ALLSTIMULI.zip is needed, neither Matlab nor
a list of unknown origin. Figures can be compared among the rows of one table; against tables made with the
authors' code they differ by what the two detections make of blinks, drifts and short stops.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.fence import Fence
from homunculus.bridge.files.reading import read_mat
from homunculus.lab.gaze.records import Array, GazeData, left_out, looked, need, numbers, picture_size
from homunculus.relevance.gaze.detect import detect

RATE_HZ = 240.0
PX_PER_DEGREE = 35.0  # as the authors give it in their benchmark (Judd, Durand & Torralba 2012, MIT-CSAIL-TR-2012-001)
STIMULI, DATA = "ALLSTIMULI", "DATA"
REMEDY = (
    f"Put there {STIMULI} and {DATA}, unpacked from ALLSTIMULI.zip and DATA.zip of "
    "http://people.csail.mit.edu/tjudd/WherePeopleLook/"
)


def load(folder: Path, *, trusted: Sequence[Path] = ()) -> GazeData:
    """Every person's fixations on every picture: `ALLSTIMULI/NAME.jpeg` and `DATA/PERSON/NAME.mat`.

    A .mat file holds one struct, whose `DATA.eyeData` [n, 2 or more] is where the eye was, in pixels of the picture, 240
    times a second; negative while it blinked. The first fixation is dropped, as the authors do: it began on
    the cross in the middle before the picture came up. Those off the picture are dropped too; a recording of which nothing is left is
    left out and told of. trusted: folders beside this one to which links may lead. Raises DataError for a folder without the data, for
    links that lead elsewhere, for a recording of a picture that is not there, and
    for files that are truncated or hold something else.
    """
    fence = Fence(need(folder, REMEDY), trusted)
    pictures = {path.stem: path for path in need(folder / STIMULI, REMEDY).glob("*.jpeg")}
    files = sorted(path for path in need(folder / DATA, REMEDY).glob("*/*.mat"))
    if not pictures or not files:
        what = f"{STIMULI}/NAME.jpeg" if not pictures else f"{DATA}/PERSON/NAME.mat"
        raise DataError(f"{folder} holds no {what}. {REMEDY}")
    sizes = {name: picture_size(fence.check(path)) for name, path in pictures.items()}
    found = []
    for path in files:
        if path.stem not in pictures:
            raise DataError(f"{path}: {STIMULI}/{path.stem}.jpeg is not there. {REMEDY}")
        seen = detect(_samples(fence.check(path)), RATE_HZ, PX_PER_DEGREE)
        found.append(looked(pictures[path.stem], sizes[path.stem], path.parent.name, "", seen, skip=1))
    kept = [path for path in found if path is not None]
    if not kept:
        raise DataError(f"{folder}: none of {len(files)} recordings has a second fixation on its picture. {REMEDY}")
    remarks = left_out(len(files) - len(kept), len(files), "recordings have no fixation on the picture after the first")
    return GazeData("MIT1003", kept, PX_PER_DEGREE, remarks)


def _samples(path: Path) -> Array:
    """[n, 2] (x, y) in pixels. The variable is named for the picture, cut to Matlab's 63 letters, so its name is not read."""
    content = read_mat(path)
    recording = next(iter(content.values()), None)
    data = recording.get("DATA") if isinstance(recording, dict) else None
    first = next(iter(data), None) if isinstance(data, list) else data
    samples = first.get("eyeData") if isinstance(first, dict) else None
    if samples is None:
        raise DataError(f"{path} holds {', '.join(sorted(content)) or 'nothing'} without DATA.eyeData. {REMEDY}")
    found = numbers(samples, 2, f"{path}: eyeData")
    if len(found) == 0:
        raise DataError(f"{path}: eyeData is empty; fetch it again")
    return found
