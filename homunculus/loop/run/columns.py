"""Which column of a table holds pictures, and how."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from homunculus.bridge.errors import DataError

IMAGE, BYTES, PATH, QUERY, ID = "image", "bytes", "path", "query", "id"
PATHS = (
    IMAGE,
    "source",
    PATH,
    "image_path",
    "file_name",
)  # columns of texts that are taken for paths, the first of them
REMEDY = (
    f"name the column of pictures {IMAGE}: each a file's bytes, {{{BYTES}, {PATH}}} as `datasets` has them, or a path"
)


class Columns(NamedTuple):
    """image: the name of the column. how: a struct of bytes and path, bytes, or paths. query, id: whether there are such columns."""

    image: str
    how: Literal["struct", "bytes", "paths"]
    query: bool
    id: bool


def columns_of(schema: Any, where: str) -> Columns:
    """Of an Arrow schema. Raises DataError where no column, or more than one, may hold the pictures."""
    kinds = {name: kind for name in schema.names if (kind := _kind(schema.field(name).type)) is not None}
    bytes_ = [name for name, kind in kinds.items() if kind != "paths"]
    paths = [name for name in PATHS if kinds.get(name) == "paths"]
    found = [IMAGE] if IMAGE in kinds else bytes_ or paths[:1]
    if len(found) != 1:
        told = f"columns {', '.join(found)} may all be" if found else f"columns {', '.join(schema.names[:20])} are no"
        raise DataError(f"{where}: its {told} pictures; {REMEDY}")
    texts = {name for name, kind in kinds.items() if kind == "paths"}
    return Columns(found[0], kinds[found[0]], QUERY in texts, ID in schema.names)


def _kind(type_: Any) -> Any:
    import pyarrow.types as types

    if types.is_struct(type_):
        fields = {type_.field(place).name: type_.field(place).type for place in range(type_.num_fields)}
        return "struct" if BYTES in fields and _binary(fields[BYTES]) else None
    if _binary(type_):
        return "bytes"
    return "paths" if types.is_string(type_) or types.is_large_string(type_) else None


def _binary(type_: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(type_) or types.is_large_binary(type_))
