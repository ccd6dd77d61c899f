import shutil
import sys
from pathlib import Path

import pytest

from lmlab.bundle import load_bundle
from lmlab.errors import InputError
from lmlab.files import file_digest
from lmlab.tracking import RunFiles, RunIdentity, Tracked, open_store, track
from lmlab.tracking.registry import Promotion, RegisteredVersion, make_champion, model_folder
from tests.tracking.conftest import made_up_files, made_up_identity


def _versions(project: Path, name: str) -> dict[int, dict[str, str]]:
    """The tags of each version."""
    found = open_store(project).client.search_model_versions(f"name = '{name}'")
    return {int(version.version): version.tags for version in found}


def _track(
    tmp_path: Path, project: Path, *, seed: int, task: str = "translation", parent: str | None = None
) -> tuple[Tracked, RunFiles]:
    files = made_up_files(tmp_path / f"{task}{seed}{parent}", model="lstm", seed=seed, task=task)
    return track(project, made_up_identity(model="lstm", seed=seed, task=task, parent=parent), files), files


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory, shared_project: Path) -> tuple[Tracked, RunFiles]:
    """The run and the files of the second of two versions, which is the champion, in the shared project."""
    for seed in (1, 2):
        tracked, files = _track(tmp_path_factory.mktemp("files"), shared_project, seed=seed)
    make_champion(shared_project, "lstm seed=2")
    return tracked, files


def _bundle(files: RunFiles) -> Path:
    assert files.export is not None
    return files.export / "bundle"


def test_a_run_registers_its_model_under_its_tasks_name(tmp_path: Path, project: Path) -> None:
    tracked, files = _track(tmp_path, project, seed=1)
    assert tracked.logged[-1] == "registered model"
    weights = file_digest(_bundle(files) / "model.safetensors")
    assert _versions(project, "translation") == {
        1: {
            "lmlab.run": tracked.run_id,
            "lmlab.fingerprint": "lstm1-translation",
            "lmlab.weights": weights,
            # conftest: an LSTM's 2.4 and a hundredth for seed 1.
            "bits_per_byte": "2.41",
        }
    }
    store = open_store(project)
    assert store.client.get_model_version("translation", "1").run_id == tracked.run_id
    [model] = store.client.search_logged_models([store.experiment_id])
    assert model.tags["mlflow.modelVersions"] == '[{"name": "translation", "version": 1}]'


def test_the_same_model_logged_again_is_no_second_version(tmp_path: Path, project: Path) -> None:
    tracked, files = _track(tmp_path, project, seed=1)
    store = open_store(project)
    store.client.set_tag(tracked.run_id, "lmlab.logged", "{}")
    again = track(project, made_up_identity(model="lstm", seed=1, task="translation"), files)
    assert {"model", "registered model"} <= set(again.logged)
    assert list(_versions(project, "translation")) == [1]
    # What the version points at is still there.
    assert load_bundle(model_folder(project, "models:/translation/1"))


def test_a_metric_that_changed_changes_the_versions_tag(tmp_path: Path, project: Path) -> None:
    _, files = _track(tmp_path, project, seed=1)
    assert files.evaluation is not None
    files.evaluation.write_text('{"bits_per_byte": 1.5}', encoding="utf-8")
    track(project, made_up_identity(model="lstm", seed=1, task="translation"), files)
    assert [tags["bits_per_byte"] for tags in _versions(project, "translation").values()] == ["1.5"]


def test_each_task_has_its_own_versions(tmp_path: Path, project: Path) -> None:
    for seed, task in ((1, "translation"), (2, "translation"), (3, "classification")):
        _track(tmp_path, project, seed=seed, task=task)
    assert sorted(_versions(project, "translation")) == [1, 2]
    assert sorted(_versions(project, "classification")) == [1]


def test_a_sweeps_job_is_registered_only_as_the_champion(tmp_path: Path, project: Path) -> None:
    parent = open_store(project).client.create_run(open_store(project).experiment_id).info.run_id
    tracked, _ = _track(tmp_path, project, seed=1, parent=parent)
    assert "registered model" not in tracked.logged
    assert _versions(project, "translation") == {}
    assert make_champion(project, "lstm seed=1") == Promotion(RegisteredVersion("translation", 1), None)
    assert _versions(project, "translation")[1]["lmlab.run"] == tracked.run_id


def test_the_champion_can_be_replaced(tmp_path: Path, project: Path) -> None:
    for seed in (1, 2):
        _track(tmp_path, project, seed=seed)
    assert make_champion(project, "lstm seed=1").before is None
    assert make_champion(project, "lstm seed=2") == Promotion(RegisteredVersion("translation", 2), 1)
    assert open_store(project).client.get_model_version_by_alias("translation", "champion").version == 2
    assert sorted(_versions(project, "translation")) == [1, 2]


def test_a_run_without_a_model_is_no_champion(tmp_path: Path, project: Path) -> None:
    files = made_up_files(tmp_path / "files", model="lstm", seed=1)
    track(project, made_up_identity(model="lstm", seed=1), files._replace(export=None))
    with pytest.raises(InputError, match=r"the run lstm seed=1 \(\w+\) has no model"):
        make_champion(project, "lstm seed=1")


def test_a_store_that_registers_nothing_costs_one_warning(
    project: Path,
    identity: RunIdentity,
    files: RunFiles,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no registry here")

    with monkeypatch.context() as patched:
        patched.setattr("mlflow.MlflowClient.create_model_version", refuse)
        tracked = track(project, identity, files)
    [warning] = caplog.records
    assert "tracking failed while logging the registered model (PermissionError" in warning.getMessage()
    assert {"model", "model metrics"} <= set(tracked.logged)
    assert open_store(project).client.get_run(tracked.run_id).info.status == "FINISHED"
    assert track(project, identity, files).logged == ("registered model",)


def test_every_address_of_a_model_means_its_bundle(
    two_versions: tuple[Tracked, RunFiles], shared_project: Path
) -> None:
    tracked, files = two_versions
    store = open_store(shared_project)
    [model] = store.client.search_logged_models([store.experiment_id], f"source_run_id = '{tracked.run_id}'")
    for address in (
        "models:/translation@champion",
        "models:/translation/2",
        "models:/translation/latest",
        f"models:/{model.model_id}",
        f"runs:/{tracked.run_id}/model",
        f"runs:/{tracked.run_id[:10]}/lstm",
        "runs:/lstm seed=2/model",
    ):
        folder = model_folder(shared_project, address)
        assert file_digest(folder / "seal.json") == file_digest(_bundle(files) / "seal.json")
    first = model_folder(shared_project, "models:/translation/1")
    assert file_digest(first / "seal.json") != file_digest(_bundle(files) / "seal.json")


def test_a_models_own_code_is_not_run(tmp_path: Path, project: Path) -> None:
    _track(tmp_path, project, seed=1)
    bundle = model_folder(project, "models:/translation/1")
    folder = bundle.parents[1]
    (folder / "code" / "lmlab" / "tracking" / "serving.py").write_text("raise SystemExit('run')", encoding="utf-8")
    path = list(sys.path)
    assert model_folder(project, "models:/translation/1") == bundle
    assert sys.path == path


@pytest.mark.parametrize(
    ("address", "line"),
    [
        ("models:/nothing@champion", r"has no registered model 'nothing'; registered: translation"),
        ("models:/translation@best", r"newest versions of translation: 2, 1; aliases: champion \(version 2\)"),
        ("models:/translation/7", r"there is no such version; newest versions of translation: 2, 1"),
        ("models:/it's/1", r"has no registered model 'it's'; registered: translation"),
        ("models:/m-0123", r"has no such model; the newest: m-\w+ \(lstm\)"),
        ("runs:/nothing/model", r"has no run of that id"),
        ("runs:/lstm seed=1/gru", r"the run's model is called lstm; use runs:/lstm seed=1/model"),
        ("models:/translation", r"is no address of a model: use models:/NAME@ALIAS"),
        ("https://elsewhere", r"is no address of a model"),
    ],
)
@pytest.mark.usefixtures("two_versions")
def test_an_address_without_a_model_is_one_line_with_those_that_exist(
    shared_project: Path, address: str, line: str
) -> None:
    with pytest.raises(InputError, match=line) as refused:
        model_folder(shared_project, address)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        (
            "flavors: {python_function: {loader_module: mlflow.sklearn, data: model.pkl}}",
            "is no model that lmlab logged",
        ),
        (
            "flavors: {python_function: {loader_module: lmlab.tracking.serving, data: ../../elsewhere}}",
            "is no model that lmlab logged",
        ),
        ("flavors: [", "does not say where a bundle lies"),
        (None, "its files are gone from"),
    ],
)
def test_what_lmlab_did_not_log_is_refused(tmp_path: Path, project: Path, manifest: str | None, line: str) -> None:
    _track(tmp_path, project, seed=1)
    folder = model_folder(project, "models:/translation/1").parents[1]
    if manifest is None:
        shutil.rmtree(folder)
    else:
        (folder / "MLmodel").write_text(manifest, encoding="utf-8")
    with pytest.raises(InputError, match=line):
        model_folder(project, "models:/translation/1")
