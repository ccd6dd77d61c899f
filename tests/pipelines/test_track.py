"""MLflow is filled in with the results of params.yaml, and with no others."""

import sys
from pathlib import Path

import pytest

from lmlab.config import read_params
from lmlab.errors import InputError
from pipelines.compose import compose, params_text
from pipelines.track import check_results
from tests.pipelines.conftest import Fails, main_of
from tests.pipelines.tiny import write_lock


@pytest.fixture
def project(project: Path) -> Path:
    """A project whose results DVC made with the default settings."""
    for name in ("training", "evaluation"):
        path = project / "reports" / f"{name}.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    (project / "params.yaml").write_text(params_text(compose([])), encoding="utf-8")
    write_lock(project, read_params(project / "params.yaml"))
    return project


def test_results_of_these_settings_are_taken(project: Path) -> None:
    check_results(project, read_params(project / "params.yaml"))


@pytest.mark.parametrize(
    ("override", "stage", "key"),
    [
        ("model=gru", "train", "model"),
        ("training.learning_rate=0.5", "train", "training"),
        ("source.minimum_characters=7", "clean", "source"),
        ("evaluation.bootstrap.num_resamples=7", "evaluate", "evaluation"),
    ],
)
def test_results_of_other_settings_are_not_filed_as_theirs(
    override: str, stage: str, key: str, project: Path, monkeypatch: pytest.MonkeyPatch, fails: Fails
) -> None:
    monkeypatch.setattr(sys, "argv", ["pipelines.compose", override])
    assert main_of("compose")() == 0
    assert (
        fails("track")
        == f"the results are not those of params.yaml: stage {stage} had another {key}; run `dvc repro` first"
    )
    assert not (project / "mlflow.db").exists()


def test_what_the_computer_alone_decides_is_no_other_setting(project: Path) -> None:
    check_results(project, compose(["runtime.threads=3"]))


def test_results_that_changed_since_are_not_taken(project: Path) -> None:
    (project / "reports" / "evaluation.json").write_text('{"bits_per_byte": 1}', encoding="utf-8")
    with pytest.raises(InputError, match=r"stage evaluate had another reports/evaluation\.json; run `dvc repro` first"):
        check_results(project, read_params(project / "params.yaml"))


def test_a_stage_that_read_what_another_training_wrote_is_told(project: Path) -> None:
    write_lock(project, read_params(project / "params.yaml"), trained="1f0c", evaluated="77ab")
    with pytest.raises(InputError, match="stage evaluate had another models/bundle; run `dvc repro` first"):
        check_results(project, read_params(project / "params.yaml"))


def test_where_dvc_made_nothing_it_is_asked_for(project: Path) -> None:
    (project / "dvc.lock").unlink()
    with pytest.raises(InputError, match="dvc.lock tells of no stage clean: run `dvc repro` first"):
        check_results(project, read_params(project / "params.yaml"))
