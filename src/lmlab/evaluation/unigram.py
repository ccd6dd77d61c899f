"""The unigram baseline: every token as likely as it was in the training split, whatever stands before it."""

import numpy as np
from numpy.typing import NDArray

from lmlab.data.store import TokenStore
from lmlab.evaluation.scoring import target_mask

# Tokens counted at a time: np.bincount makes 8 bytes of each.
BLOCK_TOKENS = 1 << 22


def count_targets(store: TokenStore, vocabulary_size: int) -> NDArray[np.int64]:
    """How often each token is a target in the split, separators included."""
    counts = np.zeros(vocabulary_size, dtype=np.int64)
    is_target = target_mask(store)
    for begin in range(0, len(is_target), BLOCK_TOKENS):
        block = slice(begin, begin + BLOCK_TOKENS)
        counts += np.bincount(np.asarray(store.tokens[block])[is_target[block]], minlength=vocabulary_size)
    return counts


def unigram_nats(train: NDArray[np.int64], test: NDArray[np.int64]) -> float:
    """Nats of the counted test tokens under the add-one smoothed counts of the training tokens."""
    nats = np.log(train.sum() + len(train)) - np.log1p(train)
    return float((test * nats).sum())
