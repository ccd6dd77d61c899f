import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmlab.tracking import RunFiles, RunIdentity, open_store
from lmlab.tracking.tracker import TrackedApart, tracked_apart
from tests.tracking.servers import free_port
from tests.tracking.stored import only_run, steps

TRAIN = """
import os, signal, sys
from pathlib import Path
from lmlab.tracking import RunIdentity
from lmlab.tracking.tracker import tracked_apart
from pipelines.command import run_command

def train():
    with tracked_apart(Path(sys.argv[1]), RunIdentity("lstm1", "lstm seed=1", {"seed": 1}, "s", "c", None)) as run:
        for step in range(1, 1001):
            run.log_metrics({"loss": 1.0 / step}, step=step)
        assert "mlflow" not in sys.modules
        os.kill(os.getpid(), signal.Signals[sys.argv[2]])

run_command(train)
"""


@pytest.mark.slow
def test_a_run_told_by_a_tracker_ends_finished_with_every_point_and_part(
    project: Path, identity: RunIdentity, files: RunFiles
) -> None:
    with tracked_apart(project, identity) as run:
        for step in (0, 10, 20, 30):
            run.log_metrics({"train_nats_per_token": 1.0, "speed": 5.0}, step=step)
        assert "metrics" in run.fill(files)
        assert run.fill(files) == ()
    stored = only_run(project)
    assert stored.info.status == "FINISHED"
    assert stored.data.metrics["bits_per_byte"] == pytest.approx(2.41)
    assert steps(project, "speed") == [0, 10, 20, 30]


@pytest.mark.slow
def test_an_error_leaves_the_run_failed_with_the_traceback_of_the_stage(project: Path, identity: RunIdentity) -> None:
    def diverge() -> None:
        raise ArithmeticError("the loss is not finite at step 7")

    with pytest.raises(ArithmeticError), tracked_apart(project, identity):
        diverge()
    run = only_run(project)
    assert run.info.status == "FAILED"
    path = open_store(project).client.download_artifacts(run.info.run_id, "traceback.txt")
    assert "in diverge" in Path(path).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGKILL", -signal.SIGKILL)])
def test_a_stage_that_is_stopped_loses_no_point_and_its_run_is_killed(project: Path, name: str, code: int) -> None:
    # Before MLflow is imported: all of it still waits in the tracker.
    command = [sys.executable, "-c", TRAIN, project, name]
    # The tracker holds standard error: its end tells that it is gone, too.
    died = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=120, env={**os.environ, **_imports()})
    assert died.returncode == code, died.stderr
    assert only_run(project).info.status == "KILLED"
    assert steps(project, "loss") == list(range(1, 1001))


def _imports() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_tracker_that_dies_costs_one_warning(
    project: Path, identity: RunIdentity, files: RunFiles, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), tracked_apart(project, identity) as run:
        _kill_tracker(run)
        for step in range(100):
            run.log_metrics({"loss": 1.0}, step=step)
        assert run.fill(files) == ()
    [warning] = caplog.records
    assert "pipelines.track" in warning.getMessage()


def _kill_tracker(run: TrackedApart) -> None:
    run._tracker.kill()
    run._tracker.wait()


@pytest.mark.slow
def test_a_server_that_is_down_costs_a_training_no_time_at_its_start(
    tmp_path: Path, identity: RunIdentity, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    began = time.monotonic()
    with tracked_apart(tmp_path, identity) as run:
        # More than a pipe holds.
        for step in range(5000):
            run.log_metrics({"loss": 1.0}, step=step)
        seconds = time.monotonic() - began
    assert seconds < 5
    assert capfd.readouterr().err.count("tracking failed while opening the run") == 1
