"""Which examples batch number s holds: whole ones of about equal length, padded on the right (the batch law).

    prompt prompt <sep> target target <sep>
    prompt <sep> target target target <sep>      targets are what is to be predicted; prompts and padding are not
    prompt prompt prompt <sep> target <sep> .

Examples are ordered by length, in random order within a length class, and cut into batches of at most
`batch_tokens` with padding. Where the cuts fall depends on the lengths alone, so every pass has as many batches;
which examples of a class stand together, and the order of the batches, change from pass to pass.
"""

import numpy as np
from numpy.typing import NDArray

from lmlab.data.batches import IGNORED, Batch, Validation
from lmlab.data.store import TokenStore
from lmlab.errors import InputError

CLASS_WIDTH = 1.05
"""Lengths of one class differ by at most this factor: more mixing within a class costs more padding."""


class ExamplePlan:
    """All batches of a training on examples, by number."""

    carries_state = False

    def __init__(self, store: TokenStore, *, batch_tokens: int, separator_id: int, seed: int) -> None:
        if store.num_records == 0:
            raise InputError("the training split has no examples: give more records")
        self._store, self._separator_id, self._seed = store, separator_id, seed
        self._lengths = np.diff(store.offsets)
        self._classes = length_classes(self._lengths)
        self._cuts = batch_cuts(np.sort(self._class_maxima()[self._classes]), batch_tokens=batch_tokens)
        self.batches_per_pass = len(self._cuts) - 1
        self._pass: tuple[int, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]] | None = None

    def batch(self, number: int) -> Batch:
        """Batch number `number`, counted from 0 over all passes."""
        pass_number, index = divmod(number, self.batches_per_pass)
        order, places, _ = self._orders(pass_number)
        place = places[index]
        return example_batch(self._store, order[self._cuts[place] : self._cuts[place + 1]], self._separator_id)

    def tokens_before(self, number: int) -> int:
        """Tokens, without padding, of all batches before this one."""
        pass_number, index = divmod(number, self.batches_per_pass)
        _, _, tokens_before = self._orders(pass_number)
        return pass_number * len(self._store.tokens) + int(tokens_before[index])

    def padding_share(self) -> float:
        """Share of a pass's places that hold no token, from 0 to 1; lower is better."""
        order, _, _ = self._orders(0)
        widths = np.maximum.reduceat(self._lengths[order], self._cuts[:-1])
        return 1 - float(self._lengths.sum() / (widths * np.diff(self._cuts)).sum())

    def _class_maxima(self) -> NDArray[np.int64]:
        maxima = np.zeros(int(self._classes.max()) + 1, np.int64)
        np.maximum.at(maxima, self._classes, self._lengths)
        return maxima

    def _orders(self, pass_number: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The examples by length class, the order of the batches, and the tokens before each batch, of a pass."""
        if self._pass is None or self._pass[0] != pass_number:
            generator = np.random.default_rng([self._seed, pass_number])
            order = np.lexsort((generator.random(len(self._classes)), self._classes))
            places = generator.permutation(self.batches_per_pass)
            tokens = np.add.reduceat(self._lengths[order], self._cuts[:-1])[places]
            self._pass = (pass_number, order, places, np.cumsum(tokens) - tokens)
        return self._pass[1:]


def length_classes(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each length that grows with it; lengths within about CLASS_WIDTH share one."""
    return np.floor(np.log(np.maximum(lengths, 1)) / np.log(CLASS_WIDTH)).astype(np.int64)


def batch_cuts(widths: NDArray[np.int64], *, batch_tokens: int) -> NDArray[np.int64]:
    """Where batches begin in rows of these growing widths: each has as many rows as fit, and at least one."""
    cuts = [0]
    while cuts[-1] < len(widths):
        begin = cuts[-1]
        most = max(1, batch_tokens // int(widths[begin]))
        ahead = widths[begin : begin + most]
        sizes = ahead * np.arange(1, len(ahead) + 1)
        cuts.append(begin + max(1, int(np.searchsorted(sizes, batch_tokens, side="right"))))
    return np.asarray(cuts, np.int64)


def example_batch(store: TokenStore, rows: NDArray[np.int64], separator_id: int) -> Batch:
    """These examples side by side, each read from a separator on."""
    time = int(max(store.offsets[row + 1] - store.offsets[row] for row in rows))
    inputs = np.full((len(rows), time), separator_id, np.int64)
    targets = np.full((len(rows), time), IGNORED, np.int64)
    for place, row in enumerate(rows):
        record = store.record(int(row))
        prompt_length = store.prompt_lengths[row]
        inputs[place, 1 : len(record)] = record[:-1]
        targets[place, prompt_length : len(record)] = record[prompt_length:]
    return Batch(inputs, targets, goes_on=False)


def validation_examples(store: TokenStore, *, max_tokens: int, batch_tokens: int, separator_id: int) -> Validation:
    """Examples spread evenly over the split, up to about max_tokens, short ones first."""
    step = max(1, -(-len(store.tokens) // max_tokens))
    chosen = np.arange(step // 2 if store.num_records > step else 0, store.num_records, step)
    lengths = np.diff(store.offsets)[chosen]
    order = np.argsort(lengths, kind="stable")
    cuts = batch_cuts(lengths[order], batch_tokens=batch_tokens)
    batches = [
        example_batch(store, chosen[order[begin:end]], separator_id)
        for begin, end in zip(cuts[:-1], cuts[1:], strict=True)
    ]
    return Validation(batches, int(store.target_bytes[chosen].sum()))
