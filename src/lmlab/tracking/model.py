"""The exported bundle as a logged MLflow model that `mlflow models serve` serves."""

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import lmlab
from lmlab.data.task import LearnedTask
from lmlab.files import read_json
from lmlab.tracking.parts import CONTEXTS
from lmlab.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.models import Model

WEIGHTS = "model.safetensors"
WEIGHTS_TAG = "lmlab.weights"
"""Digest of the run's model.safetensors."""
LOADER = "lmlab.tracking.serving"
VERSIONS_TAG = "mlflow.modelVersions"
"""Where MLflow keeps which registered versions a logged model has."""
# What loading a bundle and answering with it imports; given, so that MLflow does not go looking.
_REQUIREMENTS = (
    *("mlflow", "pandas", "numpy", "torch", "tokenizers", "safetensors", "onnx", "onnxruntime"),
    *("pydantic", "jaxtyping", "omegaconf", "filelock", "tqdm"),
)
_MORE_REQUIREMENTS = {"pretrained": ("transformers",)}
"""What a kind of model imports beside."""
LOOKED_AT = 100
"""Test records that the example is chosen from."""


def bundle_in(export: Path) -> Path | None:
    """The exported bundle: the folder itself or its subfolder `bundle`, whichever has weights."""
    return next((folder for folder in (export / "bundle", export) if (folder / WEIGHTS).is_file()), None)


def model_of(store: Store, run_id: str) -> "LoggedModel | None":
    """The newest model that the run logged."""
    found = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'")
    return max(found, key=lambda model: model.creation_timestamp, default=None)


def log_model(store: Store, run_id: str, bundle: Path, *, records: Path | None) -> None:
    """Log the bundle as the run's model, in place of an older one that is not registered.

    Its example is one of the records' test split, if there are any.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = store.client
    for stale in client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'"):
        if VERSIONS_TAG not in stale.tags:
            client.delete_logged_model(stale.model_id)
    config = read_json(bundle / "config.json")
    task = LearnedTask.model_validate(config["task"])
    params = client.get_run(run_id).data.params
    model = client.create_logged_model(
        store.experiment_id,
        name=str(config["model"]["name"]),
        source_run_id=run_id,
        params=params,
        model_type=task.name,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        entry = Model(
            artifact_path=model.artifact_location, model_uuid=model.model_id, model_id=model.model_id, run_id=run_id
        )
        _save(path, bundle, entry=entry, task=task, example=example_of(task, records))
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])


def example_of(task: LearnedTask, records: Path | None) -> dict[str, str]:
    """What a request may ask: the shortest of the first test records with all of the task's fields, else a made-up one.

    A task without a prompt is asked for the continuation of a text's beginning.
    """
    fields = task.prompt_fields()
    if not fields:
        return {"text": "The "}
    whole = [record for record in _first_test_records(records) if _has_text(record, fields)]
    found = min(whole, key=lambda record: sum(len(str(record[field])) for field in fields), default={})
    return {field: str(found.get(field, f"Some {field}.")) for field in fields}


def _first_test_records(records: Path | None) -> list[Mapping[str, object]]:
    import pyarrow.parquet as pq

    if records is None or not (records / "test.parquet").is_file():
        return []
    with pq.ParquetFile(records / "test.parquet") as table:
        return next((batch.to_pylist() for batch in table.iter_batches(batch_size=LOOKED_AT)), [])


def _has_text(record: Mapping[str, object], fields: Iterable[str]) -> bool:
    return all(isinstance(text := record.get(field), str) and text.strip() for field in fields)


def _save(path: Path, bundle: Path, *, entry: "Model", task: LearnedTask, example: Mapping[str, str]) -> None:
    # MLflow 3.17 warns of its own annotations when it is imported, and of pandas 3 when it looks at a frame.
    with warnings.catch_warnings(action="ignore"):
        import pandas
        from mlflow import pyfunc

        from lmlab.tracking.serving import signature

        pyfunc.save_model(
            path=str(path),
            mlflow_model=entry,
            loader_module=LOADER,
            data_path=str(bundle),
            # The model carries the code that loads it, so that it serves without this project.
            code_paths=[str(Path(lmlab.__file__).parent)],
            signature=signature(task),
            input_example=pandas.DataFrame([example]),
            # Without the part after the plus: a build for one machine.
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in requirements_of(bundle)],
        )


def requirements_of(bundle: Path) -> tuple[str, ...]:
    """The packages that loading the bundle and answering with it imports."""
    kind = read_json(bundle / "config.json")["model"]["name"]
    return _REQUIREMENTS + _MORE_REQUIREMENTS.get(kind, ())


def link_metrics(store: Store, run_id: str, keys: Iterable[str]) -> None:
    """Tell the run's model and its test data set of the run's final metrics."""
    from mlflow.entities import Metric

    model = model_of(store, run_id)
    if model is None:
        return
    run = store.client.get_run(run_id)
    given_data = run.inputs.dataset_inputs if run.inputs else []
    test = next((given.dataset for given in given_data if _context(given) == CONTEXTS["test"]), None)
    wanted = set(keys)
    store.client.log_batch(
        run_id,
        metrics=[
            Metric(
                metric.key,
                metric.value,
                metric.timestamp,
                metric.step,
                model_id=model.model_id,
                dataset_name=test.name if test else None,
                dataset_digest=test.digest if test else None,
            )
            for metric in run.data._metric_objs
            if metric.key in wanted
        ],
    )


def _context(given: object) -> str | None:
    tags = getattr(given, "tags", ())
    return next((tag.value for tag in tags if tag.key == "mlflow.data.context"), None)
