"""A run of a sweep becomes the project's own setting."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from lmlab.config import read_params
from lmlab.tracking import RunIdentity, open_store, track
from lmlab.tracking.reading import find_sweep
from lmlab.tracking.registry import Promotion, RegisteredVersion
from lmlab.tracking.run import begin_run
from lmlab.tracking.sweep import open_sweep
from pipelines import promote
from pipelines.compose import compose, params_text
from pipelines.differences import experiment_text, smallest_experiment
from pipelines.in_process import source_digest_of
from pipelines.settings import tracked
from pipelines.workspace import code_digest
from tests.comparison.runs import evaluated
from tests.laws.imports import PROJECT
from tests.pipelines.conftest import Fails, main_of
from tests.pipelines.tiny import run_command
from tests.tracking.conftest import made_up_files, made_up_identity


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (project / "conf").unlink()
    shutil.copytree(PROJECT / "conf", project / "conf")
    return project


def _tracked_run(project: Path, name: str, *overrides: str) -> tuple[str, dict]:
    """A run with these settings in the store, and the settings."""
    settings = tracked(compose(overrides))
    identity = RunIdentity(f"f1ngerpr1nt {name}", name, settings, "s0urce", "c0de", None)
    run_id, _ = begin_run(open_store(project), identity, project, live=False)
    return run_id, settings


def test_promotion_makes_the_runs_settings_the_projects_own(project: Path) -> None:
    overrides = ["experiment=translation_phrases", "model=gru", "seed=7", "training.learning_rate=3e-4"]
    _, settings = _tracked_run(project, "model=gru,seed=7", *overrides)
    done = run_command(project, "promote", "model=gru,seed=7", "--name", "phrases_gru")
    assert done.returncode == 0, done.stderr
    assert tracked(read_params(project / "params.yaml")) == settings
    assert (project / "params.yaml").read_text(encoding="utf-8") == params_text(compose([]))
    assert "- experiment: phrases_gru\n" in (project / "conf" / "config.yaml").read_text(encoding="utf-8")


@pytest.mark.long
def test_a_promoted_setting_gives_way_to_the_next_one(project: Path) -> None:
    _tracked_run(project, "first", "model=lstm")
    second, settings = _tracked_run(project, "second", "tokenizer=characters", "seed=3")
    assert run_command(project, "promote", "first", "--name", "first").returncode == 0
    done = run_command(project, "promote", second[:10])
    assert done.returncode == 0, done.stderr
    assert tracked(read_params(project / "params.yaml")) == settings
    assert (project / "conf" / "experiment" / "language_modeling_transformer_seed3.yaml").is_file()


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ([], "# @package _global_\n# why\n"),
        (
            ["model=lstm", "seed=2"],
            "# @package _global_\n# why\ndefaults:\n  - override /model: lstm\nseed: 2\n",
        ),
        (
            ["training/optimizer=adamw", "model.dropout=0.25"],
            "# @package _global_\n# why\ndefaults:\n  - override /training/optimizer: adamw\nmodel:\n  dropout: 0.25\n",
        ),
        (
            ["source=squad", "task=question_answering"],
            "# @package _global_\n# why\ndefaults:\n  - override /task: question_answering\n"
            "  - override /source: squad\n",
        ),
    ],
)
def test_an_experiment_says_only_what_differs(project: Path, overrides: list[str], text: str) -> None:
    experiment = smallest_experiment(tracked(compose(overrides))).without_derived()
    assert experiment_text(experiment, comment="why") == text


def test_what_cannot_be_promoted_is_said_and_nothing_is_written(project: Path, fails: Fails) -> None:
    run_id, _ = _tracked_run(project, "model=lstm", "model=lstm")
    _tracked_run(project, "model=gru", "model=gru")
    before = {path: path.read_bytes() for path in (project / "conf").rglob("*.yaml")}
    assert "no run of that id, name or fingerprint" in fails("promote", "model=lstmm")
    assert "2 runs are meant by that" in fails("promote", "f1ngerpr1nt")
    assert "is there already" in fails("promote", run_id, "--name", "tatoeba")
    assert "use letters, digits and _" in fails("promote", run_id, "--name", "../outside")
    assert {path: path.read_bytes() for path in (project / "conf").rglob("*.yaml")} == before
    assert not (project / "params.yaml").exists()


def test_a_champion_is_marked_in_the_registry_and_no_file_is_written(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (1, 2):
        files = made_up_files(tmp_path / f"seed{seed}", model="gru", seed=seed, task="translation")
        track(project, made_up_identity(model="gru", seed=seed, task="translation"), files)
    before = {path: path.read_bytes() for path in (project / "conf").rglob("*.yaml")}
    said = []
    for seed in (1, 2):
        monkeypatch.setattr(sys, "argv", ["pipelines.promote", f"gru seed={seed}", "--champion"])
        assert main_of("promote")() == 0
        said.append(capsys.readouterr().out.splitlines())
    assert [lines[0] for lines in said] == [
        "models:/translation@champion is now version 1",
        "models:/translation@champion is now version 2, in place of version 1",
    ]
    assert f"MLFLOW_TRACKING_URI=sqlite:///{project}/mlflow.db mlflow models serve" in said[1][-1]
    assert open_store(project).client.get_model_version_by_alias("translation", "champion").version == 2
    assert {path: path.read_bytes() for path in (project / "conf").rglob("*.yaml")} == before
    assert not (project / "params.yaml").exists()


def test_how_the_champion_is_served_is_said_without_the_stores_password(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        promote, "make_champion", lambda *_: Promotion(RegisteredVersion("translation", number=1), before=None)
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@host")
    assert "  serve it  mlflow models serve -m models:/translation@champion" in promote.champion_text(project, "run")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    assert "  serve it  MLFLOW_TRACKING_URI=http://host mlflow models serve" in promote.champion_text(project, "run")


def test_a_run_that_cannot_be_the_champion_is_said(project: Path, fails: Fails) -> None:
    run_id, _ = _tracked_run(project, "model=lstm", "model=lstm")
    assert "has no model: its stage export has not been tracked" in fails("promote", run_id, "--champion")
    assert "which --name and --force are for" in fails("promote", run_id, "--champion", "--name", "best")
    assert "no run of that id, name or fingerprint" in fails("promote", "model=lstmm", "--champion")


def _sweep_with_a_job(project: Path, name: str, state: str) -> None:
    """A sweep in the store, and a job of it in this state."""
    parent = open_sweep(project, name=name, fingerprint=name, settings={})
    identity = RunIdentity(f"job of {name}", f"job of {name}", tracked(compose([])), "s0urce", "c0de", parent)
    store = open_store(project)
    run_id, _ = begin_run(store, identity, project, live=True)
    if state != "RUNNING":
        store.client.set_terminated(run_id, state)


def _finished_job(project: Path, model: str, *, test: float, validation: float | None) -> None:
    """A finished job of the sweep `models` that reached these bits per byte."""
    parent = open_sweep(project, name="models", fingerprint="models", settings={})
    settings = tracked(compose([f"model={model}"]))
    identity = RunIdentity(model, f"model={model}", settings, "s0urce", code_digest(project), parent)
    store = open_store(project)
    run_id, _ = begin_run(store, identity, project, live=False)
    store.client.log_dict(run_id, dict(evaluated(model, test).evaluation), "reports/evaluation.json")
    if validation is not None:
        store.client.log_metric(run_id, "training/validation_bits_per_byte", validation)
    store.client.set_terminated(run_id, "FINISHED")


def test_the_best_is_chosen_on_validation_and_other_data_than_now_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _finished_job(project, "lstm", test=1.0, validation=2.0)
    _finished_job(project, "gru", test=1.1, validation=1.9)
    monkeypatch.setattr(sys, "argv", ["pipelines.promote", "best", "--name", "chosen"])
    assert main_of("promote")() == 0
    chosen, wrote, other = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"the best on validation of models: model=gru \(\w{8}\), 1\.900 bits per byte there", chosen)
    assert wrote.endswith("`dvc repro` trains with the run's settings")
    assert re.fullmatch(r"its numbers .* the run's, which had other data \(#s0urce, now #\w{8}\)", other)
    assert read_params(project / "params.yaml")["model"]["name"] == "gru"


def test_the_best_is_not_guessed_where_a_run_says_nothing_of_validation(project: Path, fails: Fails) -> None:
    _finished_job(project, "lstm", test=1.0, validation=2.0)
    _finished_job(project, "gru", test=1.1, validation=None)
    assert "1 of 2 runs without validation_bits_per_byte (model=gru): name a run" in fails("promote", "best")


def test_a_run_of_this_code_and_data_is_promised_its_metrics(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tracked(compose(["experiment=translation_phrases"]))
    source, code = source_digest_of(settings, project), code_digest(project)
    begin_run(open_store(project), RunIdentity("f1", "phrases", settings, source, code, None), project, live=False)
    monkeypatch.setattr(sys, "argv", ["pipelines.promote", "phrases", "--name", "phrases"])
    assert main_of("promote")() == 0
    assert capsys.readouterr().out.endswith("`dvc repro` gives the run's metrics\n")


def test_the_latest_sweep_is_one_with_results_and_its_best_waits_for_all_jobs(project: Path, fails: Fails) -> None:
    _sweep_with_a_job(project, "good", "FINISHED")
    _sweep_with_a_job(project, "mistyped", "FAILED")
    assert find_sweep(project, "latest")[1] == "good"
    _sweep_with_a_job(project, "at work", "RUNNING")
    assert find_sweep(project, "latest")[1] == "at work"
    assert "best: at work is not whole, job of at work still runs: wait" in fails("promote", "best")
