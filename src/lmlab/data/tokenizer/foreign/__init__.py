"""What a tokenizer.json that was made elsewhere may do: fail in its library, or make a short text a very long one.

May import: the modules of lmlab's own folder.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmlab.errors import InputError

if TYPE_CHECKING:
    import tokenizers

MOST_GROWTH = 1000
"""What one character may become on the way to tokens, or a token's character on the way back."""
LONGEST_TOKEN = 4096
"""Characters; runs of spaces and dashes are the longest that are known."""
# Vocabularies have gaps, and a model has a row for each: a wild number would fill memory.
MOST_GAPS, FREE_GAPS = 4, 1024
_LISTS = ("normalizers", "decoders")
_TRIE_SIZE_BYTES = 4


@contextmanager
def library_faults(what: str) -> Iterator[None]:
    """Turn what the library raises in the block into one line.

    Raises: InputError that begins with `what`.
    """
    try:
        yield
    except InputError:
        raise
    except BaseException as error:
        # Where its Rust code gives up, the library raises what is no Exception; for the rest it raises bare Exceptions.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{what}: {error}") from None


def check_foreign(inner: "tokenizers.Tokenizer", path: Path) -> None:
    """Raise InputError if the tokenizer of this file could fill memory."""
    vocabulary = inner.get_vocab()
    longest, highest = max(map(len, vocabulary), default=0), max(vocabulary.values(), default=0)
    if longest > LONGEST_TOKEN:
        raise InputError(f"{path}: has a token of {longest:,} characters; the longest may have {LONGEST_TOKEN:,}")
    if highest > MOST_GAPS * len(vocabulary) + FREE_GAPS:
        raise InputError(f"{path}: numbers {len(vocabulary):,} tokens up to {highest:,}: get the file again")
    for part in (inner.normalizer, inner.decoder):
        growth = 1 if part is None else _growth(json.loads(part.__getstate__()))
        if growth > MOST_GROWTH:
            raise InputError(
                f"{path}: its {type(part).__name__} can make one character {growth:,}; at most {MOST_GROWTH:,} are read"
            )


def _growth(part: Mapping[str, Any]) -> int:
    """The most characters that this normalizer or decoder makes of one."""
    inner = next((part[name] for name in _LISTS if name in part), None)
    if inner is not None:
        return prod(map(_growth, inner))
    if part.get("type") == "Precompiled":
        return _longest_replacement(base64.b64decode(part["precompiled_charsmap"]))
    return max(1, *(len(part.get(name) or "") for name in ("content", "prepend")))


def _longest_replacement(charsmap: bytes) -> int:
    """Of sentencepiece's map: the size of a trie, the trie, and what its characters become, closed by zeros."""
    size = int.from_bytes(charsmap[:_TRIE_SIZE_BYTES], "little")
    return max(map(len, charsmap[_TRIE_SIZE_BYTES + size :].split(b"\0")))
