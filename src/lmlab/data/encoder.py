"""Records as tokens, a row group of their parquet file at a time, in any process: each reads its own groups alone."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lmlab.data.prompts import encode_prompts
from lmlab.data.store import StoredRows, store_type
from lmlab.data.task import TaskSettings, fields_of
from lmlab.data.tokenizer import FILE_NAME, Tokenizer
from lmlab.data.tokenizer.bulk.flat import FlatTokens, joined
from lmlab.errors import InputError
from lmlab.files import file_digest
from lmlab.text import digest_of, nearest, utf8_length

BATCH_RECORDS = 1024
BATCH_CHARACTERS = 4_000_000

NUMBER = "document_number"


class Group(NamedTuple):
    """A row group of a split's records."""

    path: Path
    number: int


class Batch(NamedTuple):
    """Records with what a task makes of them."""

    records: Sequence[Mapping[str, str]]
    names: Sequence[str]
    targets: Sequence[str]
    documents: Sequence[int]
    goes_on: Sequence[bool]
    """Whether each record's document goes on in the next record."""


class Counts(NamedTuple):
    """What the report says of records."""

    records: int = 0
    tokens: int = 0
    bytes: int = 0
    characters: int = 0
    words: int = 0
    unknown_tokens: int = 0
    cut_prompts: int = 0
    longest_prompt: int = 0
    longest_example: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Both together."""
        both = [max if name.startswith("longest") else int.__add__ for name in self._fields]
        return Counts(*(add(mine, theirs) for add, mine, theirs in zip(both, self, other, strict=True)))

    def report(self) -> dict[str, float | int]:
        """These counts, with what they come to per token."""
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


class Encoded(NamedTuple):
    """Records as a token store takes them, and what the report says of them."""

    rows: StoredRows
    counts: Counts


def groups_of(records: Path, split: str) -> list[Group]:
    """The row groups of a split, in the order of its records."""
    path = records / f"{split}.parquet"
    return [Group(path, number) for number in range(pq.read_metadata(path).num_row_groups)]


def batches_of(group: Group, task: TaskSettings) -> Iterator[Batch]:
    """The records of a row group in batches of bounded size."""
    # Buffers that are filled before they are read are held to the end of the file.
    file = pq.ParquetFile(group.path, pre_buffer=False)
    columns = ["id", NUMBER, *fields_of(task)]
    held: dict[str, list] | None = None
    for batch in file.iter_batches(BATCH_RECORDS, row_groups=[group.number], columns=columns):
        # Not by the file's own statistics: pyarrow ends the process where those of a damaged file are asked for.
        if any(column.null_count for column in batch.columns):
            raise InputError(f"{group.path} holds records without a value: delete its folder and run `dvc repro`")
        for rows in _bounded(batch):
            if held:
                yield _batch(held, task, next_document=rows[NUMBER][0])
            held = rows
    if held:
        yield _batch(held, task, next_document=_first_document(file, group.number + 1))


def _first_document(file: pq.ParquetFile, number: int) -> int | None:
    """The document of the first record after a row group, if there is one."""
    for after in range(number, file.num_row_groups):
        if numbers := file.read_row_group(after, columns=[NUMBER])[NUMBER][:1].to_pylist():
            return numbers[0]
    return None


def _batch(rows: dict[str, list], task: TaskSettings, *, next_document: int | None) -> Batch:
    fields, documents = fields_of(task), rows[NUMBER]
    records = [dict(zip(fields, values, strict=True)) for values in zip(*(rows[name] for name in fields), strict=True)]
    return Batch(
        records=records,
        names=rows["id"],
        targets=[task.target_of(record) for record in records],
        documents=documents,
        goes_on=[here == after for here, after in zip(documents, [*documents[1:], next_document], strict=True)],
    )


def _bounded(batch: pa.RecordBatch) -> Iterator[dict[str, list]]:
    """The batch as Python lists, halved until it is small enough to hold as such."""
    if batch.nbytes > BATCH_CHARACTERS and batch.num_rows > 1:
        half = batch.num_rows // 2
        yield from _bounded(batch.slice(0, half))
        yield from _bounded(batch.slice(half))
    elif batch.num_rows:
        yield batch.to_pydict()


class GroupEncoder:
    """Makes tokens of row groups; on its way to another process it leaves the tokenizer to that one to load.

    A process keeps the encoder that it used last, with all that its tokenizer has learned of pieces of text.
    """

    def __init__(self, task: TaskSettings, choices: Sequence[str], tokenizer: Tokenizer, folder: Path) -> None:
        """`choices` are what targets must be among, if any; `folder` is where the tokenizer is saved."""
        self._task, self._choices, self._tokenizer, self._folder = task, choices, tokenizer, folder
        self._dtype = store_type(tokenizer.vocabulary_size)

    def __reduce__(self) -> tuple:
        """How to get an encoder like this one."""
        told = [str(self._folder), file_digest(self._folder / FILE_NAME), self._task.model_dump(), list(self._choices)]
        return _kept, (digest_of(told), self._task, self._choices, self._folder)

    def __call__(self, group: Group) -> Iterator[Encoded]:
        """The records of the group, some at a time.

        Raises: InputError for a target that is empty, or is not among the choices.
        """
        for batch in batches_of(group, self._task):
            self._check_targets(batch)
            yield self._encoded(batch)

    def _check_targets(self, batch: Batch) -> None:
        known = set(self._choices)
        for name, target in zip(batch.names, batch.targets, strict=True):
            if self._task.prompt and not target:
                raise InputError(f"record {name}: its target is empty: fill it, or leave the record out")
            if known and target not in known:
                raise InputError(
                    f"record {name}: the label '{target[:60]}' is not among the choices of task {self._task.name}; "
                    f"{nearest(target[:60], self._choices)}"
                )

    def _encoded(self, batch: Batch) -> Encoded:
        tokenizer = self._tokenizer
        found = encode_prompts(self._task, batch.records, batch.names, tokenizer)
        prompts, targets = FlatTokens.of(found.ids), tokenizer.encode_flat(batch.targets)
        rows = joined([prompts, targets, _endings(batch.goes_on, tokenizer.separator_id)])
        target_bytes = np.fromiter(map(utf8_length, batch.targets), np.int64, len(batch.targets))
        written = list(batch.targets)
        if self._task.prompt:
            written = [tokenizer.decode(prompt) for prompt in found.ids] + written
        unknown = (
            [] if tokenizer.unknown_id is None else [part.ids == tokenizer.unknown_id for part in (prompts, targets)]
        )
        counts = Counts(
            records=len(batch.targets),
            tokens=int(np.maximum(prompts.lengths - 1, 0).sum() + targets.lengths.sum()),
            bytes=sum(map(utf8_length, written)),
            characters=sum(map(len, written)),
            words=sum(len(text.split()) for text in written),
            unknown_tokens=int(sum(is_unknown.sum() for is_unknown in unknown)),
            cut_prompts=found.num_cut,
            longest_prompt=int(prompts.lengths.max()),
            longest_example=int(rows.lengths.max()),
        )
        documents = np.asarray(batch.documents, np.int64)
        tokens = rows.ids.astype(self._dtype)
        return Encoded(StoredRows(tokens, rows.lengths, prompts.lengths, target_bytes, documents), counts)


_LAST: dict[str, GroupEncoder] = {}


def _kept(digest: str, task: TaskSettings, choices: Sequence[str], folder: Path) -> GroupEncoder:
    if digest not in _LAST:
        _LAST.clear()
        _LAST[digest] = GroupEncoder(task, choices, Tokenizer.load(folder), folder)
    return _LAST[digest]


def _endings(goes_on: Sequence[bool], separator_id: int) -> FlatTokens:
    lengths = 1 - np.asarray(goes_on, np.int64)
    return FlatTokens(np.full(int(lengths.sum()), separator_id, np.uint32), lengths)
