"""Whatever a parquet file holds, the source `files` gives records or says in one line what is wrong."""

import datetime
import decimal
import io
import itertools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.inputs import ANY_TEXT, mutated
from tests.hostile.profiles import fuzz
from tests.hostile.sources import read_hostile

# Most of what makes a parquet file stands at its end.
FOOTER_BYTES = 1200


def _file_of(table: pa.Table, **how: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=7, **how)
    return buffer.getvalue()


TABLE = pa.table(
    {
        "text": ["one", "two", "drei é", None] * 5,
        "n": list(range(20)),
        "list": [["a", "b"], [], None, ["c"]] * 5,
        "inner": [{"x": "deep"}] * 20,
        "bytes": [b"\x00\xff"] * 20,
    }
)
FILES = [
    _file_of(TABLE, compression=packed, data_page_version=version, use_dictionary=refers)
    for packed, version, refers in itertools.product(["none", "snappy", "zstd", "gzip"], ["1.0", "2.0"], [True, False])
]
COLUMNS = st.none() | st.dictionaries(
    st.just("text"), st.sampled_from(["text", "n", "list", "list.0", "inner", "inner.x", "bytes"]), min_size=1
)

_TEXTS = st.none() | ANY_TEXT
CELLS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), _TEXTS),
    (pa.large_string(), _TEXTS),
    (pa.string_view(), _TEXTS),
    (pa.dictionary(pa.int32(), pa.string()), _TEXTS),
    (pa.binary(), st.none() | st.binary(max_size=5)),
    (pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
    (pa.uint64(), st.integers(0, 2**64 - 1)),
    (pa.float64(), st.floats()),
    (pa.float16(), st.floats(width=16)),
    (pa.bool_(), st.none() | st.booleans()),
    (pa.null(), st.none()),
    (pa.decimal128(38, 2), st.integers(-(10**30), 10**30).map(decimal.Decimal)),
    (pa.timestamp("ns", "UTC"), st.integers(-(2**63) + 1, 2**63 - 1)),
    (pa.timestamp("s"), st.integers(-(10**14), 10**14)),
    (pa.date32(), st.integers(-(2**31), 2**31 - 1)),
    (pa.time64("us"), st.just(datetime.time(1, 2, 3))),
    (pa.duration("ns"), st.integers(-(2**63) + 1, 2**63 - 1)),
    (pa.list_(pa.string()), st.none() | st.lists(_TEXTS, max_size=3)),
    (pa.list_(pa.int64()), st.none() | st.lists(st.integers(0, 9), max_size=3)),
    (pa.map_(pa.string(), pa.int64()), st.none() | st.lists(st.tuples(ANY_TEXT, st.integers(0, 9)), max_size=2)),
    (pa.struct([("x", pa.string()), ("y", pa.list_(pa.float32()))]), st.none() | st.just({"x": "a", "y": [1.5]})),
]


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """A parquet file with columns of any type, some of which may share a name."""
    num_rows = draw(st.integers(0, 5))
    kinds = draw(st.lists(st.sampled_from(CELLS), min_size=1, max_size=3))
    names = [draw(st.sampled_from(["text", "n", "", "a.b", "text.0"]) | ANY_TEXT) for _ in kinds]
    columns = [pa.array(draw(st.lists(cells, min_size=num_rows, max_size=num_rows)), kind) for kind, cells in kinds]
    return _file_of(pa.Table.from_arrays(columns, names))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tables")


@fuzz(suite=80)
@given(
    content=st.sampled_from(FILES).flatmap(lambda content: mutated(content, tail=FOOTER_BYTES)),
    columns=COLUMNS,
)
def test_damaged_parquet_files(folder: Path, content: bytes, columns: dict[str, str] | None) -> None:
    read_hostile(folder, "a.parquet", content, columns=columns)


@fuzz(suite=60)
@given(content=tables(), group_by=st.none() | st.sampled_from(["n", "text"]))
@example(
    content=_file_of(pa.Table.from_arrays([pa.array(["a"] * 9), pa.array(["b"] * 9)], ["text", "text"])), group_by=None
)
def test_columns_of_any_type_and_name(folder: Path, content: bytes, group_by: str | None) -> None:
    read_hostile(folder, "a.parquet", content, group_by=group_by)
