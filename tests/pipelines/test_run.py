"""`python -m pipelines.run` in a project of its own: what it leaves on disk, in MLflow and as exit code."""

import re
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from lmlab.files import read_json
from lmlab.results import flat_numbers
from lmlab.search.settings import TRAINING_NUMBERS
from lmlab.tracking import open_store
from pipelines import in_process
from pipelines.compose import compose
from tests.pipelines.tiny import TINY, TRANSFORMER, kill_group, run_command, start_command, write_text

pytestmark = pytest.mark.slow

PARENT_TAG = "mlflow.parentRunId"


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    write_text(project)
    return project


def _runs(project: Path) -> list[Run]:
    store = open_store(project)
    client: MlflowClient = store.client
    return list(client.search_runs([store.experiment_id]))


def _parents_and_children(project: Path) -> tuple[list[Run], list[Run]]:
    runs = _runs(project)
    return (
        [run for run in runs if PARENT_TAG not in run.data.tags],
        [run for run in runs if PARENT_TAG in run.data.tags],
    )


def _folders(project: Path, stage: str) -> list[Path]:
    return [path for path in (project / "work").glob(f"{stage}-*") if path.is_dir()]


def _planned(project: Path, *overrides: str) -> list[str]:
    """What a dry run says of each stage."""
    done = run_command(project, "run", *TINY, *TRANSFORMER, *overrides, "--dry-run")
    assert done.returncode == 0, done.stderr
    return [line.split()[0] for line in done.stdout.splitlines()]


def test_a_run_writes_everything_and_a_second_one_redoes_no_stage(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _planned(project) == ["run"] * 6
    assert not (project / "work").exists()
    done = run_command(project, "run", *TINY, *TRANSFORMER)
    assert done.returncode == 0, done.stderr
    [evaluate], [train], [report] = (_folders(project, stage) for stage in ("evaluate", "train", "report"))
    assert f"{read_json(evaluate / 'evaluation.json')['bits_per_byte']:.3f}" in done.stdout
    assert (train / "bundle" / "model.safetensors").is_file()
    assert "<html" in (report / "report.html").read_text(encoding="utf-8")
    [run] = _runs(project)
    assert run.info.status == "FINISHED"

    written = {path: path.stat().st_mtime_ns for path in (project / "work").rglob("*.json")}
    again = run_command(project, "run", *TINY, *TRANSFORMER)
    assert again.returncode == 0, again.stderr
    assert again.stdout == done.stdout
    assert again.stderr.count(": already in work/") == 6
    assert _planned(project) == ["skip"] * 6
    assert {path: path.stat().st_mtime_ns for path in (project / "work").rglob("*.json")} == written
    assert len(_runs(project)) == 1
    # A search knows the objectives that it may be given.
    assert set(flat_numbers(read_json(train / "training.json"))) == set(TRAINING_NUMBERS)
    _interrupt_while_nothing_runs(project, monkeypatch)
    [run] = _runs(project)
    assert run.info.status == "FINISHED"


def _interrupt_while_nothing_runs(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in a run whose stages are all done."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(in_process, "run_files", interrupted)
    params = compose([*TINY, *TRANSFORMER])
    with pytest.raises(KeyboardInterrupt):
        in_process.run_pipeline(params, project, name="again", parent=None)


def test_several_values_without_m_are_refused(project: Path) -> None:
    done = run_command(project, "run", *TINY, *TRANSFORMER, "seed=1,2")
    assert done.returncode == 2
    assert "add --multirun to your command line" in done.stderr
    assert not (project / "work").exists()


@pytest.mark.long
def test_an_output_deleted_from_work_is_made_again(project: Path) -> None:
    assert run_command(project, "run", *TINY, *TRANSFORMER).returncode == 0
    [report] = _folders(project, "report")
    (report / "report.html").unlink()
    assert run_command(project, "run", *TINY, *TRANSFORMER).returncode == 0
    assert (report / "report.html").is_file()


@pytest.mark.long
def test_a_sweep_is_a_parent_with_six_children_that_share_cleaning_and_encoding(project: Path) -> None:
    # These sizes have the same names in all three models.
    sizes = ["model.width=48", "model.layers=1"]
    done = run_command(project, "run", "-m", "model=lstm,gru,transformer", "seed=1,2", *TINY, *sizes)
    assert done.returncode == 0, done.stderr
    [parent], children = _parents_and_children(project)
    assert parent.info.status == "FINISHED"
    assert [child.info.status for child in children] == ["FINISHED"] * 6
    assert {child.data.tags[PARENT_TAG] for child in children} == {parent.info.run_id}
    expected = {f"model={model},seed={seed}" for model in ("lstm", "gru", "transformer") for seed in (1, 2)}
    assert {child.info.run_name for child in children} == expected
    assert len(_folders(project, "clean")) == len(_folders(project, "encode")) == 1


@pytest.mark.long
def test_a_sweep_with_a_bad_job_names_it_and_finishes_the_others(project: Path) -> None:
    rates = "training.learning_rate=1e-3,-1,2e-3"
    done = run_command(project, "run", "-m", rates, *TINY, *TRANSFORMER)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert (
        done.stderr.splitlines()[-1]
        == "error: 1 of the sweep's jobs did not finish: training.learning_rate=-1 (failed)"
    )
    [parent], children = _parents_and_children(project)
    assert parent.info.status == "FAILED"
    states = {child.info.run_name: child.info.status for child in children}
    assert states == {
        "training.learning_rate=0.001": "FINISHED",
        "training.learning_rate=-1": "FAILED",
        "training.learning_rate=0.002": "FINISHED",
    }


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_in_mid_training_leaves_the_run_killed_and_no_traceback(
    sent: signal.Signals, code: int, project: Path
) -> None:
    endless = "training.max_steps=1000000"
    process = start_command(project, "run", *TINY, *TRANSFORMER, endless)
    try:
        deadline = time.monotonic() + 60
        while not list(project.glob("work/checkpoints-*/best.weights")):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(sent)
        said = process.communicate(timeout=60)[0]
    finally:
        kill_group(process)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert said.count("interrupted") == (sent == signal.SIGINT)
    how = r"interrupted after step \d+: the same command (begins anew|goes on after step \d+)\n"
    assert bool(re.search(how, said)) == (sent == signal.SIGINT)
    goes_on = bool(list(project.glob("work/checkpoints-*/resume.pt")))
    assert _planned(project, endless) == ["skip", "skip", "resume" if goes_on else "run", "run", "run", "run"]
    [run] = _runs(project)
    assert run.info.status == "KILLED"
    assert not list(project.glob("work/train-*/bundle"))
