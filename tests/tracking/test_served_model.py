import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from packaging.requirements import Requirement

from lmlab.applying.applier import changed_decoding
from lmlab.applying.opening import open_applier
from lmlab.files import write_json
from lmlab.tracking import RunFiles, RunIdentity, open_store, track, tracking_address
from lmlab.tracking.model import example_of, requirements_of
from lmlab.tracking.registry import model_folder
from tests.tracking.conftest import LABELS, TASKS, made_up_files, made_up_identity, tiny_task
from tests.tracking.servers import model_server, post

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel

FIELDS = {
    "language_modeling": ["text"],
    "translation": ["source"],
    "question_answering": ["context", "question"],
    "summarization": ["document"],
    "classification": ["text"],
}
SAMPLING = {"max_new_tokens", "temperature", "top_k", "top_p", "seed"}
BEAM = {"max_new_tokens", "beams", "length_penalty"}
PARAMS = {
    "language_modeling": SAMPLING,
    "translation": BEAM,
    "question_answering": SAMPLING,
    "summarization": BEAM,
    "classification": set(),
}
ALONE = """
import importlib.metadata, json, sys
folder, allowed = sys.argv[1], {"lmlab", *sys.argv[2:]}
installed = importlib.metadata.packages_distributions()
class Absent:
    def find_spec(self, name, path=None, target=None):
        owners = {one.lower().replace("_", "-") for one in installed.get(name.split(".")[0], [])}
        if owners and not owners & allowed:
            raise ModuleNotFoundError(f"{name} is not there", name=name)
sys.meta_path.insert(0, Absent())
from mlflow import pyfunc
from pandas import DataFrame
pyfunc.load_model(folder).predict(DataFrame([["the cat"]], columns=["source"]))
import lmlab
print(lmlab.__file__)
"""
"""Loads a model and asks it where nothing is installed but these distributions."""


class Served(NamedTuple):
    """A task's bundle, and the model that MLflow loads of it."""

    bundle: Path
    folder: Path
    """Of the logged model."""
    model: "PyFuncModel"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, shared_project: Path) -> dict[str, Served]:
    """A tiny model of each task, registered in the shared project."""
    from mlflow import pyfunc

    found = {}
    for task in TASKS:
        files = made_up_files(tmp_path_factory.mktemp(task) / "files", model="transformer", seed=1, task=task)
        track(shared_project, made_up_identity(model="transformer", seed=1, task=task), files)
        folder = model_folder(shared_project, f"models:/{task}/1").parents[1]
        assert files.export is not None
        found[task] = Served(files.export / "bundle", folder, pyfunc.load_model(str(folder)))
    return found


def _asked(task: str) -> list[dict[str, str]]:
    """A request of two rows."""
    return [{field: f"{text} {field[:3]}" for field in FIELDS[task]} for text in ("the cat", "sat")]


def _split(rows: list[dict[str, str]]) -> dict:
    return {"dataframe_split": {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}}


def test_the_bundle_is_the_runs_model_and_has_its_metrics(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    tracked = track(project, identity, files)
    store = open_store(project)
    [model] = store.client.search_logged_models([store.experiment_id])
    assert (model.name, model.status, model.source_run_id) == ("lstm", "READY", tracked.run_id)
    outputs = store.client.get_run(tracked.run_id).outputs
    assert outputs is not None
    assert [output.model_id for output in outputs.model_outputs] == [model.model_id]
    [metric] = [metric for metric in model.metrics or [] if metric.key == "bits_per_byte"]
    assert metric.value == pytest.approx(2.41)
    assert metric.dataset_name == "package_docs/test"


def test_the_logged_model_pickles_nothing_and_carries_its_code(served: dict[str, Served]) -> None:
    folder = served["translation"].folder
    assert not list(folder.rglob("*.pkl"))
    assert not list(folder.rglob("__pycache__"))
    assert (folder / "code" / "lmlab" / "bundle.py").is_file()
    assert "torch==2.13.0" in (folder / "requirements.txt").read_text(encoding="utf-8").split()


@pytest.mark.parametrize("task", TASKS)
def test_a_request_has_the_tasks_fields_and_may_change_how_it_decodes(served: dict[str, Served], task: str) -> None:
    signature = served[task].model.metadata.signature
    assert signature.inputs.input_names() == FIELDS[task]
    outputs = {column.name: str(column.type) for column in signature.outputs.inputs}
    if task == "classification":
        assert outputs == {"label": "DataType.string", "probabilities": "Map(str -> DataType.double)"}
    else:
        assert outputs == {"text": "DataType.string"}
    defaults = {param.name: param.default for param in signature.params.params} if signature.params else {}
    assert set(defaults) == PARAMS[task]
    own = open_applier(served[task].bundle).task.decoding
    assert changed_decoding(own, {name: value for name, value in defaults.items() if name != "seed"}) == own


@pytest.mark.parametrize("task", TASKS)
def test_the_loaded_model_answers_as_the_bundle_does(served: dict[str, Served], task: str) -> None:
    from pandas import DataFrame

    answers = served[task].model.predict(DataFrame(_asked(task)))
    # Torch runs this one, onnxruntime MLflow's.
    expected = open_applier(served[task].bundle, engine="torch").answer(_asked(task))
    if task != "classification":
        assert answers["text"].tolist() == [reply.text for reply in expected]
        return
    assert answers["label"].tolist() == [reply.text for reply in expected]
    for probabilities, reply in zip(answers["probabilities"], expected, strict=True):
        assert sorted(probabilities) == sorted(LABELS)
        # Two engines round differently, and have 24 bits.
        assert probabilities == pytest.approx(reply.probabilities, rel=1e-4)
        assert max(probabilities, key=probabilities.get) == reply.text


def test_params_of_a_request_change_the_answer(served: dict[str, Served]) -> None:
    from pandas import DataFrame

    bundle, _, model = served["language_modeling"]
    asked = {"text": "the "}
    applier = open_applier(bundle, engine="torch")
    changes = {"max_new_tokens": 9, "temperature": 0.5}
    decoding = changed_decoding(applier.task.decoding, changes)
    [expected] = applier.answer([asked], decoding=decoding, seed=7)
    [answer] = model.predict(DataFrame([asked]), params={**changes, "seed": 7})["text"]
    assert answer == expected.text
    assert len({model.predict(DataFrame([asked]), params={"seed": seed})["text"][0] for seed in range(8)}) > 1


@pytest.mark.parametrize(
    ("task", "rows", "params", "line"),
    [
        ("translation", [{"text": "the"}], {}, "source: this column is missing; the task translation asks for source"),
        ("question_answering", [{"context": "the"}], {}, "question: this column is missing"),
        ("translation", [{"source": "the"}, {"source": " "}], {}, "row 2: source: is empty"),
        ("classification", [{"text": ""}], {}, "text: is empty"),
        ("classification", [{"text": None}], {}, "text: must be a text, found None"),
        (
            "language_modeling",
            [{"text": "the cat " * 9}],
            {},
            "the prompt has 73 tokens, and the model reads 32 at most before an answer",
        ),
        ("language_modeling", [{"text": "the"}], {"top_p": 2.0}, "decoding.sampling.top_p: must be less than"),
        ("translation", [{"source": "the"}], {"max_new_tokens": 10**9}, "params.max_new_tokens: must be at most 4096"),
        ("translation", [{"source": "the"}], {"beams": 65}, "params.beams: must be at most 64 in a request, found 65"),
    ],
)
def test_a_request_that_cannot_be_answered_is_refused_in_one_line(
    served: dict[str, Served], task: str, rows: list[dict], params: dict, line: str
) -> None:
    from mlflow.exceptions import MlflowException
    from pandas import DataFrame

    with pytest.raises(MlflowException) as refused:
        served[task].model.predict(DataFrame(rows), params=params)
    assert refused.value.get_http_status_code() == 400
    # So does MLflow's server before it sends it.
    refused.value.message = f"Failed to predict data '{rows}'. \nError: {refused.value.message}"
    said = json.loads(refused.value.serialize_as_json())["message"]
    assert said.startswith(line)
    assert "\n" not in said


def test_the_example_is_a_short_test_record(served: dict[str, Served]) -> None:
    example = served["question_answering"].model.input_example
    assert example is not None
    assert example.to_dict("records") == [{"context": "sat context", "question": "sat question"}]


def test_without_records_the_example_is_made_up() -> None:
    assert example_of(tiny_task("summarization"), None) == {"document": "Some document."}
    assert example_of(tiny_task("language_modeling"), None) == {"text": "The "}


def test_only_a_pretrained_model_needs_transformers(served: dict[str, Served], tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {"model": {"name": "pretrained"}})
    assert "transformers" in requirements_of(tmp_path)
    required = (served["translation"].folder / "requirements.txt").read_text(encoding="utf-8")
    assert "transformers" not in required


@pytest.mark.slow
def test_a_model_needs_no_more_than_its_requirements(served: dict[str, Served], tmp_path: Path) -> None:
    folder = served["translation"].folder
    required = (folder / "requirements.txt").read_text(encoding="utf-8").splitlines()
    allowed = _with_dependencies([line.partition("==")[0] for line in required])
    assert "pytorch-lightning" not in allowed
    command = [sys.executable, "-W", "ignore", "-c", ALONE, str(folder), *sorted(allowed)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(folder)


def _with_dependencies(names: list[str]) -> set[str]:
    """What pip installs for these."""
    found, waiting = set(), list(names)
    while waiting:
        name = _plain(waiting.pop())
        if name not in found and (needed := importlib.metadata.requires(name)) is not None:
            needs = [Requirement(line) for line in needed]
            waiting += [one.name for one in needs if one.marker is None or one.marker.evaluate({"extra": ""})]
        found.add(name)
    return found


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


@pytest.mark.slow
@pytest.mark.parametrize("task", ["translation", "classification"])
def test_mlflow_serves_the_registered_model(
    served: dict[str, Served], shared_project: Path, tmp_path: Path, task: str
) -> None:
    expected = open_applier(served[task].bundle).answer(_asked(task))
    [field] = FIELDS[task]
    requests = [_split([{"txt": "the"}]), _split([{field: ""}]), _split(_asked(task))]
    with model_server(f"models:/{task}/1", store=tracking_address(shared_project), folder=tmp_path) as address:
        wrong, empty, right = (post(address, request) for request in requests)
    assert (wrong[0], wrong[1]["message"]) == (
        400,
        f"{field}: this column is missing; the task {task} asks for {field}",
    )
    assert (empty[0], empty[1]["message"]) == (400, f"{field}: is empty; give the text that the model is to answer")
    if task == "translation":
        assert right == (200, {"predictions": [{"text": reply.text} for reply in expected]})
    else:
        predictions = [{"label": reply.text, "probabilities": reply.probabilities} for reply in expected]
        assert right == (200, {"predictions": predictions})
