"""Whatever writes: on a full disk, without permission, killed anywhere, the old files are whole and nothing lies about."""

from __future__ import annotations

import ast
import errno
import json
import os
import random
import resource
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load
from typer.testing import CliRunner
from writers import APPENDING, SLOW, WRITERS, look

import homunculus.bridge.files.writing as writing
from homunculus.bridge.errors import WriteError
from homunculus.bridge.files import append, check_writable, end_of_lines, replaced_together, write_json, write_text
from homunculus.bridge.files.staging import PREFIX
from homunculus.cli import app
from homunculus.relevance.gaze.scanpath import Fixation, GazePath
from homunculus.viewer import headless

ROOT = Path(__file__).parents[1]
Writer = Callable[[Path, int], None]
every = pytest.mark.parametrize("name", WRITERS)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@contextmanager
def file_size(limit: int) -> Iterator[None]:
    """No file grows beyond a limit; what asks for more is told as of a full disk, with EFBIG."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, for root alone."""
    folder.mkdir()
    if os.geteuid() or subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=False).returncode:
        pytest.skip("no file system can be mounted here; the same is tested by a limit of file sizes")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.slow
@every
@pytest.mark.parametrize("limit", [0, 70])
def test_with_no_room_the_old_files_stay_whole(tmp_path: Path, name: str, limit: int) -> None:
    writer = WRITERS[name]
    writer(tmp_path / "old", 1)
    before = contents(tmp_path)
    size = max(len(content) for content in before.values()) if name in APPENDING else 0
    with (
        file_size(size + limit),
        pytest.raises(WriteError, match=r"cannot be written: File too large; \d+ bytes are free there: make room"),
    ):
        writer(tmp_path / "old", 2)
    with file_size(limit), pytest.raises(WriteError):
        writer(tmp_path / "deep" / "new", 2)
    assert contents(tmp_path) == before
    assert not list(tmp_path.rglob(f"{PREFIX}*"))
    writer(tmp_path / "old", 2)
    assert contents(tmp_path) != before


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def again_and_again(writer: Writer, folder: Path) -> None:
    """A line may still fit into what is left of a file's last page."""
    for turn in range(2, 99):
        writer(folder, turn)


@every
def test_on_a_full_disk_the_old_files_stay_whole(tmp_path: Path, name: str) -> None:
    with mounted(tmp_path / "disk", "size=3m") as disk:
        WRITERS[name](disk, 1)
        before = contents(disk)
        fill(disk / "filler")
        with pytest.raises(WriteError, match=r"cannot be written: No space left on device; 0 bytes are free there"):
            again_and_again(WRITERS[name], disk)
        (disk / "filler").unlink()
        after = contents(disk)
        assert names(disk) == sorted(before)
        if name not in APPENDING:
            assert after == before
        assert all(
            line.startswith(b"{") and line.endswith(b"}")
            for path in disk.glob("*.jsonl")
            for line in path.read_bytes().splitlines()
        )


@every
def test_where_nothing_may_be_written_the_library_says_so(tmp_path: Path, name: str) -> None:
    with mounted(tmp_path / "disk", "size=3m") as disk:
        WRITERS[name](disk, 1)
        before = contents(disk)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        with pytest.raises(
            WriteError, match=r"cannot be written: Read-only file system; choose a folder that can be written"
        ):
            WRITERS[name](disk, 2)
        with pytest.raises(WriteError, match="Read-only"):
            WRITERS[name](disk / "new", 2)
        assert contents(disk) == before


@every
@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("file/below", "Not a directory|File exists"),
        ("a\0b", "null byte"),
        ("n" * 300, "too long"),
        ("\ud800", "surrogates"),
    ],
)
def test_a_place_that_cannot_be_is_told(tmp_path: Path, name: str, place: str, reason: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(WriteError, match=reason):
        WRITERS[name](tmp_path / place, 1)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(not os.geteuid(), reason="root may write anywhere")
@every
def test_a_folder_of_somebody_else_is_told(tmp_path: Path, name: str) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(WriteError, match="Permission denied"):
        WRITERS[name](tmp_path, 1)
    tmp_path.chmod(0o700)
    assert not names(tmp_path)


def in_child(work: Callable[[], Any]) -> int:
    """Runs it in a fork that never returns; gives the fork's number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of forking beside threads: the fork computes with one
        child = os.fork()
    if not child:
        try:
            torch.set_num_threads(1)
            work()
        finally:
            os._exit(0)
    return child


CALLS = ("replace", "rename", "fsync", "mkdir", "link", "rmdir", "unlink", "open")


def dies_at(count: int, work: Callable[[], Any]) -> bool:
    """Runs it in a fork that kills itself before its call number `count` of the file system; whether it came so far."""

    def run() -> None:
        calls = 0

        def counting(call: Callable[..., Any]) -> Callable[..., Any]:
            def counted(*args: Any, **options: Any) -> Any:
                nonlocal calls
                calls += 1
                if calls > count:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*args, **options)

            return counted

        for name in CALLS:
            setattr(os, name, counting(getattr(os, name)))
        work()

    _, status = os.waitpid(in_child(run), 0)
    return os.WIFSIGNALED(status)


def whole(path: Path) -> bool:
    """Whether it can be read to its end as what its name says."""
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
    elif path.suffix == ".json":
        json.loads(path.read_bytes())
    elif path.suffix == ".jsonl":
        return all(json.loads(line) for line in path.read_bytes().rpartition(b"\n")[0].splitlines())
    elif path.suffix == ".safetensors":
        with safe_open(path, "pt") as file:
            return all(file.get_tensor(key) is not None for key in file.keys())  # noqa: SIM118
    return path.stat().st_size > 0


def single(out: Path, turn: int) -> None:
    write_json(out / "facts.json", {"turn": turn})


@pytest.mark.slow
@pytest.mark.parametrize("writer", [look, single])
def test_killed_at_any_step_a_writer_leaves_the_old_set_or_the_new(tmp_path: Path, writer: Writer) -> None:
    """At every one of its steps; what the next run, of anything, finds is the old set or the new, and no litter."""
    writer(tmp_path / "new", 2)
    new = turns(tmp_path / "new")
    out, count = tmp_path / "out", 0
    writer(out, 1)
    old = turns(out)
    while dies_at(count, lambda: writer(out, 2)):
        assert all(whole(path) for path in out.iterdir() if path.is_file()), count
        assert set(old) & set(new) <= {path.name for path in out.iterdir()}, f"a file's place is empty at step {count}"
        write_text(out / "other.txt", "by another run")
        (out / "other.txt").unlink()
        assert turns(out) in (old, new), f"a mixture at step {count}"
        writer(out, 1)
        count += 1
    assert count >= 10
    assert turns(out) == new


def turns(folder: Path) -> dict[str, Any]:
    """What files hold, without times and the order of keys, which differ in every run. Fails where there is litter."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in folder.iterdir()}
    for name, content in found.items():
        if name.endswith(".safetensors"):
            found[name] = {key: value.numpy().tobytes() for key, value in load(content).items()}
        elif name.endswith(".json"):
            found[name] = json.loads(content)["turn"]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(APPENDING))
def test_killed_at_any_step_lines_stay(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, 1)
    (path,) = tmp_path.iterdir()
    count = 0
    while True:
        before = path.read_bytes()
        died = dies_at(count, lambda: WRITERS[name](tmp_path, 2))
        assert path.read_bytes().startswith(before)
        assert names(tmp_path) == [path.name]
        if not died:
            break
        count += 1
    assert count >= 2
    with path.open("ab") as file:
        file.write(b'{"id": 1, "te')  # as a kill within a write leaves it
    WRITERS[name](tmp_path, 3)
    assert all(json.loads(line) for line in path.read_bytes().splitlines())


@pytest.mark.slow
def test_killed_at_ten_moments_no_file_is_in_part(tmp_path: Path) -> None:
    """By the clock this time, in the midst of writing again and again."""
    chance = random.Random(3)
    for name, writer in WRITERS.items():
        writer(tmp_path / name, 2)
    expected = names(tmp_path)

    def work() -> None:
        for turn in range(1, 10**6):
            for name in chance.sample(sorted(WRITERS), len(WRITERS)):
                WRITERS[name](tmp_path / name, turn)

    for _ in range(10):
        child = in_child(work)
        time.sleep(0.1 + 0.3 * chance.random())
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        chance.random()
        found = [path for path in tmp_path.rglob("*") if path.is_file() and PREFIX not in str(path)]
        assert all(whole(path) for path in found)
    for name, writer in WRITERS.items():
        writer(tmp_path / name, 2)
    assert names(tmp_path) == expected


def test_the_files_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    with replaced_together(tmp_path) as staging:
        staging.text("slow.txt", "slow")
        write_text(tmp_path / "quick.txt", "quick")
        assert names(tmp_path) != ["quick.txt"]
    assert names(tmp_path) == ["quick.txt", "slow.txt"]


def test_a_second_set_replaces_the_first_and_nothing_else(tmp_path: Path) -> None:
    look(tmp_path, 1)
    assert (tmp_path / "relevance.png").is_file()
    assert json.loads((tmp_path / "look.json").read_text())["files"][-1] == "relevance.png"
    (tmp_path / "mine.png").write_text("mine")
    look(tmp_path, 2)
    assert names(tmp_path) == ["footprints.png", "look.json", "mine.png", "reconstruction.png", "tokens.safetensors"]


@pytest.mark.parametrize(
    "record",
    [
        "{",
        "[" * 100_000,
        "[]",
        "{}",
        '{"files": 1}',
        '{"files": [1, null, "../kept.png", "/kept.png", ".hidden", "sub", "", "..", "a\\u0000b", "\\ud800"]}',
        '{"files": ["relevance.png", "relevance.png"]}',
        json.dumps({"files": ["n" * 5000]}),
    ],
)
def test_a_strangers_record_takes_nothing_away_but_what_it_names_beside_it(tmp_path: Path, record: str) -> None:
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    for path in (tmp_path / "kept.png", out / ".hidden", out / "relevance.png"):
        path.write_text("mine")
    (out / "look.json").write_text(record)
    look(out, 2)
    assert {path.name for path in (tmp_path / "kept.png", out / ".hidden", out / "sub") if path.exists()} == {
        "kept.png",
        ".hidden",
        "sub",
    }
    assert (out / "relevance.png").exists() == ('"relevance.png"' not in record)


def test_a_relevance_map_that_nobody_recorded_stays(tmp_path: Path) -> None:
    (tmp_path / "relevance.png").write_text("mine")
    look(tmp_path, 2)
    look(tmp_path, 4)
    assert (tmp_path / "relevance.png").read_text() == "mine"


def test_a_link_stays_a_link_and_a_device_is_refused(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to("far/real.json")
    write_json(tmp_path / "link.json", {"new": 1}, indent=None)
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "far" / "real.json").read_text() == '{"new": 1}\n'
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WriteError, match="pipe is a device, a pipe or a broken link where a file is to be written"):
        write_json(tmp_path / "pipe", {})
    assert names(tmp_path) == ["far", "far/real.json", "link.json", "pipe"]


def test_a_folder_is_tried_before_the_work_and_nothing_is_left(tmp_path: Path) -> None:
    check_writable(tmp_path / "deep" / "er")
    assert not names(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(
        WriteError, match="file/x cannot be written: Not a directory; choose a folder that can be written"
    ):
        check_writable(tmp_path / "file" / "x")


@pytest.mark.parametrize(
    "words",
    [
        "look nowhere.png",
        "compare nowhere.png",
        "gaze cocosearch18 --data nowhere",
        "evaluate docvqa --data nowhere --predictions nowhere.json",
        "bench sampling --quick",
        "bench allocators",
        "bench loop",
        "bench view",
        "train needle --steps 1",
    ],
)
def test_a_command_tells_of_an_unwritable_folder_before_the_work(tmp_path: Path, words: str) -> None:
    """Before it reads what it is given, which is not there, and within the time of opening the library."""
    (tmp_path / "file").touch()
    answer = CliRunner().invoke(app, [*words.split(), "--out", str(tmp_path / "file" / "out")])
    assert answer.exit_code == 2, answer.output
    told = answer.stderr.replace("\n", "")
    assert "homunculus: " in told
    assert "out cannot be written: Not a directory; choose a folder that can be written" in told
    assert names(tmp_path) == ["file"]


def test_without_hard_links_or_locks_it_writes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(writing.os, "link", refuse)
    monkeypatch.setattr("fcntl.flock", refuse)
    look(tmp_path, 1)
    look(tmp_path, 2)
    assert names(tmp_path) == ["footprints.png", "look.json", "reconstruction.png", "tokens.safetensors"]


def test_appending_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.jsonl"
    assert end_of_lines(path) == 0
    append(path, b"one\ntw", 0)
    assert end_of_lines(path) == 4
    append(path, b"two\n", 4)
    assert path.read_bytes() == b"one\ntwo\n"


@pytest.mark.gl
def test_a_video_on_a_full_disk_leaves_the_old_one(gl_unit: Any, tmp_path: Path) -> None:
    pytest.importorskip("av")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "page.png")
    (tmp_path / "out.mp4").write_text("old")
    path = GazePath((Fixation(30, 30, 0, 300),))
    with file_size(600), pytest.raises(WriteError, match=r"out\.mp4 cannot be written: File too large"):
        headless.video(
            tmp_path / "out.mp4", [tmp_path / "page.png"], headless.Settings(budget=16), path, fps=10, unit=gl_unit
        )
    assert names(tmp_path) == ["out.mp4", "page.png"]
    assert (tmp_path / "out.mp4").read_text() == "old"
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"Not a directory|File exists"):
        headless.screenshot(tmp_path / "file" / "a.png", [tmp_path / "nowhere.png"], headless.Settings())


@pytest.mark.slow
def test_every_module_that_writes_is_here() -> None:
    functions = {
        "append",
        "replaced",
        "replaced_together",
        "write_json",
        "write_picture",
        "write_tensors",
        "write_text",
        "check_writable",
    }
    found = set()
    for path in (ROOT / "homunculus").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            ours = isinstance(node, ast.ImportFrom) and node.module == "homunculus.bridge.files"
            if ours and functions & {alias.name for alias in node.names}:
                found.add(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    beside = {"homunculus.bridge.files.journal"}  # it stands among these functions
    assert found == set(WRITERS) - beside | SLOW
