"""Faults of where runs are tracked: a training loses no byte by them, and its run is whole in the end."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from lmlab.config import read_params
from lmlab.tracking import RunIdentity, open_store, tracked_run
from tests.faults.conftest import Record
from tests.faults.faulty import (
    Fault,
    Reference,
    bytes_lost,
    change_runtime,
    check_nothing_left_behind,
    stage_arguments,
    stage_environment,
    tree_of,
)
from tests.faults.table import GOES_ON, Injection
from tests.pipelines.tiny import command_of, kill_group, write_lock
from tests.tracking.conftest import made_up_identity
from tests.tracking.servers import free_port, mlflow_server
from tests.tracking.stored import only_run, steps

HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""
FILLED_IN = f"{GOES_ON}; the run is whole after `pipelines.track`"
TRACKED = f"{GOES_ON}; the run is whole"


@contextmanager
def _locked(database: Path) -> Iterator[None]:
    """Another process holds the database for itself during the block."""
    command = [sys.executable, "-c", HOLD_LOCK, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()


@pytest.fixture
def identity() -> RunIdentity:
    return made_up_identity(model="lstm", seed=1)


@pytest.mark.long
def test_a_database_that_another_process_locks_gets_every_point_once_it_is_free(
    empty_project: Path,
    identity: RunIdentity,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    record: Record,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with tracked_run(empty_project, identity) as run:
        run.log_metrics({"loss": 3.0}, step=1)
        assert run.flush()  # type: ignore[attr-defined]
        with _locked(empty_project / "mlflow.db"):
            began = time.monotonic()
            run.log_metrics({"loss": 2.0}, step=2)
            assert time.monotonic() - began < 0.1
            assert not run.flush()  # type: ignore[attr-defined]
        run.log_metrics({"loss": 1.0}, step=3)
    [warning] = caplog.records
    assert "locked" in warning.getMessage()
    assert steps(empty_project, "loss") == [1, 2, 3]
    assert only_run(empty_project).info.status == "FINISHED"
    record(Injection("the database of runs is locked for a while", "tracking", "one warning; every point arrives", 0))


def test_a_clock_that_is_set_back_leaves_a_run_whole(
    empty_project: Path,
    identity: RunIdentity,
    monkeypatch: pytest.MonkeyPatch,
    record: Record,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    true_time, true_time_ns = time.time, time.time_ns
    with tracked_run(empty_project, identity) as run:
        run.log_metrics({"loss": 3.0}, step=1)
        monkeypatch.setattr(time, "time", lambda: true_time() - 3600)
        monkeypatch.setattr(time, "time_ns", lambda: true_time_ns() - 3600 * 10**9)
        run.log_metrics({"loss": 2.0}, step=2)
    # The try after it finds the run, though it seems to begin in the future.
    with tracked_run(empty_project, identity) as run:
        run.log_metrics({"loss": 2.0}, step=2)
        run.log_metrics({"loss": 1.0}, step=3)
    found = only_run(empty_project)
    assert found.info.status == "FINISHED"
    assert found.data.metrics["loss"] == 1.0
    # The store gives them by the clock.
    assert sorted(steps(empty_project, "loss")) == [1, 2, 3]
    record(Injection("the clock is set back", "tracking", "the run is whole", 0))


@contextmanager
def _training(project: Path, address: str, fault: Fault | None = None) -> Iterator[subprocess.Popen[str]]:
    """The stage train, tracked at this address, at work; it is gone after the block."""
    change_runtime(project, tracking="true")
    environment = {**stage_environment(project, "train", fault), "MLFLOW_TRACKING_URI": address}
    command = command_of("train", *stage_arguments("train"))
    with (project.parent / "said").open("w") as said:
        process = subprocess.Popen(
            command, cwd=project, env=environment, stderr=said, text=True, start_new_session=True
        )
    try:
        yield process
    finally:
        kill_group(process)


def _check_trained(reference: Reference, project: Path, process: subprocess.Popen[str]) -> tuple[int, str]:
    """The training ended well, with the bytes of an undisturbed one; what it lost, and what it said."""
    code = process.wait(timeout=300)
    said = (project.parent / "said").read_text(encoding="utf-8")
    assert code == 0, said
    assert "Traceback" not in said
    found = tree_of(project)
    assert found == reference.tree
    check_nothing_left_behind(project)
    return bytes_lost(reference.tree, found), said


def _server_of(folder: Path) -> list[str]:
    database = f"sqlite:///{folder}/server.db"
    places = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "served")]
    return ["server", *places, "--workers", "1"]


def _curve(project: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps of the one finished run's training loss."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    assert only_run(project).info.status == "FINISHED"
    return steps(project, "train_nats_per_token")


def _logged_steps(project: Path) -> list[int]:
    rows = (project / "reports" / "history.csv").read_text(encoding="utf-8").splitlines()
    at = rows[0].split(",").index("train_nats_per_token")
    return [int(row.split(",")[0]) for row in rows[1:] if row.split(",")[at]]


def _wait_until(is_so: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not is_so():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _has_points(project: Path) -> bool:
    store = open_store(project)
    runs = store.client.search_runs([store.experiment_id])
    return any("train_nats_per_token" in run.data.metrics for run in runs)


@pytest.mark.long
def test_a_server_killed_and_started_again_in_mid_training_has_the_whole_run(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    project = reference.copy_without("train", tmp_path)
    port, serve = free_port(), _server_of(tmp_path)
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    stop = {"signal_at": {"change": "resume.pt", "sent": signal.SIGSTOP}}
    with ExitStack() as ending:
        with mlflow_server(*serve, port=port, ready="/health", folder=tmp_path):
            process = ending.enter_context(_training(project, address, stop))
            _wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED, process)
            _wait_until(lambda: _has_points(project), process)
        with mlflow_server(*serve, port=port, ready="/health", folder=tmp_path):
            process.send_signal(signal.SIGCONT)
            lost, _ = _check_trained(reference, project, process)
            assert _curve(project, address, monkeypatch) == _logged_steps(project)
    record(Injection("the tracking server is killed and started again", "train", TRACKED, lost))


@pytest.mark.long
def test_a_server_that_is_down_from_the_start_costs_a_warning_and_is_filled_in_later(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    project = reference.copy_without("train", tmp_path)
    port = free_port()
    with _training(project, f"http://127.0.0.1:{port}") as process:
        lost, said = _check_trained(reference, project, process)
    assert said.count("`python -m pipelines.track` fills the run in later") == 1
    with mlflow_server(*_server_of(tmp_path), port=port, ready="/health", folder=tmp_path) as address:
        _fill_in(project, address)
        assert _curve(project, address, monkeypatch) == _logged_steps(project)
    record(Injection("the tracking server is down", "train", FILLED_IN, lost))


@pytest.mark.long
def test_a_database_locked_for_the_whole_training_costs_a_warning_and_is_filled_in_later(
    reference: Reference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Record
) -> None:
    project = reference.copy_without("train", tmp_path)
    open_store(project)
    address = f"sqlite:///{project}/mlflow.db"
    with _locked(project / "mlflow.db"), _training(project, address) as process:
        lost, said = _check_trained(reference, project, process)
    assert said.count("`python -m pipelines.track` fills the run in later") == 1
    _fill_in(project, address)
    assert _curve(project, address, monkeypatch) == _logged_steps(project)
    record(Injection("the database of runs is locked all the time", "train", FILLED_IN, lost))


def _fill_in(project: Path, address: str) -> None:
    write_lock(project, read_params(project / "params.yaml"))
    environment = {**stage_environment(project, "track"), "MLFLOW_TRACKING_URI": address}
    done = subprocess.run(
        command_of("track"), cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
