"""Rows much like an earlier row: MinHash signatures in files, compared where they agree in one band.

    signature   |b b b b|b b b b|b b b b| ...     a file for each band holds that part of every signature
    one band    rows with the same four numbers are candidates; all bands of a candidate pair say how like it is

Source: Broder 1997, On the resemblance and containment of documents; Leskovec, Rajaraman and Ullman, Mining of
Massive Datasets, section 3.4.
"""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue] (compiled, without type stubs)

from lmlab.data.cleaning.exact import PART_BITS, Repeats, Rows, repeats_in_order
from lmlab.data.cleaning.settings import NearDuplicatesSettings
from lmlab.data.cleaning.shingles import Hashes, shingles

Booleans = NDArray[np.bool_]

PAIRS_AT_ONCE = 1 << 17
ROWS_AT_ONCE = 1 << 18
MIX = np.uint64(0x9E3779B97F4A7C15)


class Signed(NamedTuple):
    """Which rows are long enough to be compared, and for each of those its signature and what must agree besides."""

    is_long: Booleans
    signatures: NDArray[np.uint32]
    must_agree: Hashes


def sign(columns: Sequence[Sequence[str]], settings: NearDuplicatesSettings) -> Signed:
    """The signatures of these rows."""
    (hashes, offsets), must_agree, is_long = _shingles_of_rows(columns, settings)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(hashes, offsets, settings.num_permutations, settings.seed)
    numbers = itertools.chain.from_iterable(matrix.to_rows())
    return Signed(is_long, np.fromiter(numbers, np.uint32), must_agree[is_long])


class Signatures:
    """The signatures of all rows that are long enough to be compared, in a folder of their own."""

    def __init__(self, folder: Path, settings: NearDuplicatesSettings) -> None:
        self._settings = settings
        self._width = settings.num_permutations // settings.num_bands
        folder.mkdir(parents=True)
        self._bands = [folder / f"{band:04}.band" for band in range(settings.num_bands)]
        self._agreements = folder / "must-agree"
        self._streams = [path.open("wb") for path in (*self._bands, self._agreements)]

    def close(self) -> None:
        """Let go of the files; nothing can be added after that."""
        for stream in self._streams:
            stream.close()

    def add(self, signed: Signed) -> None:
        """Store the signatures of further rows."""
        signatures = signed.signatures.reshape(-1, self._settings.num_bands, self._width)
        for band, stream in enumerate(self._streams[:-1]):
            stream.write(signatures[:, band].tobytes())
        self._streams[-1].write(signed.must_agree.tobytes())

    def repeats(self, rows: Rows, is_active: Booleans) -> Iterator[Repeats]:
        """For each band the rows like an earlier one, and that one.

        `rows` says which row each signature is of; earlier means a smaller row. Rows whose entry in `is_active`
        is or becomes False take no part from then on.
        """
        order: Rows = np.argsort(rows, kind="stable").astype(rows.dtype)
        for band in range(self._settings.num_bands):
            keys = self._keys(band)
            found = [self._in_part(keys, part, order, rows, is_active) for part in range(1 << PART_BITS)]
            yield Repeats(*map(np.concatenate, zip(*found, strict=True)))

    def _in_part(self, keys: Hashes, part: int, order: Rows, rows: Rows, is_active: Booleans) -> Repeats:
        is_member = keys >> np.uint64(64 - PART_BITS) == part
        members = order[is_member[order]]
        members = members[is_active[rows[members]]]
        by_key = np.argsort(keys[members], kind="stable")
        members = members[by_key]
        return self._verified(_pairs(members, keys[members]), rows)

    def _keys(self, band: int) -> Hashes:
        keys = np.fromfile(self._agreements, np.uint64)
        row_numbers, row_bytes = self._width * ROWS_AT_ONCE, self._width * np.dtype(np.uint32).itemsize
        for start in range(0, len(keys), ROWS_AT_ONCE):
            read = np.fromfile(self._bands[band], np.uint32, count=row_numbers, offset=start * row_bytes)
            key = keys[start : start + ROWS_AT_ONCE]
            for column in read.reshape(-1, self._width).T:
                key = (key ^ (key >> np.uint64(29))) * MIX + column
            keys[start : start + ROWS_AT_ONCE] = key
        return keys

    def _verified(self, pairs: Repeats, rows: Rows) -> Repeats:
        like = [self._is_like(pairs, start) for start in range(0, len(pairs.rows), PAIRS_AT_ONCE)]
        kept = np.concatenate([np.zeros(0, np.bool_), *like])
        return Repeats(rows[pairs.rows[kept]], rows[pairs.firsts[kept]])

    def _is_like(self, pairs: Repeats, start: int) -> Booleans:
        later = pairs.rows[start : start + PAIRS_AT_ONCE]
        earlier = pairs.firsts[start : start + PAIRS_AT_ONCE]
        num_equal = np.zeros(len(later), np.int64)
        for path in self._bands:
            # Opened anew each time: what a map has read counts as this process's memory until it is closed.
            band = np.memmap(path, np.uint32, "r").reshape(-1, self._width)
            num_equal += (band[later] == band[earlier]).sum(axis=1)
        agreements = np.memmap(self._agreements, np.uint64, "r")
        is_like = num_equal >= self._settings.threshold * self._settings.num_permutations
        return is_like & (agreements[later] == agreements[earlier])


def _pairs(members: Rows, keys: Hashes) -> Repeats:
    """Each member of a band's group with the first and with the one before it: linear in the size of a group."""
    rows, firsts = repeats_in_order(members, keys)
    is_repeat = np.concatenate([[False], keys[1:] == keys[:-1]])[: len(keys)]
    before = members[np.flatnonzero(is_repeat) - 1]
    is_other = before != firsts
    return Repeats(np.concatenate([rows, rows[is_other]]), np.concatenate([firsts, before[is_other]]))


def _shingles_of_rows(
    columns: Sequence[Sequence[str]], settings: NearDuplicatesSettings
) -> tuple[tuple[Hashes, Hashes], Hashes, Booleans]:
    """The shingles of every row's long columns with row offsets; a hash of its short columns; whether one is long."""
    num_rows = len(columns[0])
    must_agree = np.zeros(num_rows, np.uint64)
    is_long = np.zeros(num_rows, np.bool_)
    hashes, owners = [], []
    for number, column in enumerate(columns):
        found = shingles(column, shingle_words=settings.shingle_words)
        has_many = found.num_words >= settings.minimum_words
        is_long |= has_many
        salt = np.uint64((number + 1) * int(MIX) % 2**64)
        must_agree = must_agree * MIX + np.where(has_many, salt, found.whole)
        owner = np.repeat(np.arange(num_rows), found.num_shingles)
        is_used = has_many[owner]
        hashes.append(found.hashes[is_used] ^ salt)
        owners.append(owner[is_used])
    owner = np.concatenate(owners)
    by_row = np.argsort(owner, kind="stable")
    counts = np.bincount(owner, minlength=num_rows)[is_long]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint64)
    return (np.concatenate(hashes)[by_row], offsets), must_agree, is_long
