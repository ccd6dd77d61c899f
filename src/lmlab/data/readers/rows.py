"""Rows of files with columns, as the text of the fields that were asked for."""

import csv
import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.data.readers.decoding import Encoding, text_chunks
from lmlab.data.readers.find import kind_of
from lmlab.data.readers.plain import line_parts
from lmlab.errors import InputError

PARQUET_BATCH_ROWS = 1024
# csv counts a field's length in a C long, which has 32 bits on some systems.
LONGEST_CSV_FIELD = 2**31 - 1

Row = Mapping[str, object]


class _CsvReader(Protocol):
    line_num: int

    def __next__(self) -> list[str]: ...
    def __iter__(self) -> Iterator[list[str]]: ...


def read_rows(path: Path, columns: Collection[str], encoding: Encoding) -> Iterator[tuple[str, ...]]:
    """The text of these columns, row by row: numbers as JSON spells them, lists of text joined by spaces, null as "".

    Raises: InputError with file and line if a row does not parse or lacks a column.
    """
    reader = READERS[kind_of(path)]
    for place, row in reader(path, columns, encoding):
        try:
            yield tuple([_text_of(row[column]) for column in columns])
        except KeyError as error:
            raise InputError(f"{place}: {_no_column(error.args[0], row)}") from None
        except TypeError as error:
            raise InputError(f"{place}: {error}; map text columns with source.columns") from None


def _text_of(value: object) -> str:
    if type(value) is str:
        return value if value.isascii() else _without_half_pairs(value)
    if value is None:
        return ""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return " ".join(_text_of(part) for part in value)
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise TypeError(f"expected text, found {type(value).__name__} {repr(value)[:40]}")


def _without_half_pairs(text: str) -> str:
    """The text with U+FFFD for each half of a surrogate pair, which JSON can spell and no UTF-8 file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def _no_column(column: str, names: Collection[str]) -> str:
    return f"there is no column '{column}', it has {', '.join(names)}; map them with source.columns={{field: column}}"


def _jsonl_rows(path: Path, columns: Collection[str], encoding: Encoding) -> Iterator[tuple[str, Row]]:
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


def _csv_rows(path: Path, columns: Collection[str], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(LONGEST_CSV_FIELD)
    return _table_rows(path, columns, csv.reader(_lines_with_ends(path, encoding), strict=True))


def _tsv_rows(path: Path, columns: Collection[str], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    # A quote is a character like any other in tab-separated values (IANA text/tab-separated-values).
    csv.field_size_limit(LONGEST_CSV_FIELD)
    reader = csv.reader(_lines_with_ends(path, encoding), delimiter="\t", quoting=csv.QUOTE_NONE)
    return _table_rows(path, columns, reader)


def _lines_with_ends(path: Path, encoding: Encoding) -> Iterator[str]:
    chunks = text_chunks(path, encoding)
    return (line + "\n" for line, _ in line_parts(chunks, piece_characters=sys.maxsize))


def _table_rows(path: Path, columns: Collection[str], reader: _CsvReader) -> Iterator[tuple[str, Row]]:
    try:
        header = next(reader, [])
        for column in columns:
            if column not in header:
                raise InputError(f"{path}: {_no_column(column, header)}")
        for cells in reader:
            if not cells:
                continue
            place = f"{path}:{reader.line_num}"
            if len(cells) != len(header):
                raise InputError(f"{place}: the row has {len(cells)} cells, the header names {len(header)} columns")
            yield place, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise InputError(f"{path}:{reader.line_num}: {error}; mend the line") from None


def _parquet_rows(path: Path, columns: Collection[str], encoding: Encoding) -> Iterator[tuple[str, Row]]:
    del encoding
    number = 0
    try:
        with pq.ParquetFile(path) as file:
            for column in columns:
                if column not in file.schema_arrow.names:
                    raise InputError(f"{path}: {_no_column(column, file.schema_arrow.names)}")
            for batch in file.iter_batches(PARQUET_BATCH_ROWS, columns=[*columns]):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}, row {number}", row
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not a whole parquet file: {error}") from None


READERS: dict[str, Callable[[Path, Collection[str], Encoding], Iterator[tuple[str, Row]]]] = {
    ".jsonl": _jsonl_rows,
    ".csv": _csv_rows,
    ".tsv": _tsv_rows,
    ".parquet": _parquet_rows,
}
