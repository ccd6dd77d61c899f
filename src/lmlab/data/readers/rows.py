"""Rows of files with columns, as the text of the fields that were asked for."""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.data.columns import Column, Row, column_texts, no_column, top_columns
from lmlab.data.readers.decoding import Encoding, text_chunks
from lmlab.data.readers.find import kind_of
from lmlab.data.readers.plain import line_parts
from lmlab.errors import InputError

PARQUET_BATCH_ROWS = 1024
# csv counts a field's length in a C long, which has 32 bits on some systems.
LONGEST_CSV_FIELD = 2**31 - 1


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
        yield column_texts(row, columns, place=place)


def _jsonl_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    del columns
    chunks = text_chunks(path, encoding)
    for number, (line, _) in enumerate(line_parts(chunks, piece_characters=sys.maxsize), start=1):
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
    csv.field_size_limit(LONGEST_CSV_FIELD)
    return _table_rows(path, columns, csv.reader(_lines_with_ends(path, encoding), strict=True))


def _tsv_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    # A quote is a character like any other in tab-separated values (IANA text/tab-separated-values).
    csv.field_size_limit(LONGEST_CSV_FIELD)
    reader = csv.reader(_lines_with_ends(path, encoding), delimiter="\t", quoting=csv.QUOTE_NONE)
    return _table_rows(path, columns, reader)


def _lines_with_ends(path: Path, encoding: Encoding) -> Iterator[str]:
    chunks = text_chunks(path, encoding)
    return (line + "\n" for line, _ in line_parts(chunks, piece_characters=sys.maxsize))


def _table_rows(path: Path, columns: Sequence[Column], reader: _CsvReader) -> Iterator[tuple[str, Row]]:
    try:
        header = next(reader, [])
        # Cells are plain text: a path into them leads nowhere.
        for column in columns:
            if column.path not in header:
                raise InputError(f"{path}: {no_column(column.path, header)}")
        for cells in reader:
            if not cells:
                continue
            place = f"{path}:{reader.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{place}: the row has {len(cells)} cells, the header names {len(header)} columns")
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; mend the line") from None


def _parquet_rows(path: Path, columns: Sequence[Column], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    del encoding
    number = 0
    try:
        # Buffers that are filled before they are read are held to the end of the file.
        with pq.ParquetFile(path, pre_buffer=False) as file:
            wanted = top_columns(columns, file.schema_arrow.names, place=str(path))
            # Naming a nested column reads all that it holds; the other columns stay on disk.
            for batch in file.iter_batches(PARQUET_BATCH_ROWS, columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a whole parquet file: {error}") from None


READERS: dict[str, Callable[[Path, Sequence[Column], Encoding], Iterator[tuple[str, Row]]]] = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".parquet": _parquet_rows,
}
