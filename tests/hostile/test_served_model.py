"""A served model answers a request, or refuses it in one line with status 400, whatever the request holds."""

import json
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.applying.opening import open_applier
from tests.applying.tiny_bundles import TASKS, tiny_bundle
from tests.hostile.inputs import ANY_TEXT, BROKEN_TEXT, VALUES, mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import watched

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import PyFuncModel

    from lmlab.tracking.serving import ServedModel

OUR_FAULT = "unexpected error while evaluating the model"
"""What MLflow says where a model raises what it does not know."""
CLIENTS = range(400, 500)


class Served(NamedTuple):
    """A model, and MLflow's door before it."""

    model: "ServedModel"
    door: "PyFuncModel"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    with warnings.catch_warnings(action="ignore"):
        from mlflow.models import Model
        from mlflow.pyfunc import PyFuncModel

        from lmlab.tracking.model import LOADER
        from lmlab.tracking.serving import ServedModel, signature

        found = {}
        folder = tmp_path_factory.mktemp("served")
        for task, learned in TASKS.items():
            model = ServedModel(open_applier(tiny_bundle(folder / task, task)))
            described = Model(signature=signature(learned)).add_flavor("python_function", loader_module=LOADER)
            found[task] = Served(model, PyFuncModel(described, model))
    return found


FIELDS = sorted({name for task in TASKS.values() for name in task.prompt_fields()} | {"text"})
NAMES = st.sampled_from(FIELDS) | ANY_TEXT
CELLS = ANY_TEXT | BROKEN_TEXT | VALUES
PARAMS = st.dictionaries(
    st.sampled_from(["max_new_tokens", "temperature", "top_k", "top_p", "beams", "length_penalty", "seed"]) | ANY_TEXT,
    st.sampled_from([0, 1, 2, 3, 0.5, 1e-9, 10**9, 2**70, -1, "3", None, float("nan")]) | VALUES,
    max_size=2,
)


@st.composite
def tables(draw: st.DrawFn, task: str) -> dict[str, Any]:
    """Columns and rows of a table, mostly with the task's fields."""
    fields = TASKS[task].prompt_fields() or ["text"]
    columns = draw(st.just(fields) | st.lists(NAMES, min_size=1, max_size=3))
    rows = draw(st.lists(st.lists(CELLS, min_size=len(columns), max_size=len(columns)), max_size=3))
    return {"columns": columns, "data": rows}


def _check_refusal(refused: "MlflowException") -> None:
    said = json.loads(refused.serialize_as_json())["message"]
    assert said.strip()
    assert "Traceback" not in said
    assert OUR_FAULT not in said
    assert refused.get_http_status_code() in CLIENTS


def _check_origin(error: Exception) -> None:
    """MLflow reads a request before the model does; its server answers its own errors with status 500."""
    files = [Path(frame.filename).parts for frame in traceback.extract_tb(error.__traceback__)]
    assert not any("lmlab" in parts for parts in files), error


@fuzz(suite=60)
@given(data=st.data(), task=st.sampled_from(list(TASKS)), params=PARAMS | st.just({}))
def test_frames_of_any_cells(served: dict[str, Served], data: st.DataObject, task: str, params: dict[str, Any]) -> None:
    from pandas import DataFrame

    from lmlab.tracking.serving import RefusedRequestError

    table = data.draw(tables(task))
    frame = DataFrame(table["data"], columns=table["columns"], dtype=object)
    with watched():
        try:
            answers = served[task].model.predict(frame, params=params)
        except RefusedRequestError as refused:
            _check_refusal(refused)
        else:
            assert len(answers) == len(frame)


def _ask(served: Served, body: bytes, content_type: str) -> str | None:
    """What MLflow's server sends; None for a request that it cannot read itself."""
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc.scoring_server import invocations

    # As in a server: what MLflow and pandas warn of goes to its log.
    with warnings.catch_warnings(action="ignore"):
        try:
            answer = invocations(body, content_type, served.door, served.door.metadata.get_input_schema())
        except MlflowException as refused:
            _check_refusal(refused)
            return None
        except Exception as error:
            _check_origin(error)
            return None
    json.loads(answer.response, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    return answer.response


BODIES: list[dict[str, Any]] = [
    {"inputs": {"source": ["the cat"]}, "params": {"beams": 1}},
    {"dataframe_split": {"columns": ["source"], "data": [["the cat"], ["the dog"]]}, "params": {"beams": 2}},
    {"dataframe_records": [{"source": "the cat"}, {"source": "the dog"}]},
    {"instances": [{"source": "the cat"}]},
    {"inputs": ["the cat"]},
]


@fuzz(suite=40, parts=2)
@given(body=st.sampled_from(BODIES).flatmap(lambda body: reshaped(body) | reshaped(body, CELLS)))
@example(body={"dataframe_split": {"columns": ["source", "source"], "data": [["the cat", "the dog"]]}})
@example(body={"inputs": {"source": ["the \ud800cat"]}})
def test_json_requests_of_any_shape(served: dict[str, Served], body: Any) -> None:
    with watched():
        _ask(served["translation"], json.dumps(body).encode(), "application/json")


@fuzz(suite=40, parts=2)
@given(body=mutated(json.dumps(BODIES[1]).encode()) | mutated(b'source\n"the cat"\nthe dog\n'), is_json=st.booleans())
def test_requests_of_any_bytes(served: dict[str, Served], body: bytes, is_json: bool) -> None:
    with watched():
        _ask(served["translation"], body, "application/json" if is_json else "text/csv")


def test_a_request_as_it_should_be_is_answered(served: dict[str, Served]) -> None:
    for body in BODIES[:3]:
        answer = _ask(served["translation"], json.dumps(body).encode(), "application/json")
        assert answer is not None
        assert all(row["text"] for row in json.loads(answer)["predictions"])


def test_a_text_without_end_and_two_columns_of_one_name_are_refused(served: dict[str, Served]) -> None:
    from pandas import DataFrame

    from lmlab.tracking.serving import MOST_CHARACTERS, RefusedRequestError

    frames = {
        "has 1,000,001 characters": DataFrame({"source": ["x" * (MOST_CHARACTERS + 1)]}),
        "several columns have this name": DataFrame([["a", "b"]], columns=["source", "source"]),
    }
    for line, frame in frames.items():
        with pytest.raises(RefusedRequestError, match=line):
            served["translation"].model.predict(frame)
