"""The parts of a run that are read from its files: final metrics, curves, data sets, samples, plots."""

import csv
import json
import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from lmlab.files import folder_files, read_seal
from lmlab.results import flat_numbers
from lmlab.tracking.curves import POINTS_PER_CALL, Point
from lmlab.tracking.run import send_points, set_tags
from lmlab.tracking.store import Store, told

CONTEXTS = {"train": "training", "validation": "validation", "test": "test"}
SAMPLES = "samples.json"


def training_metrics(report: Mapping[str, object]) -> dict[str, float]:
    """The training report's numbers, apart from the curves by their prefix; `parameters` stays as it is.

    People plot metrics against the number of parameters, so that one is a metric without a prefix.
    """
    numbers = flat_numbers(report)
    plain = {"parameters": numbers["parameters"]} if "parameters" in numbers else {}
    return {**plain, **{f"training/{key}": value for key, value in numbers.items() if key not in plain}}


def log_final_metrics(store: Store, run_id: str, metrics: Mapping[str, float]) -> None:
    """Log each metric that the store lacks or has another value of, as a single value (step 0)."""
    present = store.client.get_run(run_id).data.metrics
    now = _now()
    points = [Point(key, value, 0, now) for key, value in metrics.items() if present.get(key) != value]
    _send(store, run_id, points)


def log_curves(store: Store, run_id: str, history: Path) -> None:
    """Log the points of history.csv at steps where the store has none."""
    now = _now()
    with history.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for key in [key for key in (rows[0] if rows else {}) if key != "step"]:
        points = {int(row["step"]): float(row[key]) for row in rows if row[key]}
        present = {metric.step for metric in store.client.get_metric_history(run_id, key)}
        missing = [Point(key, value, step, now) for step, value in points.items() if step not in present]
        _send(store, run_id, missing)


def log_data(store: Store, run_id: str, records: Path) -> None:
    """Log each split as a data set input, with its digest, rows and fields from the seal of the records."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    seal = read_seal(records)
    name = store.client.get_run(run_id).data.params.get("source.name", "records")
    schema = json.dumps({"mlflow_colspec": [{"name": field, "type": "string"} for field in seal.get("fields", [])]})
    inputs = [
        DatasetInput(
            Dataset(
                name=f"{name}/{split}",
                digest=seal["files"][f"{split}.parquet"][:32],
                source_type="local",
                source=json.dumps({"uri": f"{records.name}/{split}.parquet"}),
                schema=schema,
                profile=json.dumps({"num_rows": seal.get("rows", {}).get(split)}),
            ),
            tags=[InputTag("mlflow.data.context", context)],
        )
        for split, context in CONTEXTS.items()
        if f"{split}.parquet" in seal.get("files", {})
    ]
    if inputs:
        told(lambda: store.client.log_inputs(run_id, inputs))


def log_samples(store: Store, run_id: str, evaluation: Mapping) -> None:
    """Log the generated samples as a table that the UI shows and compares."""
    samples = evaluation.get("details", {}).get("samples", [])
    if not samples:
        return
    table = {"columns": ["prompt", "text"], "data": list(_sample_rows(samples))}
    # MLflow's log_table appends to a table that is there; this replaces it.
    store.client.log_text(run_id, json.dumps(table, ensure_ascii=False), SAMPLES)
    set_tags(store, run_id, {"mlflow.loggedArtifacts": json.dumps([{"path": SAMPLES, "type": "table"}])})


def _sample_rows(samples: list[dict]) -> Iterator[list[str]]:
    # The UI sets runs side by side by their prompts, and leaves out rows whose prompt is empty.
    unprompted = count(1)
    for sample in samples:
        yield [sample["prompt"] or f"(no prompt, {next(unprompted)})", sample["text"]]


def log_plots(store: Store, run_id: str, plots: Path) -> None:
    """Log every plot as an artifact under plots/."""
    for path in folder_files(plots):
        folder = (Path("plots") / path.relative_to(plots)).parent
        store.client.log_artifact(run_id, str(path), folder.as_posix())


def _send(store: Store, run_id: str, points: list[Point]) -> None:
    for start in range(0, len(points), POINTS_PER_CALL):
        send_points(store, run_id, points[start : start + POINTS_PER_CALL])


def _now() -> int:
    return time.time_ns() // 1_000_000
