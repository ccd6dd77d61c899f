"""Sweeps that are interrupted, started again, and run side by side."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow.entities import Run

from lmlab.errors import InputError
from lmlab.files import file_digest, read_json, write_json
from lmlab.text import digest_of
from lmlab.tracking import RunIdentity, open_store
from lmlab.tracking.run import begin_run
from pipelines.compose import compose, compose_choices, compose_jobs
from pipelines.sweep import JobRecord, State, Sweep, sweep_fingerprint, sweep_folder, tracked_sweep
from pipelines.workspace import SHORT
from tests.laws.imports import PROJECT
from tests.pipelines.tiny import (
    SOURCE,
    TINY,
    TRANSFORMER,
    kill_group,
    new_project,
    run_command,
    start_command,
    write_text,
)

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


@pytest.mark.long
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


@pytest.mark.parametrize("composed", [compose_jobs, compose_choices])
def test_a_setting_that_only_swept_choices_have_is_known(composed: Callable[[list[str]], list], project: Path) -> None:
    # The default, a Transformer, has no attention span.
    assert len(composed(["model=lstm,gru", "model.attention_span=64"])) == 2
    assert (
        len(composed(["model=lstm,gru", "model.attention_span=0,64"]))
        == {compose_jobs: 4, compose_choices: 3}[composed]
    )
    for refused, message in (
        (["model=lstm,gru", "model.attention_spam=64"], "did you mean 'model.attention_span'"),
        (["model=lstm,transformer", "model.attention_span=64"], "conf/ cannot be composed with .*transformer"),
    ):
        with pytest.raises(InputError, match=message):
            composed(refused)


def test_an_interval_keeps_the_value_of_conf_in_the_jobs_that_a_search_may_ask_for(project: Path) -> None:
    [job] = compose_choices(["model.layers=interval(1,4)", "hydra/sweeper=optuna", "seed=7"])
    assert (job["model"]["layers"], job["seed"]) == (compose([])["model"]["layers"], 7)


SWEEP = ["seed=1", "hydra.sweeper.num_trials=3"]


def _fingerprint(project: Path, monkeypatch: pytest.MonkeyPatch, overrides: list[str] | None = None) -> str:
    monkeypatch.chdir(project)
    overrides = overrides or SWEEP
    return sweep_fingerprint(project, overrides, compose_choices([*SOURCE, *overrides]))


def test_other_data_or_code_is_another_sweep_and_where_it_runs_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for name in ("one", "same", "other data", "other code"):
        folder = new_project(tmp_path / name)
        if name == "other data":
            (folder / "my.txt").write_text("Something else.", encoding="utf-8")
        if name == "other code":
            (folder / "src").unlink()
            shutil.copytree(PROJECT / "src", folder / "src")
            with (folder / "src" / "lmlab" / "text.py").open("a") as stream:
                stream.write("# changed\n")
        found[name] = _fingerprint(folder, monkeypatch)
    assert found["one"] == found["same"]
    assert len(set(found.values())) == 3
    for elsewhere in (
        "hydra/launcher=joblib",
        "runtime/preparation=ray",
        "hydra.sweeper.num_trials=9",
        "hydra.sweeper.retry_failed=true",
    ):
        assert _fingerprint(tmp_path / "one", monkeypatch, [elsewhere, "seed=1"]) == found["one"]


def test_a_job_whose_process_died_is_killed_when_its_sweep_ends(project: Path) -> None:
    sweep = Sweep(project, sweep_folder(project, "sweep"), None, (), False)
    store = open_store(project)
    states: list[State] = ["running", "running", "finished"]
    with ExitStack() as locks, tracked_sweep(sweep, ["seed=1,2,3"], "sweep", is_tracked=True) as tracked:
        parent = tracked.sweep.parent
        for number, state in enumerate(states, 1):
            fingerprint = digest_of(number)
            begin_run(
                store, RunIdentity(fingerprint, f"seed={number}", {"seed": number}, "", "", parent), project, live=True
            )
            path = sweep.folder / "jobs" / f"{fingerprint[:SHORT]}.json"
            write_json(path, JobRecord(f"seed={number}", state, None, {}, parent)._asdict())
            if number == 2:
                # Another process works on it, on another machine for instance.
                locks.enter_context(FileLock(path.with_suffix(".lock")))
    assert _states(project) == {"seed=1": "KILLED", "seed=2": "RUNNING", "seed=3": "RUNNING"}


@pytest.mark.long
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


@pytest.mark.long
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


@pytest.mark.long
def test_jobs_of_a_sweep_whose_store_was_lost_are_filled_in_without_training(project: Path) -> None:
    sweep = ["run", "-m", "seed=3", *TINY, *TRANSFORMER]
    assert run_command(project, *sweep, "runtime.tracking=false").returncode == 0
    again = run_command(project, *sweep)
    assert again.returncode == 0, again.stderr
    assert "stage train\n" not in again.stderr
    assert set(_states(project).values()) == {"FINISHED"}
