"""Tokens of a split on disk: written in one pass, memory-mapped, read without copying.

    tokens    | prompt <sep> target <sep> | target (a piece) | target (its end) <sep> | ...
    offsets   0                           6                  10                       16

A record is its prompt and a separator, where its task has prompts, then its target and a separator; a piece
that its document goes on after has no separator.
"""

import mmap
from pathlib import Path
from typing import IO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from lmlab.config import validate
from lmlab.data.task import LearnedTask
from lmlab.data.tokenizer.bulk.flat import Lengths
from lmlab.errors import InputError
from lmlab.files import check_seal

FACTS: dict[str, tuple[type, ...]] = {
    "source": (str,),
    "separator_id": (int,),
    "task": (dict,),
    "context_length": (int, type(None)),
}
"""What the seal of a folder of tokens says, beside the files."""
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
        """The store of a split ("train", "validation", "test") as the stage encode wrote it.

        Raises: InputError if its files are damaged, or do not fit each other.
        """
        try:
            store = cls._open(folder, split)
            _check_fit(store)
        except Exception as error:  # of numpy, which reads the header as Python's words, of safetensors, and ours
            raise InputError(
                f"{folder}: the tokens of {split} are damaged ({error}): delete {folder} and run `dvc repro`"
            ) from None
        return store

    @classmethod
    def _open(cls, folder: Path, split: str) -> "TokenStore":
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


def check_tokens(folder: Path) -> dict:
    """The facts of a folder of tokens, after comparing its files with its seal.

    Raises: InputError if a file is missing or was changed, or a fact is not as the stage encode writes it.
    """
    facts = check_seal(folder)
    for name, kind in FACTS.items():
        if not isinstance(facts[name], kind) or isinstance(facts[name], bool):
            raise InputError(f"{folder}: the seal's {name} is not as the stage encode writes it: delete {folder}")
    validate(LearnedTask, facts["task"], path=f"{folder}: task")
    return facts


def _check_fit(store: TokenStore) -> None:
    """Raise ValueError where the arrays cannot be those of one store."""
    count = len(store.target_bytes)
    per_record = (store.prompt_lengths, store.target_bytes, store.documents)
    if store.tokens.ndim != 1 or store.tokens.dtype.kind != "u":
        raise ValueError("no row of tokens")
    if store.offsets.shape != (count + 1,) or any(array.shape != (count,) for array in per_record):
        raise ValueError("not every record has its place, prompt, size and document")
    if any(array.dtype.kind != "i" for array in (store.offsets, *per_record)):
        raise ValueError("its records are not described by whole numbers")
    lengths = np.diff(store.offsets)
    if store.offsets[0] != 0 or store.offsets[-1] != len(store.tokens) or (lengths < 0).any():
        raise ValueError("its records do not cover its tokens")
    if (store.prompt_lengths < 0).any() or (store.prompt_lengths > lengths).any() or (store.target_bytes < 0).any():
        raise ValueError("a prompt is longer than its record, or a size is below 0")


class StoredRows(NamedTuple):
    """Records on their way into a store."""

    tokens: NDArray[np.unsignedinteger]
    """One record after another."""
    lengths: Lengths
    prompt_lengths: Lengths
    target_bytes: Lengths
    documents: NDArray[np.int64]


def store_type(vocabulary_size: int) -> "np.dtype[np.unsignedinteger]":
    """The type of the tokens of a store."""
    return np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.uint32)


class StoreWriter:
    """Writes a split's store record by record."""

    def __init__(self, folder: Path, split: str, *, vocabulary_size: int) -> None:
        self._dtype = store_type(vocabulary_size)
        self._folder, self._split = folder, split
        # Counted here: what a map of the file has read would count as this process's memory.
        self.is_used = np.zeros(vocabulary_size, np.bool_)
        self._stream: IO[bytes] = (folder / TOKENS_NAME.format(split=split)).open("wb")
        self._stream.write(self._header(0))
        self._lengths: list[NDArray[np.int64]] = []
        self._prompt_lengths: list[NDArray[np.int32]] = []
        self._target_bytes: list[NDArray[np.int64]] = []
        self._documents: list[NDArray[np.int64]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the file, also where the store could not be written to its end."""
        self._stream.close()

    def append(self, rows: StoredRows) -> None:
        """Add records, in order."""
        self.is_used[rows.tokens] = True
        self._stream.write(rows.tokens.astype(self._dtype).tobytes())
        self._lengths.append(rows.lengths)
        self._prompt_lengths.append(rows.prompt_lengths.astype(np.int32))
        self._target_bytes.append(rows.target_bytes)
        self._documents.append(rows.documents)

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
