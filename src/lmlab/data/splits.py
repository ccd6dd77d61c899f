"""Which split a record belongs to: decided by the record alone, so that new records never move old ones.

One plain file as a whole is the exception: it is cut by position, so that text added to it moves both cuts.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import Field, model_validator

from lmlab.config import Settings
from lmlab.data.source import SPLITS, Record
from lmlab.errors import InputError
from lmlab.text import counted, hash_fraction

Share = Annotated[float, Field(gt=0, lt=1)]
# With three expected records in the smallest split, all three splits get one in nineteen of twenty data sets.
EXPECTED_IN_SMALLEST = 3


class SplitFractions(Settings):
    """The share of each split; they sum to 1."""

    train: Share
    validation: Share
    test: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.train + self.validation + self.test
        if not math.isclose(total, 1, abs_tol=1e-9):
            raise ValueError(f"train, validation and test must sum to 1, they sum to {total:g}")
        return self


def split_of(group: str, fractions: SplitFractions) -> str:
    """The split of everything that carries this grouping text."""
    place = hash_fraction(group)
    if place < fractions.train:
        return "train"
    return "validation" if place < fractions.train + fractions.validation else "test"


def position_bounds(size: int, fractions: SplitFractions) -> tuple[int, int]:
    """Where validation and where test begins in one document of that size: its first, middle and last part."""
    return int(size * fractions.train), int(size * (fractions.train + fractions.validation))


def minimum_records(fractions: SplitFractions) -> int:
    """The number of records from which on a split by hash can be expected to leave no split empty."""
    smallest = min(fractions.train, fractions.validation, fractions.test)
    return math.ceil(EXPECTED_IN_SMALLEST / smallest - 1e-9)


def with_every_split(records: Iterable[Record], *, where: str, remedy: str) -> Iterator[Record]:
    """The same records.

    Raises: InputError after the last one, with the remedy, if a split got none.
    """
    counts: dict[str, int] = dict.fromkeys(SPLITS, 0)
    documents, last = 0, None
    for record in records:
        counts[record.split] += 1
        documents, last = documents + (record.document != last), record.document
        yield record
    empty = [split for split, count in counts.items() if count == 0]
    if empty:
        number = sum(counts.values())
        found = f"{number} records" if documents == number else f"{number} pieces of {counted(documents, 'document')}"
        raise InputError(f"{where}: {found} are too few for the three splits, {' and '.join(empty)} got none; {remedy}")
