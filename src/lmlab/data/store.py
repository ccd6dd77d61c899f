"""Tokens of a split on disk: written in one pass, memory-mapped, read without copying.

    tokens    | prompt <sep> target <sep> | target (a piece) | target (its end) <sep> | ...
    offsets   0                           6                  10                       16

A record is its prompt and a separator, where its task has prompts, then its target and a separator; a piece
that its document goes on after has no separator.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lmlab.data.tokenizer.bulk.flat import FlatTokens, Lengths

TOKENS_NAME = "tokens.{split}.npy"
INDEX_NAME = "index.{split}.safetensors"


class TokenStore(NamedTuple):
    """One split's tokens and where each record stands in them."""

    tokens: NDArray[np.unsignedinteger]
    """All tokens in a row, memory-mapped."""
    offsets: NDArray[np.int64]
    """Record i is tokens[offsets[i] : offsets[i + 1]]."""
    prompt_lengths: NDArray[np.int32]
    """Tokens at the start of each record that are prompt, with the separator that closes it; 0 without prompts."""
    target_bytes: NDArray[np.int64]
    """UTF-8 bytes of each record's target text."""
    documents: NDArray[np.int64]
    """Records with the same number follow each other as pieces of one document."""

    @classmethod
    def open(cls, folder: Path, split: str) -> "TokenStore":
        """The store of a split ("train", "validation", "test") as the stage encode wrote it."""
        tokens = np.load(folder / TOKENS_NAME.format(split=split), mmap_mode="r")
        if isinstance(tokens, np.memmap) and tokens.size:
            # Windows are read at random: reading ahead would fill memory with tokens that nobody asked for.
            tokens._mmap.madvise(mmap.MADV_RANDOM)  # type: ignore[attr-defined]
        index = load_file(folder / INDEX_NAME.format(split=split))
        return cls(tokens, index["offsets"], index["prompt_lengths"], index["target_bytes"], index["documents"])

    @property
    def num_records(self) -> int:
        """Number of records, in the order of the records' parquet file."""
        return len(self.target_bytes)

    @property
    def has_prompts(self) -> bool:
        """Whether the records are examples to answer, and not stretches of text."""
        return bool(self.prompt_lengths.any())

    def record(self, index: int) -> NDArray[np.unsignedinteger]:
        """The tokens of one record, a view."""
        return self.tokens[self.offsets[index] : self.offsets[index + 1]]


class StoreWriter:
    """Writes a split's store record by record."""

    def __init__(self, folder: Path, split: str, *, vocabulary_size: int) -> None:
        self._dtype = np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.uint32)
        self._folder, self._split = folder, split
        # Counted here: what a map of the file has read would count as this process's memory.
        self.is_used = np.zeros(vocabulary_size, np.bool_)
        self._stream: IO[bytes] = (folder / TOKENS_NAME.format(split=split)).open("wb")
        self._stream.write(self._header(0))
        self._lengths: list[NDArray[np.int64]] = []
        self._prompt_lengths: list[NDArray[np.int32]] = []
        self._target_bytes: list[NDArray[np.int64]] = []
        self._documents: list[NDArray[np.int64]] = []

    def append(
        self, records: FlatTokens, *, prompt_lengths: Lengths, target_bytes: Lengths, documents: Sequence[int]
    ) -> None:
        """Add records, in order."""
        self.is_used[records.ids] = True
        self._stream.write(records.ids.astype(self._dtype).tobytes())
        self._lengths.append(records.lengths)
        self._prompt_lengths.append(prompt_lengths.astype(np.int32))
        self._target_bytes.append(target_bytes)
        self._documents.append(np.asarray(documents, dtype=np.int64))

    def close(self) -> None:
        """Write the index and the final length."""
        offsets = np.concatenate([[0], *self._lengths]).astype(np.int64).cumsum()
        self._stream.seek(0)
        self._stream.write(self._header(int(offsets[-1])))
        self._stream.close()
        index = {
            "offsets": offsets,
            "prompt_lengths": _joined(self._prompt_lengths, np.int32),
            "target_bytes": _joined(self._target_bytes, np.int64),
            "documents": _joined(self._documents, np.int64),
        }
        # Not .npz: the zip files of two Python releases differ in their headers.
        save_file(index, self._folder / INDEX_NAME.format(split=self._split))

    def _header(self, length: int) -> bytes:
        # An .npy header of fixed size, so that the length can be filled in at the end.
        fields = f"{{'descr': '{self._dtype.str}', 'fortran_order': False, 'shape': ({length},), }}"
        return b"\x93NUMPY\x01\x00" + (118).to_bytes(2, "little") + fields.ljust(117).encode() + b"\n"


def _joined(parts: list, dtype: type) -> NDArray:
    return np.concatenate([np.empty(0, dtype), *parts]).astype(dtype)
