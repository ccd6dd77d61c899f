r"""The pieces that byte-level tokenizers cut a text into before they look at each alone, found over whole arrays.

The cut is GPT-2's, `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, optionally with
every digit cut off first. It is followed here for ASCII alone; around other characters a stretch stays in one part:

    I've    seen  caf\u00e9s, x   >   I | 've |    |  seen | [  caf\u00e9s,] |  x

A stretch ends where space follows an ASCII character that is none: no piece reaches over that place, and what
comes after it decides nothing before it.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Booleans = NDArray[np.bool_]
Places = NDArray[np.int64]

END = 0xFF
"""Follows each text; UTF-8 has no such byte."""

# Classes of bytes.
SPACE, OTHER_SPACE, LETTER, DIGIT, SIGN, HIGH, ENDS = range(7)
APOSTROPHE = ord("'")
SHORT_ENDINGS = b"stmd"
LONG_ENDINGS = (b"re", b"ve", b"ll")


class Pieces(NamedTuple):
    """Where each piece begins in the bytes of all texts, and which of them are stretches or ENDs."""

    data: Bytes
    starts: Places
    lengths: Places
    is_stretch: Booleans
    """Not cut yet, since it holds characters beyond ASCII."""
    is_end: Booleans


def cut(texts: Sequence[str], *, split_digits: bool) -> Pieces:
    """All pieces of these texts, each text closed by an END; stretches with more than ASCII stay whole."""
    data = np.frombuffer(b"\xff".join([*(text.encode() for text in texts), b""]), np.uint8)
    classes = _classes()[data]
    before, after = _shifted(classes, 1), _shifted(classes, -1)
    is_start = _starts(classes, before, after, split_digits=split_digits)
    _cut_contractions(data, is_start)
    starts = np.flatnonzero(is_start)
    is_stretch = np.zeros(len(starts), np.bool_)
    if (classes == HIGH).any():
        may_split = (classes <= OTHER_SPACE) & ((before == LETTER) | (before == DIGIT) | (before == SIGN))
        may_split |= (classes == ENDS) | (before == ENDS)
        starts, is_stretch = _with_stretches(starts, np.flatnonzero(may_split), np.flatnonzero(classes == HIGH))
    lengths = np.diff(starts, append=len(data))
    return Pieces(data, starts, lengths, is_stretch, classes[starts] == ENDS)


@functools.cache
def _classes() -> Bytes:
    classes = np.full(256, SIGN, np.uint8)
    for code in range(128):
        if chr(code).isalpha():
            classes[code] = LETTER
        elif chr(code).isdigit():
            classes[code] = DIGIT
    classes[[ord(space) for space in "\t\n\v\f\r"]] = OTHER_SPACE
    classes[ord(" ")] = SPACE
    classes[128:] = HIGH
    classes[END] = ENDS
    return classes


def _shifted(classes: Bytes, by: int) -> Bytes:
    """What stands before (1) or after (-1) each byte, ENDS at the edges."""
    shifted = np.full(len(classes), ENDS, np.uint8)
    if by > 0:
        shifted[1:] = classes[:-1]
    else:
        shifted[:-1] = classes[1:]
    return shifted


def _starts(classes: Bytes, before: Bytes, after: Bytes, *, split_digits: bool) -> Booleans:
    is_space, is_after_space = classes <= OTHER_SPACE, before <= OTHER_SPACE
    # Of several spaces before a word the last is cut off; at a text's end all stay together.
    is_last_space = is_space & (after > OTHER_SPACE) & (after != ENDS)
    if split_digits:
        is_last_space &= after != DIGIT
    is_start = np.where(is_space, ~is_after_space | is_last_space, (classes != before) & (before != SPACE))
    if split_digits:
        is_start |= (classes == DIGIT) | (before == DIGIT)
    return is_start | (classes == ENDS) | (before == ENDS)


def _cut_contractions(data: Bytes, is_start: Booleans) -> None:
    """Keep the letters of 's, 't, 're... with their apostrophe and part what follows them."""
    places = np.flatnonzero(is_start & (data == APOSTROPHE))
    padded = np.concatenate([data, np.zeros(2, np.uint8)])
    first, second = padded[places + 1], padded[places + 2]
    is_short = np.isin(first, np.frombuffer(SHORT_ENDINGS, np.uint8))
    is_long = np.zeros(len(places), np.bool_)
    for one, other in LONG_ENDINGS:
        is_long |= (first == one) & (second == other)
    for found, letters in ((is_short, 1), (is_long, 2)):
        is_start[places[found] + 1] = False
        # There is one: every text has an END.
        is_start[places[found] + 1 + letters] = True


def _with_stretches(starts: Places, bounds: Places, highs: Places) -> tuple[Places, Booleans]:
    """The starts without those inside stretches, and which of them begin a stretch."""
    is_high = np.zeros(len(bounds), np.bool_)
    is_high[np.searchsorted(bounds, highs, side="right") - 1] = True
    is_inside = is_high[np.searchsorted(bounds, starts, side="right") - 1]
    is_stretch_start = is_inside & np.isin(starts, bounds[is_high], assume_unique=True)
    kept = ~is_inside | is_stretch_start
    return starts[kept], is_stretch_start[kept]
