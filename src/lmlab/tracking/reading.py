"""Runs of the store, read for a comparison."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lmlab.errors import InputError
from lmlab.files import read_json
from lmlab.tracking.finding import all_runs
from lmlab.tracking.identity import FINGERPRINT_TAG, PARENT_TAG
from lmlab.tracking.store import Store, open_store, without_credentials
from lmlab.tracking.sweep import SWEEP_TAG

if TYPE_CHECKING:
    from mlflow.entities import Run as StoredRun

LATEST = "latest"


class RunRecord(NamedTuple):
    """What the store knows of a run, but for its curves and large artifacts."""

    run_id: str
    name: str
    state: str
    started: int
    """Milliseconds since 1970."""
    params: dict[str, str]
    metrics: dict[str, float]
    tags: dict[str, str]

    @property
    def seed(self) -> str:
        """The seed of its training."""
        return self.params.get("seed", "")


def read_runs(project: Path, where: str = "") -> list[RunRecord]:
    """The runs of trainings, oldest first, that a filter of MLflow's search lets through; all with an empty one.

    Raises: InputError if MLflow does not understand the filter.
    """
    store = open_store(project)
    try:
        runs = all_runs(store, where)
    except Exception as error:  # MLflow's parser raises whatever its database library raises
        if not where:
            raise
        said = without_credentials(str(error).splitlines()[0])
        raise InputError(f"--where: MLflow does not understand this: {said}") from None
    records = [_record(run) for run in runs if FINGERPRINT_TAG in run.data.tags]
    return sorted(records, key=lambda record: record.started)


def find_sweep(project: Path, named: str) -> tuple[str, str]:
    """The id and name of the sweep whose name this is, or whose id begins with it.

    For `latest` the newest with a job that has not failed, since a mistyped sweep says nothing; else the newest.
    Raises: InputError if there is none.
    """
    runs = all_runs(open_store(project))
    sweeps = [run for run in runs if SWEEP_TAG in run.data.tags]
    if named == LATEST:
        telling = {run.data.tags.get(PARENT_TAG) for run in runs if run.info.status in ("FINISHED", "RUNNING")}
        sweeps.sort(key=lambda run: run.info.run_id not in telling)
    for run in sweeps:
        if named in (LATEST, run.info.run_name) or run.info.run_id.startswith(named):
            return run.info.run_id, str(run.info.run_name)
    names = ", ".join(f"'{run.info.run_name}' ({run.info.run_id[:8]})" for run in sweeps[:5]) or "none"
    raise InputError(f"sweep {named}: the store has no such sweep; the newest: {names}")


def children_of(records: Sequence[RunRecord], parent: str) -> list[RunRecord]:
    """The runs that a sweep's parent has."""
    return [record for record in records if record.tags.get(PARENT_TAG) == parent]


def _record(run: "StoredRun") -> RunRecord:
    return RunRecord(
        run.info.run_id,
        str(run.info.run_name),
        run.info.status,
        run.info.start_time,
        dict(run.data.params),
        dict(run.data.metrics),
        dict(run.data.tags),
    )


class Artifacts:
    """Artifacts and curves of runs, fetched when they are asked for into a folder that goes with the block."""

    def __init__(self, project: Path) -> None:
        self._store: Store = open_store(project)
        self._scratch = tempfile.TemporaryDirectory()

    def __enter__(self) -> "Artifacts":
        """The artifacts."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget what was fetched."""
        self._scratch.cleanup()

    def fetch(self, run_id: str, name: str) -> Path | None:
        """The artifact as a file; None if the run has none of that name."""
        folder = Path(self._scratch.name) / run_id
        folder.mkdir(exist_ok=True)
        parent = str(Path(name).parent)
        listed = self._store.client.list_artifacts(run_id, None if parent == "." else parent)
        if name not in [artifact.path for artifact in listed]:
            return None
        return Path(self._store.client.download_artifacts(run_id, name, str(folder)))

    def evaluation(self, run_id: str) -> dict | None:
        """The run's evaluation report."""
        path = self.fetch(run_id, "reports/evaluation.json")
        return None if path is None else read_json(path)

    def error_line(self, run_id: str) -> str:
        """The last line of the traceback that a failed run left: what broke."""
        path = self.fetch(run_id, "traceback.txt")
        lines = path.read_text(encoding="utf-8").strip().splitlines() if path else []
        return lines[-1] if lines else "no traceback was kept"

    def curve(self, run_id: str, key: str) -> list[tuple[int, float]]:
        """The curve's points as step and value."""
        history = self._store.client.get_metric_history(run_id, key)
        return sorted({metric.step: metric.value for metric in history}.items())


def parsed(value: str) -> object:
    """A parameter as the setting that it was: a number, a list, null or a text."""
    try:
        return json.loads(value)
    except ValueError:
        return value
