"""Shards as Parquet: what a run kept of its rows, for those who read tables without this library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from homunculus.bridge.errors import DataError
from homunculus.bridge.files.reading import open_parquet, parsed, pyarrow_parquet, refusing
from homunculus.loop.run.token_row import TokenRow

GROUP_BYTES = 1 << 24  # of tensors in one row group, which is what is read at once
KEY, DTYPE = b"homunculus", b"dtype"  # of the schema's metadata, and of a field's
# How a tensor's numbers are stored. bfloat16, which Parquet lacks, as the float32 of the same value.
STORED = {
    torch.float64: "float64", torch.float32: "float32", torch.bfloat16: "float32", torch.float16: "float16", torch.uint8: "uint8",
}  # fmt: skip
REMEDY = "delete the shard and run again"


def write(path: Path, rows: Sequence[TokenRow], metadata: Mapping[str, str]) -> None:
    """Writes a shard to a path of a `Staging`.

    Columns: source, page, query, id, height, width, error_kind, error_message, notes; fixations, x and y of one after the other in px;
    patch_size; facts, all of these as the library reads them, JSON; and for each tensor its numbers in a list, first row first, and
    its shape. A tensor that no row has has no column. Raises DataError where a tensor's type differs from row to row, and
    BackendUnavailableError without pyarrow.
    """
    import pyarrow as pa

    parquet = pyarrow_parquet()
    kinds = _kinds(rows)
    schema = _schema(kinds, metadata)
    plain = [field.name for field in schema if not pa.types.is_list(field.type)]
    with parquet.ParquetWriter(
        path, schema, compression="zstd", compression_level=1, use_dictionary=plain, write_statistics=plain,
        write_page_checksum=True,
    ) as file:  # fmt: skip
        for group in _groups(rows):
            table = pa.Table.from_arrays([_column(field, group) for field in schema], schema=schema)
            file.write_table(table, row_group_size=len(group))


def read(path: Path) -> tuple[dict[str, str], Iterator[TokenRow]]:
    """What `write` was given, bit for bit; rows are read while they are asked for. Raises DataError for what is no shard."""
    file = open_parquet(path, remedy=REMEDY)
    with refusing(f"{path} is no shard", remedy=REMEDY):
        schema = file.schema_arrow
        metadata = dict(parsed((schema.metadata or {})[KEY], f"{path}, its metadata", remedy=REMEDY))
        told = {field.name: (field.metadata or {}).get(DTYPE) for field in schema}
        kinds = {name: getattr(torch, dtype.decode()) for name, dtype in told.items() if dtype is not None}
    return metadata, _rows(file, path, kinds)


def _rows(file: Any, path: Path, kinds: Mapping[str, torch.dtype]) -> Iterator[TokenRow]:
    names = ["facts", *kinds, *(_shape(name) for name in kinds)]
    with file:
        for group in range(file.num_row_groups):
            with refusing(f"{path}, row group {group}, cannot be read", remedy=REMEDY):
                table = file.read_row_group(group, columns=names, use_threads=False)
                held = {name: table.column(name).combine_chunks() for name in names}
                found = [_row(held, place, kinds, path) for place in range(table.num_rows)]
            yield from found


def _row(held: Mapping[str, Any], place: int, kinds: Mapping[str, torch.dtype], path: Path) -> TokenRow:
    facts = parsed(held["facts"][place].as_py(), f"{path}, the facts of a row", remedy=REMEDY)
    tensors = {
        name: _tensor(held[name][place].values, held[_shape(name)][place].as_py(), kind)
        for name, kind in kinds.items()
        if held[name][place].is_valid
    }
    return TokenRow.of(facts, tensors)


def _kinds(rows: Iterable[TokenRow]) -> dict[str, torch.dtype]:
    """The tensors of the rows, and the type of each."""
    kinds: dict[str, torch.dtype] = {}
    for row in rows:
        for name, tensor in row.tensors().items():
            if tensor.dtype not in STORED or kinds.setdefault(name, tensor.dtype) != tensor.dtype:
                raise DataError(
                    f"{name} of {row.row} are {tensor.dtype} and a column holds {kinds.get(name, ', '.join(map(str, STORED)))}; write "
                    "rows of one run"
                )
    return kinds


def _schema(kinds: Mapping[str, torch.dtype], metadata: Mapping[str, str]) -> Any:
    import pyarrow as pa

    text, whole, doubles = pa.string(), pa.int32(), pa.list_(pa.float64())
    fields = [
        pa.field("source", text), pa.field("page", whole), pa.field("query", text), pa.field("id", text), pa.field("height", whole),
        pa.field("width", whole), pa.field("fixations", doubles), pa.field("patch_size", whole), pa.field("notes", pa.list_(text)),
        pa.field("error_kind", text), pa.field("error_message", text), pa.field("facts", text),
    ]  # fmt: skip
    for name, kind in kinds.items():
        stored = pa.float16() if kind == torch.float16 else getattr(pa, STORED[kind])()
        told = {DTYPE: str(kind).removeprefix("torch.")}
        fields += [pa.field(name, pa.list_(stored), metadata=told), pa.field(_shape(name), pa.list_(whole))]
    return pa.schema(fields, metadata={KEY: json.dumps(dict(metadata))})


def _column(field: Any, rows: Sequence[TokenRow]) -> Any:
    import pyarrow as pa

    if DTYPE in (field.metadata or {}):
        return _lists([row.tensors().get(field.name) for row in rows], field)
    return pa.array([_cell(field.name, row) for row in rows], field.type)


def _cell(name: str, row: TokenRow) -> Any:
    if name.endswith(_shape("")):
        tensor = row.tensors().get(name.removesuffix(_shape("")))
        return None if tensor is None else list(tensor.shape)
    if name.startswith("error_"):
        told_of = row.error.get(name.removeprefix("error_"))
        return None if told_of is None else _printable(told_of)
    told = {
        "height": row.size[0],
        "width": row.size[1],
        "patch_size": None if row.plan is None else row.plan.patch_size,
    }
    if name in told:
        return told[name]
    if name == "fixations":
        return [part for point in row.fixations for part in point]
    found = json.dumps(row.facts()) if name == "facts" else getattr(row, name)
    return _printable(found) if isinstance(found, str) else found


def _printable(text: str) -> str:
    """A name of a file may be no text: for people what is none stands as escapes; `facts` has it as it is."""
    return text.encode("utf-8", "backslashreplace").decode()


def _lists(tensors: Sequence[Tensor | None], field: Any) -> Any:
    """A list for each tensor, null where there is none, without a visit to Python for each number."""
    import pyarrow as pa

    flat = [_stored(tensor) for tensor in tensors if tensor is not None]
    counts = [0 if tensor is None else tensor.numel() for tensor in tensors]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    values = pa.array(np.concatenate(flat), field.type.value_type) if flat else pa.array([], field.type.value_type)
    lacking = pa.array([tensor is None for tensor in tensors])
    return pa.ListArray.from_arrays(pa.array(offsets), values, type=field.type, mask=lacking)


def _stored(tensor: Tensor) -> np.ndarray[Any, Any]:
    """[N] of numbers that Parquet has."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return (flat.float() if flat.dtype == torch.bfloat16 else flat).numpy()


def _tensor(values: Any, shape: Sequence[int], kind: torch.dtype) -> Tensor:
    if values.null_count:
        raise ValueError("a tensor lacks numbers")
    found = torch.from_numpy(values.to_numpy(zero_copy_only=True).copy())
    if kind == torch.bfloat16:  # the upper half of a float32, whatever it says
        found = (found.view(torch.int32) >> 16).to(torch.int16).view(torch.bfloat16)
    return found.reshape(tuple(shape))


def _groups(rows: Iterable[TokenRow]) -> Iterator[list[TokenRow]]:
    """What goes into a row group each."""
    group, held_bytes = list[TokenRow](), 0
    for row in rows:
        group.append(row)
        held_bytes += sum(tensor.nbytes for tensor in row.tensors().values())
        if held_bytes >= GROUP_BYTES:
            yield group
            group, held_bytes = [], 0
    if group:
        yield group


def _shape(name: str) -> str:
    return f"{name}_shape"
