"""What can be said of a batch by itself, in any process: the rows that its rules leave, and what tells them apart."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa

from lmlab.data.cleaning.batches import Batch, RecordRules, Sizes
from lmlab.data.cleaning.comparing import Marks, marks_of
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.cleaning.tally import RuleTally
from lmlab.data.records import spool_schema


class Judged(NamedTuple):
    """The rows that are left as Arrow, their marks for comparing, and what the rules did."""

    split: str
    table: pa.Table
    marks: Marks
    before: Sizes
    tallies: Mapping[str, RuleTally]


def judge(
    batch: Batch, *, settings: CleaningSettings, fields: Sequence[str], content: Sequence[int]
) -> Iterator[Judged]:
    """Apply the rules that judge each record alone; `content` are the numbers of the columns that they judge."""
    rules = RecordRules(settings, content)
    before = rules.sizes(batch)
    kept = rules.apply(batch)
    marks = marks_of([kept.columns[number] for number in content], settings)
    yield Judged(batch.split, kept.table(spool_schema(fields)), marks, before, rules.tallies)
