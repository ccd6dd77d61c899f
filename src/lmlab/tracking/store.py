"""Where runs are kept: an SQLite file in the project, or what MLFLOW_TRACKING_URI names."""

import logging
import os
import re
import sqlite3
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from filelock import FileLock

from lmlab.errors import InputError
from lmlab.tracking.view import VIEW_TAG, saved_view

if TYPE_CHECKING:
    from mlflow import MlflowClient

AnswerT = TypeVar("AnswerT")

EXPERIMENT = "lmlab"
_SQLITE = "sqlite:///"
_CREDENTIALS = re.compile(r"(?<=://)[^/\s]*@")
_EXPERIMENTS = (".dvc", "tmp", "exps")
"""Where `dvc exp run --temp` and `--queue` copy the project to, and delete the copy at the end."""
# The UI opens the experiment as one of trainings, not of chats.
_EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
_LOGGER = logging.getLogger("lmlab")

# A server that is down costs a training at most these seconds and tries, not MLflow's four minutes.
_CALM = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


class TrackingError(InputError):
    """The tracking store cannot be used."""


class Store(NamedTuple):
    """An open store with its experiment; `lock` is the file that guards finding or creating a run."""

    client: "MlflowClient"
    experiment_id: str
    address: str
    lock: Path

    @property
    def shown_address(self) -> str:
        """The address for messages."""
        return without_credentials(self.address)


def tracking_address(project: Path) -> str:
    """The address of the project's store: MLFLOW_TRACKING_URI, else an absolute SQLite address."""
    address = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
    if not address:
        return _SQLITE + str(_lasting_folder(project) / "mlflow.db")
    if address.startswith(_SQLITE):
        return _SQLITE + str(Path(address.removeprefix(_SQLITE)).resolve())
    return address


def _lasting_folder(project: Path) -> Path:
    """The project's folder; of a copy that DVC made for an experiment, that of the project itself."""
    folder = project.resolve()
    above = (parent.parents[2] for parent in folder.parents if parent.parts[-3:] == _EXPERIMENTS)
    return next(above, folder)


def without_credentials(text: str) -> str:
    """The text, whose addresses tell no user and no password: for every message that shows an address."""
    return _CREDENTIALS.sub("", text)


def open_store(project: Path) -> Store:
    """The project's store, created with its experiment if it is not there yet.

    Raises: TrackingError if it cannot be reached or used.
    """
    address = tracking_address(project)
    database = Path(address.removeprefix(_SQLITE)) if address.startswith(_SQLITE) else None
    lock = (database or _lasting_folder(project) / "mlflow.db").with_suffix(".db.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        # MLflow 3.17 configures its tables with an option that SQLAlchemy 2.1 calls deprecated.
        with FileLock(lock), warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
            client = _client_class()(tracking_uri=address, registry_uri=address)
            if database is not None:
                _use_write_ahead_log(database)
            return Store(client, _experiment(client, database), address, lock)
    except TrackingError:
        raise
    except Exception as error:
        shown = without_credentials(address)
        raise TrackingError(f"the tracking store {shown} cannot be used: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """The first line (at most 200 characters) of what broke: the system's or database's error below MLflow's."""
    if isinstance(error, InputError):
        return str(error)
    broken, below = error, error
    while (cause := below.__cause__ or below.__context__) is not None:
        below = cause
        if isinstance(below, OSError | sqlite3.Error):
            broken = below
    line = without_credentials(str(broken).strip().partition("\n")[0])[:200]
    return f"{type(broken).__name__}: {line}"


@contextmanager
def sparing(doing: str) -> Iterator[None]:
    """Turn whatever goes wrong inside into one warning line: tracking never costs a training.

    Any error is caught, because a store fails in its server's, its database's and its file system's ways.
    """
    try:
        yield
    except Exception as error:
        _LOGGER.warning(
            "tracking failed while %s (%s); the work goes on, and `python -m pipelines.track` fills the run in later",
            doing,
            first_line(error),
        )


@contextmanager
def unless_there() -> Iterator[None]:
    """Create something by its name, or leave it at what another machine created since it was looked for.

    A file that locks is seen by the machines that share a folder alone.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def told(tell: Callable[[], AnswerT]) -> AnswerT:
    """What the store answers; it is told again where it refuses, as a server's database does once while another
    machine tells it the same.
    """
    from mlflow.exceptions import RestException

    try:
        return tell()
    except RestException:
        return tell()


def _client_class() -> "type[MlflowClient]":
    for name, value in _CALM.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    # They log tracebacks and retries for what `sparing` and TrackingError say in one line.
    for name in ("mlflow", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def _use_write_ahead_log(database: Path) -> None:
    # Kept in the file: readers (the UI) and a writer no longer lock each other out.
    with closing(sqlite3.connect(database, timeout=20)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")


def _experiment(client: "MlflowClient", database: Path | None) -> str:
    found = client.get_experiment_by_name(EXPERIMENT)
    if found is None:
        # A server decides itself where artifacts lie.
        location = None if database is None else (database.parent / "mlartifacts").as_uri()
        tags = {**_EXPERIMENT_TAGS, VIEW_TAG: saved_view()}
        with unless_there():
            return client.create_experiment(EXPERIMENT, artifact_location=location, tags=tags)
        found = client.get_experiment_by_name(EXPERIMENT)
        assert found is not None
    if found.lifecycle_stage != "active":
        raise TrackingError(
            f"the experiment '{EXPERIMENT}' of the tracking store was deleted: bring it back with "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
        )
    return found.experiment_id
