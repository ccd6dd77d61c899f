import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmlab.tracking import MlflowRun, RunIdentity, open_store, tracked_run
from tests.tracking.stored import only_run, steps

DIE_IN_MID_TRAINING = """
import os, signal, sys
from pathlib import Path
from lmlab.tracking import RunIdentity, tracked_run
with tracked_run(Path(sys.argv[1]), RunIdentity("lstm1", "lstm seed=1", {"seed": 1}, "s", "c", None)) as run:
    for step in range(1, 31):
        run.log_metrics({"loss": 1.0 / step}, step=step)
    run.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _artifact(project: Path, name: str) -> str:
    run = only_run(project)
    return Path(open_store(project).client.download_artifacts(run.info.run_id, name)).read_text(encoding="utf-8")


def test_a_run_is_running_inside_its_block_and_finished_after_it(project: Path, identity: RunIdentity) -> None:
    with tracked_run(project, identity):
        assert only_run(project).info.status == "RUNNING"
    assert only_run(project).info.status == "FINISHED"


def test_a_run_carries_its_settings_its_machine_and_its_name(project: Path, identity: RunIdentity) -> None:
    with tracked_run(project, identity):
        pass
    run = only_run(project)
    assert run.info.run_name == "lstm seed=1"
    assert run.data.params["training.learning_rate"] == "0.0001"
    assert run.data.params["source.packages"] == '["numpy", "scipy"]'
    assert "learning_rate: 0.0001" in _artifact(project, "settings.yaml")
    assert "cores" in run.data.tags["lmlab.machine"]
    assert f"python {sys.version_info.major}.{sys.version_info.minor}" in run.data.tags["lmlab.versions"]
    assert "torch 2." in run.data.tags["lmlab.versions"]


def test_settings_of_ten_thousand_characters_and_more_than_a_hundred_keys_arrive_whole(project: Path) -> None:
    long = "x" * 10_000
    many = {f"key{index}": index for index in range(250)}
    with tracked_run(project, RunIdentity("f", "long", {"prompt": long, "many": many}, "s", "c", None)):
        pass
    params = only_run(project).data.params
    assert len(params) == 251
    assert params["prompt"].startswith("sha256:")
    assert f"prompt: {long}\n" in _artifact(project, "settings.yaml")


def test_a_name_longer_than_a_databases_column_is_cut(project: Path, identity: RunIdentity) -> None:
    with tracked_run(project, identity._replace(name="x" * 251)):
        pass
    assert only_run(project).info.run_name == "x" * 250


def test_an_error_leaves_the_run_failed_with_its_traceback(project: Path, identity: RunIdentity) -> None:
    def diverge() -> None:
        raise ArithmeticError("the loss is not finite at step 7")

    with pytest.raises(ArithmeticError), tracked_run(project, identity):
        diverge()
    assert only_run(project).info.status == "FAILED"
    traceback = _artifact(project, "traceback.txt")
    assert "in diverge" in traceback
    assert "ArithmeticError: the loss is not finite at step 7" in traceback


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(128 + signal.SIGTERM)])
def test_an_interrupted_run_is_killed(project: Path, identity: RunIdentity, error: BaseException) -> None:
    with pytest.raises(type(error)), tracked_run(project, identity):
        raise error
    assert only_run(project).info.status == "KILLED"


def test_an_interrupt_that_became_an_exit_is_killed_too(project: Path, identity: RunIdentity) -> None:
    def train() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(SystemExit), tracked_run(project, identity):
        train()
    assert only_run(project).info.status == "KILLED"


def test_a_resumed_training_continues_its_run_without_a_point_twice(project: Path, identity: RunIdentity) -> None:
    with tracked_run(project, identity) as run:
        for step in range(1, 26):
            run.log_metrics({"loss": 1.0 / step}, step=step)
    with tracked_run(project, identity) as run:
        assert only_run(project).info.status == "RUNNING"
        for step in range(11, 41):
            run.log_metrics({"loss": 1.0 / step}, step=step)
    assert only_run(project).info.status == "FINISHED"
    assert steps(project, "loss") == list(range(1, 41))


@pytest.mark.slow
def test_a_run_whose_process_was_killed_is_found_and_continued(project: Path) -> None:
    died = subprocess.run([sys.executable, "-c", DIE_IN_MID_TRAINING, project], timeout=120)
    assert died.returncode == -signal.SIGKILL
    assert only_run(project).info.status == "RUNNING"
    with tracked_run(project, RunIdentity("lstm1", "lstm seed=1", {"seed": 1}, "s", "c", None)) as run:
        for step in range(21, 41):
            run.log_metrics({"loss": 1.0 / step}, step=step)
    assert only_run(project).info.status == "FINISHED"
    assert steps(project, "loss") == list(range(1, 41))


def test_runs_of_other_settings_and_of_other_sweeps_are_other_runs(project: Path, identity: RunIdentity) -> None:
    ids = []
    for one in (identity, identity._replace(parent="sweep1"), identity._replace(fingerprint="other"), identity):
        with tracked_run(project, one) as run:
            assert isinstance(run, MlflowRun)
            ids.append(run.run_id)
    assert len(set(ids)) == 3
    assert ids[0] == ids[3]


def test_a_point_costs_the_training_microseconds(project: Path, identity: RunIdentity) -> None:
    with tracked_run(project, identity) as run:
        start = time.perf_counter()
        for step in range(1000):
            run.log_metrics({"a": 1.0, "b": 2.0}, step=step)
        seconds = time.perf_counter() - start
    # The goal is 0.1 ms; a loaded machine may take ten times as long.
    assert seconds / 2000 < 1e-3
    assert len(steps(project, "b")) == 1000


def test_not_a_number_is_shown_as_such(project: Path, identity: RunIdentity) -> None:
    with tracked_run(project, identity) as run:
        run.log_metrics({"loss": float("nan")}, step=1)
    value = only_run(project).data.metrics["loss"]
    assert value != value
