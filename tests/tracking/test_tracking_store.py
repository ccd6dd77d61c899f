import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import RestException

from lmlab.run import Run
from lmlab.tracking import RunIdentity, TrackingError, open_store, track, tracked_run, tracking_address
from lmlab.tracking.fill import RunFiles
from lmlab.tracking.store import told, without_credentials

NO_FILES = RunFiles(*[None] * len(RunFiles._fields))

OPEN_AND_LOG = """
import sys
from pathlib import Path
from lmlab.tracking import RunIdentity, tracked_run
name = sys.argv[2]
with tracked_run(Path(sys.argv[1]), RunIdentity(name, name, {"seed": 1}, "s", "c", None)) as run:
    for step in range(50):
        run.log_metrics({"loss": 1.0}, step=step)
        run.flush()
"""


def test_the_address_is_the_projects_database_unless_the_environment_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tracking_address(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert tracking_address(tmp_path) == "http://127.0.0.1:1"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///other.db")
    assert tracking_address(tmp_path) == f"sqlite:///{tmp_path}/other.db"


def test_an_experiment_in_a_copy_that_dvc_deletes_is_tracked_in_the_projects_store(tmp_path: Path) -> None:
    for copy in (".dvc/tmp/exps/tmp1f0c", ".dvc/tmp/exps/standalone/tmp1f0c"):
        assert tracking_address(tmp_path / copy) == f"sqlite:///{tmp_path}/mlflow.db"
    store = open_store(tmp_path / ".dvc" / "tmp" / "exps" / "tmp1f0c")
    assert (store.lock, store.lock.exists()) == (tmp_path / "mlflow.db.lock", True)
    assert not (tmp_path / ".dvc").exists()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:5000/api", "http://host:5000/api"),
        ("no answer from https://user:p@ss@host, user@home", "no answer from https://host, user@home"),
        ("postgresql://user@host/runs", "postgresql://host/runs"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
    ],
)
def test_an_address_is_shown_without_user_and_password(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_a_store_that_cannot_be_used_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:1")
    with pytest.raises(TrackingError, match=r"tracking store http://127.0.0.1:1 cannot be used") as raised:
        open_store(tmp_path)
    assert "secret" not in str(raised.value)


def test_a_new_store_lies_in_the_project_and_nowhere_else(tmp_path: Path, identity: RunIdentity) -> None:
    project = tmp_path / "a project é"
    with tracked_run(project, identity):
        pass
    store = open_store(project)
    assert store.client.get_experiment(store.experiment_id).artifact_location == (project / "mlartifacts").as_uri()
    assert {path.name for path in project.iterdir()} <= {"mlartifacts", "mlflow.db", *_beside("mlflow.db")}
    assert [path.name for path in tmp_path.iterdir()] == [project.name]
    assert "MLFLOW_RUN_ID" not in os.environ


def _beside(name: str) -> set[str]:
    return {f"{name}-wal", f"{name}-shm", f"{name}.lock"}


def test_the_database_lets_readers_in_while_it_is_written(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    open_store(tmp_path)
    with closing(sqlite3.connect(tmp_path / "mlflow.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.long
def test_four_processes_create_and_write_one_store_at_once(tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    started = [
        subprocess.Popen([sys.executable, "-c", OPEN_AND_LOG, tmp_path, name], stderr=subprocess.PIPE, text=True)
        for name in names
    ]
    assert [process.communicate(timeout=120)[1] for process in started] == [""] * 4
    store = open_store(tmp_path)
    runs = store.client.search_runs([store.experiment_id])
    assert sorted(run.info.run_name or "" for run in runs) == names
    assert [len(store.client.get_metric_history(run.info.run_id, "loss")) for run in runs] == [50] * 4


def test_a_server_that_is_down_costs_one_warning_and_no_training(
    tmp_path: Path, identity: RunIdentity, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with caplog.at_level(logging.WARNING), tracked_run(tmp_path, identity) as run:
        run.log_metrics({"loss": 1.0}, step=1)
    assert type(run) is Run
    [warning] = caplog.records
    assert "http://127.0.0.1:1 cannot be used" in warning.getMessage()
    assert "\n" not in warning.getMessage()


def test_track_says_in_one_line_that_a_server_is_down(
    tmp_path: Path, identity: RunIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    with pytest.raises(TrackingError, match=r"tracking store http://127.0.0.1:1 cannot be used"):
        track(tmp_path, identity, NO_FILES)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to be taken for one" * 20, encoding="utf-8")
    with pytest.raises(TrackingError, match=r"mlflow\.db cannot be used: DatabaseError: file is not a database"):
        open_store(tmp_path)


def test_a_deleted_experiment_is_named_with_the_way_to_bring_it_back(project: Path) -> None:
    store = open_store(project)
    store.client.delete_experiment(store.experiment_id)
    with pytest.raises(TrackingError, match="mlflow experiments restore --experiment-id"):
        open_store(project)


@pytest.mark.parametrize("method", ["log_batch", "log_inputs"])
def test_what_a_server_refuses_once_is_told_again(
    method: str, project: Path, identity: RunIdentity, files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell, refused = getattr(MlflowClient, method), set()

    def busy(client: MlflowClient, run_id: str, *arguments: object, **named: object) -> object:
        # As PostgreSQL does while another machine writes the same.
        kind = tuple(named)
        if "metrics" not in named and kind not in refused:
            refused.add(kind)
            raise RestException({"error_code": "BAD_REQUEST", "message": "duplicate key value"})
        return tell(client, run_id, *arguments, **named)

    monkeypatch.setattr(MlflowClient, method, busy)
    run = open_store(project).client.get_run(track(project, identity, files).run_id)
    assert refused
    assert run.data.params["seed"] == "1"
    assert run.inputs is not None
    assert len(run.inputs.dataset_inputs) == 3


def test_what_a_server_refuses_twice_is_an_error() -> None:
    asked = []

    def refuse() -> None:
        asked.append(1)
        raise RestException({"error_code": "INTERNAL_ERROR", "message": "no"})

    with pytest.raises(RestException):
        told(refuse)
    assert len(asked) == 2
