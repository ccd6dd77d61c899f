"""The batch law: batch number s is a pure function of the seed and s."""

import itertools

import numpy as np
import pytest

from lmlab.data.batches import IGNORED, TextPlan, Validation, validation_text
from lmlab.data.store import TokenStore
from lmlab.errors import InputError


def _store(lengths: list[int]) -> TokenStore:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    count = len(lengths)
    return TokenStore(
        np.arange(1, offsets[-1] + 1, dtype=np.uint16),
        offsets,
        np.zeros(count, np.int32),
        np.asarray(lengths, np.int64) * 10,
        np.arange(count, dtype=np.int64),
    )


def _plan(*, contiguous: bool = False, seed: int = 1, rows: int = 4, time: int = 10) -> TextPlan:
    return TextPlan(_store([1000]), rows=rows, time=time, contiguous=contiguous, seed=seed)


@pytest.mark.parametrize("contiguous", [False, True])
def test_a_batch_does_not_depend_on_those_asked_for_before(contiguous: bool) -> None:
    in_order = [_plan(contiguous=contiguous).batch(number) for number in range(60)]
    plan = _plan(contiguous=contiguous)
    for number in [59, 0, 30, 31, 7]:
        np.testing.assert_array_equal(plan.batch(number).inputs, in_order[number].inputs)


@pytest.mark.parametrize("contiguous", [False, True])
def test_targets_are_the_tokens_after_the_inputs(contiguous: bool) -> None:
    batch = _plan(contiguous=contiguous).batch(3)
    np.testing.assert_array_equal(batch.targets, batch.inputs + 1)  # the stream counts up
    assert batch.inputs.shape == (4, 10)


@pytest.mark.parametrize("contiguous", [False, True])
def test_a_pass_reads_no_token_twice_and_leaves_out_less_than_a_batch(contiguous: bool) -> None:
    plan = _plan(contiguous=contiguous)
    seen = np.concatenate([plan.batch(number).targets.ravel() for number in range(plan.batches_per_pass)])
    assert len(np.unique(seen)) == len(seen)
    assert 999 - len(seen) < plan.tokens_before(1)


def test_a_shuffled_pass_is_in_another_order_than_the_one_before() -> None:
    plan = _plan()
    first, second = plan.batch(0), plan.batch(plan.batches_per_pass)
    assert not np.array_equal(first.inputs, second.inputs)
    assert not first.goes_on


def test_another_seed_gives_other_batches() -> None:
    assert not np.array_equal(_plan(seed=1).batch(0).inputs, _plan(seed=2).batch(0).inputs)


def test_contiguous_rows_go_on_where_they_ended() -> None:
    plan = _plan(contiguous=True)
    for number in range(1, plan.batches_per_pass):
        before, after = plan.batch(number - 1), plan.batch(number)
        assert after.goes_on
        np.testing.assert_array_equal(before.targets[:, -1], after.inputs[:, 0])
    assert not plan.batch(0).goes_on
    assert not plan.batch(plan.batches_per_pass).goes_on


def test_contiguous_documents_stand_in_another_order_each_pass_and_stay_whole() -> None:
    plan = TextPlan(_store([600, 700, 800, 900]), rows=1, time=10, contiguous=True, seed=1)

    def order(pass_number: int) -> list[int]:
        first = pass_number * plan.batches_per_pass
        return [int(plan.batch(first + index).targets[0, -1]) for index in range(plan.batches_per_pass)]

    jumps = [after - before for before, after in itertools.pairwise(order(0))]
    # Ten tokens on, but where one document ends and another begins.
    assert sum(jump != 10 for jump in jumps) <= 3
    assert len({tuple(order(number)) for number in range(6)}) > 1


def test_too_little_text_for_one_batch_is_said() -> None:
    with pytest.raises(InputError, match="fewer than one batch of 4 x 300 needs"):
        _plan(time=300)


def _lanes(validation: Validation) -> tuple[np.ndarray, np.ndarray]:
    batches = validation.batches
    return np.hstack([batch.inputs for batch in batches]), np.hstack([batch.targets for batch in batches])


def test_validation_reads_every_token_once_after_a_separator() -> None:
    text = validation_text(_store([3, 4, 3]), max_tokens=100, lanes=3, time=2, separator_id=0)
    inputs, targets = _lanes(text)
    assert targets[targets != IGNORED].tolist() == list(range(1, 11))
    assert inputs[0, 0] == 0
    np.testing.assert_array_equal(inputs.ravel()[1:10], targets.ravel()[:9])
    assert text.num_bytes == 100
    assert [batch.goes_on for batch in text.batches] == [False, True]


def test_validation_takes_records_spread_over_the_split() -> None:
    text = validation_text(_store([5] * 40), max_tokens=50, lanes=2, time=100, separator_id=0)
    _, targets = _lanes(text)
    kept = targets[targets != IGNORED]
    assert len(kept) == 50
    assert kept.min() < 20
    assert kept.max() > 180
    assert text.num_bytes == 10 * 50


def test_validation_reads_about_as_much_as_asked_for_however_long_records_are() -> None:
    def read(lengths: list[int], max_tokens: int) -> int:
        _, targets = _lanes(validation_text(_store(lengths), max_tokens=max_tokens, lanes=2, time=8, separator_id=0))
        return int((targets != IGNORED).sum())

    assert read([400] * 3, 100) == 400
    assert read([400] * 30, 1000) == 800
    assert read([5] * 100, 100) == 100
