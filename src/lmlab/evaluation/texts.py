"""The target texts of a split as one stretch of bytes, for the compressors."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.data.task import TaskSettings, fields_of

Piece = tuple[int, str]
"""The number of a document, and its text or a piece of it."""

BATCH_RECORDS = 1024


def joined(pieces: Iterable[Piece]) -> bytes:
    """The pieces in order, a newline after each document; what was cut is put together again."""
    parts: list[bytes] = []
    last = None
    for document, text in pieces:
        if parts and document != last:
            parts.append(b"\n")
        parts.append(text.encode("utf-8", errors="surrogatepass"))
        last = document
    return b"".join([*parts, b"\n"]) if parts else b""


def all_text(path: Path, task: TaskSettings) -> bytes:
    """The target texts of a records file, joined."""
    with pq.ParquetFile(path) as file:
        batches = file.iter_batches(batch_size=BATCH_RECORDS, columns=_columns(task))
        return joined(piece for batch in batches for piece in _pieces(batch, task))


def last_text(path: Path, task: TaskSettings, *, limit: int) -> bytes:
    """The last `limit` bytes of the target texts of a records file, joined."""
    kept: list[Piece] = []
    size = 0
    with pq.ParquetFile(path) as file:
        # From the end on, so that a large training split is not read whole.
        for group in reversed(range(file.num_row_groups)):
            pieces = list(_pieces(file.read_row_group(group, columns=_columns(task)), task))
            kept[:0] = pieces
            size += sum(len(text) for _, text in pieces)
            if size >= limit:
                break
    return joined(kept)[-limit:]


def _columns(task: TaskSettings) -> list[str]:
    return ["document_number", *fields_of(task)]


def _pieces(rows: pa.Table | pa.RecordBatch, task: TaskSettings) -> Iterator[Piece]:
    return ((row["document_number"], task.target_of(row)) for row in rows.to_pylist())
