"""A shard: what was kept of some rows, in one file that is there whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from homunculus.bridge.files import replaced
from homunculus.bridge.files.fields import value
from homunculus.bridge.files.reading import parsed, read_tensors, refusing
from homunculus.loop.run.token_row import TokenRow

AGAIN = "it is no whole shard of a run: delete it and run again"
# One key of the metadata: safetensors would write several in any order, and the same rows as other bytes.
KEPT, ROWS, ABOUT = "homunculus", "rows", "about"


def write_shard(path: Path, rows: Sequence[TokenRow], about: Mapping[str, Any]) -> None:
    """about: what is said of all of them, in JSON types. The name's end says the format. Raises WriteError, and leaves nothing."""
    with replaced(path) as (staging, name):
        if path.suffix == ".parquet":
            from homunculus.loop.run import parquet

            parquet.write(staging.path(name), rows, {ABOUT: json.dumps(dict(about))})
        else:
            tensors = {
                f"{place}.{kind}": tensor for place, row in enumerate(rows) for kind, tensor in row.tensors().items()
            }
            told = json.dumps({ABOUT: dict(about), ROWS: [row.facts() for row in rows]})
            staging.tensors(name, tensors, {KEPT: told})


def read_shard(path: Path) -> Iterator[TokenRow]:
    """Its rows, in order. Raises DataError for what is no whole shard."""
    if path.suffix == ".parquet":
        from homunculus.loop.run import parquet

        yield from parquet.read(path)[1]
        return
    tensors, metadata = read_tensors(path, remedy=AGAIN)
    found = parsed(metadata.get(KEPT, ""), f"{path}: {KEPT}", remedy=AGAIN)
    with refusing(str(path), remedy=AGAIN):
        facts = value(found, ROWS, list, KEPT)
    own: list[dict[str, Any]] = [{} for _ in facts]
    with refusing(str(path), remedy=AGAIN):
        for name, tensor in tensors.items():
            place, _, kind = name.partition(".")
            own[int(place)][kind] = tensor
    for told, parts in zip(facts, own, strict=True):
        with refusing(str(path), remedy=AGAIN):
            row = TokenRow.of(told, parts)
        yield row


def entry_of(path: Path, first: int, rows: Sequence[TokenRow], looked: int, **told: Any) -> dict[str, Any]:
    """What the journal says of a shard. first: of its rows, among the run's; looked: how many were looked at for it."""
    errors = [{"row": first + place, **row.row.as_dict(), **row.error} for place, row in enumerate(rows) if row.error]
    size = {"id": path.name, "bytes": path.stat().st_size, "rows": len(rows)}
    return {**size, "looked": looked, "errors": errors, **told}
