"""Everything of the library that reads data, with a good file of each: made by `write(folder)`, which returns its path."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gaze_files
import numpy as np
import question_files as official
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from writers import WRITERS

from homunculus.allocators.adaptive_stratified import StrataHead
from homunculus.allocators.coverage_top_k import CoverageTopK
from homunculus.allocators.pseudo_log_polar import PseudoLogPolar
from homunculus.allocators.pyramid import LearnedSplit
from homunculus.bridge.files.journal import Journal
from homunculus.bridge.files.reading import content_of
from homunculus.bridge.files.writing import _superseded
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.encoder.reader import Reader
from homunculus.encoder.saliency import SaliencyDecoder
from homunculus.encoder.word_features import WordFeatures
from homunculus.lab.datasets import DOCVQA, TEXTVQA, VQAV2, VQABenchmark, read_results
from homunculus.lab.experiment.run import _read_costs
from homunculus.lab.gaze import aird, bids, cocosearch18, mit1003, onestop
from homunculus.lab.training import checkpoint
from homunculus.lab.training.triples import read_triples
from homunculus.loop.run.lists import read_list
from homunculus.loop.run.manifest import Manifest
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.settings import RunSettings
from homunculus.loop.run.shards import read_shard, write_shard
from homunculus.loop.run.tables import open_table
from homunculus.loop.run.token_row import TokenRow
from homunculus.loop.watching.shards import read_frames, read_state
from homunculus.relevance import Head
from homunculus.relevance.gaze.bids import read_bids
from homunculus.relevance.gaze.detect import detect
from homunculus.relevance.gaze.files import read_gaze
from homunculus.relevance.gaze.scanpath import read_scanpath
from homunculus.relevance.maps import read_relevance
from homunculus.viewer.serving.messages import message

PREFIX = "homunculus."
DECODER = (6, 4, 3, 2)  # widths of a small one


@dataclass(frozen=True)
class Kind:
    """module: where the reader stands. read: takes what `write` returned."""

    module: str
    write: Callable[[Path], Path]
    read: Callable[[Path], Any]


def numpy_map(folder: Path) -> Path:
    np.save(folder / "map.npy", np.arange(12, dtype=np.float32).reshape(3, 4))
    return folder / "map.npy"


def tensor_map(folder: Path) -> Path:
    save_file({"relevance": torch.rand(3, 4), "b": torch.ones(2, dtype=torch.int16)}, folder / "map.safetensors")
    return folder / "map.safetensors"


def triples(folder: Path) -> Path:
    Image.new("RGB", (40, 30)).save(folder / "a.png")
    lines = [
        {"image": "a.png", "query": "red triangle", "box": [1, 2, 30.5, 20]},
        {"image": "a.png", "box": [0, 0, 10, 10], "example": "a.png"},
    ]
    (folder / "triples.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "triples.jsonl"


def official_file(name: str, file: str) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        getattr(official, name)(folder)
        return folder / file

    return write


def split_of(source: VQABenchmark) -> Callable[[Path], Any]:
    return lambda path: source.load(path.parent, "val")


def results(folder: Path) -> Path:
    official.docvqa(folder)
    answers = [{"questionId": 100 + number, "answer": f"é {number}"} for number in range(4)]
    (folder / "results.json").write_text(json.dumps(answers, ensure_ascii=False))
    return folder / "results.json"


def written(module: str, turns: int = 1) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        for turn in range(turns):
            WRITERS[PREFIX + module](folder, turn)
        return next(iter(sorted(folder.iterdir())))

    return write


def restored(path: Path) -> Any:
    module = nn.Linear(20, 20)
    return checkpoint.load(path.parent, module, [torch.optim.Adam(module.parameters())], {"seed": 0})


def trials(folder: Path) -> Path:
    gaze_files.picture(folder / "images" / "000000000.jpg", (1050, 1680))
    path = folder / "coco_search18_fixations_TP_train_split1.json"
    absent = gaze_files.trial("000000000.jpg", "car", 2, "absent")
    path.write_text(json.dumps([gaze_files.trial("000000000.jpg", "bottle", 1), absent]))
    return path


def aird_file(name: str) -> Callable[[Path], Path]:
    """One question and one person of the set."""

    def write(folder: Path) -> Path:
        gaze_files.aird(folder)
        for path in sorted(folder.glob("fix/*/*.mat"))[1:]:
            path.unlink()
        return next(folder.rglob(name))

    return write


def onestop_file(name: str) -> Callable[[Path], Path]:
    """One reader of one page."""

    def write(folder: Path) -> Path:
        gaze_files.onestop(folder)
        for file in ("fixations.csv", "ia.csv"):
            rows = (folder / file).read_text().splitlines()
            kept = [row for row in rows[1:] if "l1_p1" in row]
            (folder / file).write_text("\n".join([rows[0], *kept]) + "\n")
        return folder / name

    return write


def recording(folder: Path) -> Path:
    return gaze_files.recording(folder / "a.mat", [(50, 50, 60), (90, 40, 60), (30, 80, 60)])


def samples(path: Path) -> Any:
    return detect(mit1003._samples(path), mit1003.RATE_HZ, mit1003.PX_PER_DEGREE)


def scanpath(folder: Path) -> Path:
    rows = ["x_px,y_px,onset_ms,duration_ms", "1.5,2.25,0,200", '"30",4,250,100', ".,.,350,10", "-3,1e2,360,80"]
    (folder / "gaze.csv").write_text("\n".join(rows))
    return folder / "gaze.csv"


def gaze_samples(folder: Path) -> Path:
    (folder / "gaze.csv").write_text("time_s,x_px,y_px,pupil\n0,1.5,2,3\n0.25,n/a,n/a,n/a\n0.5,7,8.25,3\n")
    return folder / "gaze.csv"


def bids_file(ending: str) -> Callable[[Path], Path]:
    """Of a person's recording in a data set."""

    def write(folder: Path) -> Path:
        gaze_files.bids(folder, ("01",))
        return next(folder.rglob(f"*{ending}"))

    return write


def bids_gaze(path: Path) -> Any:
    return read_bids(next(path.parent.glob("*_physio.tsv.gz")))


def browsers_message(folder: Path) -> Path:
    (folder / "message.json").write_text('{"kind": "press", "x": 10.5, "y": 7, "button": "Left", "shift": false}')
    return folder / "message.json"


def picture_list(folder: Path) -> Path:
    lines = [
        {"image": "a.png", "page": 1, "at": [0.5, 0.25]},
        {"source": "b.png", "query": "é", "at": [[0, 1], [1, 0]], "id": 7},
    ]
    (folder / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "list.jsonl"


def picture_table(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    held = io.BytesIO()
    Image.new("RGB", (4, 3), (9, 99, 199)).save(held, "PNG")
    pictures = [{"bytes": held.getvalue(), "path": None}] * 4 + [{"bytes": None, "path": "a.png"}]
    table = pa.table({"image": pictures, "query": ["é"] * 5, "id": range(5)})
    parquet.write_table(table, folder / "table.parquet", row_group_size=3, write_page_checksum=True)
    return folder / "table.parquet"


def table_read(path: Path) -> Any:
    table = open_table(str(path))
    return [table.content(place) for place, record in enumerate(table.records()) if record.path is None]


def run_shard(folder: Path, end: str) -> Path:
    plan, patches = SamplePlan(torch.rand(2, 8), 4), Patches(torch.rand(2, 3, 4, 4), torch.ones(2))
    seen = TokenRow(
        RunRow("é.png", 1, "red"), (30, 40), [(1.5, 2)], plan, torch.rand(2, 5).bfloat16(), patches, ["note"]
    )
    lost = TokenRow(RunRow("b.png"), error={"kind": "ImageReadError", "message": "b.png is no picture"})
    write_shard(folder / f"shard.{end}", [seen, lost], {"hash": "0"})
    return folder / f"shard.{end}"


def manifest(folder: Path) -> Path:
    rows = (RunRow("é.png", 1, "red", ((0.5, 0.25),)), RunRow("b.png"))
    Manifest.of(rows, RunSettings(), 1).save(folder)
    return folder / "manifest.json"


def costs(folder: Path) -> Path:
    machine = {"processor": "none", "cores": 2, "renderer": "none", "versions": {"torch": "2"}}
    rows = {"uniform": {"ms": 1.5, "peak_mib": 3, "coverage": 0.5}}
    (folder / "costs.json").write_text(json.dumps({"machine": machine, "rows": rows}))
    return folder / "costs.json"


def decoder(folder: Path) -> Path:
    save_file(SaliencyDecoder(DECODER).state_dict(), folder / "saliency.safetensors")
    return folder / "saliency.safetensors"


def record(folder: Path) -> Path:
    (folder / "look.json").write_text(json.dumps({"files": ["footprints.png", "look.json"]}))
    return folder / "look.json"


VQAV2_FILES = ("v2_OpenEnded_mscoco_val2014_questions.json", "v2_mscoco_val2014_annotations.json")
READERS: dict[str, Kind] = {
    "map, .npy": Kind("relevance.maps", numpy_map, read_relevance),
    "map, .safetensors": Kind("relevance.maps", tensor_map, read_relevance),
    "triples": Kind("lab.training.triples", triples, lambda path: read_triples(path.parent)),
    "DocVQA": Kind("lab.datasets.docvqa", official_file("docvqa", "val_v1.0_withQT.json"), split_of(DOCVQA)),
    "TextVQA": Kind("lab.datasets.textvqa", official_file("textvqa", "TextVQA_0.5.1_val.json"), split_of(TEXTVQA)),
    "TextVQA's boxes": Kind(
        "lab.datasets.textvqa", official_file("textvqa", "TextVQA_GT_bbox.jsonl"), split_of(TEXTVQA)
    ),
    "VQAv2": Kind("lab.datasets.vqav2", official_file("vqav2", VQAV2_FILES[0]), split_of(VQAV2)),
    "VQAv2's answers": Kind("lab.datasets.vqav2", official_file("vqav2", VQAV2_FILES[1]), split_of(VQAV2)),
    "results": Kind("lab.datasets.results", results, lambda path: read_results(path, DOCVQA.load(path.parent, "val"))),
    "journal": Kind(
        "bridge.files.journal", written("bridge.files.journal", 3), lambda path: Journal(path, {"task": 1})
    ),
    "checkpoint": Kind("lab.training.checkpoint", written("lab.training.checkpoint"), restored),
    "head": Kind("relevance.procedural", written("relevance.procedural"), Head.load),
    "reader": Kind("encoder.reader", written("encoder.reader"), Reader.load),
    "words": Kind("encoder.word_features", written("encoder.word_features"), WordFeatures.load),
    "saliency": Kind("encoder.saliency", decoder, lambda path: SaliencyDecoder(DECODER).load(path)),
    "strata": Kind("allocators.adaptive_stratified", written("allocators.adaptive_stratified"), StrataHead.load),
    "top k": Kind("allocators.coverage_top_k", written("allocators.coverage_top_k"), CoverageTopK.load),
    "centres": Kind("allocators.pseudo_log_polar", written("allocators.pseudo_log_polar"), PseudoLogPolar.load),
    "split": Kind("allocators.pyramid", written("allocators.pyramid"), LearnedSplit.load),
    "COCO-Search18": Kind("lab.gaze.cocosearch18", trials, lambda path: cocosearch18.load(path.parent)),
    "AiR-D's answers": Kind(
        "lab.gaze.aird", aird_file("consolidated_answers.json"), lambda path: aird.load(path.parent)
    ),
    "AiR-D's questions": Kind(
        "lab.gaze.aird", aird_file("val_balanced_questions.json"), lambda path: aird.load(path.parent)
    ),
    "AiR-D's fixations": Kind("lab.gaze.aird", aird_file("*.mat"), lambda path: aird.load(path.parents[2])),
    "MIT1003": Kind("lab.gaze.mit1003", recording, samples),
    "OneStop's fixations": Kind(
        "lab.gaze.onestop", onestop_file("fixations.csv"), lambda path: onestop.load(path.parent)
    ),
    "OneStop's words": Kind("lab.gaze.onestop", onestop_file("ia.csv"), lambda path: onestop.load(path.parent)),
    "scanpath": Kind("relevance.gaze.scanpath", scanpath, read_scanpath),
    "samples of gaze": Kind("relevance.gaze.files", gaze_samples, read_gaze),
    "BIDS's gaze": Kind("relevance.gaze.bids", bids_file("_physio.tsv.gz"), read_bids),
    "BIDS's words": Kind("relevance.gaze.bids", bids_file("_physio.json"), bids_gaze),
    "BIDS's screen": Kind("relevance.gaze.bids", bids_file("_events.json"), bids_gaze),
    "BIDS's events": Kind("lab.gaze.bids", bids_file("_events.tsv"), lambda path: bids.load(path.parents[2])),
    "a browser's message": Kind("viewer.serving.messages", browsers_message, lambda path: message(content_of(path))),
    "list of pictures": Kind("loop.run.lists", picture_list, lambda path: list(read_list(path))),
    "table of pictures": Kind("loop.run.tables", picture_table, table_read),
    "shard": Kind("loop.run.shards", partial(run_shard, end="safetensors"), lambda path: list(read_shard(path))),
    "shard of Parquet": Kind(
        "loop.run.parquet", partial(run_shard, end="parquet"), lambda path: list(read_shard(path))
    ),
    "shard of a video": Kind(
        "loop.watching.shards",
        written("loop.watching.shards", 2),
        lambda path: (list(read_frames(path)), read_state(path)),
    ),
    "a run's manifest": Kind("loop.run.manifest", manifest, lambda path: Manifest.load(path.parent)),
    "costs": Kind("lab.experiment.run", costs, _read_costs),
    "a set's record": Kind("bridge.files.writing", record, lambda path: _superseded(path.parent, path.name)),
}
