"""What a user can get wrong with tasks, labels and bundles ends with one line, and no stage after it begins."""

import json
import os
import signal
from pathlib import Path

import pytest

from lmlab.hub_access import BY_DEFAULT, OFFLINE, hub_is_allowed
from pipelines.command import set_up
from tests.corpus import texts
from tests.pipelines.conftest import Fails
from tests.pipelines.tiny import SOURCE, TINY, TRANSFORMER, run_command, write_text

UNTRACKED = "runtime.tracking=false"
SMALL = [override for override in TINY if override not in SOURCE]
FAULTS: dict[str, tuple[str, list[str], list[str]]] = {
    "a template that names a field that the source lacks": (
        "translation",
        ["source.columns={source: text, goal: label}"],
        [
            "source.columns: task=translation reads the fields source, target, and is given source, goal;",
            "'source.columns={source: text, target: COLUMN}'",
        ],
    ),
    "a label that is not among the choices": (
        "classification",
        ["source.columns={text: text, label: label}", "task.choices=[even, odds]"],
        ["record rows.jsonl:", "the label 'odd' is not among the choices of task", "did you mean 'odds'"],
    ),
    "an empty target": (
        "translation",
        ["source.columns={source: text, target: empty}"],
        ["target", "empty", "record "],
    ),
    "a prompt that cannot be cut enough": (
        "question_answering",
        ["source.columns={question: long, context: text, answer: label}", "task.cutting.max_prompt_tokens=20"],
        ["tokens without the field 'context'", "task.cutting.max_prompt_tokens (20)", "raise that"],
    ),
    "a prompt template without the field to cut": (
        "translation",
        ["task.prompt='{text}'"],
        ["task: cutting.field: the prompt has no field 'source'"],
    ),
    "choices for a task that writes": (
        "translation",
        ["task.choices=[a,b]"],
        ["task: choices are for decoding.name=ranking alone"],
    ),
}


def write_rows(project: Path) -> None:
    """rows.jsonl: a text, its label, a column that is empty now and then, and one that is long."""
    rows = [
        {"text": text, "label": ["even", "odd"][number % 2], "empty": "x" * (number % 7), "long": "why " * 200}
        for number, text in enumerate(texts(200, seed=1))
    ]
    path = project / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_a_task_is_said_in_one_line(fault: str, fails: Fails, project: Path) -> None:
    write_rows(project)
    task, overrides, expected = FAULTS[fault]
    said = fails(
        "run", f"task={task}", "source=files", "source.path=rows.jsonl", "cleaning=pairs", *overrides, UNTRACKED
    )
    assert all(part in said for part in expected), said
    assert not list((project / "work").glob("encode-*/tokens"))


def test_a_bundle_with_another_tokenizer_is_refused(fails: Fails, project: Path) -> None:
    write_text(project)
    assert run_command(project, "run", *TINY, *TRANSFORMER, UNTRACKED).returncode == 0
    [bundle] = (project / "work").glob("train-*/bundle")
    other = ["tokenizer.vocabulary_size=280", f"training.start_from={bundle}"]
    said = fails("run", *TINY, *TRANSFORMER, UNTRACKED, *other)
    assert "was trained with another tokenizer" in said
    assert f"tokenizer=existing tokenizer.path={bundle}" in said
    assert len(list((project / "work").glob("train-*/bundle"))) == 1


def test_a_bundle_that_does_not_exist_is_refused(fails: Fails, project: Path) -> None:
    write_text(project)
    said = fails("run", *TINY, *TRANSFORMER, UNTRACKED, "training.start_from=models/nowhere")
    assert "training.start_from: models/nowhere does not exist" in said


def test_a_hub_name_without_a_network_says_what_works_offline(
    fails: Fails, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = fails("run", "source=squad", "task=question_answering", UNTRACKED)
    assert "rajpurkar/squad" in said
    assert "package_docs" in said
    assert not list((project / "work").glob("clean-*/records"))


def test_a_command_leaves_the_hub_to_the_source_hub_unless_the_user_forbids_it(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.delenv(OFFLINE)
    monkeypatch.delenv(BY_DEFAULT, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    set_up()
    # Every library reads that it is offline; the source hub knows that nobody asked for it.
    assert (os.environ[OFFLINE], hub_is_allowed()) == ("1", True)
    monkeypatch.delenv(BY_DEFAULT)
    set_up()
    assert not hub_is_allowed()
    signal.signal(signal.SIGTERM, before)
