"""The stage encode: trains the tokenizer on the training split and writes every split's tokens."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.config import PartSettings
from lmlab.data.prompts import encode_prompts
from lmlab.data.source import SPLITS
from lmlab.data.store import StoreWriter
from lmlab.data.task import TaskSettings, check_fields, fields_of
from lmlab.data.tokenizer import Tokenizer, train_tokenizer
from lmlab.data.tokenizer.bulk.flat import FlatTokens, joined
from lmlab.errors import InputError
from lmlab.files import check_seal, whole_folder, write_json, write_seal
from lmlab.run import Run
from lmlab.text import nearest, utf8_length

log = logging.getLogger("lmlab")

BATCH_RECORDS = 1024
BATCH_CHARACTERS = 4_000_000
# More different targets than this are no labels.
MOST_CHOICES = 10_000


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
    records: list[dict[str, str]]
    names: list[str]
    targets: list[str]
    documents: list[int]
    goes_on: list[bool]


class _Counts:
    """What the report says of a split, summed batch by batch."""

    def __init__(self) -> None:
        self.records = self.tokens = self.bytes = self.characters = self.words = self.unknown_tokens = 0
        self.cut_prompts = self.longest_prompt = self.longest_example = self.used_vocabulary = 0

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
            "cut_prompts": self.cut_prompts,
            "longest_prompt": self.longest_prompt,
            "longest_example": self.longest_example,
        }


def encode(settings: EncodeSettings, inputs: EncodeInputs, outputs: EncodeOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the tokenizer, the token stores and the report, which it returns."""
    seal = check_seal(inputs.records)
    check_fields(settings.task, seal["fields"])
    log.info("training the tokenizer (%s)", settings.tokenizer.name)
    tokenizer = train_tokenizer(settings.tokenizer, _training_texts(inputs.records, settings.task))
    choices = task_choices(settings.task, inputs.records)
    splits: dict[str, _Counts] = {}
    with whole_folder(outputs.tokenizer) as tokenizer_folder, whole_folder(outputs.tokens) as tokens_folder:
        tokenizer.save(tokenizer_folder)
        write_seal(tokenizer_folder, {"stage": "encode"})
        writer = _SplitWriter(settings.task, tokenizer, choices)
        for split in SPLITS:
            log.info("encoding %s", split)
            splits[split] = writer.write(inputs.records, tokens_folder, split)
        used = splits["train"].used_vocabulary
        facts = {
            "stage": "encode",
            "source": seal["source"],
            "separator_id": tokenizer.separator_id,
            "task": settings.task.learned(choices).model_dump(),
            "context_length": _context_length(settings.task, splits, tokenizer, choices),
        }
        write_seal(tokens_folder, facts)
    report = {
        "tokenizer": {"name": settings.tokenizer.name, "vocabulary_size": tokenizer.vocabulary_size},
        "vocabulary_used": used,
        "vocabulary_used_share": used / tokenizer.vocabulary_size,
        "splits": {split: counts.report() for split, counts in splits.items()},
    }
    write_json(outputs.encoding, report)
    return report


def _training_texts(records: Path, task: TaskSettings) -> Iterator[str]:
    for batch in _batches(records, "train", task):
        if task.prompt:
            yield from (task.prompt_of(record) for record in batch.records)
        yield from batch.targets


def _context_length(
    task: TaskSettings, splits: Mapping[str, _Counts], tokenizer: Tokenizer, choices: Sequence[str]
) -> int | None:
    """Tokens that a model must read at once to train on every example and answer every prompt; None without prompts."""
    if not task.prompt:
        return None
    longest_prompt = max(counts.longest_prompt for counts in splits.values())
    longest_example = max(splits[split].longest_example for split in ("train", "validation"))
    if task.decoding.name == "ranking":
        longest_answer = max(map(len, tokenizer.encode(choices)))
    else:
        longest_answer = task.decoding.max_new_tokens
    # The separator that everything is read after.
    return 1 + max(longest_example, longest_prompt + longest_answer + 1)


def task_choices(task: TaskSettings, records: Path) -> list[str]:
    """What ranking chooses from: as listed, or else the targets of the training split, sorted; empty otherwise.

    Raises: InputError if the training split has so many targets that they cannot be labels.
    """
    if task.decoding.name != "ranking":
        return []
    if task.choices is not None:
        return list(task.choices)
    found: set[str] = set()
    for batch in _batches(records, "train", task):
        found.update(batch.targets)
        if len(found) > MOST_CHOICES:
            raise InputError(
                f"task {task.name}: the training split has more than {MOST_CHOICES:,} different targets, too many to "
                "be labels: map the field that holds the label, or choose a task that writes its answers"
            )
    return sorted(found)


class _SplitWriter:
    """Writes the token store of each split."""

    def __init__(self, task: TaskSettings, tokenizer: Tokenizer, choices: Sequence[str]) -> None:
        self._task, self._tokenizer, self._choices = task, tokenizer, choices

    def write(self, records: Path, folder: Path, split: str) -> _Counts:
        counts = _Counts()
        writer = StoreWriter(folder, split, vocabulary_size=self._tokenizer.vocabulary_size)
        for batch in _batches(records, split, self._task):
            self._check_targets(batch)
            self._write_batch(batch, writer, counts)
        writer.close()
        counts.used_vocabulary = int(writer.is_used.sum())
        return counts

    def _check_targets(self, batch: _Batch) -> None:
        known = set(self._choices)
        for name, target in zip(batch.names, batch.targets, strict=True):
            if self._task.prompt and not target:
                raise InputError(f"record {name}: its target is empty: fill it, or leave the record out")
            if known and target not in known:
                raise InputError(
                    f"record {name}: the label '{target[:60]}' is not among the choices of task {self._task.name}; "
                    f"{nearest(target[:60], self._choices)}"
                )

    def _write_batch(self, batch: _Batch, writer: StoreWriter, counts: _Counts) -> None:
        tokenizer = self._tokenizer
        found = encode_prompts(self._task, batch.records, batch.names, tokenizer)
        prompts, targets = FlatTokens.of(found.ids), tokenizer.encode_flat(batch.targets)
        rows = joined([prompts, targets, _endings(batch.goes_on, tokenizer.separator_id)])
        target_bytes = np.fromiter(map(utf8_length, batch.targets), np.int64, len(batch.targets))
        writer.append(rows, prompt_lengths=prompts.lengths, target_bytes=target_bytes, documents=batch.documents)
        written = batch.targets
        if self._task.prompt:
            written = [tokenizer.decode(prompt) for prompt in found.ids] + written
        counts.records += len(batch.targets)
        counts.cut_prompts += found.num_cut
        counts.longest_prompt = max(counts.longest_prompt, int(prompts.lengths.max()))
        counts.longest_example = max(counts.longest_example, int(rows.lengths.max()))
        counts.tokens += int(np.maximum(prompts.lengths - 1, 0).sum() + targets.lengths.sum())
        counts.bytes += sum(map(utf8_length, written))
        counts.characters += sum(map(len, written))
        counts.words += sum(len(text.split()) for text in written)
        if tokenizer.unknown_id is not None:
            counts.unknown_tokens += sum(int((part.ids == tokenizer.unknown_id).sum()) for part in (prompts, targets))


def _endings(goes_on: Sequence[bool], separator_id: int) -> FlatTokens:
    lengths = 1 - np.asarray(goes_on, np.int64)
    return FlatTokens(np.full(int(lengths.sum()), separator_id, np.uint32), lengths)


def _batches(records: Path, split: str, task: TaskSettings) -> Iterator[_Batch]:
    """Records in batches of bounded size; each knows whether its document goes on in the next record."""
    columns = ["id", "document_number", *fields_of(task)]
    waiting: dict[str, list] | None = None
    for rows in _row_groups(records / f"{split}.parquet", columns):
        # The last row waits until it is known whether the next one goes on with its document.
        rows = {name: (waiting[name] if waiting else []) + values for name, values in rows.items()}
        waiting = {name: values[-1:] for name, values in rows.items()}
        if len(rows["document_number"]) > 1:
            yield _batch(rows, task, count=len(rows["document_number"]) - 1)
    if waiting and waiting["document_number"]:
        yield _batch(waiting, task, count=1)


def _batch(rows: dict[str, list], task: TaskSettings, *, count: int) -> _Batch:
    fields = fields_of(task)
    records = [{name: rows[name][row] for name in fields} for row in range(count)]
    documents = rows["document_number"]
    return _Batch(
        records=records,
        names=rows["id"][:count],
        targets=[task.target_of(record) for record in records],
        documents=documents[:count],
        goes_on=[row + 1 < len(documents) and documents[row + 1] == documents[row] for row in range(count)],
    )


def _row_groups(path: Path, columns: list[str]) -> Iterator[dict[str, list]]:
    # Buffers that are filled before they are read are held to the end of the file.
    for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(batch_size=BATCH_RECORDS, columns=columns):
        yield from _bounded(batch)


def _bounded(batch: pa.RecordBatch) -> Iterator[dict[str, list]]:
    """The batch as Python lists, halved until it is small enough to hold as such."""
    if batch.nbytes > BATCH_CHARACTERS and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _bounded(batch.slice(0, half))
        yield from _bounded(batch.slice(half))
    else:
        yield batch.to_pydict()
