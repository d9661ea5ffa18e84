"""Shards as Parquet: bit for bit what was written, row group by row group, and readable without this library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homunculus.bridge.errors import DataError
from homunculus.bridge.patches import Patches
from homunculus.bridge.plan import SamplePlan
from homunculus.loop.run import parquet
from homunculus.loop.run.row import RunRow
from homunculus.loop.run.token_row import TokenRow

pq = pytest.importorskip("pyarrow.parquet")
ABOUT = {"about": '{"é": 1}'}
STRANGE = torch.tensor([0x7F800001, 0x7FC12345, 0x80000000, 0x00000001, 0xFF800000], dtype=torch.int64).to(torch.int32)


def bits(number: int, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Random bits, signalling NaN among them, as numbers of a type."""
    same = torch.Generator().manual_seed(number)
    kinds = {1: torch.uint8, 2: torch.int16, 4: torch.int32}
    held = torch.randint(-(2**31), 2**31, shape, generator=same).to(torch.int32)
    if dtype == torch.float32:
        held.view(-1)[:5] = STRANGE
    return held.to(kinds[dtype.itemsize]).view(dtype)


def row(number: int, tokens: torch.dtype | None, pixels: torch.dtype | None, resident: bool = False) -> TokenRow:
    count, same = 2 + number, torch.Generator().manual_seed(number)
    texels = torch.rand(count, 4, 4, 8, generator=same) if number == 1 else None
    plan = SamplePlan(torch.rand(count, 8, generator=same), 4, texels=texels, note="warped é", origin=(number, 7))
    patches = None
    if pixels is not None:
        patches = Patches(
            bits(number, count, 3, 4, 4, dtype=pixels), torch.rand(count), torch.rand(count) if resident else None
        )
    told = RunRow(f"/pages/{number}.png", number, "the total" if number else None, ((0.1, 1 / 3),), f"id {number}")
    held = None if tokens is None else bits(number, count, 5, dtype=tokens)
    return TokenRow(told, (30, 40 + number), [(1 / 3, 2.0)] * number, plan, held, patches, ["a note"] * number)


LOST = TokenRow(RunRow("/pages/é.png"), error={"kind": "ImageReadError", "message": "/pages/é.png is no picture"})
KINDS = [
    (torch.float32, torch.float32), (torch.bfloat16, torch.uint8), (torch.float16, torch.float16), (None, torch.uint8),
    (torch.float32, None),
]  # fmt: skip


def same(one: TokenRow, other: TokenRow) -> bool:
    mine, theirs = one.tensors(), other.tensors()
    alike = [
        mine[name].dtype == theirs[name].dtype
        and mine[name].shape == theirs[name].shape
        and mine[name].view(torch.uint8).numpy().tobytes() == theirs[name].view(torch.uint8).numpy().tobytes()
        for name in mine
    ]
    return one.row == other.row and one.facts() == other.facts() and list(mine) == list(theirs) and all(alike)


@pytest.mark.parametrize(("tokens", "pixels"), KINDS)
def test_a_shard_is_read_bit_for_bit(
    tmp_path: Path, tokens: torch.dtype | None, pixels: torch.dtype | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP_BYTES", 2000)
    rows = [row(number, tokens, pixels, resident=number % 2 == 0) for number in range(3)]
    rows = [rows[0], LOST, *rows[1:], LOST]
    parquet.write(tmp_path / "s.parquet", rows, ABOUT)
    metadata, found = parquet.read(tmp_path / "s.parquet")
    again = list(found)
    assert metadata == ABOUT
    assert len(again) == len(rows)
    assert all(map(same, rows, again))
    assert pq.ParquetFile(tmp_path / "s.parquet").num_row_groups > 1


def test_a_shard_of_errors_alone(tmp_path: Path) -> None:
    parquet.write(tmp_path / "s.parquet", [LOST, LOST], {})
    metadata, found = parquet.read(tmp_path / "s.parquet")
    assert (metadata, [one.error for one in found]) == ({}, [LOST.error] * 2)


@pytest.mark.slow
def test_a_shard_is_read_without_this_library(tmp_path: Path) -> None:
    pandas, datasets = pytest.importorskip("pandas"), pytest.importorskip("datasets")
    rows = [row(0, torch.bfloat16, torch.uint8), LOST, row(2, torch.bfloat16, torch.uint8)]
    path = tmp_path / "s.parquet"
    parquet.write(path, rows, ABOUT)
    table: Any = pandas.read_parquet(path)
    assert list(table.source) == [one.source for one in rows]
    assert list(table.width) == [40, 0, 42]
    assert (table.error_kind[1], table.error_message[1]) == tuple(LOST.error.values())
    assert table.tokens[1] is None
    held = datasets.Dataset.from_parquet(str(path), cache_dir=str(tmp_path / "cache")).with_format("numpy")
    for place in (0, 2):
        expected = rows[place].tokens
        assert expected is not None
        for tokens in (
            table.tokens[place].reshape(table.tokens_shape[place]),
            held[place]["tokens"].reshape(held[place]["tokens_shape"]),
        ):
            assert np.array_equal(tokens, expected.float().numpy(), equal_nan=True)
        pixels = table.pixels[place].reshape(table.pixels_shape[place])
        assert np.array_equal(pixels, rows[place].tensors()["pixels"].numpy())
    assert list(table.fixations[2]) == [1 / 3, 2.0] * 2


def test_rows_of_two_runs_are_refused(tmp_path: Path) -> None:
    rows = [row(0, torch.float32, None), row(1, torch.float16, None)]
    with pytest.raises(
        DataError,
        match=r"tokens of /pages/1.png, page 1 are torch.float16 and a column holds torch.float32; write rows of one",
    ):
        parquet.write(tmp_path / "s.parquet", rows, {})
    assert not (tmp_path / "s.parquet").exists()


def test_what_is_no_shard_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    path = tmp_path / "s.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match=r"s.parquet is no shard: .*; delete the shard and run again"):
        parquet.read(path)
    path.write_bytes(b"PAR1" * 9)
    with pytest.raises(DataError, match=r"s.parquet is no whole Parquet file: .*; delete the shard"):
        parquet.read(path)


def test_one_bit_in_the_numbers_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "s.parquet"
    parquet.write(path, [row(2, torch.float32, torch.float32)], {})
    content = bytearray(path.read_bytes())
    column = pq.ParquetFile(path).metadata.row_group(0)
    places = [column.column(place) for place in range(column.num_columns)]
    tokens = next(one for one in places if one.path_in_schema.startswith("tokens."))
    content[tokens.data_page_offset + tokens.total_compressed_size - 9] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"row group 0, cannot be read: .*; delete the shard and run again"):
        list(parquet.read(path)[1])
