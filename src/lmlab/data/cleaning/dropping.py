"""Rules that judge one record by its text: its length, and whether it is language at all."""

import functools
import sys
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.data.cleaning.parts import parts
from lmlab.data.cleaning.settings import LengthSettings, LineNoiseSettings

Booleans = NDArray[np.bool_]


class Verdict(NamedTuple):
    """Which records go, and why each of those goes (by its number)."""

    drops: Booleans
    why: dict[int, str]


def wrong_length(texts: Sequence[str], is_piece: Booleans, settings: LengthSettings) -> Verdict:
    """Records with fewer characters (not counting space around them) or more than allowed; pieces may be short."""
    sizes = np.fromiter((len(text) for text in texts), np.int64, len(texts))
    inner = np.fromiter((len(text.strip()) for text in texts), np.int64, len(texts))
    too_short = (inner < settings.minimum_characters) & ~is_piece
    too_long = sizes > settings.maximum_characters
    why = {
        int(i): f"{inner[i]} characters, fewer than {settings.minimum_characters}" for i in np.flatnonzero(too_short)
    }
    why |= {int(i): f"{sizes[i]} characters, more than {settings.maximum_characters}" for i in np.flatnonzero(too_long)}
    return Verdict(too_short | too_long, why)


def line_noise(texts: Sequence[str], settings: LineNoiseSettings) -> Verdict:
    """Records with too small a share of letters among the characters that are not space."""
    shares = letter_shares(texts, maximum_word_characters=settings.maximum_word_characters)
    drops = shares < settings.minimum_letter_share
    return Verdict(drops, {int(i): f"{shares[i]:.0%} letters" for i in np.flatnonzero(drops)})


def letter_shares(texts: Sequence[str], *, maximum_word_characters: int) -> NDArray[np.float64]:
    """Letters (Unicode's, and combining marks) over characters that are not space, 1 for a blank text.

    Letters in longer runs of ASCII without a space than a word can have do not count.
    """
    return np.concatenate([_letter_shares(part, maximum_word_characters) for part in parts(texts)])


def _letter_shares(texts: Sequence[str], maximum_word_characters: int) -> NDArray[np.float64]:
    if not texts:
        return np.zeros(0)
    joined = "\n".join(texts) + "\n"
    ends = np.cumsum(np.fromiter((len(text) + 1 for text in texts), np.int64, len(texts)))
    codes = _codes(joined)
    num_codes = 128 if codes.dtype == np.uint8 else sys.maxunicode + 1
    is_letter = _letters(num_codes)[codes]
    is_space = _spaces(num_codes)[codes]
    _unmark_long_words(is_letter, (codes >= 128) | is_space, maximum_word_characters)
    letters = _sums(is_letter, ends)
    visible = np.diff(ends, prepend=0) - _sums(is_space, ends)
    return np.where(visible > 0, letters / np.maximum(visible, 1), 1.0)


def _codes(text: str) -> NDArray[np.uint8] | NDArray[np.uint32]:
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _unmark_long_words(is_letter: Booleans, breaks: Booleans, maximum_word_characters: int) -> None:
    at = np.flatnonzero(breaks)
    for number in np.flatnonzero(np.diff(at, prepend=-1) - 1 > maximum_word_characters):
        start = at[number - 1] + 1 if number else 0
        is_letter[start : at[number]] = False


def _sums(flags: Booleans, ends: NDArray[np.int64]) -> NDArray[np.int64]:
    totals = np.cumsum(flags, dtype=np.int32)[ends - 1].astype(np.int64)
    return np.diff(totals, prepend=0)


@functools.cache
def _letters(num_codes: int) -> Booleans:
    # Vowel signs of Indic and other scripts are marks, not letters, to Unicode.
    flags = ((chr(code).isalpha() or unicodedata.category(chr(code))[0] == "M") for code in range(num_codes))
    return np.fromiter(flags, np.bool_, num_codes)


@functools.cache
def _spaces(num_codes: int) -> Booleans:
    return np.fromiter((chr(code).isspace() for code in range(num_codes)), np.bool_, num_codes)
