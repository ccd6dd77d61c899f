"""A search by Optuna over real trainings, killed and started again."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.tracking import open_store
from pipelines.run import main
from tests.pipelines.tiny import TINY, TRANSFORMER, new_project, run_command, start_command, write_text

pytestmark = pytest.mark.slow

SEARCH = [
    "-m",
    "hydra/sweeper=optuna",
    "training.learning_rate=tag(log, interval(1e-4, 1e-1))",
    "hydra.sweeper.num_trials=3",
    "hydra.sweeper.pruner={num_startup_trials: 2, num_warmup_steps: 0}",
    *TINY,
    *TRANSFORMER,
    "runtime.checkpoint_every_seconds=0",
]


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_text(project)
    return project


def _kill_after(project: Path, *, trainings: int) -> None:
    process = start_command(project, "run", *SEARCH)
    deadline = time.monotonic() + 120
    while len(list(project.glob("work/train-*.lock"))) < trainings:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _trials(project: Path) -> list[str]:
    [path] = project.glob("work/sweeps/*/trials.csv")
    # Without their numbers: those that were interrupted have some too.
    return [line.partition(",")[2] for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.long
def test_a_search_killed_twice_ends_with_the_trials_of_an_undisturbed_one(project: Path, tmp_path: Path) -> None:
    _kill_after(project, trainings=1)
    _kill_after(project, trainings=2)
    dry = run_command(project, "run", *SEARCH, "--dry-run")
    assert "of 3 trials have ended" in dry.stdout
    assert "1 interrupted ones among them" in dry.stdout
    done = run_command(project, "run", *SEARCH)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("best: trial ")

    undisturbed = new_project(tmp_path / "undisturbed")
    assert run_command(undisturbed, "run", *SEARCH, "runtime.tracking=false").returncode == 0
    assert _trials(project) == _trials(undisturbed)
    assert len(_trials(project)) == 4

    store = open_store(project)
    [parent] = [run for run in store.client.search_runs([store.experiment_id]) if "lmlab.sweep" in run.data.tags]
    assert parent.info.status == "FINISHED"
    artifacts = {artifact.path for artifact in store.client.list_artifacts(parent.info.run_id)}
    assert {"history_validation_bits_per_byte.svg", "trials.csv", "best.md"} <= artifacts


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The command in this process."""
    monkeypatch.setattr(sys, "argv", ["pipelines.run", "-m", "hydra/sweeper=optuna", *TINY, *arguments])
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    return main()


def test_objectives_are_given_on_the_command_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    objectives = "hydra.sweeper.objectives=[validation_bits_per_byte:minimize,parameters:minimize]"
    assert _run(monkeypatch, objectives, "model.layers=interval(1,4)", "--dry-run") == 0
    assert "nothing has run yet, 20 trials to go" in capsys.readouterr().out
    with pytest.raises(InputError, match="hydra.sweeper.objectives: write each metric once"):
        _run(monkeypatch, "hydra.sweeper.objectives=[parameters]", "model.layers=1,2", "--dry-run")


def test_an_objective_that_no_job_can_have_is_refused_before_anything_runs(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    phrases = ["experiment=translation_phrases", "model.layers=1,2", "--dry-run"]
    with pytest.raises(InputError, match="no job has the metric blue; did you mean 'bleu'"):
        _run(monkeypatch, *phrases, "hydra.sweeper.objectives=[blue:maximize]")
    assert _run(monkeypatch, *phrases, "hydra.sweeper.objectives=[bleu_low:maximize]") == 0
    assert (
        _run(monkeypatch, *phrases, "task=translation,summarization", "hydra.sweeper.objectives=[rouge1:maximize]") == 0
    )


def test_failed_trials_of_a_search_are_tried_again_when_asked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = ["hydra.sweeper.sampler=grid", "training.learning_rate=-1,-2", "runtime.tracking=false"]
    for further, num_tried in (([], 2), (["--retry-failed"], 2)):
        with pytest.raises(InputError, match="no trial of the search has completed"):
            _run(monkeypatch, *search, *further)
        assert capsys.readouterr().err.count("error: training.learning_rate") == num_tried


def test_a_search_that_cannot_be_is_refused_in_one_line(project: Path) -> None:
    for arguments, message in (
        (["hydra.sweeper.sampler=grid"], "a grid goes through choices"),
        (["hydra.sweeper.num_trials=0"], "hydra.sweeper.num_trials: "),
    ):
        done = run_command(project, "run", *SEARCH, *arguments)
        assert done.returncode == 2
        assert done.stderr.count("error: ") == 1
        assert message in done.stderr
        assert "Traceback" not in done.stderr
