"""dvc.yaml says the truth: the settings, code and paths that it names are those that the stages use."""

import shlex
from pathlib import Path

import pytest

from lmlab.config import read_params
from lmlab.data.task import Answering, TaskSettings
from pipelines.compose import compose, params_text
from pipelines.settings import UNTRACKED, validate_params
from pipelines.stages import MODULES, load_stage
from pipelines.tracked import PROJECT_FILES
from pipelines.workspace import CHECKPOINTS, FILE_NAMES, pipeline_file
from tests.laws.imports import PROJECT, reachable

STAGES = pipeline_file(PROJECT)


def _paths(entries: list) -> set[str]:
    return {next(iter(entry)) if isinstance(entry, dict) else entry for entry in entries}


def _outputs(stage: dict) -> set[str]:
    return _paths([*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])])


def _command_paths(stage: dict) -> dict[str, str]:
    words = shlex.split(stage["cmd"])[3:]
    return {key.removeprefix("--"): value for key, value in zip(words[::2], words[1::2], strict=True)}


def test_the_stages_are_those_of_the_pipelines_in_their_order() -> None:
    assert list(STAGES) == list(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_params_are_the_sections_that_the_stage_reads(name: str) -> None:
    sections = set(load_stage(name).settings._fields) - UNTRACKED  # type: ignore[attr-defined]
    named = STAGES[name].get("params", [])
    assert {path.partition(".")[0] for path in named} == sections
    assert {path for path in named if "." in path} <= {f"task.{field}" for field in TaskSettings.model_fields}


def test_encoding_depends_on_what_a_model_learns_of_its_task_and_not_on_what_measures_it() -> None:
    learned = {*Answering.model_fields, "target", "choices"}
    named = {path.partition(".")[2] for path in STAGES["encode"]["params"] if path.startswith("task.")}
    assert named == learned


@pytest.mark.parametrize("name", MODULES)
def test_deps_cover_the_code_that_the_stage_imports(name: str) -> None:
    module = Path("src", *MODULES[name].split(".")).with_suffix(".py")
    named = [Path(dep) for dep in STAGES[name]["deps"]]
    for path in reachable(module):
        assert any(path == dep or dep in path.parents for dep in named), f"{name} imports {path}"


@pytest.mark.parametrize("name", MODULES)
def test_deps_name_no_code_that_the_stage_does_not_import(name: str) -> None:
    module = Path("src", *MODULES[name].split(".")).with_suffix(".py")
    imported = reachable(module)
    for dep in (dep for dep in STAGES[name]["deps"] if dep.startswith("src/")):
        assert any(path == Path(dep) or Path(dep) in path.parents for path in imported), f"{name} does not import {dep}"


@pytest.mark.parametrize("name", MODULES)
def test_the_command_names_the_paths_that_dvc_watches(name: str) -> None:
    stage, paths = load_stage(name), _command_paths(STAGES[name])
    inputs = {paths[field] for field in stage.inputs._fields}  # type: ignore[attr-defined]
    outputs = {paths[field] for field in stage.outputs._fields if field != CHECKPOINTS}  # type: ignore[attr-defined]
    assert inputs <= _paths(STAGES[name]["deps"])
    assert outputs == _outputs(STAGES[name])


def test_tracking_looks_where_the_stages_write() -> None:
    written = {key: path for stage in STAGES.values() for key, path in _command_paths(stage).items()}
    for name, path in PROJECT_FILES.items():
        assert written[name] == path


def test_every_output_has_a_name_in_the_work_folder() -> None:
    for name in MODULES:
        assert set(load_stage(name).outputs._fields) - {CHECKPOINTS} <= set(FILE_NAMES)  # type: ignore[attr-defined]


def test_params_yaml_is_conf_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT)
    assert (PROJECT / "params.yaml").read_text(encoding="utf-8") == params_text(compose([]))


def _written_by_dvc(folder: Path, overrides: list[str]) -> str:
    from dvc.utils.hydra import compose_and_dump

    compose_and_dump(folder / "params.yaml", str(PROJECT / "conf"), None, "config", str(folder), overrides)
    return (folder / "params.yaml").read_text(encoding="utf-8")


def test_params_yaml_is_what_dvc_would_write(tmp_path: Path) -> None:
    assert _written_by_dvc(tmp_path, []) == (PROJECT / "params.yaml").read_text(encoding="utf-8")
    assert read_params(tmp_path / "params.yaml")["seed"] == 1


@pytest.mark.parametrize("model", ["lstm", "gru", "transformer"])
@pytest.mark.parametrize("experiment", sorted(path.stem for path in (PROJECT / "conf" / "experiment").glob("*.yaml")))
def test_dvc_composes_every_experiment_with_every_model_as_we_do(
    experiment: str, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    overrides = [f"experiment={experiment}", f"model={model}"]
    params = compose(overrides)
    assert _written_by_dvc(tmp_path, overrides) == params_text(params)
    assert params["model"]["name"] == model
    validate_params(params)
