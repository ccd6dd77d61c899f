"""Pieces and their tokens: short ones are found all at once by their bytes, the others one by one."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from lmlab.data.tokenizer.bulk.flat import FlatTokens, Ids, spread
from lmlab.data.tokenizer.bulk.pieces import Pieces, cut

Keys = NDArray[np.uint64]
Numbers = NDArray[np.int64]
Encode = Callable[[Sequence[str]], list[list[int]]]

SHORT_BYTES = 15
"""A short piece is its own key: two words of 64 bits hold its bytes and its length."""
SLOT_BITS = 19
MOST_PIECES = 1 << 18
MOST_BYTES = 1 << 24
"""Of pieces that are kept; beyond these the table begins anew, so that memory stays flat."""
NOTHING, UNSEEN = 0, -1
"""The number of an END, which has no tokens, and of what the table lacks."""
MIX, OTHER_MIX = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD1342543DE82EF95)


class PieceTable:
    """Encodes texts piece by piece and keeps what it has learned of pieces."""

    def __init__(self, encode: Encode, *, split_digits: bool) -> None:
        """`encode` gives the tokens of pieces that are new."""
        self._encode, self._split_digits = encode, split_digits
        self._begin_anew()

    def encode(self, texts: Sequence[str]) -> FlatTokens:
        """The tokens of these texts."""
        if len(self._numbers) > MOST_PIECES or self._num_bytes > MOST_BYTES:
            self._begin_anew()
        pieces = cut(texts, split_digits=self._split_digits)
        low, high = _keys(pieces)
        slots = (((low * MIX) ^ high) * OTHER_MIX) >> np.uint64(64 - SLOT_BITS)
        numbers = self._slots[slots]
        numbers[(self._low[numbers] != low) | (self._high[numbers] != high)] = UNSEEN
        numbers[(pieces.lengths > SHORT_BYTES) | pieces.is_stretch] = UNSEEN
        numbers[pieces.is_end] = NOTHING
        unseen = np.flatnonzero(numbers == UNSEEN)
        numbers[unseen] = self._numbers_of(pieces, unseen, low, high, slots)
        counts = self._counts[numbers]
        ends = np.cumsum(counts)[pieces.is_end]
        return FlatTokens(self._ids[spread(self._firsts[numbers], counts)], np.diff(ends, prepend=0))

    def _begin_anew(self) -> None:
        self._slots = np.zeros(1 << SLOT_BITS, np.int64)
        self._numbers = {b"\xff": NOTHING}
        self._num_bytes = 0
        # No short piece has no bytes, so that no key is like that of NOTHING.
        self._low, self._high = np.zeros(1, np.uint64), np.zeros(1, np.uint64)
        self._counts, self._firsts = np.zeros(1, np.int64), np.zeros(1, np.int64)
        self._ids: Ids = np.zeros(0, np.uint32)
        self._num_ids = 0

    def _numbers_of(self, pieces: Pieces, rows: Numbers, low: Keys, high: Keys, slots: Keys) -> list[int]:
        """The numbers of these pieces one by one; those that are new are learned."""
        data = pieces.data.tobytes()
        starts, lengths = pieces.starts[rows].tolist(), pieces.lengths[rows].tolist()
        texts = [data[start : start + length] for start, length in zip(starts, lengths, strict=True)]
        first_number = len(self._numbers)
        new, new_rows = [], []
        for text, row in zip(texts, rows.tolist(), strict=True):
            if text not in self._numbers:
                self._numbers[text] = len(self._numbers)
                new.append(text)
                new_rows.append(row)
        if new_rows:
            self._learn(new, first_number, low[new_rows], high[new_rows])
            is_short = (pieces.lengths[new_rows] <= SHORT_BYTES) & ~pieces.is_stretch[new_rows]
            is_free = is_short & (self._slots[slots[new_rows]] == NOTHING)
            self._slots[slots[new_rows][is_free]] = first_number + np.flatnonzero(is_free)
        return [self._numbers[text] for text in texts]

    def _learn(self, new: Sequence[bytes], first_number: int, low: Keys, high: Keys) -> None:
        tokens = FlatTokens.of(self._encode([text.decode() for text in new]))
        firsts = self._num_ids + np.cumsum(tokens.lengths) - tokens.lengths
        self._low = _with(self._low, first_number, low)
        self._high = _with(self._high, first_number, high)
        self._counts = _with(self._counts, first_number, tokens.lengths)
        self._firsts = _with(self._firsts, first_number, firsts)
        self._ids = _with(self._ids, self._num_ids, tokens.ids)
        self._num_ids += len(tokens.ids)
        self._num_bytes += sum(map(len, new))


def _with(array: NDArray, place: int, values: NDArray) -> NDArray:
    """The array with these values from that place on; it grows by doubling."""
    if place + len(values) > len(array):
        room = np.zeros(max(place + len(values), 2 * len(array)) - len(array), array.dtype)
        array = np.concatenate([array, room])
    array[place : place + len(values)] = values
    return array


def _keys(pieces: Pieces) -> tuple[Keys, Keys]:
    """For each piece the first 8 of its bytes, and the 7 after those with its length; of long ones any two words."""
    padded = np.concatenate([pieces.data, np.zeros(16, np.uint8)])
    words: Keys = np.ndarray((len(padded) - 7,), np.dtype("<u8"), padded, strides=(1,))
    lengths = np.minimum(pieces.lengths, SHORT_BYTES).astype(np.uint8)
    low = words[pieces.starts] & _masks()[lengths]
    high = words[pieces.starts + 8] & _masks()[np.maximum(lengths, 8) - 8]
    return low, high | (lengths.astype(np.uint64) << np.uint64(56))


def _masks() -> Keys:
    """For each number of bytes from 0 to 15 the bits of the first 8 of them."""
    return np.array([(1 << (8 * min(count, 8))) - 1 for count in range(SHORT_BYTES + 1)], np.uint64)
