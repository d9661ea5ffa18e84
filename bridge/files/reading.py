"""The one way to read each kind of file, and the one list of what can go wrong.

Every function here takes `error`, the kind of refusal, and `remedy`, what the reader of the message is to do; a refusal names path, place,
what was found and the remedy. Nothing else is raised for what a file holds.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import stat
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from homunculus.bridge.errors import BackendUnavailableError, DataError, HomunculusError
from homunculus.bridge.files import matlab
from homunculus.bridge.values import Limit, whole

Refusal = type[HomunculusError]
AGAIN = "it may be truncated: fetch it again"
SEPARATORS = (",", ";", "\t")
NUMPY = b"\x93NUMPY"
TABLE_BYTES = Limit(2**29, "which is about five hours of four columns at 1000 Hz. Cut it into parts")


@contextmanager
def refusing(told: str, error: Refusal = DataError, remedy: str = AGAIN) -> Iterator[None]:
    """Turns whatever a decoder raises into a refusal: for damaged files that is anything from struct.error to AttributeError."""
    try:
        yield
    except HomunculusError:
        raise
    except Exception as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        reason = (reason.strip() or type(problem).__name__).splitlines()[0]
        raise error(f"{told}: {reason[:200]}; {remedy}") from problem


def check_file(
    path: str | os.PathLike[str], kind: str = "file", error: Refusal = DataError, remedy: str = "fetch it again"
) -> None:
    """Raises the error unless the path is that of a file that holds something. kind: what it should be the path of."""
    with refusing(f"{shown_path(path)} cannot be opened", error, "check the path and its permissions"):
        status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        found = "folder" if stat.S_ISDIR(status.st_mode) else "device or pipe"
        raise error(f"{path} is a {found}; give the path of a {kind}")
    if status.st_size == 0:
        raise error(f"{path} is empty (0 bytes); {remedy}")


def content_of(path: Path, *, error: Refusal = DataError) -> bytes:
    check_file(path, error=error)
    with refusing(f"{path} cannot be read", error, "check the path and its permissions"):
        return path.read_bytes()


def head_of(path: Path, count: int, *, error: Refusal = DataError) -> bytes:
    """The first bytes, `count` at most."""
    with refusing(f"{path} cannot be read", error, "check the path and its permissions"), path.open("rb") as file:
        return file.read(count)


def digest_of(paths: Iterable[Path], *, error: Refusal = DataError) -> str:
    """What tells the contents of files from others'."""
    found = hashlib.blake2b(digest_size=16)
    for path in paths:
        check_file(path, error=error)
        with refusing(f"{path} cannot be read", error, "check the path and its permissions"), path.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()


def parsed(text: str | bytes, where: str, *, error: Refusal = DataError, remedy: str = AGAIN) -> Any:
    """What a text of JSON says. Bytes are UTF-8, with or without a mark in front."""
    try:
        return json.loads(text.decode("utf-8-sig") if isinstance(text, bytes) else text)
    except (ValueError, RecursionError) as problem:
        raise error(f"{where} is not whole JSON ({problem}); {remedy}") from problem


def read_json(path: Path, *, error: Refusal = DataError, remedy: str = AGAIN) -> Any:
    return parsed(content_of(path, error=error), str(path), error=error, remedy=remedy)


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """What each line holds, with the name of its place; empty lines are passed over."""
    for number, line in enumerate(content_of(path).splitlines(), 1):
        if line.strip():
            where = f"{path}, line {number}"
            yield where, parsed(line, where)


def read_rows(
    path: Path, *, error: Refusal = DataError, remedy: str
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names in the first line of a CSV file, and every row with something in it: its line and its fields by name.

    Fields are separated by commas, semicolons or tabs, whichever the first line has most of; a field that a row lacks is empty.
    """
    with refusing(f"{path} is no CSV", error, remedy):
        text = content_of(path, error=error).decode("utf-8-sig")
        first = next((line for line in text.splitlines() if line.strip()), "")
        reader = csv.reader(StringIO(text, newline=""), delimiter=max(SEPARATORS, key=first.count), strict=True)
        rows = [(reader.line_num, [field.strip() for field in row]) for row in reader]
    rows = [(line, fields) for line, fields in rows if any(fields)]
    header = rows[0][1] if rows else []
    return header, [(line, dict(zip(header, fields + [""] * len(header), strict=False))) for line, fields in rows[1:]]


def read_numbers(path: Path, columns: int, *, error: Refusal = DataError, remedy: str = AGAIN) -> np.ndarray[Any, Any]:
    """float64 [rows, columns] of a gzipped table without names, its fields parted by tabs; `n/a` is NaN. At least one row.

    What would unpack to more than TABLE_BYTES is refused before it does.
    """
    content = content_of(path, error=error)
    with refusing(f"{path} is no whole gzip", error, remedy):
        gzip = zlib.decompressobj(wbits=31)
        table = gzip.decompress(content, TABLE_BYTES.most + 1)
        whole(f"{path}: number of unpacked bytes", len(table), TABLE_BYTES, least=0, refusal=error)
        if not gzip.eof or gzip.unused_data:
            raise ValueError("it ends early, or does not end where it should")
    with refusing(f"{path} is no table of {columns} columns of numbers", error, remedy):
        if not table.strip():
            raise ValueError("it holds no row")
        text = table.decode("ascii").replace("n/a", "nan")
        found = np.loadtxt(StringIO(text), delimiter="\t", ndmin=2, comments=None)
        if found.shape[1] != columns:
            raise ValueError(f"it has {found.shape[1]}")
    return found


def read_array(path: Path, *, error: Refusal = DataError, remedy: str) -> np.ndarray[Any, Any]:
    """The array of a .npy file. Pickles and archives are not read."""
    content = content_of(path, error=error)
    with refusing(f"{path} cannot be read", error, remedy):
        if not content.startswith(NUMPY):
            kind = "an archive of arrays (.npz)" if content.startswith(b"PK") else "no array of NumPy"
            raise ValueError(f"it is {kind}")
        return np.load(BytesIO(content), allow_pickle=False)  # type: ignore[no-any-return]


def read_tensors(
    path: str | os.PathLike[str], *, error: Refusal = DataError, remedy: str
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a .safetensors file and what its header says beside them."""
    check_file(path, ".safetensors file", error)
    with refusing(f"{path} cannot be read", error, remedy), safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def load_weights(module: torch.nn.Module, path: str | os.PathLike[str], *, error: Refusal, remedy: str) -> None:
    """Gives a module the weights that `write_tensors` wrote of its state, all of them finite."""
    fill(module, read_tensors(path, error=error, remedy=remedy)[0], path, error=error, remedy=remedy)


def fill(
    module: torch.nn.Module, tensors: dict[str, Tensor], path: str | os.PathLike[str], *, error: Refusal, remedy: str
) -> None:
    """The same of tensors that were read."""
    wrong = [name for name, value in tensors.items() if value.is_floating_point() and not bool(value.isfinite().all())]
    if wrong:
        raise error(f"{path} holds {shown(wrong[0])} with values that are not finite; {remedy}")
    with refusing(f"{path} does not fit", error, remedy):
        module.load_state_dict(tensors)


def read_mat(path: Path) -> dict[str, Any]:
    """The variables of a Matlab file of versions 5 to 7, as `matlab.variables` gives them."""
    content = content_of(path)
    with refusing(f"{path} is no whole Matlab file", remedy="fetch it again"):
        return matlab.variables(content)


def shown(value: object, letters: int = 80) -> str:
    """A value for a message, cut where it is long."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} that is nested deeply"
    return text if len(text) <= letters else f"{text[: letters - 20]}... ({len(text)} letters)"


def shown_path(path: str | os.PathLike[str]) -> str:
    """A path for a message, quoted where it holds what cannot be printed."""
    text = os.fspath(path)
    return text if text.isprintable() and len(text) < 300 else shown(text, 300)


def open_parquet(
    path: str | os.PathLike[str], *, error: Refusal = DataError, remedy: str = AGAIN, streamed_bytes: int = 0
) -> Any:
    """A `pyarrow.parquet.ParquetFile`, whose checksums are looked at; closed by `with`. streamed_bytes: how much of a column is read at
    once, 0 for all of a row group's. Raises the error, and BackendUnavailableError without pyarrow."""
    parquet = pyarrow_parquet()
    check_file(path, "Parquet file", error)
    with refusing(f"{shown_path(path)} is no whole Parquet file", error, remedy):
        return parquet.ParquetFile(
            path, buffer_size=streamed_bytes, pre_buffer=not streamed_bytes, page_checksum_verification=True
        )


def pyarrow_parquet() -> Any:
    """The module. Raises BackendUnavailableError, with the remedy, where pyarrow is not installed."""
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise BackendUnavailableError(
            f"Parquet needs pyarrow ({error})", "run: pip install 'homunculus-eye[datasets]'"
        ) from None
