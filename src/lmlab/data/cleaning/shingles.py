"""Hashes of every run of consecutive words of many texts at once, over NumPy arrays.

A word is a run of ASCII letters, digits and non-ASCII characters, without regard to ASCII case; a character of a
script without spaces (from U+3000 on: Chinese, Japanese, Korean) begins a word of its own.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.data.cleaning.parts import parts

Hashes = NDArray[np.uint64]
Counts = NDArray[np.int64]

# Odd multipliers modulo 2^64 have inverses, so that a prefix hash gives the hash of any part.
BASE = 0x9E3779B97F4A7C15
WORD_BASE = 0xD1342543DE82EF95
FIRST_OF_SPACELESS_SCRIPTS = 0xE3
CACHED_POWERS = 1 << 18


class Shingles(NamedTuple):
    """The hashes of each text's word runs, one text after another, and for each text what is in it."""

    hashes: Hashes
    num_shingles: Counts
    num_words: Counts
    whole: Hashes
    """A hash of all of a text's words in their order."""


def shingles(texts: Sequence[str], *, shingle_words: int) -> Shingles:
    """The shingles of these texts; a text with fewer words has none."""
    found = [_shingles(part, shingle_words=shingle_words) for part in parts(texts)]
    return Shingles(*map(np.concatenate, zip(*found, strict=True)))


def _shingles(texts: Sequence[str], *, shingle_words: int) -> Shingles:
    data = np.frombuffer("\n".join([*texts, ""]).encode(), np.uint8)
    sizes = np.fromiter((_bytes_of(text) + 1 for text in texts), np.int64, len(texts))
    text_ends = np.cumsum(sizes)
    folded = _folding()[data]
    starts, ends = _words(folded)
    words = _mixed(_parts_hashes(folded, starts, ends))
    last_words = np.searchsorted(starts, text_ends)
    first_words = np.concatenate([[0], last_words[:-1]])
    num_words = last_words - first_words
    runs = _runs(words, shingle_words)
    owner = np.repeat(np.arange(len(texts)), num_words)
    # A run belongs to a text where its last word still does.
    is_inside = np.arange(len(words)) + shingle_words <= last_words[owner]
    hashes = runs[is_inside[: len(runs)]]
    num_shingles = np.maximum(num_words - shingle_words + 1, 0)
    return Shingles(hashes, num_shingles, num_words, _mixed(_parts_hashes(words, first_words, last_words)))


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


@functools.cache
def _folding() -> NDArray[np.uint8]:
    """0 for what parts words, lower case for letters, all else as it is."""
    codes = np.arange(256, dtype=np.uint8)
    table = np.where(codes >= 128, codes, 0).astype(np.uint8)
    for code in range(128):
        if chr(code).isalnum():
            table[code] = ord(chr(code).lower())
    return table


def _words(folded: NDArray[np.uint8]) -> tuple[Counts, Counts]:
    is_word = folded != 0
    goes_on = np.concatenate([[False], is_word[:-1]])
    is_start = is_word & (~goes_on | (folded >= FIRST_OF_SPACELESS_SCRIPTS))
    is_next_start = np.concatenate([is_start[1:], [False]])
    is_next_gap = np.concatenate([~is_word[1:], [True]])
    return np.flatnonzero(is_start), np.flatnonzero(is_word & (is_next_start | is_next_gap)) + 1


def _powers(base: int, count: int) -> Hashes:
    return _first_powers(base)[:count] if count <= CACHED_POWERS else _computed_powers(base, count)


@functools.cache
def _first_powers(base: int) -> Hashes:
    return _computed_powers(base, CACHED_POWERS)


def _computed_powers(base: int, count: int) -> Hashes:
    powers = np.full(count, base, np.uint64)
    powers[:1] = 1
    return np.multiply.accumulate(powers)


def _parts_hashes(values: NDArray, starts: Counts, ends: Counts) -> Hashes:
    """Polynomial hashes modulo 2^64 of values[start:end], the same wherever the part stands."""
    weighted = values.astype(np.uint64)
    weighted *= _powers(BASE, len(values))
    prefix = np.concatenate([np.zeros(1, np.uint64), np.cumsum(weighted, dtype=np.uint64)])
    inverse = _powers(pow(BASE, -1, 2**64), len(values) + 1)
    return (prefix[ends] - prefix[starts]) * inverse[starts]


def _runs(words: Hashes, length: int) -> Hashes:
    if len(words) < length:
        return np.zeros(0, np.uint64)
    runs = np.zeros(len(words) - length + 1, np.uint64)
    for place in range(length):
        runs *= np.uint64(WORD_BASE)
        runs += words[place : len(words) - length + 1 + place]
    return _mixed(runs)


def _mixed(values: Hashes) -> Hashes:
    """Every bit depends on every bit; Source: Steele, Lea and Flood 2014, SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
