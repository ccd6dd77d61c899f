"""Rows whose content an earlier row has too, by 64-bit digests held as arrays on disk."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
Rows = NDArray[np.integer]

# Sorting one part after another needs a sixteenth of the memory of sorting all.
PART_BITS = 4


class Repeats(NamedTuple):
    """Rows, and for each the first row with the same key."""

    rows: Rows
    firsts: Rows


def content_keys(columns: Sequence[Sequence[str]]) -> Keys:
    """A key for each row, equal where the values of all columns are."""
    if len(columns) == 1:
        digests = [hashlib.blake2b(text.encode(), digest_size=8).digest() for text in columns[0]]
    else:
        # The lengths say where one value ends, so that ("a", "bc") is not ("ab", "c").
        rows = ("".join([f"{len(value)}:{value}" for value in row]) for row in zip(*columns, strict=True))
        digests = [hashlib.blake2b(row.encode(), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(digests), np.uint64)


def repeats(keys: Keys) -> Iterator[Repeats]:
    """All rows with the key of an earlier row, in parts, each part by key and then by row."""
    for part in range(1 << PART_BITS):
        members = np.flatnonzero(keys >> np.uint64(64 - PART_BITS) == part)
        order = members[np.argsort(keys[members], kind="stable")]
        yield repeats_in_order(order, keys[order])


def repeats_in_order(rows: Rows, keys: Keys) -> Repeats:
    """The rows that are not the first of their key, where equal keys stand together and rows ascend within a key."""
    is_repeat = np.concatenate([[False], keys[1:] == keys[:-1]])[: len(keys)]
    first_places = np.maximum.accumulate(np.where(is_repeat, 0, np.arange(len(keys))))
    return Repeats(rows[is_repeat], rows[first_places[is_repeat]])
