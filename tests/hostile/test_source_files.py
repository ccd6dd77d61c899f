"""Whatever lies in the user's files, the source `files` gives records or says in one line what is wrong."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile.inputs import ANY_TEXT, VALUES, mutated
from tests.hostile.profiles import fuzz
from tests.hostile.sources import read_hostile, records_of, written
from tests.hostile.watching import refusal_of

TEXT = 'The cat sees the dog.\n\nNaïve 漢字 🙂, e\u0301: "quoted", {braces}\r\n' * 6
ROWS = [
    {"text": "one", "n": 1, "list": ["a", "b"], "inner": {"x": [{"y": "deep"}]}},
    {"text": 'two\n"quoted"', "n": -2.5e10, "list": [], "inner": {"x": []}},
    {"text": "drei é", "n": None, "list": ["c"], "inner": None},
]
JSONL = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()
CSV = b'text,n,"a ""b"" c"\n"one, two",1,x\n"three\nfour",2,\n,,\nfive,3,"y"\n'
TSV = CSV.replace(b",", b"\t")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252", "shift_jis", "gb18030",
             "iso2022_jp", "hz", "big5", "cp037", "koi8-r", "ascii", "punycode", "idna")  # fmt: skip

SETTINGS = st.fixed_dictionaries(
    {
        "documents": st.sampled_from(["whole", "lines", "paragraphs"]),
        "piece_characters": st.sampled_from([64, 65, 1000, 100_000]),
        "encoding": st.sampled_from(ENCODINGS) | st.just("utf-8"),
        "encoding_errors": st.sampled_from(["strict", "replace"]),
    }
)
NESTED = st.tuples(st.integers(1, 1500), st.sampled_from([("[", "]"), ('{"text":', "}"), ('[{"a":[', "]}]")])).map(
    lambda drawn: ('{"text": ' + drawn[1][0] * drawn[0] + "1" + drawn[1][1] * drawn[0] + "}").encode()
)
"""A value as deep as Python's own reader just takes it, or no longer."""
COLUMNS = st.none() | st.dictionaries(
    st.sampled_from(["text", "source", "a b"]),
    st.sampled_from(
        ["text", "n", "list", "inner", "list.0", "inner.x.0.y", "inner.x", "", ".", "..", "0", "text.0", "nowhere"]
    )
    | st.lists(st.sampled_from(["text", "list.1", "n", "list.99999999999999999999"]), min_size=1, max_size=3),
    min_size=1,
    max_size=3,
)
MAPPED = st.fixed_dictionaries(
    {
        "columns": COLUMNS,
        "group_by": st.none() | st.sampled_from(["n", "list", "inner.x", "nowhere", ""]),
        "encoding_errors": st.sampled_from(["strict", "replace"]),
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@fuzz(suite=60)
@given(name=st.sampled_from(["a.txt", "a.md"]), content=mutated(TEXT.encode()) | st.binary(max_size=200), how=SETTINGS)
def test_plain_text_of_any_bytes_and_any_encoding(folder: Path, name: str, content: bytes, how: dict[str, Any]) -> None:
    read_hostile(folder, name, content, **how)


@fuzz(suite=60)
@given(
    content=mutated(JSONL)
    | st.lists(VALUES.map(json.dumps) | ANY_TEXT, max_size=5).map(lambda lines: "\n".join(lines).encode())
    | NESTED
    | st.lists(st.fixed_dictionaries({"text": VALUES, "n": VALUES}), max_size=4).map(
        lambda rows: "\n".join(map(json.dumps, rows)).encode()
    ),
    how=MAPPED,
)
@example(content=b'{"text": ' + b"[" * 900 + b"]" * 900 + b"}", how={"columns": None})
def test_json_lines_of_any_shape(folder: Path, content: bytes, how: dict[str, Any]) -> None:
    read_hostile(folder, "a.jsonl", content, **how)


@fuzz(suite=60)
@given(
    content=mutated(CSV)
    | mutated(TSV)
    | st.lists(st.lists(ANY_TEXT, max_size=4), max_size=5).map(
        lambda rows: ("text,n\n" + "\n".join(map(",".join, rows))).encode()
    ),
    name=st.sampled_from(["a.csv", "a.tsv", "A.CSV"]),
    how=MAPPED,
)
@example(content=b"text,text\none,two\n" * 9, name="a.csv", how={"columns": None})
def test_tables_of_any_bytes(folder: Path, content: bytes, name: str, how: dict[str, Any]) -> None:
    read_hostile(folder, name, content, **how)


@fuzz(suite=60)
@given(
    content=mutated(gzip.compress(TEXT.encode())) | mutated(zstandard.compress(TEXT.encode())),
    name=st.sampled_from(["a.txt.gz", "a.txt.zst", "a.jsonl.gz", "a.csv.zst", "a.TXT.GZ"]),
    how=SETTINGS,
)
def test_damaged_compressed_files(folder: Path, content: bytes, name: str, how: dict[str, Any]) -> None:
    read_hostile(folder, name, content, **how)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.parquet"])
def test_of_two_columns_of_one_name_none_is_taken(folder: Path, name: str) -> None:
    mark = "\t" if name.endswith("tsv") else ","
    path = written(folder, name, mark.join(["text", "text\n"]).encode() + mark.join(["one", "two\n"]).encode() * 9)
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_arrays([pa.array(["a"] * 9), pa.array(["b"] * 9)], ["text", "text"]), path)
    assert "several columns are called 'text'" in refusal_of(lambda: records_of(path))


def test_a_message_is_short_and_says_nothing_to_a_terminal(folder: Path) -> None:
    header = ",".join(f"\x1b[2J\u202e{number}" for number in range(20_000))
    path = written(folder, "a.csv", f"{header}\n".encode())
    said = refusal_of(lambda: records_of(path))
    assert len(said) <= 2010
    assert said.isprintable()
    assert said.endswith("map them with source.columns={field: column}")
