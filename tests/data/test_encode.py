"""The stage encode: what stands in the token store and in the report."""

from pathlib import Path

import numpy as np
import pytest

from lmlab.config import validate
from lmlab.data.encode import EncodeInputs, EncodeOutputs, EncodeSettings, encode
from lmlab.data.encoder import BATCH_RECORDS
from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError
from lmlab.files import file_digest, folder_files, read_json
from lmlab.run import Run
from tests.corpus import (
    COPYING,
    LANGUAGE_MODELING,
    encode_records,
    runtime_settings,
    texts,
    tokenizer_settings,
    write_records,
)

CHARACTERS = tokenizer_settings("characters", min_frequency=1)


def _splits(train: list[str]) -> dict[str, list[str]]:
    return {"train": train, "validation": ["ab"], "test": ["ba"]}


def test_a_record_is_its_text_and_a_separator(tmp_path: Path) -> None:
    encoded = encode_records(write_records(tmp_path / "r", _splits(["ab", "b"])), tmp_path, CHARACTERS)
    tokenizer, store = Tokenizer.load(encoded.tokenizer), TokenStore.open(encoded.tokens, "train")
    a, b = tokenizer.encode(["ab"])[0]
    assert store.tokens.tolist() == [a, b, tokenizer.separator_id, b, tokenizer.separator_id]
    assert store.offsets.tolist() == [0, 3, 5]
    assert store.target_bytes.tolist() == [2, 1]
    assert store.record(1).tolist() == [b, tokenizer.separator_id]


def test_pieces_of_one_document_have_no_separator_between_them(tmp_path: Path) -> None:
    records = write_records(tmp_path / "r", _splits(["ab", "b", "a"]), documents={"train": [7, 7, 8]})
    encoded = encode_records(records, tmp_path, CHARACTERS)
    store = TokenStore.open(encoded.tokens, "train")
    separator_id = Tokenizer.load(encoded.tokenizer).separator_id
    assert [separator_id in store.record(row) for row in range(3)] == [False, True, True]


def test_pieces_stay_one_document_across_batches(tmp_path: Path) -> None:
    rows = ["a"] * (BATCH_RECORDS + 3)
    records = write_records(tmp_path / "r", _splits([*rows, "b"]), documents={"train": [5] * len(rows) + [6]})
    store = TokenStore.open(encode_records(records, tmp_path, CHARACTERS).tokens, "train")
    assert int((np.asarray(store.tokens) == 0).sum()) == 2


def test_the_report_counts_by_hand(tmp_path: Path) -> None:
    encoded = encode_records(write_records(tmp_path / "r", _splits(["ab ab", "\u00e4"])), tmp_path, CHARACTERS)
    report = read_json(encoded.tokens.parent / "encoding.json")
    train = report["splits"]["train"]
    assert (train["records"], train["tokens"], train["bytes"]) == (2, 6, 7)
    assert train["bytes_per_token"] == pytest.approx(7 / 6)
    assert train["tokens_per_word"] == pytest.approx(6 / 3)
    # a, b, space, a-umlaut and the separator of six tokens: the unknown is not used.
    assert report["vocabulary_used"] == 5
    assert report["tokenizer"]["vocabulary_size"] == 6


def test_unknown_characters_of_other_splits_are_counted(tmp_path: Path) -> None:
    records = write_records(tmp_path / "r", {"train": ["ab"], "validation": ["a?"], "test": ["b"]})
    encoded = encode_records(records, tmp_path, CHARACTERS)
    report = read_json(encoded.tokens.parent / "encoding.json")
    assert report["splits"]["validation"]["unknown_tokens"] == 1
    assert report["splits"]["validation"]["unknown_share"] == pytest.approx(0.5)


def test_the_tokenizer_learns_from_the_training_split_alone(tmp_path: Path) -> None:
    records = write_records(tmp_path / "r", {"train": ["ab"], "validation": ["\u4f60"], "test": ["\u597d"]})
    assert Tokenizer.load(encode_records(records, tmp_path, CHARACTERS).tokenizer).vocabulary_size == 4


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    splits = {"train": texts(50, seed=1), "validation": texts(5, seed=2), "test": texts(5, seed=3)}
    digests = []
    for name in ("first", "second"):
        records = write_records(tmp_path / name / "r", splits)
        encoded = encode_records(
            records,
            tmp_path / name,
            tokenizer_settings("bpe", vocabulary_size=300, min_frequency=2, split_digits=False),
        )
        digests.append([file_digest(path) for folder in encoded for path in folder_files(folder)])
    assert digests[0] == digests[1]


def test_tokens_are_mapped_and_not_read(tmp_path: Path) -> None:
    encoded = encode_records(write_records(tmp_path / "r", _splits(["ab"])), tmp_path, CHARACTERS)
    store = TokenStore.open(encoded.tokens, "train")
    assert isinstance(store.tokens, np.memmap)
    assert store.record(0).base is not None


def test_records_changed_by_hand_are_refused_by_name(tmp_path: Path) -> None:
    records = write_records(tmp_path / "r", _splits(["ab"]))
    with (records / "test.parquet").open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(InputError, match=r"test\.parquet was changed after it was written"):
        encode_records(records, tmp_path, CHARACTERS)
    assert not (tmp_path / "tokens").exists()


def test_a_template_that_names_a_field_too_many_is_refused(tmp_path: Path) -> None:
    task = validate(TaskSettings, {**LANGUAGE_MODELING, "target": "{texts}"}, path="task")
    outputs = EncodeOutputs(tmp_path / "t", tmp_path / "k", tmp_path / "e.json")
    records = write_records(tmp_path / "r", _splits(["ab"]))
    with pytest.raises(InputError, match="names the field 'texts', which the records lack; did you mean 'text'"):
        encode(EncodeSettings(task, CHARACTERS, runtime_settings()), EncodeInputs(records), outputs, Run())


def test_what_a_task_is_measured_by_changes_no_token(tmp_path: Path) -> None:
    records = write_records(tmp_path / "r", _splits(["ab", "b"]))
    measured = {"language": "de", "references": "text", "metrics": ["bits_per_byte", "bleu"], "baselines": []}
    digests = [
        [
            file_digest(path)
            for folder in encode_records(records, tmp_path / name, CHARACTERS, task=task)
            for path in folder_files(folder)
        ]
        for name, task in (("first", COPYING), ("second", COPYING | measured))
    ]
    assert digests[0] == digests[1]


def test_prompts_that_training_has_too_are_counted_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    splits = {"train": ["a", "b", "a", "c"], "validation": ["b", "d"], "test": ["a", "a", "b", "e"]}
    records = write_records(tmp_path / "r", splits)
    with caplog.at_level("WARNING", logger="lmlab"):
        encode_records(records, tmp_path / "plain", CHARACTERS)
        assert not caplog.messages
        encode_records(records, tmp_path / "prompts", CHARACTERS, task=COPYING)
    [message] = caplog.messages
    assert message.startswith("3 of 4 records of the test split have their prompt in training too")
    for name, expected in (("plain", [0, 0, 0]), ("prompts", [0, 1, 3])):
        found = read_json(tmp_path / name / "encoding.json")["splits"]
        assert [found[split]["prompts_in_training"] for split in splits] == expected
