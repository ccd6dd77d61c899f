"""Tokens of many texts in one array."""

import itertools
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.uint32]
Lengths = NDArray[np.int64]


class FlatTokens(NamedTuple):
    """Token ids of one text after another, and how many each has."""

    ids: Ids
    lengths: Lengths

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Self:
        """The same tokens, given as a list a text."""
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return cls(np.fromiter(itertools.chain.from_iterable(rows), np.uint32, int(lengths.sum())), lengths)

    def rows(self) -> list[list[int]]:
        """The same tokens as a list a text."""
        ids, ends = self.ids.tolist(), np.cumsum(self.lengths).tolist()
        return [ids[end - length : end] for length, end in zip(self.lengths.tolist(), ends, strict=True)]


def joined(parts: Sequence[FlatTokens]) -> FlatTokens:
    """For each row the tokens of all parts, one part after the other."""
    lengths = np.sum([part.lengths for part in parts], axis=0)
    ids = np.empty(int(lengths.sum()), np.uint32)
    starts = np.cumsum(lengths) - lengths
    for part in parts:
        ids[spread(starts, part.lengths)] = part.ids
        starts = starts + part.lengths
    return FlatTokens(ids, lengths)


def spread(starts: NDArray[np.int64], lengths: Lengths) -> NDArray[np.int64]:
    """start, start + 1, ... for each start, as many as its length says."""
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
