"""A run of a sweep becomes the project's own setting."""

import shutil
from pathlib import Path

import pytest

from lmlab.config import read_params
from lmlab.tracking import RunIdentity, open_store
from lmlab.tracking.run import begin_run
from pipelines.compose import compose, params_text
from pipelines.differences import experiment_text, smallest_experiment
from pipelines.settings import tracked
from tests.laws.imports import PROJECT
from tests.pipelines.conftest import Fails
from tests.pipelines.tiny import run_command


@pytest.fixture
def project(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (project / "conf").unlink()
    shutil.copytree(PROJECT / "conf", project / "conf")
    return project


def _tracked_run(project: Path, name: str, *overrides: str) -> tuple[str, dict]:
    """A run with these settings in the store, and the settings."""
    settings = tracked(compose(overrides))
    identity = RunIdentity(f"f1ngerpr1nt {name}", name, settings, "s0urce", None)
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
