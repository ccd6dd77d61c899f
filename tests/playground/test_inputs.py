import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.applying.opening import open_applier
from lmlab.playground.inputs import examples_for
from tests.applying.tiny_bundles import tiny_bundle


def _records(path: Path, rows: list[dict[str, str | None]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_examples_are_short_test_records_spread_evenly(tmp_path: Path) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "bundle", "translation"))
    rows: list[dict[str, str | None]] = [{"source": f"text {number}", "target": "x"} for number in range(8)]
    path = _records(tmp_path / "test.parquet", [{"source": "x" * 301, "target": "x"}, {"source": " "}, *rows])
    found = examples_for(applier, tmp_path / "bundle", records=path)
    assert [record["source"] for record in found] == ["text 0", "text 2", "text 4", "text 6"]


def test_a_plain_text_gives_its_first_words(tmp_path: Path) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "bundle", "language_modeling"))
    path = _records(tmp_path / "test.parquet", [{"text": "one two three four five"}])
    assert examples_for(applier, tmp_path / "bundle", records=path) == [{"text": "one two three four"}]


def test_records_of_another_task_are_no_examples(tmp_path: Path) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "bundle", "translation"))
    path = _records(tmp_path / "test.parquet", [{"text": "one"}])
    assert examples_for(applier, tmp_path / "bundle", records=path) == []
    assert examples_for(applier, tmp_path / "bundle", records=tmp_path / "none.parquet") == []


def test_a_logged_model_has_the_example_that_it_was_logged_with(tmp_path: Path) -> None:
    applier = open_applier(tiny_bundle(tmp_path / "data" / "bundle", "translation"))
    logged = {"columns": ["source"], "data": [["the dog"]]}
    (tmp_path / "input_example.json").write_text(json.dumps(logged), encoding="utf-8")
    assert examples_for(applier, tmp_path / "data" / "bundle", records=None) == [{"source": "the dog"}]
    (tmp_path / "input_example.json").write_text('{"columns": 3}', encoding="utf-8")
    assert examples_for(applier, tmp_path / "data" / "bundle", records=None) == []
