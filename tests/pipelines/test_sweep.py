"""Sweeps that are interrupted, started again, and run side by side."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from mlflow.entities import Run

from lmlab.files import file_digest, read_json
from lmlab.tracking import open_store
from tests.pipelines.tiny import TINY, TRANSFORMER, kill_group, new_project, run_command, start_command, write_text

pytestmark = pytest.mark.slow

PARENT_TAG = "mlflow.parentRunId"
# Checkpoints after every step, so that a kill always finds one; trainings long enough to be hit.
TRAINING = [*TINY, *TRANSFORMER, "training.max_steps=40", "training.validate_every_steps=20"]
CHECKPOINTED = [*TRAINING, "runtime.checkpoint_every_seconds=0"]


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_text(project)
    return project


def _runs(project: Path) -> tuple[list[Run], dict[str, Run]]:
    """The parents, and the children by name."""
    store = open_store(project)
    runs = store.client.search_runs([store.experiment_id])
    children = {str(run.info.run_name): run for run in runs if PARENT_TAG in run.data.tags}
    return [run for run in runs if PARENT_TAG not in run.data.tags], children


def _states(project: Path) -> dict[str, str]:
    return {name.removeprefix("training."): run.info.status for name, run in _runs(project)[1].items()}


def _weights(project: Path) -> set[str]:
    return {file_digest(path) for path in project.glob("work/train-*/bundle/model.safetensors")}


def _stop_in_training(process: subprocess.Popen[str], project: Path, *, after_jobs: int, sent: signal.Signals) -> str:
    """Send the signal while the job after so many finished ones trains; what the process said until then."""
    try:
        deadline = time.monotonic() + 120
        while len(list(project.glob("work/train-*/done"))) < after_jobs or not list(
            project.glob("work/checkpoints-*/resume.pt")
        ):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.02)
        os.killpg(process.pid, sent)
        return process.communicate(timeout=60)[0]
    finally:
        kill_group(process)


def test_a_killed_sweep_started_again_trains_nothing_twice_and_gives_the_bytes_of_an_undisturbed_one(
    project: Path, tmp_path: Path
) -> None:
    rates = "training.learning_rate=1e-3,-1,2e-3,3e-3"
    said = _stop_in_training(
        start_command(project, "run", "-m", rates, *CHECKPOINTED), project, after_jobs=1, sent=signal.SIGKILL
    )
    assert said.count("stage train\n") == 2
    assert _states(project) == {
        "learning_rate=0.001": "FINISHED",
        "learning_rate=-1": "FAILED",
        "learning_rate=0.002": "RUNNING",
    }
    planned = run_command(project, "run", "-m", rates, *CHECKPOINTED, "--dry-run").stdout
    assert "sweep of 4 jobs" in planned
    assert [line.split()[0] for line in planned.splitlines()[1:5]] == ["skip", "skip", "resume", "run"]
    assert "greater than 0" in planned
    assert "--retry-failed" in planned.splitlines()[-1]

    again = run_command(project, "run", "-m", rates, *CHECKPOINTED)
    assert again.returncode == 2
    assert again.stderr.count("stage train\n") == 2
    assert again.stderr.count("resuming after step") == 1
    last = again.stderr.splitlines()[-1]
    assert last == "error: 1 of the sweep's jobs did not finish: training.learning_rate=-1 (failed)"
    assert sorted(_states(project).values()) == ["FAILED", "FINISHED", "FINISHED", "FINISHED"]
    [parent], _ = _runs(project)
    assert parent.info.status == "FAILED"

    undisturbed = new_project(tmp_path / "undisturbed")
    good = "training.learning_rate=1e-3,2e-3,3e-3"
    assert run_command(undisturbed, "run", "-m", good, *TRAINING, "runtime.tracking=false").returncode == 0
    assert _weights(undisturbed) == _weights(project)


def test_a_failed_job_is_tried_again_when_asked(project: Path) -> None:
    sweep = ["run", "-m", "training.learning_rate=-1,-2", *TINY, *TRANSFORMER]
    first = run_command(project, *sweep)
    assert first.stderr.count("error: training.learning_rate") == 2
    second, third = run_command(project, *sweep), run_command(project, *sweep, "--retry-failed")
    assert second.stderr.count("error: training.learning_rate") == 0
    assert third.stderr.count("error: training.learning_rate") == 2
    assert "retry    training.learning_rate=-1" in third.stdout
    assert {first.returncode, second.returncode, third.returncode} == {2}


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_the_parent_and_the_job_killed(sent: signal.Signals, project: Path) -> None:
    sweep = ["-m", "seed=1,2", *TRAINING, "training.max_steps=1000000", "runtime.checkpoint_every_seconds=0"]
    said = _stop_in_training(start_command(project, "run", *sweep), project, after_jobs=0, sent=sent)
    assert "Traceback" not in said
    [parent], children = _runs(project)
    assert parent.info.status == "KILLED"
    assert {name: run.info.status for name, run in children.items()} == {"seed=1": "KILLED"}
    [record] = project.glob("work/sweeps/*/jobs/*.json")
    assert read_json(record)["state"] == "killed"


def test_two_sweeps_at_once_share_one_store_and_one_work_folder(project: Path) -> None:
    first = start_command(project, "run", "-m", "seed=1,2", *TRAINING)
    second = start_command(project, "run", "-m", "seed=2,1", *TRAINING, "evaluation.samples.num_unprompted=2")
    said = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], said
    for stage, times in (("clean", 1), ("encode", 1), ("train", 2), ("evaluate", 4)):
        assert "".join(said).count(f"stage {stage}\n") == times
    assert "locked" not in "".join(said)
    parents, _ = _runs(project)
    assert [parent.info.status for parent in parents] == ["FINISHED"] * 2
    store = open_store(project)
    for parent in parents:
        where = f"tags.`{PARENT_TAG}` = '{parent.info.run_id}'"
        children = store.client.search_runs([store.experiment_id], where)
        assert sorted(str(child.info.run_name) for child in children) == ["seed=1", "seed=2"]
        assert {child.info.status for child in children} == {"FINISHED"}


def test_jobs_of_a_sweep_whose_store_was_lost_are_filled_in_without_training(project: Path) -> None:
    sweep = ["run", "-m", "seed=3", *TINY, *TRANSFORMER]
    assert run_command(project, *sweep, "runtime.tracking=false").returncode == 0
    again = run_command(project, *sweep)
    assert again.returncode == 0, again.stderr
    assert "stage train\n" not in again.stderr
    assert set(_states(project).values()) == {"FINISHED"}
