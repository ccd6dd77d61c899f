"""Rows of files with columns, as the text of the fields that were asked for.

A row is held in memory whole, so it has a largest size, whatever a file is called and says of itself.
"""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.data.columns import Column, Row, column_texts, no_column, top_columns
from lmlab.data.readers.archives import HEAD_BYTES, refuse_archive
from lmlab.data.readers.decoding import Encoding, Measure, text_chunks
from lmlab.data.readers.find import kind_of
from lmlab.data.readers.plain import line_parts
from lmlab.errors import InputError
from lmlab.memory import bounded_memory

LONGEST_ROW = 1 << 24
"""Characters of a row. Whole books are shorter; the rule cleaning.length keeps a sixteenth of that as it is set."""
TOO_LONG = f"has more than {LONGEST_ROW:,} characters; cut it, or give long documents as plain text (.txt)"

PARQUET_BATCH_ROWS, PARQUET_BATCH_BYTES, PARQUET_BUFFER = 1024, 32 << 20, 1 << 20
PARQUET_MEMORY = 1 << 30
"""Bytes that a batch may take: a few repeated values or a wrong size make a small file as large as one likes."""
# Descriptions of columns and row groups in a file's footer: Arrow reads nested columns by recursion, which 12,000
# levels overrun.
MOST_IN_FOOTER, TOO_MANY = 4000, "Exceeded size limit"


class _CsvReader(Protocol):
    line_num: int

    def __next__(self) -> list[str]: ...
    def __iter__(self) -> Iterator[list[str]]: ...


def read_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, ...]]:
    """The text of these columns, row by row.

    Raises: InputError with file and line if a row does not parse or lacks a column.
    """
    reader = READERS[kind_of(path)]
    for place, row in reader(path, columns, encoding):
        texts = column_texts(row, columns, place=place)
        if sum(map(len, texts)) > LONGEST_ROW:
            raise InputError(f"{place}: the row {TOO_LONG}")
        yield texts


def _jsonl_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    del columns
    for number, line in enumerate(_lines(path, encoding), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}:{number}: this line is not JSON: {error}; mend or delete it") from None
        if not isinstance(row, dict):
            raise InputError(f"{path}:{number}: expected a JSON object, found {type(row).__name__}")
        yield f"{path}:{number}", row


def _csv_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(LONGEST_ROW)
    lines = _RowLines(path, encoding)
    return _table_rows(path, columns, lines, csv.reader(lines, strict=True))


def _tsv_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    # A quote is a character like any other in tab-separated values (IANA text/tab-separated-values).
    csv.field_size_limit(LONGEST_ROW)
    lines = _RowLines(path, encoding)
    return _table_rows(path, columns, lines, csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


class _RowLines:
    """A file's lines with their ends; those of one row, which quotes may hold together, are not too long together."""

    def __init__(self, path: Path, encoding: Encoding) -> None:
        self._path, self._lines = path, _lines(path, encoding)
        self._number = self._characters = 0

    def begin_row(self) -> None:
        """Count from here."""
        self._characters = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines) + "\n"
        self._number += 1
        self._characters += len(line)
        if self._characters > LONGEST_ROW:
            raise InputError(f"{self._path}:{self._number}: the row that goes on here {TOO_LONG}")
        return line


def _lines(path: Path, encoding: Encoding) -> Iterator[str]:
    """The file's lines without their ends."""
    chunks = text_chunks(path, encoding)
    for number, (line, is_whole) in enumerate(line_parts(chunks, piece_characters=LONGEST_ROW), start=1):
        if not is_whole:
            raise InputError(f"{path}:{number}: this line {TOO_LONG}")
        yield line


def _table_rows(
    path: Path, columns: Sequence[Column], lines: _RowLines, reader: _CsvReader
) -> Iterator[tuple[str, Row]]:
    try:
        header = next(reader, [])
        # Cells are plain text: a path into them leads nowhere.
        for column in columns:
            if column.path not in header:
                raise InputError(f"{path}: {no_column(column.path, header)}")
            _check_single(column.path, header, place=str(path))
        lines.begin_row()
        for cells in reader:
            lines.begin_row()
            if not cells:
                continue
            place = f"{path}:{reader.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{place}: the row has {len(cells)} cells, the header names {len(header)} columns")
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; mend the line") from None


def _check_single(name: str, names: Sequence[str], *, place: str) -> None:
    if names.count(name) > 1:
        raise InputError(f"{place}: several columns are called '{name}'; give each another name")


def _parquet_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    del encoding
    with path.open("rb") as stream:
        refuse_archive(path, stream.read(HEAD_BYTES))
    with _one_line(path):
        # Buffers that are filled before they are read are held to the end of the file.
        file = pq.ParquetFile(
            path, pre_buffer=False, buffer_size=PARQUET_BUFFER, thrift_container_size_limit=MOST_IN_FOOTER
        )
    with file:
        names = file.schema_arrow.names
        wanted = top_columns(columns, names, place=str(path))
        for name in wanted:
            _check_single(name, names, place=str(path))
        # Naming a nested column reads all that it holds; the other columns stay on disk.
        batches = file.iter_batches(_rows_at_once(file.metadata), columns=wanted, use_threads=False)
        measure = Measure(path)
        number = 0
        while True:
            with _one_line(path):
                batch = next(batches, None)
                rows = [] if batch is None else batch.to_pylist()
            if batch is None:
                return
            measure.add(batch.nbytes)
            for row in rows:
                number += 1
                yield f"{path}, row {number}", row


def _rows_at_once(metadata: pq.FileMetaData) -> int:
    """The rows of a batch: fewer where rows are long."""
    num_bytes = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    mean = num_bytes // max(1, metadata.num_rows)
    return min(PARQUET_BATCH_ROWS, max(1, PARQUET_BATCH_BYTES // max(1, mean)))


@contextmanager
def _one_line(path: Path) -> Iterator[None]:
    """Arrow's own errors, of which it has many kinds for damaged files, as one line; memory within its bound."""
    try:
        with bounded_memory(PARQUET_MEMORY):
            yield
    except MemoryError:
        raise InputError(
            f"{path}: a few of its rows take more than {PARQUET_MEMORY >> 20:,} MiB: its sizes are damaged, or it "
            "repeats a long text; write it again with shorter texts, or fewer of them in a page"
        ) from None
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        if TOO_MANY in str(error):
            what = f"more than {MOST_IN_FOOTER:,} columns or row groups; write it again with larger row groups"
            raise InputError(f"{path}: describes {what}") from None
        raise InputError(f"{path}: not a whole parquet file: {error}") from None


READERS: dict[str, Callable[[Path, Sequence[Column], Encoding], Iterator[tuple[str, Row]]]] = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".parquet": _parquet_rows,
}
