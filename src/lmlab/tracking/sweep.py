"""A sweep is a parent run; its jobs are runs whose identity names it as their parent."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from filelock import FileLock

from lmlab.tracking.finding import all_runs
from lmlab.tracking.identity import (
    FINGERPRINT_TAG,
    MAX_NAME_LENGTH,
    PARENT_TAG,
    flat_params,
    git_tags,
    settings_yaml,
)
from lmlab.tracking.run import log_params, set_tags
from lmlab.tracking.store import open_store, sparing

SWEEP_TAG = "lmlab.sweep"
FOR_PEOPLE = {".svg", ".csv", ".md"}


def open_sweep(project: Path, *, name: str, fingerprint: str, settings: Mapping[str, object]) -> str | None:
    """The id of the sweep's parent run, found by its fingerprint or created, now RUNNING; none without a store.

    Its parameters are the settings that it began with; tags and settings.yaml are those that it was last started with.
    """
    run_id: str | None = None
    with sparing("opening the sweep"):
        store = open_store(project)
        with FileLock(store.lock):
            where = f"tags.`{SWEEP_TAG}` = '{fingerprint}'"
            found = store.client.search_runs([store.experiment_id], where, order_by=["attributes.start_time DESC"])
            if found:
                run_id = found[0].info.run_id
            else:
                tags = {SWEEP_TAG: fingerprint, "mlflow.note.content": f"Sweep **{name}**", **git_tags(project)}
                created = store.client.create_run(store.experiment_id, tags=tags, run_name=name[:MAX_NAME_LENGTH])
                run_id = created.info.run_id
                log_params(store, run_id, settings)
        store.client.update_run(run_id, status="RUNNING")
        set_tags(store, run_id, {f"lmlab.{key}": value for key, value in flat_params(settings).items()})
        store.client.log_text(run_id, settings_yaml(settings), "settings.yaml")
    return run_id


def close_sweep(
    project: Path, run_id: str | None, *, state: str, summary: Mapping[str, object], folder: Path | None
) -> None:
    """Leave a sweep's parent run FINISHED, FAILED or KILLED.

    The summary becomes an artifact, its numbers tags; what lies in the folder for people (plots, tables), artifacts.
    """
    if run_id is None:
        return
    with sparing("closing the sweep"):
        store = open_store(project)
        store.client.log_dict(run_id, dict(summary), "summary.json")
        for path in sorted(folder.glob("*")) if folder else []:
            if path.suffix in FOR_PEOPLE:
                store.client.log_artifact(run_id, str(path))
        numbers = {f"lmlab.{key}": str(value) for key, value in summary.items() if isinstance(value, int | float | str)}
        if numbers:
            set_tags(store, run_id, numbers)
        store.client.set_terminated(run_id, state)


def end_killed_jobs(project: Path, parent: str | None, *, fingerprints: Sequence[str]) -> None:
    """Leave the sweep's runs that begin with one of these fingerprints, and whose processes are gone, KILLED."""
    if parent is None or not fingerprints:
        return
    with sparing("ending the runs of jobs that were killed"):
        store = open_store(project)
        for run in all_runs(store, f"tags.`{PARENT_TAG}` = '{parent}' and attributes.status = 'RUNNING'"):
            if run.data.tags.get(FINGERPRINT_TAG, "").startswith(tuple(fingerprints)):
                store.client.set_terminated(run.info.run_id, "KILLED")
