"""The one way to write: staged beside the old files, synced, moved over them together, and told in the library's own words."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from homunculus.bridge.errors import DataError, HomunculusError, WriteError
from homunculus.bridge.files.reading import read_json
from homunculus.bridge.files.staging import NEW, Staging, held, install, staged

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RUNNING = ".running"  # the file that says so
RECORDED = "files"  # the key under which the record of a set names the set's files


@contextmanager
def replaced_together(out_dir: str | os.PathLike[str], record: str | None = None) -> Iterator[Staging]:
    """A staging whose files move to the folder at the end, all of them or, on any failure, none; the folder is made if need be.

    record: the set's JSON, in which `files` names the set: files of the set that lies there and that the new one lacks go. Raises
    WriteError where the folder cannot be written, before the body runs where that can be known.
    """
    with _replacing(Path(out_dir), Path(out_dir), record) as staging:
        yield staging


@contextmanager
def replaced(path: str | os.PathLike[str]) -> Iterator[tuple[Staging, str]]:
    """A staging for one file, and the file's name in it. A link stays one: what it points to is replaced."""
    with _told(Path(path)):
        target = Path(os.path.realpath(path))
    with _replacing(target.parent, Path(path), None) as staging:
        yield staging, target.name


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Replaces the file as a whole, as the others here do. Raises WriteError, and then leaves the old one."""
    with replaced(path) as (staging, name):
        staging.text(name, text)


def write_json(path: str | os.PathLike[str], value: Any, **options: Any) -> None:
    """options: as `Staging.json` takes them."""
    with replaced(path) as (staging, name):
        staging.json(name, value, **options)


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """As safetensors."""
    with replaced(path) as (staging, name):
        staging.tensors(name, tensors, metadata)


def write_picture(path: str | os.PathLike[str], picture: Image.Image, **options: Any) -> None:
    """options: as Pillow's `save` takes them."""
    with replaced(path) as (staging, name):
        staging.picture(name, picture, **options)


def append(path: Path, content: bytes, at: int) -> None:
    """Puts bytes at a place of a file, which is made if need be, and nothing after them.

    They are on the disk when this returns. Raises WriteError, and then the file ends where they were to begin.
    """
    with (
        _told(path),
        _made(path.parent),
        open(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0) as file,
    ):
        try:
            file.truncate(at)
            file.seek(at)
            left = memoryview(content)
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except BaseException:
            with suppress(OSError):
                file.truncate(at)
                if not at:
                    path.unlink()
            raise


def end_of_lines(path: Path) -> int:
    """Where the last whole line of a file ends, in bytes; a kill may have left a part of one after it. 0 where there is no file."""
    with _told(path):
        return path.read_bytes().rfind(b"\n") + 1 if path.exists() else 0


def check_writable(out_dir: str | os.PathLike[str]) -> None:
    """Raises WriteError where a folder's files could not be written, before work is done for them. Leaves nothing behind."""
    with suppress(_TriedError), replaced_together(out_dir):
        raise _TriedError


@contextmanager
def alone(folder: str | os.PathLike[str]) -> Iterator[None]:
    """For a run that writes a folder file by file. Raises WriteError where another holds it; a process lets go however it ends."""
    path = Path(folder) / RUNNING
    with _told(Path(folder)), _made(Path(folder)), held(path) as mine:
        if not mine:
            raise WriteError(f"{folder} is being written by another run; wait for its end, or choose another folder")
        yield


class _TriedError(Exception):
    pass


@contextmanager
def _replacing(target: Path, shown: Path, record: str | None) -> Iterator[Staging]:
    with _told(shown), _made(target), staged(target) as folder:
        yield Staging(folder / NEW)
        install(folder, target, _superseded(target, record))


@contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes the folder and what is above it; on a failure what was made goes again."""
    created = [part for part in (folder, *folder.parents) if not os.path.lexists(part)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for part in created:
            with suppress(OSError):  # someone else has put something there meanwhile
                part.rmdir()
        raise


def _superseded(target: Path, record: str | None) -> list[str]:
    """What the record of the set that lies there names, of plain files beside it."""
    try:
        listed = read_json(target / record)[RECORDED] if record is not None else []
        names = [
            name for name in listed if isinstance(name, str) and name == os.path.basename(name) and name[:1] != "."
        ]
        return [name for name in names if (target / name).is_file()]
    except (DataError, OSError, ValueError, KeyError, TypeError):
        return []  # no record, or not one that this library wrote


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        os.lstat(path)
    except OSError:
        pass  # what it is about is found out when it is written
    except ValueError as error:  # a NUL, or a letter that the file system's encoding lacks
        raise WriteError(f"{os.fspath(path)!r} cannot be written: {error}; choose another name") from error
    try:
        yield
    except HomunculusError:
        raise
    except OSError as error:
        raise _refusal(path, error) from error


def _refusal(path: Path, error: OSError) -> WriteError:
    reason = error.strerror or str(error) or type(error).__name__
    remedy = "choose a folder that can be written"
    if error.errno in NO_ROOM:
        beside = next(folder for folder in (path, *path.absolute().parents) if folder.is_dir())
        remedy = f"{shutil.disk_usage(beside).free} bytes are free there: make room, or choose another folder"
    return WriteError(f"{path} cannot be written: {reason}; {remedy}")
