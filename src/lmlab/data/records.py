"""Records as Arrow: a spool of shards on disk while they are cleaned, a parquet file for each split after that.

Columns of a parquet file: id, document_number (consecutive rows with the same number are the pieces, in order, of one
long document), then the text fields. Nothing here holds more than a shard in memory.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.data.source import SPLITS
from lmlab.errors import InputError
from lmlab.files import check_seal

# A shard is mapped into memory as a whole while it is read, and let go after that.
SHARD_BYTES = 32 << 20
BATCH_ROWS = 1000
# Rows of one parquet row group: enough to compress well, few enough to read a group at a time.
ROW_GROUP_BYTES = 16 << 20


def spool_schema(fields: Sequence[str]) -> pa.Schema:
    """Columns of a spooled table; `piece_number` counts the pieces of a document from 0."""
    return pa.schema(
        [("id", pa.string()), ("document_number", pa.int64()), ("piece_number", pa.int64()), *_texts(fields)]
    )


def record_schema(fields: Sequence[str]) -> pa.Schema:
    """Columns of records/*.parquet."""
    return pa.schema([("id", pa.string()), ("document_number", pa.int64()), *_texts(fields)])


def check_records(folder: Path) -> dict:
    """The facts of a folder of records, after comparing its files with its seal and with what records look like.

    Raises: InputError if a file is missing, was changed, or holds other columns than the seal says.
    """
    facts = check_seal(folder)
    fields = facts["fields"]
    if not isinstance(fields, list) or not all(isinstance(field, str) for field in fields):
        raise InputError(f"{folder}: the seal names no fields: delete {folder} and run `dvc repro`")
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        try:
            with pq.ParquetFile(path) as file:
                found = file.schema_arrow
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{path}: not a whole parquet file: {error}") from None
        wanted = record_schema(fields)
        if not found.equals(wanted):
            what = f"other columns than {', '.join(wanted.names)}"
            raise InputError(f"{path} holds {what}: delete {folder} and run `dvc repro` to write it again")
    return facts


def _texts(fields: Sequence[str]) -> list[tuple[str, pa.DataType]]:
    return [(field, pa.string()) for field in fields]


class Spool:
    """Tables written one after another into shards below a folder, and read back shard by shard."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder = folder
        self._schema = schema
        self._stream: pa.ipc.RecordBatchStreamWriter | None = None
        self._shard_bytes = 0
        self._num_shards = 0
        self.num_rows = 0

    def write(self, table: pa.Table) -> None:
        """Add rows at the end."""
        if self._stream is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._stream = pa.ipc.new_stream(self._path(self._num_shards), self._schema)
            self._num_shards += 1
        self._stream.write_table(table, BATCH_ROWS)
        self._shard_bytes += table.nbytes
        self.num_rows += table.num_rows
        if self._shard_bytes >= SHARD_BYTES:
            self._end_shard()

    def tables(self) -> Iterator[pa.Table]:
        """Every row in the order of writing, a shard at a time."""
        self._end_shard()
        for number in range(self._num_shards):
            with pa.memory_map(str(self._path(number))) as shard, pa.ipc.open_stream(shard) as stream:
                yield stream.read_all()

    def _end_shard(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None
        self._shard_bytes = 0

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05}.arrow"


class RecordWriter:
    """Writes spooled rows to a parquet file and numbers their documents from 0.

    A document that lost a piece goes on under a new number, so that no text is read across the gap.
    """

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self._schema = record_schema(fields)
        self._writer = pq.ParquetWriter(path, self._schema, compression="zstd")
        self._held: list[pa.Table] = []
        self._held_bytes = 0
        self._last = (-1, -1)
        self._document = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write_group()
        self._writer.close()

    def write(self, table: pa.Table) -> None:
        """Add spooled rows at the end."""
        if table.num_rows == 0:
            return
        documents = table["document_number"].to_numpy()
        pieces = table["piece_number"].to_numpy()
        before = np.concatenate([[self._last[0]], documents[:-1]])
        piece_before = np.concatenate([[self._last[1]], pieces[:-1]])
        is_new = (documents != before) | (pieces != piece_before + 1)
        numbers = self._document + np.cumsum(is_new)
        self._last = (int(documents[-1]), int(pieces[-1]))
        self._document = int(numbers[-1])
        columns = [table["id"], pa.array(numbers), *(table[name] for name in self._schema.names[2:])]
        self._held.append(pa.table(columns, schema=self._schema))
        self._held_bytes += self._held[-1].nbytes
        if self._held_bytes >= ROW_GROUP_BYTES:
            self._write_group()

    def _write_group(self) -> None:
        if self._held:
            table = pa.concat_tables(self._held)
            self._writer.write_table(table, row_group_size=table.num_rows)
        self._held = []
        self._held_bytes = 0
