"""A model that is applied answers whatever text it is asked, or says in one line why it does not."""

import io
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmlab.applying.applier import Applier, changed_decoding
from lmlab.applying.opening import open_applier
from pipelines import apply
from tests.applying.tiny_bundles import TASKS, tiny_bundle
from tests.hostile.inputs import ANY_TEXT, BROKEN_TEXT, LONG_TEXT, NUMBERS, VALUES, mutated, spelt
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, refusal_of

MODELS = ("transformer", "lstm", "gru")
NAMES = sorted({name for task in TASKS.values() for name in task.prompt_fields()} | {"text"})
TASK = st.sampled_from(list(TASKS))


@pytest.fixture(scope="module")
def appliers(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Applier]:
    """A model of each task, run by each engine."""
    folder = tmp_path_factory.mktemp("models")
    made = {task: tiny_bundle(folder / task, task, model=MODELS[at % 3]) for at, task in enumerate(TASKS)}
    made["characters"] = tiny_bundle(folder / "characters", "translation", tokenizer="characters")
    engines: Any = ("torch", "auto")
    return {(name, engine): open_applier(made[name], engine=engine) for name in made for engine in engines}


def _record(applier: Applier, texts: list[Any], extra: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(applier.fields, map(spelt, texts), strict=False)) | extra


def _ask(applier: Applier, record: dict[str, Any], changes: dict[str, Any], seed: int, *, streams: bool) -> None:
    decoding = changed_decoding(applier.task.decoding, changes)
    if streams:
        "".join(applier.stream(record, decoding=decoding, seed=seed)).encode()
        return
    for reply in applier.answer([record, record], decoding=decoding, seed=seed):
        reply.text.encode()
        json.dumps(reply._asdict(), allow_nan=False)


@fuzz(suite=80, parts=2)
@given(
    task=TASK | st.just("characters"),
    engine=st.sampled_from(["torch", "auto"]),
    texts=st.lists(ANY_TEXT | BROKEN_TEXT | LONG_TEXT | VALUES, min_size=1, max_size=2),
    extra=st.dictionaries(st.sampled_from(NAMES) | ANY_TEXT, VALUES, max_size=1) | st.just({}),
    streams=st.booleans(),
)
def test_records_of_any_content(
    appliers: dict[tuple[str, str], Applier],
    task: str,
    engine: str,
    texts: list[Any],
    extra: dict[str, Any],
    streams: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    applier = appliers[task, engine]
    attempt(
        lambda: _ask(applier, _record(applier, texts, extra), {}, 1, streams=streams), tmp_path_factory.getbasetemp()
    )


SMALL = st.sampled_from([0, 1, 2, 5, 0.5, 1.0, 1e-9, 1e-6, 100, -1])
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "max_new_tokens": SMALL | st.sampled_from([3, 2**70, "5", None]),
        "temperature": SMALL | NUMBERS,
        "top_k": SMALL | NUMBERS,
        "top_p": SMALL | NUMBERS,
        "beams": SMALL | st.sampled_from([7, 2**70, None]),
        "length_penalty": SMALL | NUMBERS,
        "nonsense": st.just(1),
    },
)


@fuzz(suite=80, parts=2)
@given(task=TASK, engine=st.sampled_from(["torch", "auto"]), changes=CHANGES, seed=st.integers(), streams=st.booleans())
def test_decoding_with_any_numbers(
    appliers: dict[tuple[str, str], Applier], task: str, engine: str, changes: dict[str, Any], seed: int, streams: bool
) -> None:
    applier = appliers[task, engine]
    record = _record(applier, ["the cat", "what?"], {})
    attempt(lambda: _ask(applier, record, changes, seed, streams=streams))


LINES = (
    st.lists(VALUES.map(json.dumps) | ANY_TEXT, max_size=4).map(lambda lines: "\n".join(lines).encode())
    | mutated(b'{"context": "the cat", "question": "what?"}\n{"context": "a", "question": "b"}\n')
    | st.binary(max_size=80)
)


@pytest.fixture
def command(appliers: dict[tuple[str, str], Applier], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Command":
    return Command(appliers, monkeypatch, tmp_path)


class Command:
    """`pipelines.apply` as a user runs it, with models that are open already."""

    def __init__(self, appliers: dict[tuple[str, str], Applier], monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch, self.folder = monkeypatch, folder
        monkeypatch.setattr("lmlab.applying.opening.open_applier", lambda folder, **_: appliers[folder.name, "auto"])

    def run(self, task: str, *words: str, lines: bytes | None = None) -> int:
        given = [] if lines is None else ["--file", str(self.folder / "lines")]
        if lines is not None:
            (self.folder / "lines").write_bytes(lines)
        self._patch.setattr(sys, "argv", ["pipelines.apply", "--model", task, *given, *words])
        self._patch.setattr(sys, "stdout", io.StringIO())
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"the cat\n")))
        return apply.main()


@fuzz(suite=60, parts=2)
@given(task=TASK, lines=LINES, jsonl=st.booleans())
@example(task="question_answering", lines=b'{"context": ' + b"[" * 100_000, jsonl=True)
@example(task="translation", lines=b"\xff\xfe", jsonl=False)
def test_lines_of_any_bytes(command: Command, task: str, lines: bytes, jsonl: bool) -> None:
    attempt(lambda: command.run(task, *["--jsonl"] * jsonl, lines=lines), command.folder)


@fuzz(suite=40, parts=2)
@given(
    task=TASK,
    words=st.lists(
        (
            ANY_TEXT
            | st.sampled_from(["--field", "--beams", "--top-k", "--seed", "--nonsense", "--batch-rows", "3", "a=b"])
        )
        # A process cannot be given a zero byte.
        .map(lambda word: word.replace("\0", "")),
        min_size=1,
        max_size=4,
    ),
)
def test_words_of_a_command_line(command: Command, task: str, words: list[str]) -> None:
    # `-h` prints the help and ends.
    with suppress(SystemExit):
        attempt(lambda: command.run(task, *words))


def test_a_line_without_end_is_refused_in_bounded_memory(command: Command) -> None:
    line = b"x" * (apply.LONGEST_LINE + 2)
    said = refusal_of(lambda: command.run("translation", lines=line), command.folder, megabytes=150)
    assert "line 1: has more than 16,777,216 bytes" in said
