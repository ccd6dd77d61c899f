"""Where the loss stands: by position in the document, and by length of the document."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.evaluation.intervals import number_runs
from lmlab.evaluation.metric import Examples
from lmlab.evaluation.scoring import TokenScores


class PositionLoss(NamedTuple):
    """Mean nats of the target tokens at positions `first` to `last` of their documents, counted from 0."""

    first: int
    last: int
    tokens: int
    nats_per_token: float


class LengthLoss(NamedTuple):
    """Bits per byte over the documents that have from `shortest` to `longest` bytes."""

    shortest: int
    longest: int
    documents: int
    tokens: int
    bits_per_byte: float


def loss_by_position(
    scores: TokenScores, offsets: NDArray[np.int64], documents: NDArray[np.int64]
) -> list[PositionLoss]:
    """The loss in buckets that double: position 0, 1, 2-3, 4-7, and so on."""
    count, numbers = number_runs(documents)
    starts = np.asarray(offsets)[np.searchsorted(numbers, np.arange(count))]
    lengths = np.diff(np.append(starts, offsets[-1]))
    positions = np.arange(len(scores.nats)) - np.repeat(starts, lengths)
    buckets = np.frexp(positions)[1][scores.is_target]  # 0 -> 0, 1 -> 1, 2-3 -> 2, 4-7 -> 3
    tokens = np.bincount(buckets)
    nats = np.bincount(buckets, weights=scores.nats[scores.is_target])
    return [
        PositionLoss(2**bucket // 2, 2**bucket - 1, int(tokens[bucket]), float(nats[bucket] / tokens[bucket]))
        for bucket in map(int, np.flatnonzero(tokens))
    ]


def loss_by_length(examples: Examples, documents: NDArray[np.int64], *, num_buckets: int) -> list[LengthLoss]:
    """The loss in buckets of about equally many documents, short ones first; equal lengths stay together."""
    count, numbers = number_runs(documents)
    sizes, tokens, nats = (
        np.bincount(numbers, weights=values, minlength=count)
        for values in (examples.bytes, examples.tokens, examples.nats)
    )
    bounds = np.unique(np.quantile(sizes, np.linspace(0, 1, num_buckets + 1)[1:-1], method="lower"))
    buckets = np.searchsorted(bounds, sizes, side="left")
    losses = []
    for bucket in np.unique(buckets):
        members = buckets == bucket
        size = sizes[members]
        if size.sum() > 0:
            value = nats[members].sum() / (np.log(2) * size.sum())
            total = int(tokens[members].sum())
            losses.append(LengthLoss(int(size.min()), int(size.max()), len(size), total, float(value)))
    return losses
