"""A bundle that somebody else made and sealed is opened and answers, or is refused in one line; it runs no code."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load, save

from lmlab.applying.opening import open_applier
from lmlab.bundle import CONFIG_NAME, WEIGHTS_NAME
from lmlab.data.tokenizer import FILE_NAME
from lmlab.files import SEAL_NAME, write_seal
from tests.applying.tiny_bundles import RECORDS, TASKS, tiny_bundle
from tests.hostile.inputs import mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, refusal_of

MODELS = ("transformer", "lstm", "gru")
# A safetensors file begins with what it says of its tensors.
HEADER_BYTES = 1600


class Whole:
    """Bundles of each task and model, and a place for a damaged copy."""

    def __init__(self, folder: Path) -> None:
        self.copy = folder / "outer" / "bundle"
        self.copy.mkdir(parents=True)
        self._files: dict[str, dict[str, bytes]] = {}
        for number, task in enumerate(TASKS):
            model = MODELS[number % len(MODELS)]
            made = tiny_bundle(folder / task, task, model=model)
            self._files[task] = {path.name: path.read_bytes() for path in made.iterdir()}

    def content(self, task: str, name: str) -> bytes:
        return self._files[task][name]

    def damaged(self, task: str, name: str, content: bytes, *, seals: bool) -> Path:
        """The copy with this content in place of one file, and a seal that says that it is right."""
        for other, whole in self._files[task].items():
            (self.copy / other).write_bytes(whole)
        (self.copy / name).write_bytes(content)
        if seals and name != SEAL_NAME:
            write_seal(self.copy, {"stage": "train"})
        return self.copy


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return Whole(tmp_path_factory.mktemp("bundles"))


def _ask(folder: Path, task: str, engine: Any = "torch") -> None:
    applier = open_applier(folder, engine=engine)
    record = {field: next(iter(RECORDS[task].values())) for field in applier.fields}
    [reply] = applier.answer([record])
    reply.text.encode()
    json.dumps(reply._asdict(), allow_nan=False)


def _json_of(whole: Whole, task: str, name: str) -> Any:
    return json.loads(whole.content(task, name))


TASK = st.sampled_from(list(TASKS))


@fuzz(suite=40, parts=5)
@given(
    data=st.data(),
    task=TASK,
    name=st.sampled_from([CONFIG_NAME, FILE_NAME, WEIGHTS_NAME, SEAL_NAME]),
    seals=st.booleans(),
)
def test_damaged_bytes_of_any_file(whole: Whole, data: st.DataObject, task: str, name: str, seals: bool) -> None:
    content = data.draw(mutated(whole.content(task, name)))
    folder = whole.damaged(task, name, content, seals=seals)
    attempt(lambda: _ask(folder, task), folder)


@fuzz(suite=60, parts=5)
@given(data=st.data(), task=TASK, engine=st.sampled_from(["torch", "torch", "torch", "auto"]))
def test_settings_of_any_shape(whole: Whole, data: st.DataObject, task: str, engine: str) -> None:
    config = data.draw(reshaped(_json_of(whole, task, CONFIG_NAME)))
    folder = whole.damaged(task, CONFIG_NAME, json.dumps(config).encode(), seals=True)
    attempt(lambda: _ask(folder, task, engine), folder)


@fuzz(suite=60, parts=5)
@given(data=st.data(), task=TASK)
def test_tokenizers_of_any_shape(whole: Whole, data: st.DataObject, task: str) -> None:
    tokenizer = data.draw(reshaped(_json_of(whole, task, FILE_NAME)))
    folder = whole.damaged(task, FILE_NAME, json.dumps(tokenizer).encode(), seals=True)
    attempt(lambda: _ask(folder, task), folder)


@fuzz(suite=40, parts=5)
@given(data=st.data(), task=TASK)
def test_seals_of_any_shape(whole: Whole, data: st.DataObject, task: str) -> None:
    seal = data.draw(reshaped(_json_of(whole, task, SEAL_NAME)))
    folder = whole.damaged(task, SEAL_NAME, json.dumps(seal).encode(), seals=False)
    attempt(lambda: _ask(folder, task), folder)


@fuzz(suite=40, parts=5)
@given(data=st.data(), task=TASK)
def test_weights_of_any_bytes(whole: Whole, data: st.DataObject, task: str) -> None:
    weights = whole.content(task, WEIGHTS_NAME)
    header = data.draw(mutated(weights[:HEADER_BYTES]))
    folder = whole.damaged(task, WEIGHTS_NAME, header + weights[HEADER_BYTES:], seals=True)
    attempt(lambda: _ask(folder, task), folder)


REGEX = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
DOUBLING = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}
CHANGED: dict[str, tuple[str, dict[str, Any], str]] = {
    "layers without end": (CONFIG_NAME, {"model": {"layers": 10**9}}, "far more than the"),
    "a table of all positions": (CONFIG_NAME, {"context_length": 10**12}, "this model cannot be built"),
    "a width beyond memory": (CONFIG_NAME, {"model": {"width": 2**40}}, "this model cannot be built"),
    "a cut of no field": (CONFIG_NAME, {"task": {"cutting": {"field": "other"}}}, "has no field 'other'"),
    "a beam of millions": (CONFIG_NAME, {"task": {"decoding": {"beams": 10**7}}}, "beams"),
    "a vocabulary with a wild number": (FILE_NAME, {"model": {"vocab": {"a": 10**9}}}, "up to 1,000,000,000"),
    "a token of a book's length": (FILE_NAME, {"model": {"vocab": {"x" * 5000: 5}}}, "a token of 5,000 characters"),
    "a text that doubles": (
        FILE_NAME,
        {"normalizer": {"type": "Sequence", "normalizers": [DOUBLING] * 30}},
        "can make one character 1,073,741,824",
    ),
    "a pattern that never ends": (FILE_NAME, {"pre_tokenizer": REGEX}, "cannot read this text"),
    "a map that is none": (
        FILE_NAME,
        {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
        "is not a tokenizer",
    ),
    "a file elsewhere": (SEAL_NAME, {"files": {"/etc/passwd": "0"}, "digest": None}, "does not lie in"),
    "a file above": (SEAL_NAME, {"files": {"../x": "0"}, "digest": None}, "does not lie in"),
    "a number that is none": (SEAL_NAME, {"stage": float("nan")}, "was changed after it was written"),
}


def _merged(values: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    inner = {
        key: _merged(values[key], new) if isinstance(values.get(key), dict) and isinstance(new, dict) else new
        for key, new in changes.items()
    }
    return {**values, **inner}


@pytest.mark.parametrize("fault", CHANGED)
def test_a_bundle_that_was_made_to_harm_is_refused(fault: str, whole: Whole) -> None:
    name, changes, line = CHANGED[fault]
    content = json.dumps(_merged(_json_of(whole, "summarization", name), changes)).encode()
    folder = whole.damaged("summarization", name, content, seals=True)
    text = "a" * 40 + "b"
    said = refusal_of(lambda: open_applier(folder, engine="torch").answer([{"document": text}]), folder, megabytes=1300)
    assert line in said


@pytest.mark.parametrize("name", [CONFIG_NAME, SEAL_NAME])
def test_json_without_an_end_is_refused(name: str, whole: Whole) -> None:
    folder = whole.damaged("translation", name, b'{"format": 2, "a": ' + b"[" * 100_000, seals=True)
    assert "is not valid JSON" in refusal_of(lambda: _ask(folder, "translation"), folder)


def _all(value: float, content: bytes) -> bytes:
    return save({name: torch.full_like(tensor, value) for name, tensor in load(content).items()})


@pytest.mark.parametrize("task", TASKS)
def test_weights_that_are_no_numbers_are_refused(task: str, whole: Whole) -> None:
    content = _all(float("nan"), whole.content(task, WEIGHTS_NAME))
    folder = whole.damaged(task, WEIGHTS_NAME, content, seals=True)
    assert "holds what is no finite number" in refusal_of(lambda: _ask(folder, task), folder)


@pytest.mark.parametrize("task", ["translation", "classification"])
def test_weights_that_lead_to_no_numbers_are_refused(task: str, whole: Whole) -> None:
    folder = whole.damaged(task, WEIGHTS_NAME, _all(3e38, whole.content(task, WEIGHTS_NAME)), seals=True)
    assert "gives no finite numbers" in refusal_of(lambda: _ask(folder, task), folder)


@pytest.mark.parametrize("choices", [[], ["cat", "cat"], ["a" * length for length in range(1, 200)]])
def test_labels_that_cannot_be_ranked_are_refused(choices: list[str], whole: Whole) -> None:
    config = _json_of(whole, "classification", CONFIG_NAME)
    config["task"]["choices"] = choices
    folder = whole.damaged("classification", CONFIG_NAME, json.dumps(config).encode(), seals=True)
    said = refusal_of(lambda: _ask(folder, "classification"), folder)
    assert "needs choices, each of them once" in said or "begin with one another" in said
