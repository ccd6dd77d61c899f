"""Baselines on texts small enough to work out by hand."""

import lzma
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.evaluation.compression import compressed_sizes, xz_size, zstd_size
from lmlab.evaluation.settings import BaselineSettings
from lmlab.evaluation.texts import all_text, joined, last_text
from lmlab.evaluation.unigram import count_targets, unigram_nats

TASK = TaskSettings.model_validate(
    {
        "name": "copying",
        "version": 1,
        "language": None,
        "prompt": "",
        "target": "{text}",
        "references": None,
        "choices": None,
        "cutting": {"max_prompt_tokens": None, "field": None, "side": "end"},
        "metrics": ["bits_per_byte"],
        "baselines": ["unigram", "compression"],
        "decoding": {"name": "sampling", "max_new_tokens": 1, "sampling": {"temperature": 1, "top_k": 0, "top_p": 1}},
    }
)


def write_records(path: Path, rows: list[tuple[int, str]]) -> Path:
    table = pa.table(
        {
            "id": [str(row) for row in range(len(rows))],
            "document_number": [document for document, _ in rows],
            "text": [text for _, text in rows],
        }
    )
    pq.write_table(table, path, row_group_size=2)
    return path


def test_unigram_smooths_by_one() -> None:
    # Counts 3, 1, 0 over three tokens: probabilities 4/7, 2/7, 1/7.
    nats = unigram_nats(np.array([3, 1, 0]), np.array([1, 0, 2]))
    assert nats == pytest.approx(math.log(7 / 4) + 2 * math.log(7))


def test_count_targets_leaves_prompts_out() -> None:
    store = TokenStore(
        tokens=np.array([1, 2, 0, 2, 0], dtype=np.uint16),
        offsets=np.array([0, 3, 5]),
        prompt_lengths=np.array([1, 0], dtype=np.int32),
        target_bytes=np.array([1, 1]),
        documents=np.array([0, 1]),
    )
    assert count_targets(store, 4).tolist() == [2, 0, 2, 0]


def test_joined_puts_a_newline_after_each_document_and_none_between_pieces() -> None:
    assert joined([(1, "ab"), (1, "c"), (2, ""), (3, "d")]) == b"abc\n\nd\n"


def test_last_text_reads_the_end_only(tmp_path: Path) -> None:
    path = write_records(tmp_path / "train.parquet", [(0, "aaaa"), (1, "bbbb"), (2, "cc"), (2, "dd"), (3, "ee")])
    assert all_text(path, TASK) == b"aaaa\nbbbb\nccdd\nee\n"
    assert last_text(path, TASK, limit=10) == b"b\nccdd\nee\n"[-10:]
    assert last_text(path, TASK, limit=1000) == all_text(path, TASK)


def test_xz_size_is_that_of_what_lzma_restores() -> None:
    text = bytes(np.random.default_rng(0).integers(0, 20, 5000, dtype=np.uint8))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": len(text)}]
    packed = lzma.compress(text, format=lzma.FORMAT_RAW, filters=filters)
    assert lzma.decompress(packed, format=lzma.FORMAT_RAW, filters=filters) == text
    assert xz_size(text, preset=9) == len(packed)


def test_compressors_after_the_same_text_need_next_to_nothing() -> None:
    text = bytes(np.random.default_rng(0).integers(0, 256, 20_000, dtype=np.uint8))
    settings = BaselineSettings(training_megabytes=1, xz_preset=9, zstd_level=19)
    with compressed_sizes(text, text, settings) as sizes:
        found = sizes()
    assert found["xz"] > 20_000
    assert found["zstd"] > 20_000
    # LZMA's longest match has 273 bytes, so it takes 74 of a few bytes each; zstd takes one.
    assert found["xz_with_training"] < 500
    assert found["zstd_with_training"] < 50


def test_zstd_reaches_a_match_at_the_far_end_of_the_training_text() -> None:
    generator = np.random.default_rng(1)
    training = bytes(generator.integers(0, 256, 3_000_000, dtype=np.uint8))
    assert zstd_size(training[:10_000], level=19, training=training) < 200


def test_compressors_stop_when_the_caller_fails() -> None:
    settings = BaselineSettings(training_megabytes=1, xz_preset=0, zstd_level=1)
    with pytest.raises(KeyError, match="no"), compressed_sizes(b"a" * 100, b"", settings):
        raise KeyError("no")
