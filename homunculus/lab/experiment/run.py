"""Runs every row on every page, then measures what each costs."""

from __future__ import annotations

import hashlib
import os
import statistics
from pathlib import Path
from time import perf_counter
from typing import Any

import torch

from homunculus.bridge.errors import HomunculusError
from homunculus.bridge.files import check_writable, write_json
from homunculus.bridge.files.fields import finite, value
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.files.reading import read_json, refusing, shown
from homunculus.bridge.open import Backend, open_unit
from homunculus.bridge.unit import TextureUnit
from homunculus.encoder.reader import Reader
from homunculus.lab.asking import Sized, Track, asking
from homunculus.lab.bench.machine import describe, peak_mib
from homunculus.lab.experiment.asking import RowAnswers
from homunculus.lab.experiment.page import PageUnderTest
from homunculus.lab.experiment.rows import rows
from homunculus.lab.experiment.work import PRESETS, PageCounts, works
from homunculus.lab.needle.needle import make_page
from homunculus.layouts.metrics import measure

COSTS, JOURNAL = "costs.json", "journal.jsonl"
REPEATS = 2


def run(
    out: Path,
    reader: Reader,
    *,
    preset: str = "cpu",
    backend: Backend | None = None,
    pages: int | None = None,
    jobs: int = 0,
    track: Track | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The journal's lines and the costs; both are in `out`, and what is there already is not done again.

    pages: fewer of the main size than the preset's, and none of the others. jobs: processes that share the pages; 0 for this one alone.
    However many, torch computes each answer with one thread, so that all give the same. A row that cannot be had here, for want of a
    library, gives its reason. Raises DataError for a folder that holds another experiment, WriteError for
    one that cannot be written, before the work.
    """
    track = track or (lambda items, _: items)
    chosen = PRESETS[preset]
    if pages is not None:
        chosen = PageCounts(chosen.size_px, pages, (), 0)
    task = {
        "pages": [chosen.size_px, chosen.pages, list(chosen.other_sizes_px), chosen.other_pages],
        "reader": digest(reader),
    }
    journal = Journal(out / JOURNAL, task)
    check_writable(out)
    todo = [part for work in works(chosen) for part in work.without(journal.entries).parts()]
    with asking(RowAnswers(reader, backend), jobs) as ask:
        for lines in track(Sized(ask(todo), len(todo)), "pages"):
            for line in lines:
                journal.append(line)
    with open_unit(backend) as unit:
        costs = _costs(out, unit, reader, chosen, track)
    return list(journal.entries.values()), costs


def _costs(out: Path, unit: TextureUnit, reader: Reader, preset: PageCounts, track: Track) -> dict[str, Any]:
    """Milliseconds of one trial on a page that is in the texture unit, scoring pass and sampling included; peak memory beside
    what was in use before; coverage of the image. Measured once a folder."""
    path = out / COSTS
    if os.path.isfile(path):
        return _read_costs(path)
    found: dict[str, Any] = {}
    page = make_page(preset.size_px, 0)
    for row in track([row for row in rows() if row.group != "curve"], "costs"):
        times, peaks, metrics = [], [], {}
        try:
            for turn in range(1 + REPEATS):
                with PageUnderTest(unit, reader, page, 1) as seen:
                    start, before = perf_counter(), peak_mib(reset=True)
                    with torch.no_grad():
                        (glances,) = seen.encodings(row)
                    times.append((perf_counter() - start) * 1e3)
                    peaks.append(peak_mib() - before)
                    if not turn:
                        metrics = measure(glances[0][0].plan, seen.size).as_dict()
        except HomunculusError:
            continue
        found[row.name] = {
            "ms": round(statistics.median(times[1:]), 2),
            "peak_mib": round(statistics.median(peaks[1:]), 1),
            **{name: round(metrics[name], 4) for name in ("coverage", "resolution_coverage") if name in metrics},
        }
    written = {"machine": describe() | {"renderer": unit.renderer}, "rows": found}
    write_json(path, written, indent=1)
    return written


def _read_costs(path: Path) -> dict[str, Any]:
    """What an earlier run measured. Raises DataError where it does not hold what the page tells of."""
    remedy = "delete it to measure again"
    read = read_json(path, remedy=remedy)
    with refusing(f"{path} holds no costs as this experiment writes them", remedy=remedy):
        machine, found = value(read, "machine", dict, "it"), value(read, "rows", dict, "it")
        texts = [machine["processor"], machine["renderer"], machine["versions"]["torch"]]
        if not all(isinstance(text, str) for text in texts) or not isinstance(machine["cores"], int):
            raise ValueError(f"machine is {shown(machine)}")
        for name, costs in found.items():
            if not {"ms", "peak_mib"} <= set(costs) or not all(map(finite, costs.values())):
                raise ValueError(f"{name} has {shown(costs)}")
    return dict(read)


def digest(reader: Reader) -> str:
    """What tells one set of weights from another."""
    found = hashlib.sha256()
    for name, weights in sorted(reader.state_dict().items()):
        found.update(name.encode())
        found.update(weights.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
