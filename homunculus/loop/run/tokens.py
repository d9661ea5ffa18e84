"""Reads what a run has kept."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from homunculus.bridge.errors import DataError
from homunculus.loop.run.manifest import NAME, Manifest
from homunculus.loop.run.shards import read_shard
from homunculus.loop.run.token_row import TokenRow


def read_tokens(path: str | os.PathLike[str], *, errors: bool = False, partial: bool = False) -> Iterator[TokenRow]:
    """The rows that `run` has kept in a folder, in order, or those of one of its files; one file is held at a time.

    errors: rows that could not be looked at come too, with their `error`. partial: of a run that is not finished, what is there.
    Raises DataError for a folder without a run, one that is not finished, and a file that is not whole.

    >>> result = hm.run("examples/data/photograph.jpg", "tokens", workers=0, budget=100, backend="torch")
    >>> for row in hm.read_tokens("tokens"):
    ...     print(row.page, row.fixations, row.patches)
    0 [(256.0, 256.0)] Patches(100 of 16 x 16 px, float32, on cpu)
    """
    folder = Path(path)
    files = [folder]
    if folder.is_dir():
        manifest = Manifest.load(folder)
        if manifest is None:
            raise DataError(f"{folder} has no {NAME}, so no run has kept anything there; give the folder of one")
        every = [folder / name for name in manifest.names]
        files = [file for file in every if file.is_file()]
        if len(files) < len(every) and not partial:
            raise DataError(
                f"{folder} lacks {len(every) - len(files)} of {len(every)} files of its run; run it again to finish, or pass partial=True"
            )
    return (row for file in files for row in read_shard(file) if errors or not row.error)
