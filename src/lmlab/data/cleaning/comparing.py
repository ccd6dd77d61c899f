"""Rules that judge a row by earlier rows, within and across splits.

    test > validation > train      in this order, and within a split in the order of records, the first row stays

A training row that repeats a row of validation or test has leaked; all other repeated rows are duplicates. What is
compared is all of a row: two rows with one prompt and two answers are different ones, and `encode`, which knows the
task, counts those.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.data.cleaning.exact import Keys, Repeats, content_keys, repeats
from lmlab.data.cleaning.near import Signatures, Signed, sign
from lmlab.data.cleaning.settings import CleaningSettings
from lmlab.data.cleaning.tally import NUM_EXAMPLES

RANKED_SPLITS: tuple[str, ...] = ("test", "validation", "train")
RULES = ("exact_duplicates", "near_duplicates", "leakage")
KEPT = 0
# What became of a row: 0, or 1 + the number of the rule that dropped it.
EXACT, NEAR, LEAKED = 1, 2, 3


class Place(NamedTuple):
    """A row of a split."""

    split: str
    row: int


class Marks(NamedTuple):
    """What rows are compared by, where a rule compares them so; a pure function of their content."""

    num_rows: int
    keys: Keys | None
    signed: Signed | None


def marks_of(columns: Sequence[Sequence[str]], settings: CleaningSettings) -> Marks:
    """The marks of rows given as the columns of their content."""
    has_keys = settings.exact_duplicates.enabled or settings.leakage.enabled
    num_rows = len(columns[0])
    return Marks(
        num_rows,
        content_keys(columns) if has_keys else None,
        sign(columns, settings.near_duplicates) if settings.near_duplicates.enabled and num_rows else None,
    )


class Comparison:
    """Takes every row once, then says which of them go; its files lie in a folder that the caller deletes."""

    def __init__(self, folder: Path, settings: CleaningSettings) -> None:
        folder.mkdir(parents=True)
        self._settings = settings
        self._keys = {split: folder / f"{split}.keys" for split in RANKED_SPLITS}
        self._counts = dict.fromkeys(RANKED_SPLITS, 0)
        self._signatures = Signatures(folder / "signatures", settings.near_duplicates)
        self._signed: list[tuple[str, NDArray[np.uint32]]] = []
        self._fates = np.zeros(0, np.uint8)
        self._examples: dict[int, dict[int, int]] = {EXACT: {}, NEAR: {}, LEAKED: {}}

    def add(self, split: str, marks: Marks) -> None:
        """Add rows at the end of a split."""
        if marks.keys is not None:
            with self._keys[split].open("ab") as stream:
                stream.write(marks.keys.tobytes())
        if marks.signed is not None:
            self._signatures.add(marks.signed)
            rows = self._counts[split] + np.flatnonzero(marks.signed.is_long)
            self._signed.append((split, rows.astype(np.uint32)))
        self._counts[split] += marks.num_rows

    def decide(self) -> None:
        """Compare all rows; nothing can be added after that."""
        self._signatures.close()
        self._fates = np.zeros(sum(self._counts.values()), np.uint8)
        settings = self._settings
        if settings.exact_duplicates.enabled or settings.leakage.enabled:
            keys = self._all_keys()
            for span in self._spans():
                for found in repeats(keys[span]):
                    self._drop(Repeats(found.rows + span.start, found.firsts + span.start), EXACT)
            del keys
        if settings.near_duplicates.enabled:
            self._compare_signatures()

    def fates(self, split: str) -> NDArray[np.uint8]:
        """For each row of a split KEPT, or what dropped it: EXACT, NEAR or LEAKED."""
        start = self._starts()[split]
        return self._fates[start : start + self._counts[split]]

    def dropped(self, fate: int) -> int:
        """How many rows have this fate."""
        return int((self._fates == fate).sum())

    def examples(self, fate: int) -> list[tuple[Place, Place]]:
        """The first few rows with this fate, each with the row that it repeats."""
        found = ((row, first) for row, first in self._examples[fate].items() if self._fates[row] == fate)
        return [(self._place(row), self._place(first)) for row, first in sorted(found)[:NUM_EXAMPLES]]

    def _compare_signatures(self) -> None:
        starts = self._starts()
        # 32 bits hold the number of any row that the files of a disk hold: memory grows with it.
        ranks = [np.zeros(0, np.uint32), *(rows + np.uint32(starts[split]) for split, rows in self._signed)]
        rows = np.concatenate(ranks)
        self._signed, ranks = [], []
        for span in self._spans():
            is_active = np.zeros(len(self._fates), np.bool_)
            is_active[span] = self._fates[span] == KEPT
            for found in self._signatures.repeats(rows, is_active):
                self._drop(found, NEAR)
                is_active[found.rows] = False

    def _drop(self, found: Repeats, fate: int) -> None:
        num_held_out = self._starts()["train"]
        is_leak = (found.rows >= num_held_out) & (found.firsts < num_held_out)
        if fate == NEAR or self._settings.exact_duplicates.enabled:
            self._mark(Repeats(found.rows[~is_leak], found.firsts[~is_leak]), fate)
        self._mark(Repeats(found.rows[is_leak], found.firsts[is_leak]), LEAKED)

    def _mark(self, found: Repeats, fate: int) -> None:
        self._fates[found.rows] = fate
        if len(found.rows):
            examples = self._examples[fate]
            for place in np.argsort(found.rows, kind="stable")[:NUM_EXAMPLES]:
                examples.setdefault(int(found.rows[place]), int(found.firsts[place]))

    def _spans(self) -> Iterator[slice]:
        """The rows that are compared with each other: all, or without the rule leakage held-out and training rows."""
        num_rows, num_held_out = len(self._fates), self._starts()["train"]
        if self._settings.leakage.enabled:
            yield slice(0, num_rows)
        else:
            yield slice(0, num_held_out)
            yield slice(num_held_out, num_rows)

    def _all_keys(self) -> NDArray[np.uint64]:
        keys = np.empty(len(self._fates), np.uint64)
        for split, start in self._starts().items():
            if self._counts[split]:
                keys[start : start + self._counts[split]] = np.fromfile(self._keys[split], np.uint64)
        return keys

    def _starts(self) -> dict[str, int]:
        starts, start = {}, 0
        for split in RANKED_SPLITS:
            starts[split] = start
            start += self._counts[split]
        return starts

    def _place(self, row: int) -> Place:
        starts = self._starts()
        split = next(split for split in reversed(RANKED_SPLITS) if row >= starts[split] and self._counts[split])
        return Place(split, row - starts[split])
