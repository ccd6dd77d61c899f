"""The stage clean: what a source gives, as the named rules leave it, with a report of what each rule did.

    source -> batches -> rules for one record -> spool on disk -> rules that compare records -> parquet

Memory stays flat: records pass through in batches, and comparing needs a few bytes for each. Batches of a large source
are cleaned in several processes, or on a cluster; what is written does not depend on their number.
"""

import logging
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from tqdm import tqdm

from lmlab.config import PartSettings
from lmlab.data.cleaning.batches import Sizes, batches, tallies
from lmlab.data.cleaning.comparing import EXACT, KEPT, LEAKED, NEAR, RULES, Comparison, Place
from lmlab.data.cleaning.judging import judge
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.cleaning.tally import RuleTally
from lmlab.data.records import RecordWriter, Spool, spool_schema
from lmlab.data.source import SPLITS, Source
from lmlab.data.sources import SOURCES
from lmlab.data.workers import each_of
from lmlab.errors import InputError
from lmlab.files import whole_folder, write_json, write_seal
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings

log = logging.getLogger("lmlab")

# About 80 MB of text: less is cleaned before other processes would have started.
BATCHES_HERE = 40


class CleanSettings(NamedTuple):
    """The sections that this stage reads; `runtime` is not tracked."""

    source: PartSettings
    cleaning: CleaningSettings
    runtime: RuntimeSettings


class CleanInputs(NamedTuple):
    """Nothing that another stage wrote."""


class CleanOutputs(NamedTuple):
    """The folder of cleaned records and the report."""

    records: Path
    cleaning: Path


def clean(settings: CleanSettings, inputs: CleanInputs, outputs: CleanOutputs, run: Run) -> dict:
    """Write the cleaned records of every split and the report; returns the report.

    Raises: InputError if the source cannot be read, or a split has no record before or after cleaning.
    """
    del inputs, run
    source: Source = SOURCES.get(settings.source.name).build(settings.source)
    digest = source.digest()
    with whole_folder(outputs.records) as folder:
        with tempfile.TemporaryDirectory(prefix="spool-", dir=folder) as spool_folder:
            cleaning = _Cleaning(source, settings.cleaning, Path(spool_folder))
            before = cleaning.read(settings.runtime, outputs.records.parent)
            after = cleaning.write(folder)
        rows = {split: sizes.records for split, sizes in after.items()}
        write_seal(folder, {"stage": "clean", "source": digest, "fields": list(source.fields), "rows": rows})
    report = {
        "source": {"name": settings.source.name, "digest": digest},
        "rows": rows,
        "before": before._asdict(),
        "after": _total(after)._asdict(),
        "splits": {split: sizes._asdict() for split, sizes in after.items()},
        "rules": [tally.report() for tally in cleaning.tallies.values()],
        "leaked": cleaning.leaked,
    }
    write_json(outputs.cleaning, report)
    log.info("cleaned: %s of %s records are left, %s training rows had leaked", *_counts(report))
    return report


def _counts(report: dict) -> tuple[int, int, int]:
    return report["after"]["records"], report["before"]["records"], report["leaked"]


def _total(sizes: Mapping[str, Sizes]) -> Sizes:
    total = Sizes()
    for part in sizes.values():
        total = total.plus(part)
    return total


class _Cleaning:
    """One pass over the source, then one over what it left on disk."""

    def __init__(self, source: Source, settings: CleaningSettings, folder: Path) -> None:
        self._source = source
        self._settings = settings
        self._comparison = Comparison(folder / "comparison", settings)
        schema = spool_schema(source.fields)
        self._spools = {split: Spool(folder / split, schema) for split in SPLITS}
        self.tallies = tallies(settings)
        self.leaked = 0

    def read(self, runtime: RuntimeSettings, folder: Path) -> Sizes:
        """Clean each record by itself and spool it; returns the sizes before cleaning."""
        before = Sizes()
        content = [self._source.fields.index(field) for field in self._source.content]
        work = partial(judge, settings=self._settings, fields=self._source.fields, content=content)
        parts = batches(self._source.records())
        found = each_of(work, parts, runtime=runtime, num_here=BATCHES_HERE, folder=folder)
        with tqdm(desc="clean", unit=" records", disable=None) as bar:
            for judged in found:
                before = before.plus(judged.before)
                for name, tally in judged.tallies.items():
                    self.tallies[name].add(tally)
                if judged.table.num_rows:
                    self._spools[judged.split].write(judged.table)
                    self._comparison.add(judged.split, judged.marks)
                bar.update(judged.before.records)
        return before

    def write(self, folder: Path) -> dict[str, Sizes]:
        """Drop what repeats earlier rows and write the rest; returns the sizes after cleaning."""
        self._comparison.decide()
        for rule, fate in zip(RULES, (EXACT, NEAR, LEAKED), strict=True):
            if rule in self.tallies:
                self.tallies[rule].dropped = self._comparison.dropped(fate)
        self.leaked = self._comparison.dropped(LEAKED)
        self._check_splits()
        examples = {fate: self._comparison.examples(fate) for fate in (EXACT, NEAR, LEAKED)}
        wanted = {place for pairs in examples.values() for pair in pairs for place in pair}
        shown: dict[Place, tuple[str, str]] = {}
        sizes = {split: self._write_split(folder, split, wanted, shown) for split in SPLITS}
        for rule, fate in zip(RULES, (EXACT, NEAR, LEAKED), strict=True):
            if rule in self.tallies:
                _add_examples(self.tallies[rule], examples[fate], shown, fate)
        return sizes

    def _check_splits(self) -> None:
        for split in SPLITS:
            if not (self._comparison.fates(split) == KEPT).any():
                drops = ", ".join(f"{tally.name} {tally.dropped}" for tally in self.tallies.values() if tally.dropped)
                raise InputError(
                    f"cleaning: no record is left in the split {split}; rules dropped: {drops}; give more text, or "
                    "loosen these rules or switch them off (cleaning.RULE.enabled=false)"
                )

    def _write_split(self, folder: Path, split: str, wanted: set[Place], shown: dict[Place, tuple[str, str]]) -> Sizes:
        fates = self._comparison.fates(split)
        rows_wanted = [place.row for place in wanted if place.split == split]
        text_column = self._source.content[0]
        sizes = Sizes()
        start = 0
        with RecordWriter(folder / f"{split}.parquet", self._source.fields) as writer:
            for table in self._spools[split].tables():
                for row in rows_wanted:
                    if start <= row < start + table.num_rows:
                        record = table.slice(row - start, 1)
                        shown[Place(split, row)] = (record["id"][0].as_py(), record[text_column][0].as_py())
                kept = table.filter(pa.array(fates[start : start + table.num_rows] == KEPT))
                sizes = sizes.plus(_sizes(kept, self._source.content))
                writer.write(kept)
                start += table.num_rows
        return sizes


def _sizes(table: pa.Table, content: Sequence[str]) -> Sizes:
    num_bytes = sum(_total_of("binary_length", table[field]) for field in content)
    characters = sum(_total_of("utf8_length", table[field]) for field in content)
    return Sizes(table.num_rows, num_bytes, characters)


def _total_of(function: str, column: pa.ChunkedArray) -> int:
    return pc.call_function("sum", [pc.call_function(function, [column])]).as_py() or 0


def _add_examples(
    tally: RuleTally, pairs: list[tuple[Place, Place]], shown: Mapping[Place, tuple[str, str]], fate: int
) -> None:
    for place, first in pairs:
        record_id, text = shown[place]
        likeness = "nearly the same as" if fate == NEAR else "the same text as" if fate == EXACT else "also stands in"
        tally.add_drop(record_id, text, f"{likeness} {shown[first][0]} ({first.split})")
