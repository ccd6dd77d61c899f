"""Small files that would become gigabytes, and a process of its own that reads them with its memory measured.

python -m tests.hostile.bombs FOLDER prints a JSON object for each bomb there: what the reader said, and what it took.
"""

import base64
import gzip
import json
import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from lmlab.data.readers.rows import LONGEST_ROW
from lmlab.errors import InputError
from lmlab.memory import forget_peak_memory, peak_memory_megabytes
from tests.hostile.sources import source_of

BLOCK = bytes(64 << 20)
LONG = "x" * (64 << 20)


def _gzip_bomb(path: Path) -> None:
    path.write_bytes(gzip.compress(BLOCK, 1) * 16)


def _zstd_bomb(path: Path) -> None:
    path.write_bytes(zstandard.compress(BLOCK) * 40)


def _line_without_end(path: Path) -> None:
    with path.open("wb") as stream:
        # A hole: three gigabytes that take no room on the disk.
        stream.write(b'{"text": "')
        stream.truncate(3 << 30)


def _quote_without_end(path: Path) -> None:
    path.write_bytes(b'text\n"' + b"a long way to go\n" * (LONGEST_ROW // 16))


def _deep_line(path: Path) -> None:
    path.write_bytes(b'{"text": ' + b"[" * 100_000)


def _repeated_text(path: Path) -> None:
    rows = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([LONG]))
    _write_repeating(path, rows)


def _repeated_in_one_row(path: Path) -> None:
    entries = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([LONG]))
    _write_repeating(path, pa.ListArray.from_arrays(pa.array([0, 1000], pa.int32()), entries))


def _write_repeating(path: Path, column: pa.Array) -> None:
    whole = 2**31 - 1
    table = pa.table({"text": column})
    pq.write_table(table, path, compression="zstd", dictionary_pagesize_limit=whole, store_schema=False)


def _long_row(path: Path) -> None:
    # Drawn at random, so that it is as long in the file.
    text = base64.b64encode(random.Random(1).randbytes(LONGEST_ROW)).decode()
    pq.write_table(pa.table({"text": [text]}), path, compression="zstd", use_dictionary=False)


def _many_like_rows(path: Path) -> None:
    """A hundred thousand rows that refer to one text, in which a person would look for a corpus in vain."""
    _write_repeating(path, pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), pa.array(["x" * 1000])))


def _deep_columns(path: Path) -> None:
    """A footer that declares 50,000 columns inside each other, in Thrift's compact protocol."""

    def number(value: int) -> bytes:
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)

    group = b"\x35\x02\x18\x01g\x15\x02\x00"  # optional, called g, with one child
    leaf = b"\x15\x0c\x25\x02\x18\x01x\x00"  # an optional byte array called x
    depth = 50_000
    schema = b"\x19\xfc" + number(depth + 1) + group * depth + leaf
    footer = b"\x15\x02" + schema + b"\x16\x00" + b"\x19\x0c" + b"\x00"  # version, schema, no rows, no row groups
    path.write_bytes(b"PAR1" + footer + struct.pack("<i", len(footer)) + b"PAR1")


BOMBS: dict[str, tuple[Callable[[Path], None], str]] = {
    "zeros.txt.gz": (_gzip_bomb, "unfolds to more than 200 times its size"),
    "zeros.txt.zst": (_zstd_bomb, "unfolds to more than 200 times its size"),
    "zeros.jsonl.gz": (_gzip_bomb, "this line has more than 16,777,216 characters"),
    "line.jsonl": (_line_without_end, "line.jsonl:1: this line has more than 16,777,216 characters"),
    "line.csv": (_line_without_end, "line.csv:1: this line has more than 16,777,216 characters"),
    "quote.csv": (_quote_without_end, "the row that goes on here has more than 16,777,216 characters"),
    "deep.jsonl": (_deep_line, "deep.jsonl:1: this line is not JSON"),
    "repeated.parquet": (_repeated_text, "a few of its rows take more than 1,024 MiB"),
    "one_row.parquet": (_repeated_in_one_row, "a few of its rows take more than 1,024 MiB"),
    "long.parquet": (_long_row, "long.parquet, row 1: the row has more than 16,777,216 characters"),
    "rows.parquet": (_many_like_rows, "rows.parquet: unfolds to more than 200 times its size"),
    "deep.parquet": (_deep_columns, "deep.parquet: describes more than 4,000 columns or row groups"),
}
"""How each is made, and a part of what is said of it."""


def _read(path: Path) -> dict[str, object]:
    forget_peak_memory()
    held, begin = peak_memory_megabytes(), time.perf_counter()
    try:
        # One after another: what a caller keeps of them is not the reader's.
        said = f"read {sum(1 for _ in source_of(path).records())} records"
    except InputError as error:
        said = str(error)
    taken = peak_memory_megabytes() - held
    return {"said": said, "seconds": time.perf_counter() - begin, "megabytes": taken}


if __name__ == "__main__":
    for bomb in BOMBS:
        print(json.dumps({"bomb": bomb, **_read(Path(sys.argv[1]) / bomb)}), flush=True)
