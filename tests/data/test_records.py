"""The spool: what comes back is what was written, and memory does not hold it meanwhile."""

from pathlib import Path

import pyarrow as pa
import pytest

from lmlab.data import records
from lmlab.data.records import Spool, spool_schema

SCHEMA = spool_schema(["text"])


def _table(first: int, count: int) -> pa.Table:
    numbers = list(range(first, first + count))
    columns = [[f"r:{number}" for number in numbers], numbers, [0] * count, [f"text {number}" for number in numbers]]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, SCHEMA, strict=True)], SCHEMA)


@pytest.mark.parametrize("shard_bytes", [1, 300, 1 << 20])
def test_rows_come_back_in_order_shard_by_shard(
    shard_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "SHARD_BYTES", shard_bytes)
    spool = Spool(tmp_path / "train", SCHEMA)
    for first in range(0, 40, 4):
        spool.write(_table(first, 4))
    shards = list(spool.tables())
    assert pa.concat_tables(shards).equals(_table(0, 40))
    assert spool.num_rows == 40
    assert {1: 10, 300: len(shards), 1 << 20: 1}[shard_bytes] == len(shards)


def test_a_spool_that_got_nothing_gives_nothing(tmp_path: Path) -> None:
    assert list(Spool(tmp_path / "test", SCHEMA).tables()) == []


def test_rows_are_on_disk_and_not_held(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "train", SCHEMA)
    table = _table(0, 5000)
    before = pa.total_allocated_bytes()
    for _ in range(20):
        spool.write(table)
    assert pa.total_allocated_bytes() - before < table.nbytes
