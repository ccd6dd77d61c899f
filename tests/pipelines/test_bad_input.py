"""What a user can get wrong ends with one line that says what, where and what would be right."""

import shlex
import sys
from pathlib import Path

import pytest

from pipelines.stages import stage_command
from pipelines.workspace import pipeline_file
from tests.pipelines.conftest import Fails, main_of
from tests.pipelines.tiny import SOURCE, TINY, TRANSFORMER, write_text

UNTRACKED = "runtime.tracking=false"


@pytest.fixture
def project(project: Path) -> Path:
    write_text(project)
    return project


def _stage_arguments(project: Path, stage: str) -> list[str]:
    return shlex.split(pipeline_file(project)[stage]["cmd"])[3:]


def _composed(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "argv", ["pipelines.compose", *TINY, *TRANSFORMER, UNTRACKED])
    assert main_of("compose")() == 0
    return project / "params.yaml"


FILES: dict[str, tuple[str, bytes, list[str], list[str]]] = {
    "a path that does not exist": (
        "my2.txt",
        b"text",
        ["source.path=my3.txt"],
        ["my3.txt does not exist", "did you mean 'my"],
    ),
    "an empty file": ("no.txt", b"", ["source.path=no.txt"], ["no.txt is empty"]),
    "bytes that are not UTF-8": (
        "latin.txt",
        b"caf\xe9 au lait\n" * 50,
        ["source.path=latin.txt"],
        ["latin.txt: not utf-8 at byte 3", "source.encoding_errors=replace"],
    ),
    "a missing column": (
        "rows.csv",
        b"words,number\nhello,1\n" * 2,
        ["source.path=rows.csv"],
        ["there is no column 'text', it has words, number"],
    ),
    "a line that is not JSON": (
        "rows.jsonl",
        b'{"text": "one"}\n{"text": \n',
        ["source.path=rows.jsonl"],
        ["rows.jsonl:2: this line is not JSON"],
    ),
    "too few records": (
        "few.txt",
        b"one line\n",
        ["source.path=few.txt"],
        ["1 records are too few for the three splits"],
    ),
    "a kind of file that no reader knows": ("my.pdf", b"%PDF", ["source.path=my.pdf"], ["my.pdf", ".jsonl"]),
}


@pytest.mark.parametrize("fault", FILES)
def test_a_source_that_cannot_be_read_is_named(fault: str, fails: Fails, project: Path) -> None:
    name, content, overrides, expected = FILES[fault]
    (project / name).write_bytes(content)
    said = fails("run", *SOURCE, *overrides, UNTRACKED)
    assert all(part in said for part in expected), said
    assert not list((project / "work").glob("clean-*/records"))


OVERRIDES = {
    "training.learning_rat=1": ["training.learning_rat: there is no such setting", "'training.learning_rate'"],
    "model=lstmm": ["there is no model called 'lstmm'", "'lstm'"],
    "modle=lstm": ["modle", "'model'"],
    "model": ["key=value"],
    "training.learning_rate=-1": ["training.learning_rate", "greater than 0", "-1"],
    "training.learning_rate=nan": ["training.learning_rate", "finite"],
    "seed=1.5": ["seed", "whole number", "1.5"],
    "model.width=100": ["model", "heads", "nearest right width"],
    "source.fractions.test=0.5": ["source.fractions", "sum to 1"],
    "-5 degrees": ["'-5 degrees' is no override"],
    "--multirum": ["--multirum: there is no such option", "'--multirun'"],
}


@pytest.mark.parametrize("command", ["run", "compose"])
@pytest.mark.parametrize("override", OVERRIDES)
def test_a_wrong_override_is_refused_before_any_work(command: str, override: str, fails: Fails, project: Path) -> None:
    said = fails(command, *SOURCE, "model.heads=3" if "width" in override else UNTRACKED, override)
    expected = OVERRIDES[override][:1] if override.startswith("--") and command != "run" else OVERRIDES[override]
    assert all(part in said for part in expected), said
    assert not (project / "work").exists()
    assert not (project / "params.yaml").exists()


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("seed: 1", "seed: [1", "params.yaml is not valid YAML"),
        ("seed: 1", "sede: 1", "sede: there is no such section of settings; did you mean 'seed'"),
        ("documents: paragraphs", "document: paragraphs", "source.document: there is no such setting"),
        ("max_steps: 6", "max_steps: six", "training.max_steps: "),
        ("name: transformer", "name: [transformer]", "no model is called"),
        ("seed: 1", "seed: 1\nseed: 2", "params.yaml is not valid YAML"),
    ],
)
def test_params_edited_into_something_invalid_are_refused(
    old: str, new: str, expected: str, fails: Fails, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _composed(project, monkeypatch)
    text = path.read_text(encoding="utf-8")
    assert f"{old}\n" in text
    path.write_text(text.replace(f"{old}\n", f"{new}\n"), encoding="utf-8")
    assert expected in fails("clean", *_stage_arguments(project, "clean"))
    assert not (project / "data").exists()


def test_missing_params_say_what_writes_them(fails: Fails, project: Path) -> None:
    assert "python -m pipelines.compose" in fails("clean", *_stage_arguments(project, "clean"))


def test_a_misspelt_option_of_a_stage_gets_the_nearest_right_one(fails: Fails) -> None:
    assert "--recods: there is no such option; did you mean '--records'" in fails("clean", "--recods", "x")


def test_paths_that_are_not_given_are_those_of_dvc_yaml(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _composed(project, monkeypatch)
    monkeypatch.setattr(sys, "argv", ["pipelines.clean", "--records", "elsewhere"])
    assert stage_command("clean") == 0
    assert (project / "elsewhere" / "train.parquet").exists()
    assert (project / "reports" / "cleaning.json").exists()


def test_records_changed_by_hand_stop_the_next_stage(
    fails: Fails, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _composed(project, monkeypatch)
    monkeypatch.setattr(sys, "argv", ["pipelines.clean", *_stage_arguments(project, "clean")])
    assert stage_command("clean") == 0
    capsys.readouterr()
    with (project / "data" / "records" / "train.parquet").open("ab") as stream:
        stream.write(b"x")
    said = fails("encode", *_stage_arguments(project, "encode"))
    assert "data/records/train.parquet was changed after it was written" in said
    assert not (project / "data" / "tokens").exists()


def test_a_stage_before_its_inputs_names_the_stage_to_run(
    fails: Fails, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _composed(project, monkeypatch)
    assert "data/records does not exist: run the stage that writes it first" in fails(
        "encode", *_stage_arguments(project, "encode")
    )
