"""Everything of the library that writes, on small data: writer(folder, turn) leaves files that differ from turn to turn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from homunculus.allocators.adaptive_stratified import StrataHead
from homunculus.allocators.coverage_top_k import CoverageTopK
from homunculus.allocators.pseudo_log_polar import PseudoLogPolar
from homunculus.allocators.pyramid import LearnedSplit
from homunculus.bridge.clips.timeline import Timeline
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.reader import Reader
from homunculus.encoder.small import SmallConfig
from homunculus.encoder.word_features import WordFeatures
from homunculus.lab.bench import sampling
from homunculus.lab.datasets import Dataset, Question, VQABenchmark, write_results
from homunculus.lab.datasets.answers import anls
from homunculus.lab.needle.train import lines
from homunculus.lab.training import checkpoint
from homunculus.loop.compare import Comparison
from homunculus.loop.run.manifest import Manifest
from homunculus.loop.run.report import Called, write_report
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.watched import WatchState
from homunculus.loop.watching.shards import WatchedFrame, write_frames
from homunculus.relevance import Head
from homunculus.relevance.gaze.bids import write_bids
from homunculus.relevance.gaze.files import write_gaze
from homunculus.relevance.gaze.recording import GazeRecording, GazeScreen
from homunculus.relevance.gaze.sample import GazeSample
from homunculus.relevance.gaze.scanpath import Fixation, GazePath, write_scanpath
from homunculus.report import write_look
from homunculus.viewer.outputs import Outputs, write_pixels
from homunculus.viewer.recorder import GazeLog

TINY = SmallConfig(hidden_size=16, layers=1, num_attention_heads=2, stem=(4, 8), cells=4, text_dim=8)
PLAN = SamplePlan.boxes(torch.tensor([[0.0, 0, 24, 24]]), 16)


def look(out: Path, turn: int) -> None:
    """Every other time with relevance maps."""
    noise = np.random.default_rng(turn).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    same = torch.Generator().manual_seed(turn)
    patches = Patches(torch.rand(1, 3, 16, 16, generator=same), torch.ones(1))
    maps = {"total": torch.rand(3, 3, generator=same)} if turn % 2 else None
    write_look(out, noise, PLAN, patches, [(5.0, 5.0)], {"turn": turn}, maps=maps)


def comparison(out: Path, turn: int) -> None:
    noise = np.random.default_rng(turn).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Comparison([], {}, {"turn": turn}, Image.fromarray(noise)).save(out)


def results(out: Path, turn: int) -> None:
    source = VQABenchmark("docvqa", ("val",), "questionId", "ANLS", anls, "", lambda folder, split: ())
    asked = Dataset(source, "val", tuple(Question(id, Path("a.png"), "?", ()) for id in range(30)))
    write_results(out / "results.json", asked, dict.fromkeys(range(30), f"answer {turn} é"))


def head(out: Path, turn: int) -> None:
    torch.manual_seed(turn)
    Head(8).save(out / "head.safetensors", {"turn": turn})


def reader(out: Path, turn: int) -> None:
    torch.manual_seed(turn)
    Reader(TINY).save(out / "reader.safetensors")


def learned(kind: Callable[[], nn.Module]) -> Callable[[Path, int], None]:
    def write(out: Path, turn: int) -> None:
        torch.manual_seed(turn)
        module = kind()
        with torch.no_grad():
            for value in module.parameters():
                value.add_(turn)
        module.save(out / "weights.safetensors")  # type: ignore[operator]

    return write


def training(out: Path, turn: int) -> None:
    module = nn.Linear(20, 20)
    optimizer = torch.optim.Adam(module.parameters())
    module(torch.ones(20)).sum().backward()
    optimizer.step()
    checkpoint.save(out, module, [optimizer], checkpoint.Progress(turn, [0.5] * turn), {"seed": 0})


def journal(out: Path, turn: int) -> None:
    found = Journal(out / "journal.jsonl", {"task": 1})
    found.append({"id": len(found.entries), "text": "x" * 90})


def log(out: Path, turn: int) -> None:
    lines(out / "log.jsonl")({f"loss {place}": turn + 0.5 for place in range(9)})


def scanpath(out: Path, turn: int) -> None:
    write_scanpath(out / "gaze.csv", GazePath((Fixation(turn, 2, 0, 300),) * 9))


def recording(out: Path, turn: int) -> None:
    at = np.arange(9.0)
    write_bids(out / "sub-1_physio.tsv.gz", GazeRecording(at, at + turn, at, 1, screen=GazeScreen((30 + turn, 40))))


def gaze(out: Path, turn: int) -> None:
    at = np.arange(9.0)
    write_gaze(out / "gaze.csv", GazeRecording(at, at + turn, at, 1))


def gaze_log(out: Path, turn: int) -> None:
    log = GazeLog(Outputs(out, lambda note: None), lambda note: None)
    log.begin(out / "scanpath.csv")
    for place in range(9):
        log.hear(GazeSample(place * 50 + turn, 20, place))
    log.end(10)


def pixels(out: Path, turn: int) -> None:
    write_pixels(out / "view.png", np.random.default_rng(turn).integers(0, 256, (20, 20, 3), dtype=np.uint8))


def bench(out: Path, turn: int) -> None:
    facts = {
        "renderers": {},
        "processor": "none",
        "cores": 1,
        "load_average": turn,
        "versions": {"torch": "0"},
        "commit": "",
    }
    sampling._write(out, facts, {"host": 1.0}, [], 10, {})


def run_report(out: Path, turn: int) -> None:
    manifest = Manifest.of([RunRow(f"{place}.png") for place in range(9)], RunSettings(budget=20 + turn))
    write_report(out, manifest, [], Called())


def watched_frames(out: Path, turn: int) -> None:
    same = torch.Generator().manual_seed(turn)
    times, fixations = torch.tensor([[turn, 1]]), torch.rand(2, 2, generator=same)
    patches = Patches(torch.rand(1, 3, 16, 16, generator=same), torch.ones(1))
    row = WatchedFrame(turn, turn / 25, PLAN, times, fixations, 1, False, True, torch.rand(1, 9), patches)
    state = WatchState(PLAN, Timeline(4, turn + 1), fixations, fixations[:0])
    write_frames(out / "frames.safetensors", [row, row], state, {"turn": turn})


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "homunculus.allocators.adaptive_stratified": learned(StrataHead),
    "homunculus.allocators.coverage_top_k": learned(CoverageTopK),
    "homunculus.allocators.pseudo_log_polar": learned(lambda: PseudoLogPolar(8)),
    "homunculus.allocators.pyramid": learned(LearnedSplit),
    "homunculus.lab.bench.sampling": bench,
    "homunculus.lab.datasets.results": results,
    "homunculus.bridge.files.journal": journal,
    "homunculus.encoder.reader": reader,
    "homunculus.encoder.word_features": learned(WordFeatures),
    "homunculus.loop.compare": comparison,
    "homunculus.relevance.procedural": head,
    "homunculus.loop.run.report": run_report,
    "homunculus.loop.watching.shards": watched_frames,
    "homunculus.report.files": look,
    "homunculus.lab.training.checkpoint": training,
    "homunculus.lab.needle.train": log,
    "homunculus.viewer.outputs": pixels,
    "homunculus.viewer.recorder": gaze_log,
    "homunculus.relevance.gaze.bids": recording,
    "homunculus.relevance.gaze.files": gaze,
    "homunculus.relevance.gaze.scanpath": scanpath,
}
# These write by the same functions, after work that would take too long for so many deaths.
SLOW = {
    "homunculus.encoder.img_focus",
    "homunculus.lab.bench.allocators",
    "homunculus.lab.bench.loop",
    "homunculus.lab.bench.slides",
    "homunculus.lab.bench.call",
    "homunculus.lab.bench.looks",
    "homunculus.lab.bench.view",
    "homunculus.lab.bench.watch",
    "homunculus.cli.compare",
    "homunculus.cli.evaluate",
    "homunculus.cli.gaze",
    "homunculus.cli.look",
    "homunculus.lab.needle.glyphs",
    "homunculus.lab.experiment.report",
    "homunculus.lab.experiment.run",
    "homunculus.lab.photographs.report",
    "homunculus.lab.pages.report",
    "homunculus.lab.pages.run",
    "homunculus.lab.photographs.run",
    "homunculus.lab.search.report",
    "homunculus.lab.search.run",
    "homunculus.lab.tables",
    "homunculus.lab.training.relevance",
    "homunculus.lab.training.words",
    "homunculus.loop.run.driver",
    "homunculus.loop.run.manifest",
    "homunculus.loop.run.shards",
    "homunculus.loop.run.worker",
    "homunculus.loop.watching.driver",
    "homunculus.viewer.headless",
}
APPENDING = {"homunculus.bridge.files.journal", "homunculus.lab.needle.train"}
