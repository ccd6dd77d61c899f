"""What every source of records promises."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

SPLITS = ("train", "validation", "test")


class Record(NamedTuple):
    """One row: consecutive records with the same document number are the pieces, in order, of one long document."""

    split: str
    id: str
    document: int
    values: tuple[str, ...]


class Source(Protocol):
    """Where records come from; whoever yields the same digest yields the same records."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of a record's values, in their order."""
        ...

    @property
    def content(self) -> tuple[str, ...]:
        """The fields that make a record what it is: two records that agree in them are the same text."""
        ...

    def digest(self) -> str:
        """A digest of everything that decides the records, and of nothing else such as where they lie."""
        ...

    def records(self) -> Iterator[Record]:
        """Every record, one at a time; a document's pieces follow each other.

        Raises: InputError if what the user gave cannot be read, or a split would have no record.
        """
        ...
