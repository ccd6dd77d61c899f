"""What a stage reads of another: records, tokens and checkpoints that were changed, and sealed anew, are refused."""

import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from lmlab.config import validate
from lmlab.data.batches import TextPlan, validation_text
from lmlab.data.encode import EncodeInputs, EncodeOutputs, EncodeSettings, encode
from lmlab.data.example_batches import ExamplePlan
from lmlab.data.source import SPLITS
from lmlab.data.store import INDEX_NAME, TOKENS_NAME, TokenStore, check_tokens
from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.files import SEAL_NAME, whole_folder, write_seal
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from lmlab.training.checkpoint import FILE_NAME, read_checkpoint, write_checkpoint
from pipelines.command import describe, is_users
from tests.corpus import COPYING, LANGUAGE_MODELING, encode_records, tokenizer_settings, write_records
from tests.hostile.inputs import ANY_TEXT, mutated, reshaped
from tests.hostile.profiles import fuzz
from tests.hostile.watching import attempt, watched
from tests.training.train_tiny import RUNTIME

ROWS = [f"the cat sees the dog {number}." for number in range(12)]
CHARACTERS = tokenizer_settings("characters", min_frequency=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records, and what the stage encode makes of them with and without prompts."""
    folder = tmp_path_factory.mktemp("stages")
    records = write_records(folder / "records", dict.fromkeys(SPLITS, ROWS))
    for name, task in (("text", LANGUAGE_MODELING), ("examples", COPYING)):
        encode_records(records, folder / name, CHARACTERS, task=task)
    return folder


def _copied(folder: Path, of: str) -> Path:
    """A copy of a folder of a stage, to be damaged."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    return shutil.copytree(folder / of, copy)


def _sealed(copy: Path) -> Path:
    facts = json.loads((copy / SEAL_NAME).read_bytes())
    (copy / SEAL_NAME).unlink()
    write_seal(copy, {key: value for key, value in facts.items() if key not in ("files", "digest")})
    return copy


def _read_tokens(copy: Path) -> None:
    """As training, evaluation and export do."""
    facts = check_tokens(copy)
    store = TokenStore.open(copy, "train")
    for number in range(store.num_records):
        store.record(number)
    plan = (
        ExamplePlan(store, batch_tokens=64, separator_id=facts["separator_id"], seed=1) if store.has_prompts else None
    )
    if plan is None:
        plan = TextPlan(store, rows=2, time=8, contiguous=True, seed=1)
        validation_text(store, max_tokens=50, lanes=2, time=8, separator_id=0)
    plan.batch(0)
    plan.batch(3)


STORES = st.sampled_from(["text/tokens", "examples/tokens"])


@fuzz(suite=40, parts=3)
@given(data=st.data(), of=STORES, name=st.sampled_from([TOKENS_NAME, INDEX_NAME]))
def test_token_stores_of_any_bytes(folder: Path, data: st.DataObject, of: str, name: str) -> None:
    copy = _copied(folder, of)
    path = copy / name.format(split="train")
    path.write_bytes(data.draw(mutated(path.read_bytes()) | mutated(path.read_bytes()[:200])))
    attempt(lambda: _read_tokens(_sealed(copy)), copy)


ARRAYS = st.sampled_from(["offsets", "prompt_lengths", "target_bytes", "documents", "other"])
INTEGERS = st.lists(st.integers(-3, 300) | st.sampled_from([2**31, 2**62, -(2**63)]), max_size=14)


@fuzz(suite=40, parts=3)
@given(of=STORES, name=ARRAYS, values=INTEGERS, kind=st.sampled_from(["i8", "i4", "f8", "u2"]), is_flat=st.booleans())
def test_indexes_that_do_not_fit_their_tokens(
    folder: Path, of: str, name: str, values: list[int], kind: str, is_flat: bool
) -> None:
    copy = _copied(folder, of)
    path = copy / INDEX_NAME.format(split="train")
    array = np.array(values, np.int64).astype(kind)
    index = load_file(path) | {name: array if is_flat else array[None]}
    save_file(index, path)
    attempt(lambda: _read_tokens(_sealed(copy)), copy)


class _Code:
    def __reduce__(self) -> tuple[Any, tuple[Any]]:
        return Path.touch, (Path("ran"),)


def test_a_token_file_that_holds_code_is_refused(folder: Path) -> None:
    copy = _copied(folder, "text/tokens")
    np.save(copy / TOKENS_NAME.format(split="train"), np.array([_Code()], dtype=object), allow_pickle=True)
    with watched(copy), pytest.raises(InputError, match="the tokens of train are damaged"):
        _read_tokens(_sealed(copy))


@fuzz(suite=40, parts=3)
@given(data=st.data(), of=STORES)
def test_facts_of_tokens_of_any_shape(folder: Path, data: st.DataObject, of: str) -> None:
    copy = _copied(folder, of)
    facts = data.draw(reshaped(json.loads((copy / SEAL_NAME).read_bytes())))
    (copy / SEAL_NAME).write_text(json.dumps(facts))
    attempt(lambda: _read_tokens(copy), copy)


def _encode(records: Path, folder: Path, task: dict[str, Any]) -> None:
    outputs = EncodeOutputs(folder / "out" / "tokenizer", folder / "out" / "tokens", folder / "out" / "encoding.json")
    sections = validate(TaskSettings, task, path="task"), CHARACTERS, validate(RuntimeSettings, RUNTIME, path="runtime")
    encode(EncodeSettings(*sections), EncodeInputs(records), outputs, Run())


COLUMNS: list[tuple[pa.DataType, st.SearchStrategy[Any]]] = [
    (pa.string(), ANY_TEXT),
    (pa.string(), st.none() | ANY_TEXT),
    (pa.int64(), st.integers(-5, 5)),
    (pa.large_string(), ANY_TEXT),
    (pa.binary(), st.binary(max_size=4)),
]


@fuzz(suite=25, parts=2)
@given(data=st.data(), task=st.sampled_from([LANGUAGE_MODELING, COPYING]))
def test_records_of_any_columns(folder: Path, data: st.DataObject, task: dict[str, Any]) -> None:
    names = data.draw(
        st.just(["id", "document_number", "text"]) | st.lists(ANY_TEXT, min_size=1, max_size=3, unique=True)
    )
    kinds = [data.draw(st.sampled_from([COLUMNS[0], COLUMNS[2]] if name == "id" else COLUMNS)) for name in names]
    count = data.draw(st.integers(0, 4))
    table = pa.table(
        {
            name: pa.array(data.draw(st.lists(cells, min_size=count, max_size=count)), kind)
            for name, (kind, cells) in zip(names, kinds, strict=True)
        }
    )
    with whole_folder(folder / "records_copy") as copy:
        for split in SPLITS:
            pq.write_table(table, copy / f"{split}.parquet")
        fields = data.draw(st.sampled_from([["text"], names, [], [1], "text", 3, None, {"text": 1}, ["text", "text"]]))
        write_seal(copy, {"stage": "clean", "source": "made up", "fields": fields})
    attempt(lambda: _encode(folder / "records_copy", folder, task), folder)


@fuzz(suite=25, parts=2)
@given(data=st.data())
def test_records_of_any_bytes(folder: Path, data: st.DataObject) -> None:
    copy = _copied(folder, "records")
    path = copy / "train.parquet"
    path.write_bytes(data.draw(mutated(path.read_bytes(), tail=900)))
    _sealed(copy)
    # What Arrow says of a damaged page is told in one line too.
    refusals = (InputError, OSError, pa.ArrowException)
    attempt(lambda: _encode(copy, folder, LANGUAGE_MODELING), folder, refusals=refusals)


CHECKPOINT = {
    "model": {"weight": torch.zeros(3)},
    "optimizers": [{"state": {0: {"step": 1}}, "param_groups": [{"lr": 0.1}]}],
    "carried": None,
    "progress": {"step": 3, "best_nats_per_token": 1.5},
    "seconds": 1.0,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, CHECKPOINT)
    (folder / "whole").write_bytes((folder / FILE_NAME).read_bytes())
    return folder


@fuzz(suite=60)
@given(data=st.data(), seals=st.booleans())
@example(data=None, seals=True)
def test_resume_checkpoints_of_any_bytes(checkpoint: Path, data: st.DataObject | None, seals: bool) -> None:
    content = (checkpoint / "whole").read_bytes()[32:]
    changed = pickle.dumps(_Code()) if data is None else data.draw(mutated(content) | mutated(content, tail=300))
    digest = hashlib.sha256(changed if seals else content).digest()
    (checkpoint / FILE_NAME).write_bytes(digest + changed)
    attempt(lambda: read_checkpoint(checkpoint), checkpoint)


def test_what_arrow_says_of_a_file_of_a_stage_is_one_line() -> None:
    error = pa.ArrowInvalid("Parquet magic bytes\nnot found")
    assert is_users(error)
    assert describe(error) == "Parquet magic bytes not found"


def test_a_checkpoint_that_holds_code_is_refused(checkpoint: Path) -> None:
    buffer = io.BytesIO()
    torch.save({"model": _Code()}, buffer)
    payload = buffer.getvalue()
    (checkpoint / FILE_NAME).write_bytes(hashlib.sha256(payload).digest() + payload)
    with watched(checkpoint), pytest.raises(InputError, match="is not a checkpoint"):
        read_checkpoint(checkpoint)
