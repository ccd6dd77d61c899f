from pathlib import Path

import pytest

from lmlab.tracking import MlflowRun, RunIdentity, close_sweep, end_killed_jobs, open_store, open_sweep, tracked_run
from lmlab.tracking.run import begin_run

OVERRIDES = {"model": ["lstm", "gru"], "seed": [1]}


def _job(model: str, *, parent: str | None) -> RunIdentity:
    return RunIdentity(f"{model}1", f"{model} seed=1", {"seed": 1}, "s0urce", "c0de", parent)


def test_a_sweep_is_a_parent_whose_jobs_are_children(project: Path) -> None:
    parent = open_sweep(project, name="models", fingerprint="s1", settings=OVERRIDES)
    for model in ("lstm", "gru"):
        with tracked_run(project, _job(model, parent=parent)):
            pass
    close_sweep(project, parent, state="FINISHED", summary={"jobs": 2, "failed": 0}, folder=None)
    store = open_store(project)
    assert parent is not None
    found = store.client.get_run(parent)
    assert (found.info.run_name, found.info.status) == ("models", "FINISHED")
    assert found.data.params == {"model": '["lstm", "gru"]', "seed": "[1]"}
    assert found.data.tags["lmlab.jobs"] == "2"
    children = store.client.search_runs([store.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    assert {child.info.run_name for child in children} == {"lstm seed=1", "gru seed=1"}


def test_a_failed_job_is_a_child_too_and_the_others_go_on(project: Path) -> None:
    parent = open_sweep(project, name="models", fingerprint="s1", settings=OVERRIDES)
    with pytest.raises(ZeroDivisionError), tracked_run(project, _job("lstm", parent=parent)):
        raise ZeroDivisionError
    with tracked_run(project, _job("gru", parent=parent)):
        pass
    store = open_store(project)
    children = store.client.search_runs([store.experiment_id], f"tags.mlflow.parentRunId = '{parent}'")
    assert {child.info.run_name: child.info.status for child in children} == {
        "lstm seed=1": "FAILED",
        "gru seed=1": "FINISHED",
    }


def test_a_sweep_started_again_goes_on_in_its_run_with_its_children(project: Path) -> None:
    ids = []
    for _ in range(2):
        parent = open_sweep(project, name="models", fingerprint="s1", settings=OVERRIDES)
        with tracked_run(project, _job("lstm", parent=parent)) as run:
            assert isinstance(run, MlflowRun)
            ids.append((parent, run.run_id))
        close_sweep(project, parent, state="KILLED", summary={}, folder=None)
    assert ids[0] == ids[1]
    assert open_sweep(project, name="models", fingerprint="s2", settings=OVERRIDES) != ids[0][0]


def test_going_on_with_a_sweep_in_other_words_keeps_its_parameters_and_says_the_words(
    project: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (
        open_sweep(project, name="models", fingerprint="s1", settings={"overrides": words})
        for words in ("model=lstm", "model=lstm hydra/launcher=joblib")
    )
    assert not caplog.records
    assert first is not None
    assert first == second
    store = open_store(project)
    found = store.client.get_run(first).data
    assert found.params == {"overrides": "model=lstm"}
    assert found.tags["lmlab.overrides"] == "model=lstm hydra/launcher=joblib"
    assert "joblib" in Path(store.client.download_artifacts(first, "settings.yaml")).read_text(encoding="utf-8")


def test_the_runs_of_jobs_whose_processes_died_are_left_killed(project: Path) -> None:
    parent = open_sweep(project, name="models", fingerprint="s1", settings=OVERRIDES)
    store = open_store(project)
    for model in ("lstm", "gru"):
        begin_run(store, _job(model, parent=parent), project, live=True)
    begin_run(store, _job("lstm", parent=None), project, live=True)
    end_killed_jobs(project, parent, fingerprints=["lst"])
    found = store.client.search_runs([store.experiment_id])
    states = {(run.info.run_name, "mlflow.parentRunId" in run.data.tags): run.info.status for run in found}
    assert states == {
        ("models", False): "RUNNING",
        ("lstm seed=1", True): "KILLED",
        ("gru seed=1", True): "RUNNING",
        ("lstm seed=1", False): "RUNNING",
    }


def test_a_sweeps_name_longer_than_a_databases_column_is_cut(project: Path) -> None:
    parent = open_sweep(project, name="x" * 251, fingerprint="s1", settings=OVERRIDES)
    assert parent is not None
    assert open_store(project).client.get_run(parent).info.run_name == "x" * 250


def test_a_sweep_without_a_store_warns_and_goes_on(
    project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    assert open_sweep(project, name="models", fingerprint="s1", settings=OVERRIDES) is None
    close_sweep(project, None, state="FINISHED", summary={}, folder=None)
    assert len(caplog.records) == 1
