"""What a run must withstand, for a person to start: kills, ten thousand pictures, and its speed against a bare loop. Each prints JSON.

python tests/run_soak.py kills  --engine local          # or ray: kill -9 of the whole group, five times, each followed by a rerun
python tests/run_soak.py memory --engine local          # what a worker holds, over 10,000 small pictures
python tests/run_soak.py speed  --rounds 3              # both engines and a loop of spawned processes, in turns
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from PIL import Image

import homunculus as hm
from homunculus.bridge.files import replaced

RATES = ("pictures a second", "start included", "by a CPU second")
SIZES = ((1536, 1024), (1024, 1536), (1200, 900), (2048, 1448), (768, 1024), (640, 480))


def pages(folder: Path, count: int, sizes: Iterable[tuple[int, int]] = SIZES) -> Path:
    """Files of several sizes (height, width), as PNG and JPEG, in colour and in grey: text-like strokes, ramps, noise."""
    folder.mkdir(parents=True, exist_ok=True)
    sizes = list(sizes)
    for number in range(count):
        height, width = sizes[number % len(sizes)]
        random_numbers = np.random.default_rng(number)
        grey = np.full((height, width), 245, np.uint8)
        for line in range(height // 24, height - height // 24, max(4, height // 60)):
            words = random_numbers.random(width // 6).repeat(6) > 0.35
            grey[line : line + max(1, height // 140), : len(words)][:, words] = random_numbers.integers(0, 90)
        kind = number % 4
        picture = grey if kind == 0 else np.stack([grey] * 3, -1)
        if kind == 2:
            picture[: height // 3, : width // 2] = np.linspace(0, 255, width // 2)[:, None].astype(np.uint8)
        if kind == 3:
            picture[height // 2 :, width // 2 :] = random_numbers.integers(
                0, 256, picture[height // 2 :, width // 2 :].shape, np.uint8
            )
        name = folder / f"page-{number:05d}.{'jpg' if kind % 2 else 'png'}"
        Image.fromarray(picture).save(name, **({"quality": 85} if kind % 2 else {"compress_level": 1}))
    return folder


def shards(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*"))}


def command(pictures: Path, out: Path, engine: str, budget: int) -> list[str]:
    told = f"run {pictures} --out {out} --engine {engine} --workers 2 --budget {budget} --backend gl"
    return [sys.executable, "-m", "homunculus", *told.split()]


def kills(work: Path, engine: str, count: int, times: int, seed: int) -> dict[str, Any]:
    """kill -9 of the group at random moments; then the run is called again. Told: the shards after each, and who outlived it."""
    pictures, calm, out = pages(work / "pages", count), work / "calm", work / "out"
    start = time.perf_counter()
    subprocess.run(command(pictures, calm, engine, 64), check=True, capture_output=True)
    whole_s = time.perf_counter() - start
    moments, told = random.Random(seed), []
    for turn in range(times):
        wanted = (turn + 0.5) / times * len(shards(calm))
        process = subprocess.Popen(
            command(pictures, out, engine, 64),
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while len(list(out.glob("part-*"))) < wanted and process.poll() is None:
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 1))
        every = psutil.Process(process.pid).children(recursive=True)
        os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        told.append({"status": status, "shards": len(list(out.glob("part-*"))), **outlived(every)})
    subprocess.run(command(pictures, out, engine, 64), check=True, capture_output=True)
    rows = [row.source for row in hm.read_tokens(out, errors=True)]
    return {
        "engine": engine,
        "undisturbed_s": round(whole_s, 1),
        "kills": told,
        "rows": len(rows),
        "equal the inputs, none twice": sorted(rows) == sorted(map(str, pictures.iterdir())),
        "bytes as of an undisturbed run": shards(out) == shards(calm),
        "left in the folder": sorted(path.name for path in out.iterdir() if not path.name.startswith("part-")),
    }


def outlived(every: list[psutil.Process], most_s: float = 120) -> dict[str, Any]:
    """How many processes outlive a kill of their group, and for how long."""
    start = time.perf_counter()
    time.sleep(0.2)
    names = [one.name() for one in every if alive(one)]
    while any(map(alive, every)) and time.perf_counter() - start < most_s:
        time.sleep(0.1)
    return {"of": len(every), "outlived": names, "for_s": round(time.perf_counter() - start, 1)}


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def memory(work: Path, engine: str, count: int, every: int) -> dict[str, Any]:
    """The resident memory of a worker, in MB, at every so many pictures."""
    pictures = pages(work / "pages", 100, [(96, 64), (64, 96), (80, 80)])
    for number in range(100, count):
        os.link(
            pictures / f"page-{number % 100:05d}.{'jpg' if number % 2 else 'png'}",
            pictures / f"q{number:05d}.{'jpg' if number % 2 else 'png'}",
        )
    told: list[list[Any]] = []

    def tell(progress: Any) -> None:
        if not told or progress.rows >= told[-1][0] + every:
            children = psutil.Process().children(recursive=True)
            names = ("ray::Actor",) if engine == "ray" else ("python",)
            held = [
                round(one.memory_info().rss / 1e6, 1)
                for one in children
                if one.name().startswith(names) and "resource_tracker" not in " ".join(one.cmdline())
            ]
            told.append([progress.rows, *sorted(held)])
            print(told[-1], flush=True)

    result = hm.run(pictures, work / "out", engine=engine, workers=1, budget=64, backend="gl", tell=tell)
    return {"engine": engine, "rows": result.rows, "errors": len(result.errors), "rows, and MB of each worker": told}


def bare(pictures: Path, out: Path, workers: int) -> float:
    """A loop of spawned processes that does the same and no more; seconds from when all are open."""
    out.mkdir(parents=True)
    files = sorted(map(str, pictures.iterdir()))
    parts = [(number // 32, files[number : number + 32], out) for number in range(0, len(files), 32)]
    with get_context("spawn").Pool(workers, _open) as pool:
        pool.map(_opened, range(workers), chunksize=1)
        start = time.perf_counter()
        for _ in pool.imap_unordered(_shard, parts):
            pass
        return time.perf_counter() - start


def _open() -> None:
    global _unit
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // 2))
    _unit = hm.open_unit("gl")


def _opened(number: int) -> None:
    time.sleep(0.5)  # so that every process takes one


def _shard(part: tuple[int, list[str], Path]) -> None:
    number, files, out = part
    tensors = {}
    for place, file in enumerate(files):
        seen = hm.look(hm.read_image(file), budget=273, unit=_unit)
        tensors[f"{place}.footprints"] = seen.plan.to("cpu").footprints
        tensors[f"{place}.pixels"], tensors[f"{place}.inside"] = seen.patches.pixels.cpu(), seen.patches.inside.cpu()
    with replaced(out / f"part-{number:05d}.safetensors") as (staging, name):
        staging.tensors(name, tensors)


def speed(work: Path, count: int, rounds: int, engines: list[str]) -> dict[str, Any]:
    """Pictures a second of each, start included and not, in turns; the median, and what each is to the bare loop."""
    pictures = pages(work / "pages", count)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in engines}
    for turn in range(rounds):
        for name in engines if turn % 2 == 0 else engines[::-1]:
            out = work / f"{name}-{turn}"
            start, spent = time.perf_counter(), cpu_s()
            if name == "bare":
                seconds = bare(pictures, out, 2)
            else:
                seconds = hm.run(pictures, out, engine=name, workers=2, budget=273, backend="gl").seconds
            own = cpu_s() - spent if name != "ray" else math.nan  # whose processes are nobody's children
            found[name].append((seconds, time.perf_counter() - start, own))
            print(
                name, turn, *(f"{one:.1f} s" for one in found[name][-1]), f"load {os.getloadavg()[0]:.1f}", flush=True
            )
            for path in out.iterdir():
                path.unlink()
    told: dict[str, dict[str, Any]] = {
        name: {key: round(count / statistics.median(one[place] for one in times), 2) for place, key in enumerate(RATES)}
        | {"seconds, with the start, and of CPUs": [[round(one, 1) for one in each] for each in times]}
        for name, times in found.items()
    }
    for name in engines:
        for key in RATES:
            told[name][f"{key}, of the bare loop's"] = round(told[name][key] / told["bare"][key], 3)
    return {"pictures": count, "cores": os.cpu_count(), **told}


def cpu_s() -> float:
    """Of this process and of all that have ended below it. Unlike the clock it tells little of what else the machine does."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("kills", "memory", "speed"))
    parser.add_argument("--engine", default="local")
    parser.add_argument("--count", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default="bare,local,ray")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if asked.what == "kills":
            found = kills(work, asked.engine, asked.count or 600, 5, asked.seed)
        elif asked.what == "memory":
            found = memory(work, asked.engine, asked.count or 10_000, 500)
        else:
            found = speed(work, asked.count or 2000, asked.rounds, asked.engines.split(","))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
