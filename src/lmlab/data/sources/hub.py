"""Any data set of the Hugging Face hub, or a local folder laid out as one."""

import itertools
import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from lmlab.config import PartSettings, PositiveInt, Settings
from lmlab.data.columns import DEFAULT_COLUMNS, Column, ColumnMapping, column_texts, columns_of, top_columns
from lmlab.data.hub_sets import HubSet, find_set, open_splits, reading
from lmlab.data.source import Record, Source
from lmlab.data.sources import SOURCES
from lmlab.data.splits import SplitFractions, minimum_records, split_of, with_every_split
from lmlab.errors import InputError
from lmlab.hub_access import hub_reachable
from lmlab.text import digest_of, nearest

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset

log = logging.getLogger("lmlab")

BATCH_ROWS = 1024


def _named(dataset: object) -> object:
    if not dataset:
        raise ValueError("name a data set, for example source.dataset=rajpurkar/squad, or a folder")
    return dataset


class HubSplits(Settings):
    """What the set calls the split that each of ours is read from."""

    train: str
    validation: str | None
    """null: a share of the train split, by hash."""
    test: str | None
    """null: a share of the train split, by hash."""


class HubSettings(PartSettings):
    """Which data set, and how its rows become records."""

    dataset: Annotated[str, BeforeValidator(_named)]
    """The repository (owner/name), or a local folder laid out as one."""
    config: str | None
    """Which part of a set that has several; null for the only or default one."""
    revision: str | None
    """A commit, tag or branch; null is the newest. Without a network the cache is read, and held against a commit."""
    splits: HubSplits
    columns: ColumnMapping | None
    """The columns of each field; null reads the column text as the field text."""
    streaming: bool
    """Read a repository over the network each time, instead of storing it first."""
    max_records: PositiveInt | None
    """Only so many first rows of each split of the set are read; null reads all."""
    group_by: str | None
    """The column whose value decides which split a row of train goes to; null: the whole record does."""
    fractions: SplitFractions
    """Shares of the train split for what `splits` leaves null; the rest stays in train."""
    depends_on: str | None
    """The path outside the project's code that DVC watches for a change of the records."""


class Hub:
    """Records of the set's splits, in their order; a record's id is its split there and its number."""

    def __init__(self, settings: HubSettings) -> None:
        self._settings = settings
        self._columns = columns_of(settings.columns or DEFAULT_COLUMNS)
        group_by = settings.group_by
        self._wanted = [*self._columns, *([Column("group_by", group_by, is_further=False)] if group_by else [])]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of a record's values."""
        return tuple(column.field for column in self._columns)

    @property
    def content(self) -> tuple[str, ...]:
        """All fields."""
        return self.fields

    def digest(self) -> str:
        """A digest of the commit or the folder's bytes, and of what decides which records come from it."""
        # Streamed or stored, it is the same records; the revision's commit stands in the set's own digest.
        ignored = {"dataset", "revision", "streaming", "depends_on"}
        settings = self._settings.model_dump(mode="json", exclude=ignored)
        return digest_of({"settings": settings, "set": self._set.digest})

    def records(self) -> Iterator[Record]:
        """Every record, split by split."""
        return with_every_split(
            self._records(),
            where="source.splits",
            remedy=f"name a split of the set for each, larger source.fractions, or a set with at least "
            f"{minimum_records(self._settings.fractions)} records (source.max_records)",
        )

    @cached_property
    def _set(self) -> HubSet:
        return find_set(self._settings.dataset, config=self._settings.config, revision=self._settings.revision)

    def _records(self) -> Iterator[Record]:
        found = self._set
        log.info("reading the data set %s", found.name)
        document = 0
        splits = open_splits(found, streaming=self._settings.streaming)
        names = self._settings.splits.model_dump()
        for split, name in names.items():
            if name is not None and name not in splits:
                raise InputError(
                    f"source.splits.{split}: {found.name} has no split '{name}'; {nearest(name, splits)}"
                    + ("" if split == "train" else f", or null for a share of {names['train']}")
                )
        for split, name in ((split, name) for split, name in names.items() if name is not None):
            for number, texts in enumerate(self._texts(splits[name], name), start=1):
                yield Record(self._split_of(split, texts), f"{name}:{number}", document, texts[: len(self._columns)])
                document += 1

    def _split_of(self, split: str, texts: Sequence[str]) -> str:
        """The split itself, or, for some of train, one that the set does not have."""
        if split != "train":
            return split
        group = texts[-1] if self._settings.group_by else "\x1f".join(texts)
        drawn = split_of(group, self._settings.fractions)
        return drawn if getattr(self._settings.splits, drawn) is None else split

    def _texts(self, rows: "Dataset | IterableDataset", split: str) -> Iterator[tuple[str, ...]]:
        place = f"{self._settings.dataset}, split {split}"
        if rows.column_names is not None:
            rows = rows.select_columns(top_columns(self._wanted, rows.column_names, place=place))
        named = _naming(rows.features)
        with_numbers = zip(itertools.count(1), self._rows(rows), strict=False)
        for number, row in itertools.islice(with_numbers, self._settings.max_records):
            where = f"{place}, row {number}"
            try:
                row = named(row)
            except _NamelessError as error:
                raise InputError(f"{where}: {error}") from None
            yield column_texts(row, self._wanted, place=where)

    def _rows(self, rows: "Dataset | IterableDataset") -> Iterator[dict[str, Any]]:
        """Rows as plain values. The hub is within reach while rows are read, not while they are worked on."""
        batches = None
        while True:
            with hub_reachable(self._set.place == "hub"), reading(self._settings.dataset):
                batches = batches or iter(rows.with_format("arrow").iter(BATCH_ROWS))
                batch: Any = next(batches, None)
            if batch is None:
                return
            yield from batch.to_pylist()


@SOURCES.register(HubSettings)
def build(settings: HubSettings) -> Source:
    """The source that these settings describe."""
    return Hub(settings)


class _NamelessError(Exception):
    """A class that has no name."""


def _naming(feature: Any) -> Callable[[Any], Any]:
    """What puts the names of classes in the place of their numbers, anywhere inside a value of this feature."""
    from datasets import ClassLabel, LargeList, List

    if isinstance(feature, ClassLabel):
        return lambda value: None if value is None else _name_of(feature, value)
    if isinstance(feature, dict):
        inner = {name: _naming(part) for name, part in feature.items()}
        if all(part is _as_it_is for part in inner.values()):
            return _as_it_is
        return lambda value: value and {name: inner[name](part) for name, part in value.items()}
    if isinstance(feature, List | LargeList):
        entry = _naming(feature.feature)
        return _as_it_is if entry is _as_it_is else lambda value: value and [entry(part) for part in value]
    return _as_it_is


def _as_it_is(value: Any) -> Any:
    return value


def _name_of(feature: Any, number: int) -> str:
    if not 0 <= number < len(feature.names):
        raise _NamelessError(
            f"the class {number} has no name (of {len(feature.names)}): this split hides its labels, "
            "name another in source.splits"
        )
    return feature.names[number]
