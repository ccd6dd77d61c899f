"""The stage encode: trains the tokenizer on the training split and writes every split's tokens."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.config import PartSettings
from lmlab.data.source import SPLITS
from lmlab.data.store import StoreWriter, TokenStore
from lmlab.data.task import TaskSettings, check_fields, example_of, fields_of
from lmlab.data.tokenizer import Tokenizer, train_tokenizer
from lmlab.files import check_seal, whole_folder, write_json, write_seal
from lmlab.run import Run
from lmlab.text import utf8_length

log = logging.getLogger("lmlab")

BATCH_RECORDS = 1024
BATCH_CHARACTERS = 4_000_000


class EncodeSettings(NamedTuple):
    """The sections that the stage reads."""

    task: TaskSettings
    tokenizer: PartSettings


class EncodeInputs(NamedTuple):
    """The folder of cleaned records."""

    records: Path


class EncodeOutputs(NamedTuple):
    """The tokenizer's folder, the tokens' folder and the report."""

    tokenizer: Path
    tokens: Path
    encoding: Path


class _Batch(NamedTuple):
    prompts: list[str]
    targets: list[str]
    documents: list[int]
    goes_on: list[bool]


class _Counts:
    """What the report says of a split, summed batch by batch."""

    def __init__(self) -> None:
        self.records = self.tokens = self.bytes = self.characters = self.words = self.unknown_tokens = 0

    def report(self) -> dict[str, float | int]:
        return {
            "records": self.records,
            "tokens": self.tokens,
            "bytes": self.bytes,
            "characters": self.characters,
            "bytes_per_token": self.bytes / max(1, self.tokens),
            "tokens_per_word": self.tokens / max(1, self.words),
            "unknown_tokens": self.unknown_tokens,
            "unknown_share": self.unknown_tokens / max(1, self.tokens),
        }


def encode(settings: EncodeSettings, inputs: EncodeInputs, outputs: EncodeOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the tokenizer, the token stores and the report, which it returns."""
    seal = check_seal(inputs.records)
    check_fields(settings.task, seal["fields"])
    log.info("training the tokenizer (%s)", settings.tokenizer.name)
    tokenizer = train_tokenizer(settings.tokenizer, _training_texts(inputs.records, settings.task))
    splits = {}
    with whole_folder(outputs.tokenizer) as tokenizer_folder, whole_folder(outputs.tokens) as tokens_folder:
        tokenizer.save(tokenizer_folder)
        write_seal(tokenizer_folder, {"stage": "encode"})
        for split in SPLITS:
            log.info("encoding %s", split)
            splits[split] = _encode_split(inputs.records, tokens_folder, split, task=settings.task, tokenizer=tokenizer)
        used = _used_vocabulary(TokenStore.open(tokens_folder, "train"), tokenizer.vocabulary_size)
        write_seal(tokens_folder, {"stage": "encode", "source": seal["source"], "separator_id": tokenizer.separator_id})
    report = {
        "tokenizer": {"name": settings.tokenizer.name, "vocabulary_size": tokenizer.vocabulary_size},
        "vocabulary_used": used,
        "vocabulary_used_share": used / tokenizer.vocabulary_size,
        "splits": splits,
    }
    write_json(outputs.encoding, report)
    return report


def _training_texts(records: Path, task: TaskSettings) -> Iterator[str]:
    for batch in _batches(records, "train", task):
        yield from (prompt + target for prompt, target in zip(batch.prompts, batch.targets, strict=True))


def _encode_split(records: Path, folder: Path, split: str, *, task: TaskSettings, tokenizer: Tokenizer) -> dict:
    counts = _Counts()
    writer = StoreWriter(folder, split, vocabulary_size=tokenizer.vocabulary_size)
    for batch in _batches(records, split, task):
        prompts, targets = tokenizer.encode(batch.prompts), tokenizer.encode(batch.targets)
        target_bytes = [utf8_length(target) for target in batch.targets]
        endings = [[] if goes_on else [tokenizer.separator_id] for goes_on in batch.goes_on]
        writer.append(
            [prompt + target + ending for prompt, target, ending in zip(prompts, targets, endings, strict=True)],
            prompt_lengths=[len(prompt) for prompt in prompts],
            target_bytes=target_bytes,
            documents=batch.documents,
        )
        counts.records += len(targets)
        counts.tokens += sum(map(len, prompts)) + sum(map(len, targets))
        counts.bytes += sum(target_bytes) + sum(map(utf8_length, batch.prompts))
        counts.characters += sum(map(len, batch.targets)) + sum(map(len, batch.prompts))
        counts.words += sum(len(text.split()) for text in batch.prompts + batch.targets)
        if tokenizer.unknown_id is not None:
            counts.unknown_tokens += sum(ids.count(tokenizer.unknown_id) for ids in prompts + targets)
    writer.close()
    return counts.report()


def _batches(records: Path, split: str, task: TaskSettings) -> Iterator[_Batch]:
    """Examples in batches of bounded size; each knows whether its document goes on in the next record."""
    columns = ["document", *fields_of(task)]
    waiting: dict[str, list] | None = None
    for rows in _row_groups(records / f"{split}.parquet", columns):
        # The last row waits until it is known whether the next one goes on with its document.
        rows = {name: (waiting[name] if waiting else []) + values for name, values in rows.items()}
        waiting = {name: values[-1:] for name, values in rows.items()}
        if len(rows["document"]) > 1:
            yield _batch(rows, task, count=len(rows["document"]) - 1)
    if waiting and waiting["document"]:
        yield _batch(waiting, task, count=1)


def _batch(rows: dict[str, list], task: TaskSettings, *, count: int) -> _Batch:
    examples = [example_of(task, {name: rows[name][row] for name in fields_of(task)}) for row in range(count)]
    documents = rows["document"]
    return _Batch(
        prompts=[example.prompt for example in examples],
        targets=[example.target for example in examples],
        documents=documents[:count],
        goes_on=[row + 1 < len(documents) and documents[row + 1] == documents[row] for row in range(count)],
    )


def _row_groups(path: Path, columns: list[str]) -> Iterator[dict[str, list]]:
    for batch in pq.ParquetFile(path).iter_batches(batch_size=BATCH_RECORDS, columns=columns):
        yield from _bounded(batch)


def _bounded(batch: pa.RecordBatch) -> Iterator[dict[str, list]]:
    """The batch as Python lists, halved until it is small enough to hold as such."""
    if batch.nbytes > BATCH_CHARACTERS and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _bounded(batch.slice(0, half))
        yield from _bounded(batch.slice(half))
    else:
        yield batch.to_pydict()


def _used_vocabulary(store: TokenStore, vocabulary_size: int) -> int:
    seen = np.zeros(vocabulary_size, dtype=bool)
    for start in range(0, len(store.tokens), 1 << 20):
        seen[store.tokens[start : start + (1 << 20)]] = True
    return int(seen.sum())
