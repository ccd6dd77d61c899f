"""pipelines.apply as it is used: words, fields, pipes, files, a terminal; and what it says of what it cannot answer."""

import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from lmlab.applying.opening import open_applier
from lmlab.errors import InputError
from pipelines import apply
from tests.applying.tiny_bundles import RECORDS, TASKS, tiny_bundle
from tests.laws.imports import PROJECT
from tests.pipelines.tiny import command_of, environment


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {name: tiny_bundle(folder / name / "bundle", name).parent for name in TASKS}


class Said:
    """Runs the command in this process, with these words and this input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys

    def __call__(self, *words: str | Path, stdin: bytes = b"") -> str:
        self._monkeypatch.setattr(sys, "argv", ["apply", *map(str, words)])
        self._monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        assert apply.main() == 0
        return self._capsys.readouterr().out

    def before_the_fault(self) -> str:
        """What was printed before the last call failed."""
        return self._capsys.readouterr().out


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(monkeypatch, capsys)


def test_a_text_is_answered(models: dict[str, Path], said: Said) -> None:
    [reply] = open_applier(models["translation"]).answer([{"source": "the cat"}])
    assert said("--model", models["translation"], "the cat") == f"{reply.text}\n"


@pytest.mark.parametrize("words", [["-5 degrees"], ["- a cat"], ["--", "-5"], ["--", "--beams"], ["--", "-h"]])
def test_a_text_may_begin_with_a_dash(words: list[str], models: dict[str, Path], said: Said) -> None:
    assert json.loads(said("--model", models["translation"], "--jsonl", *words))["source"] == words[-1]


def test_a_text_goes_on_as_the_options_say(models: dict[str, Path], said: Said) -> None:
    told = ("--model", models["language_modeling"], "the cat")
    greedy = said(*told, "--temperature", "0")
    assert said(*told, "--temperature", "0", "--max-new-tokens", "4") != greedy
    assert greedy.startswith(said(*told, "--temperature", "0", "--max-new-tokens", "4").rstrip("\n"))
    assert said(*told, "--seed", "2") == said(*told, "--seed", "2") != said(*told, "--seed", "3")


def test_one_text_is_classified_with_probabilities(models: dict[str, Path], said: Said) -> None:
    rows = [line.split("  ") for line in said("--model", models["classification"], "a dog").splitlines()]
    assert sorted(label for _, label in rows) == ["cat", "dog", "tree"]
    assert sum(float(share) for share, _ in rows) == pytest.approx(1, abs=2e-4)


def test_fields_make_a_record(models: dict[str, Path], said: Said) -> None:
    record = RECORDS["question_answering"]
    words = [word for name, text in record.items() for word in ("--field", f"{name}={text}")]
    answered = json.loads(said("--model", models["question_answering"], *words, "--jsonl"))
    [reply] = open_applier(models["question_answering"]).answer([record])
    assert answered == {**record, "answer": reply.text}


@pytest.mark.parametrize("source", ["pipe", "file"])
def test_lines_are_answered_in_order_whatever_the_batch(
    source: str, models: dict[str, Path], said: Said, tmp_path: Path
) -> None:
    lines = [f"the {noun} sees" for noun in ("cat", "dog", "tree", "house", "road")]
    given = ("\ufeff" + "\r\n".join(lines) + "\n").encode()
    (tmp_path / "lines.txt").write_bytes(given)
    where = ["--file", tmp_path / "lines.txt"] if source == "file" else []
    printed = said("--model", models["classification"], "--jsonl", "--batch-rows", "2", *where, stdin=given)
    answered = [json.loads(line) for line in printed.splitlines()]
    assert [one["text"] for one in answered] == lines
    expected = open_applier(models["classification"]).answer([{"text": line} for line in lines])
    assert [one["answer"] for one in answered] == [reply.text for reply in expected]
    assert answered[0]["probabilities"] == pytest.approx(expected[0].probabilities, abs=1e-4)


def test_json_lines_ask_a_task_with_several_fields(models: dict[str, Path], said: Said) -> None:
    record = RECORDS["question_answering"]
    printed = said("--model", models["question_answering"], stdin=(json.dumps(record) + "\n").encode() * 2)
    [reply] = open_applier(models["question_answering"]).answer([record])
    assert printed == f"{reply.text}\n" * 2


def test_no_line_at_all_is_no_error(models: dict[str, Path], said: Said) -> None:
    assert said("--model", models["translation"], stdin=b"") == ""


def test_what_came_before_a_faulty_line_is_answered(models: dict[str, Path], said: Said) -> None:
    with pytest.raises(InputError, match=r"^line 3: the text is empty"):
        said("--model", models["translation"], "--jsonl", stdin=b"a cat\na dog\n\nanother\n")
    assert [json.loads(line)["source"] for line in said.before_the_fault().splitlines()] == ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("task", "words", "stdin", "message"),
    [
        ("translation", [""], b"", "the text is empty"),
        (
            "translation",
            ["the cat " * 90],
            b"",
            r"the prompt has \d+ tokens, and the model reads 55 at most before an answer",
        ),
        ("question_answering", ["what?"], b"", r"asks for context and question: give --field context=\.\.\."),
        ("question_answering", ["--field", "question"], b"", "--field question: must be NAME=TEXT"),
        ("question_answering", ["--field", "a=b", "text"], b"", "--field: stands in place of a text"),
        ("question_answering", [], b"what?\n", "line 1: is not JSON"),
        ("question_answering", [], b"[1]\n", "line 1: is no JSON object"),
        ("question_answering", [], b'{"question": "x"}\n', "line 1: context: this field is missing"),
        ("translation", [], b"good\n\xff\xfe\n", "line 2: is not UTF-8"),
        ("translation", ["--file", "nowhere.txt"], b"", "--file nowhere.txt: there is no such file"),
        ("translation", ["--temperature", "1", "x"], b"", "temperature: the model decodes by beam, which has"),
        ("translation", ["--beams", "0", "x"], b"", r"decoding\.beams: .* greater than 0, found 0"),
        ("translation", ["--batch-rows", "0", "x"], b"", "--batch-rows: must be at least 1, found 0"),
        ("translation", ["--modle", "x"], b"", "--modle: there is no such option; did you mean '--model'"),
    ],
)
def test_what_cannot_be_answered_is_one_clear_line(
    task: str, words: list[str], stdin: bytes, message: str, models: dict[str, Path], said: Said
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        said("--model", models[task], *words, stdin=stdin)
    assert "\n" not in str(caught.value)


def test_a_missing_model_ends_with_one_line_and_a_code(tmp_path: Path) -> None:
    command = command_of("apply", "--model", str(tmp_path / "none"), "x")
    done = subprocess.run(command, cwd=PROJECT, env=environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_on_a_terminal_it_asks_again_and_again_until_the_end(models: dict[str, Path]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command_of("apply", "--model", str(models["classification"])),
        cwd=PROJECT,
        env=environment(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(theirs)
    os.write(ours, b"a dog\n\na cat\n\x04")
    out, err = process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert out.count("  dog\n") == 2
    assert "error: text: is empty" in err
    assert "Traceback" not in err
