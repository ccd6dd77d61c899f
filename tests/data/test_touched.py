"""Past the memory of a machine: a process reads of a store of 50 MB, and of records as large, only what it needs."""

import json
import mmap
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmlab.data.records import RecordWriter, spool_schema
from lmlab.data.store import TOKENS_NAME, StoredRows, StoreWriter
from tests.data.touched import ROWS
from tests.laws.imports import PROJECT

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/io").exists(), reason="reads what the system counts in /proc, as Linux does"
    ),
]

NUM_RECORDS, RECORD_TOKENS = 100_000, 250
NUM_GROUPS, GROUP_RECORDS, RECORD_CHARACTERS = 12, 2000, 2000
# A fault maps up to so much of what is in memory anyway, which needs no reading.
MAPPED_AROUND = 64 << 10


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of 50 MB."""
    folder = tmp_path_factory.mktemp("store")
    writer = StoreWriter(folder, "train", vocabulary_size=5000)
    draw = np.random.default_rng(1)
    lengths = np.full(NUM_RECORDS, RECORD_TOKENS, np.int64)
    tokens = draw.integers(1, 5000, NUM_RECORDS * RECORD_TOKENS).astype(np.uint16)
    writer.append(StoredRows(tokens, lengths, np.zeros_like(lengths), 4 * lengths, np.arange(NUM_RECORDS)))
    writer.close()
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of about 50 MB, in row groups as the stage clean writes them, but smaller ones."""
    folder = tmp_path_factory.mktemp("records")
    draw = np.random.default_rng(1)
    with pytest.MonkeyPatch.context() as patch, RecordWriter(folder / "train.parquet", ["text"]) as writer:
        patch.setattr("lmlab.data.records.ROW_GROUP_BYTES", 1)
        for group in range(NUM_GROUPS):
            letters = draw.integers(97, 123, (GROUP_RECORDS, RECORD_CHARACTERS), np.uint8)
            numbers = np.arange(GROUP_RECORDS) + group * GROUP_RECORDS
            columns = [
                pa.array([f"r:{number}" for number in numbers]),
                pa.array(numbers),
                pa.array(np.zeros_like(numbers)),
                pa.array([row.tobytes().decode() for row in letters]),
            ]
            writer.write(pa.table(columns, schema=spool_schema(["text"])))
    return folder


def _touched(*arguments: object) -> dict[str, int]:
    command = [sys.executable, "-m", "tests.data.touched", *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("contiguous", [False, True])
def test_batches_read_the_pages_of_their_rows_and_no_others(contiguous: bool, store: Path) -> None:
    size = (store / TOKENS_NAME.format(split="train")).stat().st_size
    assert size > 50_000_000
    num_rows = 5 * ROWS
    found = _touched(store, contiguous, 5)
    # A row of 65 tokens lies on two pages at most, or, where blocks of documents meet within it, on three.
    assert found["read"] <= 3 * num_rows * mmap.PAGESIZE
    assert num_rows // 2 * mmap.PAGESIZE <= found["resident"] <= num_rows * MAPPED_AROUND * 2
    assert found["resident"] < size / 9


def test_a_row_group_is_read_without_the_others(records: Path) -> None:
    metadata = pq.read_metadata(records / "train.parquet")
    assert metadata.num_row_groups == NUM_GROUPS
    group = metadata.row_group(7)
    group_bytes = sum(group.column(column).total_compressed_size for column in range(group.num_columns))
    found = _touched(records, 7)
    assert found["records"] == GROUP_RECORDS
    # Besides: the end of the file, which says where what is, and the first document's number of the next group.
    assert group_bytes <= found["read"] <= 1.1 * group_bytes + metadata.serialized_size + (64 << 10)
    assert found["read"] < (records / "train.parquet").stat().st_size / 10
