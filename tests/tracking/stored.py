"""What a store holds of the one run in it."""

from pathlib import Path
from typing import TYPE_CHECKING

from lmlab.tracking import open_store

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun


def only_run(project: Path) -> "StoredRun":
    """The store's run."""
    store = open_store(project)
    [run] = store.client.search_runs([store.experiment_id])
    return run


def steps(project: Path, key: str) -> list[int]:
    """The steps of a metric's points."""
    run = only_run(project)
    return [point.step for point in open_store(project).client.get_metric_history(run.info.run_id, key)]
