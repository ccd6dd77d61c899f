"""Characters to tokens by a table of all code points."""

import sys
from collections.abc import Mapping, Sequence

import numpy as np

from lmlab.data.tokenizer.bulk.flat import FlatTokens


class CodePointTable:
    """Encodes texts whose tokens are their characters."""

    def __init__(self, vocabulary: Mapping[str, int], *, unknown_id: int) -> None:
        self._ids = np.full(sys.maxunicode + 1, unknown_id, np.uint32)
        for token, token_id in vocabulary.items():
            if len(token) == 1:
                self._ids[ord(token)] = token_id

    def encode(self, texts: Sequence[str]) -> FlatTokens:
        """The tokens of these texts."""
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.dtype("<u4"))
        return FlatTokens(self._ids[codes], np.fromiter(map(len, texts), np.int64, len(texts)))
