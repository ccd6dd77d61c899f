"""Records in batches, one split at a time, and the rules that judge each record alone."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from lmlab.data.cleaning.dropping import Booleans, Verdict, line_noise, wrong_length
from lmlab.data.cleaning.rewriting import Edges, rewritings
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.cleaning.tally import RuleTally
from lmlab.data.source import SPLITS, Record
from lmlab.text import utf8_length

# Comparing takes about 60 bytes of memory for each character of a batch.
BATCH_CHARACTERS = 2_000_000
BATCH_RECORDS = 20_000


class Sizes(NamedTuple):
    """How much text there is."""

    records: int = 0
    bytes: int = 0
    characters: int = 0

    def plus(self, other: "Sizes") -> "Sizes":
        """Both together."""
        return Sizes(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Batch(NamedTuple):
    """Rows of one split as columns; `pieces` counts the pieces of each document from 0."""

    split: str
    ids: Sequence[str]
    documents: NDArray[np.int64]
    pieces: NDArray[np.int64]
    ends: Booleans
    columns: tuple[Sequence[str], ...]

    def where(self, is_kept: Booleans) -> Self:
        """The rows that are kept."""
        if is_kept.all():
            return self
        rows = np.flatnonzero(is_kept)
        numbers = rows.tolist()
        return self._replace(
            ids=[self.ids[row] for row in numbers],
            documents=self.documents[rows],
            pieces=self.pieces[rows],
            ends=self.ends[rows],
            columns=tuple([column[row] for row in numbers] for column in self.columns),
        )

    def table(self, schema: pa.Schema) -> pa.Table:
        """The rows as Arrow, for a spool."""
        columns = [self.ids, self.documents, self.pieces, *self.columns]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
        return pa.table(arrays, schema=schema)


def batches(records: Iterable[Record]) -> Iterator[Batch]:
    """The records in their order within each split, a few megabytes at a time."""
    held: list[Record] = []
    size = 0
    last_document, pieces_before = -1, 0
    for record in records:
        # The newest record stays behind: only the one after it says whether its document goes on.
        if len(held) > 1 and (size >= BATCH_CHARACTERS or len(held) > BATCH_RECORDS):
            *full, newest = held
            yield from _by_split(full, newest.document, last_document, pieces_before)
            is_same = [entry.document for entry in full].count(full[-1].document)
            pieces_before = is_same + pieces_before * (full[0].document == last_document == full[-1].document)
            last_document = full[-1].document
            held = [newest]
            size = sum(map(len, newest.values))
        held.append(record)
        size += sum(map(len, record.values))
    if held:
        yield from _by_split(held, -1, last_document, pieces_before)


def _by_split(records: list[Record], next_document: int, last_document: int, pieces_before: int) -> Iterator[Batch]:
    splits, ids, numbers, values = zip(*records, strict=True)
    documents = np.fromiter(numbers, np.int64, len(numbers))
    rows = np.arange(len(documents))
    begins = documents != np.concatenate([[last_document], documents[:-1]])
    pieces = rows - np.maximum.accumulate(np.where(begins, rows, -pieces_before))
    ends = documents != np.concatenate([documents[1:], [next_document]])
    whole = Batch("", ids, documents, pieces, ends, tuple(zip(*values, strict=True)))
    for split in SPLITS:
        is_of_split = np.fromiter(map(split.__eq__, splits), np.bool_, len(splits))
        if is_of_split.any():
            yield whole.where(is_of_split)._replace(split=split)


def tallies(settings: CleaningSettings) -> dict[str, RuleTally]:
    """A tally without counts for each rule that is enabled, in their order."""
    return {name: RuleTally(name) for name in type(settings).model_fields if getattr(settings, name).enabled}


class RecordRules:
    """The rewriting and dropping rules with their tallies."""

    def __init__(self, settings: CleaningSettings, content: Sequence[int]) -> None:
        """`content` are the numbers of the columns that dropping rules judge."""
        self._settings = settings
        self._content = content
        self._rewritings = rewritings(settings)
        self.tallies = tallies(settings)

    def apply(self, batch: Batch) -> Batch:
        """The rows that are left, as the rules leave them."""
        changed: dict[str, set[int]] = {rule.name: set() for rule in self._rewritings}
        columns = tuple(self._rewritten(batch, column, changed) for column in batch.columns)
        for name, rows in changed.items():
            self.tallies[name].changed += len(rows)
        batch = batch._replace(columns=columns)
        if self._settings.length.enabled:
            is_piece = (batch.pieces > 0) | ~batch.ends
            batch = self._without("length", batch, wrong_length(self.texts(batch), is_piece, self._settings.length))
        if self._settings.line_noise.enabled:
            batch = self._without("line_noise", batch, line_noise(self.texts(batch), self._settings.line_noise))
        return batch

    def texts(self, batch: Batch) -> Sequence[str]:
        """The content of each row as one text."""
        if len(self._content) == 1:
            return batch.columns[self._content[0]]
        return ["\n".join(values) for values in zip(*(batch.columns[number] for number in self._content), strict=True)]

    def sizes(self, batch: Batch) -> Sizes:
        """The size of the rows' content."""
        characters = sum(len(text) for number in self._content for text in batch.columns[number])
        num_bytes = sum(utf8_length(text) for number in self._content for text in batch.columns[number])
        return Sizes(len(batch.ids), num_bytes, characters)

    def _rewritten(self, batch: Batch, texts: Sequence[str], changed: dict[str, set[int]]) -> Sequence[str]:
        if not self._may_change_any(texts):
            return texts
        result = list(texts)
        for row, text in enumerate(texts):
            edges = Edges(begins=bool(batch.pieces[row] == 0), ends=bool(batch.ends[row]))
            if self._is_clean(text, edges):
                continue
            for rule in self._rewritings:
                after = rule.rewrite(text, edges)
                if after != text:
                    changed[rule.name].add(row)
                    self.tallies[rule.name].add_change(batch.ids[row], text, after)
                    text = after
            result[row] = text
        return result

    def _may_change_any(self, texts: Sequence[str]) -> bool:
        """False only if no rule could change any of these; far cheaper than to ask of each of many short texts."""
        joined = "\n".join([*texts, ""])
        has_inner_lines = joined.count("\n") != len(texts)
        return has_inner_lines or any(rule.may_change(joined) for rule in self._rewritings)

    def _is_clean(self, text: str, edges: Edges) -> bool:
        has_loose_edge = (edges.ends and text[-1:].isspace()) or (edges.begins and text[:1] == "\n")
        return not has_loose_edge and not any(rule.may_change(text) for rule in self._rewritings)

    def _without(self, name: str, batch: Batch, verdict: Verdict) -> Batch:
        tally = self.tallies[name]
        tally.dropped += int(verdict.drops.sum())
        for row, why in sorted(verdict.why.items())[:3]:
            tally.add_drop(batch.ids[row], batch.columns[self._content[0]][row], why)
        return batch.where(~verdict.drops)
