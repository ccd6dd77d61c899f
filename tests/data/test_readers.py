"""Reading files: decompression, decoding, cutting, rows."""

import gzip
import itertools
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from lmlab.data.columns import columns_of
from lmlab.data.readers import plain, rows
from lmlab.data.readers.decoding import CHUNK_BYTES, Encoding, text_chunks
from lmlab.data.readers.find import find_files, find_splits, kind_of
from lmlab.errors import InputError

UTF8 = Encoding("utf-8", "strict")
SOME_TEXT = st.text(alphabet="ab \n\r\t\u0085\u2028é\u0301中", max_size=400)


def read_rows(path: Path, *mapping: str | list[str]) -> list[tuple[str, ...]]:
    """Every row of the columns of fields f0, f1..."""
    return list(rows.read_rows(path, columns_of({f"f{i}": paths for i, paths in enumerate(mapping)}), UTF8))


def _chunked(text: str, size: int) -> list[str]:
    return [text[start : start + size] for start in range(0, len(text), size)]


@given(SOME_TEXT, st.integers(1, 50))
def test_pieces_of_a_whole_text_put_together_are_the_text(text: str, size: int) -> None:
    pieces = list(plain.whole(_chunked(text, size), piece_characters=16))
    assert "".join(pieces) == text
    assert all(0 < len(piece) <= 16 for piece in pieces)


def test_a_piece_is_cut_after_a_line_end_else_a_space_else_anywhere() -> None:
    assert list(plain.whole(["ab cd\nef gh ijklmnopq"], piece_characters=8)) == ["ab cd\n", "ef gh ", "ijklmnop", "q"]


def test_a_cut_parts_neither_a_windows_line_end_nor_an_accent_from_its_letter() -> None:
    assert list(plain.whole(["abc\r\ndef"], piece_characters=4)) == ["abc", "\r\n", "def"]
    assert list(plain.whole(["abce\u0301f"], piece_characters=4)) == ["abc", "e\u0301f"]


@given(SOME_TEXT, st.integers(1, 50))
def test_lines_are_what_lies_between_line_feeds(text: str, size: int) -> None:
    found = list(plain.lines(_chunked(text, size), piece_characters=1000))
    expected = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    assert [piece for _, piece in found] == expected
    assert [number for number, _ in found] == list(range(len(expected)))


@given(SOME_TEXT, st.integers(1, 50))
def test_short_pieces_of_lines_put_together_are_the_lines(text: str, size: int) -> None:
    pieces = plain.lines(_chunked(text, size), piece_characters=5)
    lines = ["".join(part for _, part in group) for _, group in itertools.groupby(pieces, key=lambda piece: piece[0])]
    # A long blank line comes as pieces, since its first piece does not know that it stays blank.
    expected = [line.removesuffix("\r") for line in text.split("\n") if line.strip() or len(line) > 5]
    assert lines == expected


def test_paragraphs_are_parted_by_blank_lines() -> None:
    text = "\n\na\nb\n \n\t\nc\n\n\nd"
    assert list(plain.paragraphs(_chunked(text, 3), piece_characters=100)) == [(0, "a\nb"), (1, "c"), (2, "d")]


def test_a_long_paragraph_comes_as_pieces_of_one_document() -> None:
    found = list(plain.paragraphs(["aaaa\nbbbb\ncccc\n\nd\n"], piece_characters=10))
    assert found == [(0, "aaaa\nbbbb\n"), (0, "cccc"), (1, "d")]


@given(SOME_TEXT, st.integers(1, 9), st.lists(st.integers(0, 400), min_size=2, max_size=2).map(sorted))
def test_text_is_split_exactly_at_the_bounds(text: str, size: int, bounds: list[int]) -> None:
    parts = ["", "", ""]
    for part, piece in plain.split_at(_chunked(text, size), bounds):
        parts[part] += piece
    assert parts == [text[: bounds[0]], text[bounds[0] : bounds[1]], text[bounds[1] :]]


def test_line_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\u2028b\u0085c"}\n', encoding="utf-8")
    assert read_rows(path, "text") == [("a\u2028b\u0085c",)]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_compressed_text_is_the_text(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    text = "Grüße 中文\r\n" * 200_000
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    path.write_bytes(pack(text.encode()))
    assert "".join(text_chunks(path, UTF8)) == text


def test_several_zstd_frames_are_read_one_after_another(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.zst"
    path.write_bytes(zstandard.compress(b"one ") + zstandard.compress(b"two"))
    assert "".join(text_chunks(path, UTF8)) == "one two"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_data_that_is_cut_off_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    pack = {".gz": gzip.compress, ".zst": zstandard.compress}[suffix]
    path.write_bytes(pack(bytes(range(256)) * 1000)[:-9])
    with pytest.raises(InputError, match=r"a\.txt\.\w+: .*copy the file again"):
        list(text_chunks(path, Encoding("latin-1", "strict")))


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_a_file_that_is_not_compressed_at_all_is_an_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.txt{suffix}"
    path.write_bytes(b"only plain text\n" * 1000)
    with pytest.raises(InputError, match="not a whole"):
        list(text_chunks(path, UTF8))


@pytest.mark.parametrize("place", [0, 5, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 3])
def test_bytes_that_are_not_utf8_are_named_by_file_and_offset(tmp_path: Path, place: int) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * place + b"\xff" + b"y" * 10)
    with pytest.raises(InputError, match=rf"a\.txt: not utf-8 at byte {place} \(ff,"):
        list(text_chunks(path, UTF8))


def test_zero_bytes_beside_bytes_that_are_not_utf8_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\x7fELF\x02\x01\0\0\xd0\xff" * 10)
    with pytest.raises(InputError, match=r"a\.txt: holds zero bytes"):
        list(text_chunks(path, UTF8))


def test_a_character_that_is_cut_off_at_the_end_is_named_by_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("é€".encode()[:-1])
    with pytest.raises(InputError, match="at byte 2 "):
        list(text_chunks(path, UTF8))


def test_replacing_puts_a_sign_where_bytes_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\xffb")
    assert "".join(text_chunks(path, Encoding("utf-8", "replace"))) == "a\ufffdb"


def test_a_byte_order_mark_at_the_start_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("abc".encode("utf-8-sig"))
    assert "".join(text_chunks(path, UTF8)) == "abc"


def _write_rows(folder: Path, kind: str) -> Path:
    path = folder / f"rows{kind}"
    if kind == ".parquet":
        pq.write_table(pa.table({"a": ["one", 'say "two"'], "b": [1, 2]}), path)
        return path
    content = {
        ".jsonl": '{"a": "one", "b": 1}\n\n{"a": "say \\"two\\"", "b": 2}\n',
        ".csv": 'a,b\none,1\n"say ""two""",2\n',
        ".tsv": 'a\tb\none\t1\nsay "two"\t2\n',
    }[kind]
    path.write_text(content)
    return path


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_rows_are_the_same_from_every_format(tmp_path: Path, kind: str) -> None:
    assert read_rows(_write_rows(tmp_path, kind), "b", "a") == [("1", "one"), ("2", 'say "two"')]


@pytest.mark.parametrize("kind", [".jsonl", ".csv", ".tsv", ".parquet"])
def test_a_missing_column_is_an_error_that_says_which_there_are(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=r"rows\.\w+.*no column 'text', it has a, b; map them with source.columns"):
        read_rows(_write_rows(tmp_path, kind), "text")


@pytest.mark.parametrize("line", ['{"text": ', "[" * 100_000, "not json", '["text"]'])
def test_a_line_that_is_no_json_object_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"text": "fine"}}\n\n{line}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:3: "):
        read_rows(path, "text")


def test_half_a_surrogate_pair_in_json_becomes_a_replacement_sign(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a\\ud800b\\ud83d\\ude00"}\n')
    assert read_rows(path, "text") == [("a\ufffdb\U0001f600",)]


def test_values_that_are_not_text_become_text_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"x": ["a", "b"], "y": null, "z": true}\n')
    assert read_rows(path, "x", "y", "z") == [("a b", "", "true")]
    path.write_text('{"x": {"a": 1}}\n')
    with pytest.raises(InputError, match=r"a\.jsonl:1: expected text, found dict"):
        read_rows(path, "x")


NESTED = [
    {"x": {"text": ["one", "two"], "de": "eins"}, "x.de": "wins", "n": 1},
    {"x": {"text": ["three"], "de": None}, "x.de": "again", "n": 2},
]


def _write_nested(folder: Path, kind: str) -> Path:
    path = folder / f"rows{kind}"
    if kind == ".parquet":
        pq.write_table(pa.Table.from_pylist(NESTED), path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in NESTED))
    return path


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_a_path_leads_into_nested_data(tmp_path: Path, kind: str) -> None:
    path = _write_nested(tmp_path, kind)
    assert read_rows(path, "x.text.0", "x.text") == [("one", "one two"), ("three", "three")]
    assert read_rows(path, ["x.text.0", "x.text.1"]) == [("one", "two"), ("three", "")]


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_a_column_whose_name_holds_the_dots_wins(tmp_path: Path, kind: str) -> None:
    assert read_rows(_write_nested(tmp_path, kind), "x.de") == [("wins",), ("again",)]


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("x.text.1", r"[ :]2: there is nothing at 'x\.text\.1' \(the list has 1 entries\)"),
        ("x.txet.0", r"[ :]1: there is no 'txet' on the way to 'x\.txet\.0'; did you mean 'text'\?"),
        ("x.text.first", r"[ :]1: 'x\.text\.first' needs a position such as 0 in place of 'first', found a list"),
        ("n.0", r"[ :]1: there is no 'n\.0': '0' is looked for in int 1"),
        ("x", r"[ :]1: expected text, found dict .* in 'x'; map text columns"),
        ("y.text", r"there is no column 'y\.text', it has x, x\.de, n"),
    ],
)
def test_a_path_that_leads_nowhere_is_named_by_its_row(tmp_path: Path, kind: str, path: str, message: str) -> None:
    with pytest.raises(InputError, match=rf"rows\{kind}.*{message}"):
        read_rows(_write_nested(tmp_path, kind), path)


@pytest.mark.parametrize("kind", [".jsonl", ".parquet"])
def test_a_misspelt_further_column_is_an_error_too(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match="no 'txet' on the way"):
        read_rows(_write_nested(tmp_path, kind), ["x.text.0", "x.txet.1"])


def test_null_on_the_way_is_an_error_in_a_first_column_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": "text", "b": null}\n')
    assert read_rows(path, ["a", "b.text.0"], "b") == [("text", "", "")]
    with pytest.raises(InputError, match=r"a\.jsonl:1: there is nothing at 'b\.text\.0' \(null where 'text"):
        read_rows(path, "b.text.0")


@pytest.mark.parametrize("kind", [".csv", ".tsv"])
def test_cells_of_tables_hold_nothing_nested(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputError, match=r"there is no column 'a\.0', it has a, b \(did you mean 'a'\?\)"):
        read_rows(_write_rows(tmp_path, kind), "a.0")


def test_only_the_columns_that_are_needed_leave_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []
    iter_batches = pq.ParquetFile.iter_batches

    def spy(file: pq.ParquetFile, size: int, columns: list[str], use_threads: bool):
        asked.append(columns)
        return iter_batches(file, size, columns=columns, use_threads=use_threads)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", spy)
    read_rows(_write_nested(tmp_path, ".parquet"), ["x.text.0", "x.text.1"])
    assert asked == [["x"]]


def test_files_are_told_by_the_names_of_splits_before_the_first_dot(tmp_path: Path) -> None:
    for name in ("train.jsonl.gz", "Dev.csv", "test.jsonl", "oos_test.jsonl", "test.pdf", "old/train.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    found = {split: file.name for split, file in find_splits(str(tmp_path), key="source.path").items()}
    assert found == {"train": "train.jsonl.gz", "validation": "Dev.csv", "test": "test.jsonl"}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train.txt", "test.txt", "oos_test.txt"], r"no file of text for the split validation \(validation or valid"),
        (["train.txt", "test.txt"], r"it holds test\.txt, train\.txt"),
        (["train.txt", "val.txt", "dev.txt", "test.txt"], r"several files .* validation: dev\.txt, val\.txt; keep one"),
    ],
)
def test_a_split_without_a_file_or_with_several_is_an_error(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("text")
    with pytest.raises(InputError, match=message):
        find_splits(str(tmp_path), key="source.path")


def test_a_csv_row_with_too_few_cells_is_named_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3\n")
    with pytest.raises(InputError, match=r"a\.csv:3: the row has 1 cells, the header names 2 columns"):
        read_rows(path, "a")


def test_a_quote_that_never_ends_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('a,b\n1,"2\n3,4\n')
    with pytest.raises(InputError, match=r"a\.csv:3: "):
        read_rows(path, "a")


def test_a_parquet_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match="not a whole parquet file"):
        read_rows(path, "a")


def test_a_folder_gives_its_readable_files_by_relative_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a/z.md", "a/y.txt.gz", "c.pdf", ".hidden/x.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    assert [file.name for file in find_files(str(tmp_path), key="source.path")] == ["a/y.txt.gz", "a/z.md", "b.txt"]


def test_a_glob_names_files_relative_to_the_folder_before_its_first_sign(tmp_path: Path) -> None:
    for name in ("x/1.txt", "x/2.md", "y/1.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    found = find_files(str(tmp_path / "*" / "*.txt"), key="source.path")
    assert [file.name for file in found] == ["x/1.txt", "y/1.txt"]


def test_a_missing_path_is_an_error_that_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "input.txt").write_text("text")
    with pytest.raises(InputError, match=r"source.path: .*inptu.txt does not exist; in .*: did you mean 'input.txt'\?"):
        find_files(str(tmp_path / "inptu.txt"), key="source.path")


def test_an_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    with pytest.raises(InputError, match=r"a\.txt is empty"):
        find_files(str(tmp_path / "a.txt"), key="source.path")


def test_an_unknown_extension_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(InputError, match=r"a\.pdf: files of this kind cannot be read; allowed: \.txt \.md \.jsonl"):
        kind_of(Path("a.pdf"))


def test_a_name_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.txt")).write_text("text")
    with pytest.raises(InputError, match=r"source\.path: the name of 'caf.udce9\.txt' in .* is not valid UTF-8"):
        find_files(str(tmp_path), key="source.path")
