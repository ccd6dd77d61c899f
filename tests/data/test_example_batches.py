"""The batch law for examples, and that only targets are to be predicted."""

import numpy as np
import pytest

from lmlab.data.batches import IGNORED
from lmlab.data.example_batches import ExamplePlan, batch_cuts, example_batch, validation_examples
from lmlab.data.store import TokenStore

SEPARATOR = 0


def _store(examples: list[tuple[list[int], list[int]]]) -> TokenStore:
    """A store of these prompts and targets."""
    records = [[*prompt, SEPARATOR, *target, SEPARATOR] for prompt, target in examples]
    return TokenStore(
        np.asarray([token for record in records for token in record], np.uint16),
        np.cumsum([0, *map(len, records)]),
        np.asarray([len(prompt) + 1 for prompt, _ in examples], np.int32),
        np.asarray([len(target) for _, target in examples], np.int64),
        np.arange(len(examples)),
    )


def _many(count: int) -> TokenStore:
    """Examples of very different lengths; the first token of each tells it from the others."""
    generator = np.random.default_rng(5)
    lengths = generator.geometric(0.05, size=(count, 2))
    return _store(
        [([number + 1, *[7] * int(prompt)], [8] * int(target)) for number, (prompt, target) in enumerate(lengths)]
    )


def _plan(count: int = 300, *, seed: int = 1, batch_tokens: int = 400) -> ExamplePlan:
    return ExamplePlan(_many(count), batch_tokens=batch_tokens, separator_id=SEPARATOR, seed=seed)


def test_prompts_are_read_and_targets_alone_are_predicted() -> None:
    store = _store([([5, 6], [7]), ([5], [8, 9, 8])])
    batch = example_batch(store, np.asarray([0, 1]), SEPARATOR)
    # sep 5 6 sep 7 -> the last two positions predict 7 sep; the shorter row is padded on the right.
    assert batch.inputs.tolist() == [[0, 5, 6, 0, 7, 0], [0, 5, 0, 8, 9, 8]]
    assert batch.targets.tolist() == [[IGNORED] * 3 + [7, 0, IGNORED], [IGNORED] * 2 + [8, 9, 8, 0]]


def test_a_batch_does_not_depend_on_those_asked_for_before() -> None:
    in_order = [_plan().batch(number) for number in range(90)]
    plan = _plan()
    for number in [89, 0, 30, 31, 7]:
        np.testing.assert_array_equal(plan.batch(number).inputs, in_order[number].inputs)


def test_a_pass_reads_every_example_once() -> None:
    plan = _plan()
    for pass_number in range(3):
        first = pass_number * plan.batches_per_pass
        batches = [plan.batch(first + index) for index in range(plan.batches_per_pass)]
        assert sorted(token for batch in batches for token in batch.inputs[:, 1]) == list(range(1, 301))


def test_passes_differ_and_seeds_differ() -> None:
    plan = _plan()
    first, second = (plan.batch(number).inputs for number in (0, plan.batches_per_pass))
    assert first.shape != second.shape or not np.array_equal(first, second)
    assert not np.array_equal(first, _plan(seed=2).batch(0).inputs)


def test_batches_hold_to_the_budget_and_pad_little() -> None:
    plan = _plan(3000)
    sizes = [plan.batch(number).inputs.size for number in range(plan.batches_per_pass)]
    assert max(sizes) <= 400
    assert plan.padding_share() < 0.1
    places, tokens = sum(sizes), plan.tokens_before(plan.batches_per_pass)
    assert plan.padding_share() == pytest.approx(1 - tokens / places)


def test_tokens_are_counted_without_padding() -> None:
    plan = _plan(20)
    tokens = [int((plan.batch(number).targets != IGNORED).sum()) for number in range(plan.batches_per_pass)]
    # Every record has as many inputs as tokens; those that are not predicted are its prompt's.
    prompts = int(_many(20).prompt_lengths.sum())
    assert plan.tokens_before(plan.batches_per_pass) == sum(tokens) + prompts
    assert plan.tokens_before(2 * plan.batches_per_pass) == 2 * (sum(tokens) + prompts)


def test_cuts_take_as_many_rows_as_fit_and_one_where_none_does() -> None:
    assert batch_cuts(np.asarray([2, 2, 3, 3, 9, 20]), batch_tokens=9).tolist() == [0, 3, 4, 5, 6]


def test_validation_reads_examples_spread_over_the_split() -> None:
    store = _store([([number], [number, number]) for number in range(1, 41)])
    validation = validation_examples(store, max_tokens=50, batch_tokens=20, separator_id=SEPARATOR)
    seen = [int(row[1]) for batch in validation.batches for row in batch.inputs]
    assert len(seen) == 10
    assert min(seen) < 5
    assert max(seen) > 35
    assert validation.num_bytes == 20
