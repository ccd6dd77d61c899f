"""The exported bundle as a logged MLflow model that `mlflow models serve` serves."""

import tempfile
import warnings
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import lmlab
from lmlab.files import read_json
from lmlab.tracking.parts import CONTEXTS
from lmlab.tracking.store import Store

if TYPE_CHECKING:
    from mlflow.models import Model

WEIGHTS = "model.safetensors"
# What loading a bundle and generating from it imports; given, so that MLflow does not go looking.
_REQUIREMENTS = ("mlflow", "torch", "tokenizers", "safetensors", "numpy", "pydantic", "jaxtyping", "omegaconf")
EXAMPLE_PROMPTS = ("Returns the ", "The ")


def bundle_in(export: Path) -> Path | None:
    """The exported bundle: the folder itself or its subfolder `bundle`, whichever has weights."""
    return next((folder for folder in (export / "bundle", export) if (folder / WEIGHTS).is_file()), None)


def log_model(store: Store, run_id: str, bundle: Path) -> None:
    """Log the bundle as the run's model, in place of an older one."""
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    client = store.client
    for stale in client.search_logged_models([store.experiment_id], f"source_run_id = '{run_id}'"):
        client.delete_logged_model(stale.model_id)
    config = read_json(bundle / "config.json")
    name = str(config.get("model", {}).get("name", "model"))
    params = client.get_run(run_id).data.params
    model = client.create_logged_model(
        store.experiment_id,
        name=name,
        source_run_id=run_id,
        params=params,
        model_type="language model",
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        entry = Model(
            artifact_path=model.artifact_location, model_uuid=model.model_id, model_id=model.model_id, run_id=run_id
        )
        _save(path, bundle, entry=entry, params=params)
        client.log_model_artifacts(model.model_id, str(path))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])


def _save(path: Path, bundle: Path, *, entry: "Model", params: Mapping[str, str]) -> None:
    # MLflow 3.17 warns of its own annotations when it is imported, and of pandas 3 when it looks at a frame.
    with warnings.catch_warnings(action="ignore"):
        import pandas
        from mlflow import pyfunc

        from lmlab.tracking.serving import signature

        pyfunc.save_model(
            path=str(path),
            mlflow_model=entry,
            loader_module="lmlab.tracking.serving",
            data_path=str(bundle),
            # The model carries the code that loads it, so that it serves without this project.
            code_paths=[str(Path(lmlab.__file__).parent)],
            signature=signature(params),
            input_example=pandas.DataFrame({"prompt": list(EXAMPLE_PROMPTS)}),
            # Without the part after the plus: a build for one machine.
            pip_requirements=[f"{name}=={version(name).partition('+')[0]}" for name in _REQUIREMENTS],
        )


def link_metrics(store: Store, run_id: str, keys: Iterable[str]) -> None:
    """Tell the run's model and its test data set of the run's final metrics."""
    from mlflow.entities import Metric

    run = store.client.get_run(run_id)
    if not run.outputs or not run.outputs.model_outputs:
        return
    model_id = run.outputs.model_outputs[-1].model_id
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
                model_id=model_id,
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
