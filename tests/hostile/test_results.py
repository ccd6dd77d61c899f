"""A reported result that somebody changed is found out or refused, its predictions too; no override of it is run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.config import validate
from lmlab.data.task import TaskSettings
from lmlab.evaluation.metric import Answers, Examples
from lmlab.evaluation.predictions import Predictions, read_predictions, write_predictions
from lmlab.evaluation.settings import BootstrapSettings
from lmlab.reported.checking import check_file, check_scores
from lmlab.reported.result import ReportedResult, read_result, write_result
from lmlab.reported.tables import fill_tables, table_of
from pipelines import verify
from tests.corpus import COPYING
from tests.hostile.inputs import ANY_TEXT, mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, refusal_of
from tests.laws.imports import PROJECT
from tests.reported.results import RESULT, result

BOOTSTRAP = validate(BootstrapSettings, {"num_resamples": 5, "seed": 0, "min_documents": 2}, path="bootstrap")
TASK = validate(TaskSettings, COPYING | {"metrics": ["bits_per_byte"]}, path="task")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with one result and its predictions."""
    project = tmp_path_factory.mktemp("project")
    folder = project / "reports" / "results"
    folder.mkdir(parents=True)
    (project / "conf").symlink_to(PROJECT / "conf")
    write_result(folder / "docs_lstm.yaml", result())
    numbers = {name: np.array([3.0, 1.0, 2.0]) for name in ("nats", "tokens", "bytes", "correct")}
    answers = Answers(["yes", "né", ""], [["yes"], ["no"], [""]], ["yes", "no"], np.array([0.5, 0.25, 1.0]))
    predictions = Predictions(Examples(**numbers, answers=answers), ["a", "b", "c"], np.array([4, 4, 7]))
    write_predictions(folder / "docs_lstm.parquet", predictions)
    for name in ("docs_lstm.yaml", "docs_lstm.parquet"):
        (folder / f"{name}.whole").write_bytes((folder / name).read_bytes())
    return folder


def _read(path: Path) -> ReportedResult:
    found = read_result(path)
    table_of([found])
    fill_tables("<!-- results: docs_lstm -->\n<!-- end of results -->", lambda _: found)
    check_file(path, found)
    return found


@fuzz(suite=60, parts=2)
@given(data=st.data())
def test_result_files_of_any_bytes(folder: Path, data: st.DataObject) -> None:
    path = folder / "docs_lstm.yaml"
    whole = (folder / "docs_lstm.yaml.whole").read_bytes()
    path.write_bytes(data.draw(mutated(whole)))
    found = attempt(lambda: _read(path), folder)
    if found is not None and path.read_bytes().rstrip() != whole.rstrip():
        assert not check_file(path, found).holds


@fuzz(suite=60, parts=2)
@given(changed=reshaped(RESULT))
@example(changed=RESULT | {"name": "../../../etc/passwd"})
@example(changed=RESULT | {"parameters": 10**400})
def test_results_of_any_shape(folder: Path, changed: Any) -> None:
    path = folder / "docs_lstm.yaml"
    path.write_text(yaml.safe_dump(changed, allow_unicode=True), encoding="utf-8", errors="replace")
    attempt(lambda: _read(path), folder)


def test_no_override_of_a_result_names_what_is_to_be_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["+hydra.callbacks={mine: {_target_: os.system, command: 'true'}}"]
    write_result(folder / "docs_lstm.yaml", result(overrides=overrides))
    project = folder.parents[1]
    monkeypatch.chdir(project)
    assert "no override" in refusal_of(lambda: verify._subject(project, "docs_lstm"), folder)


CELLS: list[tuple[pa.DataType, Any]] = [
    (pa.string(), "yes"),
    (pa.int64(), 2**62),
    (pa.float64(), float("nan")),
    (pa.list_(pa.string()), ["a"]),
    (pa.list_(pa.string()), None),
    (pa.binary(), b"\xff"),
    (pa.float64(), None),
]
NAMES = ("id", "document", "nats", "tokens", "bytes", "correct", "answer", "references", "confidence")


def _score(path: Path) -> None:
    assert read_predictions(path).ids is not None
    list(check_scores(result(), path, TASK, BOOTSTRAP))


@fuzz(suite=40, parts=2)
@given(data=st.data())
def test_predictions_of_any_bytes(folder: Path, data: st.DataObject) -> None:
    path = folder / "docs_lstm.parquet"
    path.write_bytes(data.draw(mutated((folder / "docs_lstm.parquet.whole").read_bytes(), tail=1500)))
    attempt(lambda: _score(path), folder)


@fuzz(suite=40, parts=2)
@given(
    changes=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CELLS), max_size=2),
    labels=st.sampled_from(["[]", '["a"]', "[1]", "{}", "3", "[" * 5000]) | ANY_TEXT,
    dropped=st.none() | st.sampled_from(NAMES),
)
def test_predictions_of_any_columns(
    folder: Path, changes: dict[str, tuple[pa.DataType, Any]], labels: str, dropped: str | None
) -> None:
    whole = pq.read_table(folder / "docs_lstm.parquet.whole")
    columns = {name: whole[name] for name in NAMES if name != dropped}
    columns |= {name: pa.array([value] * 3, kind) for name, (kind, value) in changes.items()}
    path = folder / "docs_lstm.parquet"
    pq.write_table(pa.table(columns).replace_schema_metadata({b"lmlab.labels": labels.encode()}), path)
    attempt(lambda: _score(path), folder)


def test_a_result_as_it_was_written_is_read(folder: Path) -> None:
    for name in ("docs_lstm.yaml", "docs_lstm.parquet"):
        (folder / name).write_bytes((folder / f"{name}.whole").read_bytes())
    assert json.loads(_read(folder / "docs_lstm.yaml").model_dump_json()) == RESULT
    _score(folder / "docs_lstm.parquet")
