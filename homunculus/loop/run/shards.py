"""A shard: what was kept of some rows, in one file that is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from homunculus.bridge.errors import DataError
from homunculus.bridge.files import replaced
from homunculus.bridge.files.reading import parsed, read_tensors, refusing
from homunculus.loop.run.token_row import TokenRow

AGAIN = "it is no whole shard of a run: delete it and run again"
ROWS, ABOUT = "rows", "about"


def write_shard(path: Path, rows: Sequence[TokenRow], about: Mapping[str, Any]) -> None:
    """about: what is said of all of them, in JSON types. The name's end says the format. Raises WriteError, and leaves nothing."""
    told = {ROWS: json.dumps([row.facts() for row in rows]), ABOUT: json.dumps(dict(about))}
    with replaced(path) as (staging, name):
        if path.suffix == ".parquet":
            from homunculus.loop.run import parquet

            parquet.write(staging.path(name), rows, {ABOUT: told[ABOUT]})
        else:
            tensors = {
                f"{place}.{kind}": value for place, row in enumerate(rows) for kind, value in row.tensors().items()
            }
            staging.tensors(name, tensors, told)


def read_shard(path: Path) -> Iterator[TokenRow]:
    """Its rows, in order. Raises DataError for what is no whole shard."""
    if path.suffix == ".parquet":
        from homunculus.loop.run import parquet

        yield from parquet.read(path)[1]
        return
    tensors, metadata = read_tensors(path, remedy=AGAIN)
    facts = parsed(metadata.get(ROWS, ""), f"{path}: {ROWS}", remedy=AGAIN)
    if not isinstance(facts, list):
        raise DataError(f"{path}: {ROWS} is a {type(facts).__name__}; {AGAIN}")
    own: list[dict[str, Any]] = [{} for _ in facts]
    with refusing(str(path), remedy=AGAIN):
        for name, value in tensors.items():
            place, _, kind = name.partition(".")
            own[int(place)][kind] = value
    for told, parts in zip(facts, own, strict=True):
        with refusing(str(path), remedy=AGAIN):
            row = TokenRow.of(told, parts)
        yield row


def entry_of(name: str, first: int, rows: Sequence[TokenRow], looked: int, **told: Any) -> dict[str, Any]:
    """What the journal says of a shard. first: of its rows, among the run's; looked: how many were looked at for it."""
    errors = [{"row": first + place, **row.row.as_dict(), **row.error} for place, row in enumerate(rows) if row.error]
    return {"id": name, "rows": len(rows), "looked": looked, "errors": errors, **told}
