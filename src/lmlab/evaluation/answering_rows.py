"""Trivial baselines that answer with text: what one promises, and the records that it reads."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lmlab.data.task import TaskSettings, fields_of
from lmlab.errors import InputError
from lmlab.text import nearest

BATCH_RECORDS = 1024


@dataclass(frozen=True)
class Rows:
    """The records of a split, read from disk anew by each iteration."""

    path: Path
    """A parquet file with a column of text for each field."""

    def field(self, name: str, *, baseline: str) -> Iterator[str]:
        """That field of each record, a batch in memory at a time.

        Raises: InputError if the records lack the field that the baseline needs.
        """
        fields = [field for field in pq.read_schema(self.path).names if field not in ("id", "document_number")]
        if name not in fields:
            raise InputError(
                f"task.baselines: {baseline} reads the field '{name}', which the records lack; {nearest(name, fields)}"
            )
        return (record[name] for record in self._records([name]))

    def targets(self, task: TaskSettings) -> Iterator[str]:
        """The right answer of each record, as the task's template makes it."""
        return (task.target_of(record) for record in self._records(fields_of(task)))

    def _records(self, fields: Sequence[str]) -> Iterator[dict[str, str]]:
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(batch_size=BATCH_RECORDS, columns=list(fields)):
                yield from batch.to_pylist()


class Answered(NamedTuple):
    """A baseline's answers, one a test record in their order."""

    texts: list[str]
    confidence: NDArray[np.float64] | None
    """The probability of each answer among the labels, where the baseline knows it."""


class Answerer(Protocol):
    """A trivial way to answer, which a model should at least beat."""

    description: str
    """What it does, in a few words for people."""

    def answer(self, train: Rows, test: Rows, task: TaskSettings, labels: Sequence[str]) -> Answered:
        """An answer to each test record, which may depend on the training records.

        Raises: InputError if the records lack what the baseline reads.
        """
        ...
