"""One run that a person names, and the settings that it had."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lmlab.config import read_params
from lmlab.errors import InputError
from lmlab.tracking.identity import FINGERPRINT_TAG
from lmlab.tracking.store import Store, open_store

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun

SHOWN = 5
RUNS_PER_CALL = 1000


class FoundRun(NamedTuple):
    """A run of the store."""

    run_id: str
    name: str
    tags: dict[str, str]


def find_one_run(project: Path, named: str) -> FoundRun:
    """The run whose id or name this is, or whose id or fingerprint begins with it.

    Raises: InputError if there is none, or several.
    """
    store = open_store(project)
    found = [run for run in all_runs(store) if _is_meant(run, named)]
    if not found:
        raise InputError(
            f"{named}: the tracking store {store.shown_address} has no run of that id, name or "
            "fingerprint: `python -m pipelines.compare` lists ids"
        )
    if len(found) > 1:
        ids = ", ".join(f"{run.info.run_id[:8]} ({run.info.run_name})" for run in found[:SHOWN])
        raise InputError(f"{named}: {len(found)} runs are meant by that: {ids}...; give the id of one")
    [run] = found
    return FoundRun(run.info.run_id, str(run.info.run_name), dict(run.data.tags))


def all_runs(store: Store, where: str = "") -> "list[StoredRun]":
    """Every run of the project's experiment that a filter of MLflow's search lets through, newest first."""
    runs, token = [], None
    while True:
        page = store.client.search_runs([store.experiment_id], where, max_results=RUNS_PER_CALL, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs


def _is_meant(run: "StoredRun", named: str) -> bool:
    fingerprint = run.data.tags.get(FINGERPRINT_TAG)
    if fingerprint is None:
        # A sweep's parent has no settings of its own.
        return False
    return run.info.run_name == named or run.info.run_id.startswith(named) or fingerprint.startswith(named)


def read_settings(project: Path, run: FoundRun) -> dict[str, Any]:
    """The composed settings that the run was made with."""
    store = open_store(project)
    with tempfile.TemporaryDirectory() as scratch:
        return read_params(Path(store.client.download_artifacts(run.run_id, "settings.yaml", scratch)))
