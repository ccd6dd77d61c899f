"""Sources: what records they give, in which split, under which digest."""

import ast
import shutil
from pathlib import Path

import pytest

from lmlab.data import packages
from lmlab.data.docstrings import read_docstrings
from lmlab.data.source import SPLITS
from lmlab.errors import InputError
from tests.data.cleaned import build_source, shared, source_settings, values_of

SMALL = {"packages": ["networkx"], "minimum_characters": 200}
EVEN = {"train": 0.4, "validation": 0.3, "test": 0.3}


def _docstrings(folder: Path, code: str) -> list[tuple[str, str]] | None:
    (folder / "m.py").write_text(code)
    found = read_docstrings(folder / "m.py", minimum_characters=1)
    return None if found is None else [(name, text) for name, text in found]


def test_docstrings_of_module_classes_and_functions_come_dedented_in_order(tmp_path: Path) -> None:
    code = '"""M."""\nclass A:\n    """A\n\n    x\n      y\n    """\n    def f(self):\n        """F."""\n'
    code += 'async def g():\n    "G."\n'
    assert _docstrings(tmp_path, code) == [("", "M."), ("A", "A\n\nx\n  y"), ("A.f", "F."), ("g", "G.")]


def test_a_name_that_is_defined_again_gets_a_number(tmp_path: Path) -> None:
    code = 'if x:\n    def f():\n        "1"\nelse:\n    def f():\n        "2"\n'
    assert _docstrings(tmp_path, code) == [("f", "1"), ("f#2", "2")]


def test_old_escapes_warn_nobody_and_broken_files_are_left_out(tmp_path: Path) -> None:
    assert _docstrings(tmp_path, 'def f():\n    "\\d"\n') == [("f", "\\d")]
    assert _docstrings(tmp_path, "print 'python 2'") is None


def test_half_a_surrogate_pair_in_a_docstring_becomes_a_replacement_sign(tmp_path: Path) -> None:
    assert _docstrings(tmp_path, 'def f():\n    "a\\ud800b"\n') == [("f", "a\ufffdb")]


def test_package_docs_are_what_ast_finds_in_a_module() -> None:
    import networkx.algorithms.clique as module

    tree = ast.parse(Path(module.__file__).read_text(encoding="utf-8"))
    function = next(n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef) and n.name == "find_cliques")
    by_id = {record.id: record for record in build_source("package_docs", **SMALL).records()}
    record = by_id["networkx/algorithms/clique.py:find_cliques"]
    assert record.values == (ast.get_docstring(function), "networkx")


def test_package_docs_of_one_module_share_a_split_and_ids_are_unique() -> None:
    split_of_module: dict[str, set[str]] = {}
    ids = []
    for record in build_source("package_docs", **SMALL).records():
        split_of_module.setdefault(record.id.partition(":")[0], set()).add(record.split)
        ids.append(record.id)
        assert len(record.values[0]) >= 200
        assert "/tests/" not in record.id
    assert {len(splits) for splits in split_of_module.values()} == {1}
    assert len(ids) == len(set(ids))


def test_another_package_moves_no_record_to_another_split() -> None:
    alone = {record.id: record.split for record in build_source("package_docs", **SMALL).records()}
    packages = {**SMALL, "packages": ["pydantic", "networkx"]}
    together = {record.id: record.split for record in build_source("package_docs", **packages).records()}
    assert alone.items() <= together.items()
    assert len(together) > len(alone)


@pytest.mark.slow
def test_reading_in_several_processes_gives_what_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "FILES_WORTH_A_POOL", 1)
    monkeypatch.setattr(packages, "num_cores", lambda: 2)
    pooled = list(build_source("package_docs", **SMALL).records())
    monkeypatch.setattr(packages, "num_cores", lambda: 1)
    assert pooled == list(build_source("package_docs", **SMALL).records())


def test_a_package_that_is_not_installed_is_an_error() -> None:
    with pytest.raises(InputError, match="source.packages: 'nosuchpackage' is not installed"):
        build_source("package_docs", packages=["nosuchpackage"]).digest()


def test_the_digest_of_package_docs_changes_with_packages_and_settings() -> None:
    digests = {
        build_source("package_docs", **values).digest()
        for values in (SMALL, {**SMALL, "minimum_characters": 300}, {**SMALL, "packages": ["numpy"]})
    }
    assert len(digests) == 3


def test_one_whole_text_is_split_by_position(tmp_path: Path) -> None:
    text = "".join(f"line {number}\n" for number in range(500))
    (tmp_path / "a.txt").write_text(text)
    source = build_source("files", path=str(tmp_path / "a.txt"), piece_characters=100)
    parts = {split: "".join(value for (value,) in rows) for split, rows in values_of(source).items()}
    first, second = int(len(text) * 0.9), int(len(text) * 0.95)
    assert parts == {"train": text[:first], "validation": text[first:second], "test": text[second:]}


def test_pieces_of_one_document_share_its_number_and_parts_do_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word " * 1000)
    source = build_source("files", path=str(tmp_path / "a.txt"), piece_characters=100)
    numbers = {split: {r.document for r in source.records() if r.split == split} for split in SPLITS}
    assert numbers == {"train": {0}, "validation": {1}, "test": {2}}


def test_whole_files_of_a_folder_are_split_by_name_and_more_files_move_none(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_text(f"text {number}")
    before = {r.id: r.split for r in build_source("files", path=str(tmp_path), fractions=EVEN).records()}
    for number in range(40, 60):
        (tmp_path / f"{number}.txt").write_text(f"text {number}")
    after = {r.id: r.split for r in build_source("files", path=str(tmp_path), fractions=EVEN).records()}
    assert before.items() <= after.items()
    assert len(after) == 60


def test_lines_that_are_added_move_no_line_to_another_split(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {number}\n" for number in range(50)))
    settings = {"path": str(path), "documents": "lines", "fractions": EVEN}
    before = values_of(build_source("files", **settings))
    path.write_text("new first\n" + path.read_text() + "new last\n")
    after = values_of(build_source("files", **settings))
    assert all(set(before[split]) <= set(after[split]) for split in SPLITS)


def test_rows_with_the_same_group_share_a_split(tmp_path: Path) -> None:
    rows = [f'{{"en": "hello {number % 30}", "zh": "{number}"}}\n' for number in range(120)]
    (tmp_path / "a.jsonl").write_text("".join(rows))
    columns = {"source": "en", "target": "zh"}
    source = build_source("files", path=str(tmp_path / "a.jsonl"), columns=columns, group_by="en", fractions=EVEN)
    assert source.fields == ("source", "target")
    splits: dict[str, set[str]] = {}
    for record in source.records():
        splits.setdefault(record.values[0], set()).add(record.split)
    assert len(splits) == 30
    assert {len(found) for found in splits.values()} == {1}


def test_official_splits_stay_as_they_are(tmp_path: Path) -> None:
    for split in SPLITS:
        (tmp_path / f"{split}.jsonl").write_text(f'{{"text": "of {split}"}}\n')
    paths = {split: str(tmp_path / f"{split}.jsonl") for split in SPLITS}
    source = build_source("files", path=None, splits=paths)
    assert values_of(source) == {split: [(f"of {split}",)] for split in SPLITS}


def test_splits_by_name_are_the_files_of_a_folder(tmp_path: Path) -> None:
    for stem in ("train", "valid", "test", "oos_test"):
        (tmp_path / f"{stem}.jsonl").write_text(f'{{"text": "of {stem}"}}\n')
    source = build_source("files", path=str(tmp_path), splits="by_name")
    assert values_of(source) == {"train": [("of train",)], "validation": [("of valid",)], "test": [("of test",)]}
    assert [record.id for record in source.records()] == ["train.jsonl:1", "valid.jsonl:1", "test.jsonl:1"]


def test_further_columns_are_fields_with_numbers(tmp_path: Path) -> None:
    for split in SPLITS:
        row = f'{{"q": "{split}?", "gold": ["yes"], "other": null}}\n{{"q": "b", "gold": ["a", "b"], "other": "c"}}\n'
        (tmp_path / f"{split}.jsonl").write_text(row)
    columns = {"answer": ["gold.0", "gold.1", "other"], "question": "q"}
    source = build_source("files", path=str(tmp_path), splits="by_name", columns=columns)
    assert source.fields == source.content == ("answer", "answer_2", "answer_3", "question")
    assert values_of(source)["test"] == [("yes", "", "", "test?"), ("a", "b", "c", "b")]


def test_rows_can_be_grouped_by_a_value_inside_nested_data(tmp_path: Path) -> None:
    rows = [f'{{"text": "{number}", "of": {{"page": "{number % 30}"}}}}\n' for number in range(120)]
    (tmp_path / "a.jsonl").write_text("".join(rows))
    source = build_source("files", path=str(tmp_path / "a.jsonl"), group_by="of.page", fractions=EVEN)
    pages = {split: {int(text) % 30 for (text,) in found} for split, found in values_of(source).items()}
    assert sum(map(len, pages.values())) == 30


@pytest.mark.parametrize(
    ("name", "columns", "first"),
    [
        ("fairytaleqa", {"question": "question", "answer": ["answer", "answer2"]}, "delightfully cold"),
        ("scitldr", {"document": "source", "answer": ["target.0", "target.1", "target.2"]}, "We provide necessary"),
        ("clinc150", {"text": "text", "answer": "intent"}, "translate"),
    ],
)
def test_official_sets_are_read_by_name(name: str, columns: dict, first: str) -> None:
    source = build_source("files", path=str(shared(name)), splits="by_name", columns=columns)
    record = next(iter(source.records()))
    assert record.split == "train"
    assert record.values[source.fields.index("answer")].startswith(first)


def test_the_digest_of_files_is_of_bytes_and_names_not_of_the_place(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "a.txt").write_text("some text")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    here, there = (build_source("files", path=str(tmp_path / name)).digest() for name in ("one", "two"))
    (tmp_path / "two" / "a.txt").write_text("some texT")
    changed = build_source("files", path=str(tmp_path / "two")).digest()
    (tmp_path / "one" / "a.txt").rename(tmp_path / "one" / "b.txt")
    assert here == there
    assert len({here, changed, build_source("files", path=str(tmp_path / "one")).digest()}) == 3


def test_too_few_records_are_an_error_with_their_number_and_the_minimum(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    source = build_source("files", path=str(tmp_path / "a.txt"), documents="lines")
    with pytest.raises(InputError, match=r"source.path: 2 records are too few .* got none; give at least 60"):
        list(source.records())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": None}, "source: give either path or splits"),
        ({"path": "a.txt", "encoding": "utf-99"}, "source.encoding: no such text encoding"),
        ({"path": "a.txt", "encoding": "base64"}, "source.encoding: no such text encoding"),
        ({"path": "a.txt", "columns": {"id": "x"}}, "source.columns: a field cannot be called 'id'"),
        ({"path": "a.txt", "columns": {"document_number": "x"}}, "a field cannot be called 'document_number'"),
        ({"path": "a.txt", "columns": {"a": ["x", "y"], "a_2": "z"}}, "the field 'a_2' is already there"),
        ({"path": "a.txt", "columns": {"a": []}}, "a needs the name of a column or a list of names"),
        ({"path": "a.txt", "splits": "by_nam"}, "source.splits: allowed: by_name, or a path for each split"),
        ({"path": None, "splits": "by_name"}, "splits=by_name needs the folder"),
        ({"path": None, "splits": {"trian": "x"}}, "source.splits: there is no split 'trian'; did you mean 'train'"),
        ({"path": None, "splits": {"train": "x"}}, "source.splits: there is no path for validation and test"),
        ({"path": "a.txt", "piece_characters": 1}, "source.piece_characters"),
    ],
)
def test_settings_that_contradict_are_refused_by_path(values: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        source_settings("files", **values)


def test_columns_of_plain_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match="plain text has no columns"):
        build_source("files", path=str(tmp_path / "a.txt"), columns={"text": "body"})


def test_plain_text_beside_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.csv").write_text("text\nx\n")
    with pytest.raises(InputError, match=r"a\.txt is plain text and .*b\.csv has columns"):
        build_source("files", path=str(tmp_path))
