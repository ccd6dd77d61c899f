"""Which tokens batch number s holds: a pure function of the seed and s (the batch law of training).

Two orders over the one stream of a split's tokens, each row `time` tokens long:

    shuffled     the stream is cut into windows, in another order each pass
    contiguous   the documents, in another order each pass, are cut into as many lanes as rows; row i of batch
                 s + 1 goes on where row i of batch s ended, so that a recurrent state can be carried
                     lane 0  |batch 0|batch 1|batch 2|...
                     lane 1  |batch 0|batch 1|batch 2|...
"""

from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lmlab.data.store import TokenStore
from lmlab.errors import InputError

IGNORED = -100
"""The target that a loss leaves out."""

BLOCK_TOKENS = 512
"""Documents are shuffled in blocks of about this size: an order of a million short ones would fill memory."""


class Batch(NamedTuple):
    """Rows of tokens and the tokens to predict after each."""

    inputs: NDArray[np.int64]
    """(rows, time)"""
    targets: NDArray[np.int64]
    """(rows, time); IGNORED where nothing is to be predicted."""
    goes_on: bool
    """Whether each row goes on where the same row of the batch before ended."""


@runtime_checkable
class Plan(Protocol):
    """All batches of a training, by number: batch number s is a pure function of the seed and s."""

    @property
    def carries_state(self) -> bool:
        """Whether a row may go on where it ended in the batch before."""
        ...

    def batch(self, number: int) -> Batch:
        """Batch number `number`, counted from 0."""
        ...

    def tokens_before(self, number: int) -> int:
        """Tokens, without padding, of all batches before this one."""
        ...

    def padding_share(self) -> float:
        """Share of the places of the batches that hold no token, from 0 to 1; lower is better."""
        ...


class TextPlan:
    """All batches of a training on text, by number."""

    def __init__(self, store: TokenStore, *, rows: int, time: int, contiguous: bool, seed: int) -> None:
        self._tokens = tokens = store.tokens
        self._blocks = block_starts(store) if contiguous else np.zeros(1, np.int64)
        self._rows, self._time = rows, time
        self.carries_state = contiguous
        self._seed = seed
        # A window needs the token before its first target as its first input.
        num_windows = (len(tokens) - 1) // time
        if num_windows < rows:
            raise InputError(
                f"the training split has {len(tokens)} tokens, fewer than one batch of {rows} x {time} needs: "
                "give more text, or lower training.batch_rows or training.sequence_length"
            )
        self.batches_per_pass = num_windows // rows
        self._order_of_pass: tuple[int, NDArray[np.int64]] | None = None
        self._blocks_of_pass: tuple[int, NDArray[np.int64], NDArray[np.int64]] | None = None

    def tokens_before(self, number: int) -> int:
        """Tokens of all batches before this one."""
        return number * self._rows * self._time

    def padding_share(self) -> float:
        """No place of a batch is without a token."""
        return 0.0

    def batch(self, number: int) -> Batch:
        """Batch number `number`, counted from 0 over all passes."""
        pass_number, index = divmod(number, self.batches_per_pass)
        starts = (
            self._lane_starts(pass_number, index) if self.carries_state else self._window_starts(pass_number, index)
        )
        positions = starts[:, None] + np.arange(self._time + 1)[None, :]  # (rows, time + 1)
        if self.carries_state:
            positions = self._in_block_order(positions, pass_number)
        rows = self._tokens[positions].astype(np.int64)
        return Batch(rows[:, :-1], rows[:, 1:], goes_on=self.carries_state and index > 0)

    def _window_starts(self, pass_number: int, index: int) -> NDArray[np.int64]:
        windows = self._shuffled(pass_number)[index * self._rows : (index + 1) * self._rows]
        return windows * self._time + self._shift(pass_number)

    def _lane_starts(self, pass_number: int, index: int) -> NDArray[np.int64]:
        lanes = np.arange(self._rows, dtype=np.int64) * self.batches_per_pass
        return (lanes + index) * self._time + self._shift(pass_number)

    def _shuffled(self, pass_number: int) -> NDArray[np.int64]:
        if self._order_of_pass is None or self._order_of_pass[0] != pass_number:
            order = self._generator(pass_number).permutation(self.batches_per_pass * self._rows)
            self._order_of_pass = (pass_number, order)
        return self._order_of_pass[1]

    def _in_block_order(self, positions: NDArray[np.int64], pass_number: int) -> NDArray[np.int64]:
        """Where the tokens at these positions of the pass's order of blocks stand in the store."""
        if self._blocks_of_pass is None or self._blocks_of_pass[0] != pass_number:
            order = self._generator(pass_number).permutation(len(self._blocks))
            lengths = np.diff(self._blocks, append=len(self._tokens))[order]
            self._blocks_of_pass = (pass_number, self._blocks[order], np.cumsum(lengths) - lengths)
        _, stored, ordered = self._blocks_of_pass
        block = np.searchsorted(ordered, positions, side="right") - 1
        return stored[block] + positions - ordered[block]

    def _shift(self, pass_number: int) -> int:
        """Tokens left out at the start of the stream, so that each pass cuts it elsewhere."""
        spare = len(self._tokens) - 1 - self.batches_per_pass * self._rows * self._time
        return int(self._generator(pass_number, 1).integers(spare + 1))

    def _generator(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *key])


def block_starts(store: TokenStore) -> NDArray[np.int64]:
    """Where blocks of whole documents begin, one in each stretch of BLOCK_TOKENS tokens in which a document begins."""
    begins = np.flatnonzero(np.diff(store.documents, prepend=-1))
    starts = store.offsets[begins]
    # The first document that starts in a stretch of BLOCK_TOKENS begins a block.
    _, firsts = np.unique(starts // BLOCK_TOKENS, return_index=True)
    return starts[firsts]


class Validation(NamedTuple):
    """The part of a split that training measures itself on."""

    batches: list[Batch]
    """In the order of reading."""
    num_bytes: int
    """UTF-8 bytes of the text that the targets are."""


def validation_text(store: TokenStore, *, max_tokens: int, lanes: int, time: int, separator_id: int) -> Validation:
    """Records spread evenly over the split, about max_tokens, as `lanes` rows of consecutive text, `time` at once.

    Where records have more than max_tokens on average, it is one of them.
    """
    step = max(1, -(-len(store.tokens) // max_tokens))
    chosen = range(min(step // 2, store.num_records // 2), store.num_records, step)
    stream = np.concatenate([np.asarray(store.record(index), dtype=np.int64) for index in chosen])
    lanes = min(lanes, len(stream))
    length = -(-len(stream) // lanes)
    inputs = np.full(lanes * length, separator_id, dtype=np.int64)
    targets = np.full(lanes * length, IGNORED, dtype=np.int64)
    targets[: len(stream)] = stream
    inputs[1 : len(stream)] = stream[:-1]
    inputs, targets = inputs.reshape(lanes, length), targets.reshape(lanes, length)
    batches = [
        Batch(inputs[:, at : at + time], targets[:, at : at + time], goes_on=at > 0) for at in range(0, length, time)
    ]
    return Validation(batches, int(sum(store.target_bytes[index] for index in chosen)))
