"""Metrics against values worked out by hand, and intervals against a naive bootstrap."""

import math

import numpy as np
import pytest

from lmlab.evaluation.intervals import Units, estimates, resampling_units
from lmlab.evaluation.metric import Examples, Floats
from lmlab.evaluation.metrics import METRICS

# Two records: 2 ln 2 nats over 2 tokens and 4 bytes; 4 ln 2 nats over 1 token and 2 bytes.
EXAMPLES = Examples(
    nats=np.array([2 * math.log(2), 4 * math.log(2)]),
    tokens=np.array([2.0, 1.0]),
    bytes=np.array([4.0, 2.0]),
    correct=np.array([2.0, 0.0]),
)


@pytest.mark.parametrize(
    ("name", "expected"), [("bits_per_byte", 6 / 6), ("perplexity", 4.0), ("next_token_accuracy", 2 / 3)]
)
def test_metric_equals_the_value_worked_out_by_hand(name: str, expected: float) -> None:
    metric = METRICS.get(name).build()
    assert float(metric.value(metric.statistics(EXAMPLES).sum(axis=0))) == pytest.approx(expected, rel=1e-12)


def test_every_metric_has_a_value_worked_out_by_hand() -> None:
    assert METRICS.names() == ["bits_per_byte", "next_token_accuracy", "perplexity"]


def random_examples(count: int) -> Examples:
    generator = np.random.default_rng(7)
    tokens = generator.integers(1, 50, count).astype(float)
    return Examples(tokens * generator.uniform(1, 5, count), tokens, tokens * 4, np.floor(tokens / 3))


def test_intervals_equal_those_of_a_naive_bootstrap() -> None:
    examples = random_examples(30)
    numbers = np.repeat(np.arange(10), 3)
    found = estimates(
        {"bits_per_byte": METRICS.get("bits_per_byte").build()},
        examples,
        Units("documents", 10, numbers),
        num_resamples=200,
        seed=3,
    )["bits_per_byte"]
    generator = np.random.default_rng(3)
    values = []
    for _ in range(200):
        rows = [row for unit in generator.integers(10, size=10) for row in np.flatnonzero(numbers == unit)]
        values.append(sum(examples.nats[rows]) / math.log(2) / sum(examples.bytes[rows]))
    values.sort()
    # Position of the percentile among 200 values, between neighbours in proportion (numpy's linear method).
    at = 0.025 * 199
    low = values[4] + (at - 4) * (values[5] - values[4])
    assert found.low == pytest.approx(low, rel=1e-12)
    assert found.low < found.value < found.high


def test_adding_a_metric_does_not_change_the_interval_of_another() -> None:
    examples, units = random_examples(40), Units("records", 40, np.arange(40))
    metrics = {name: METRICS.get(name).build() for name in METRICS.names()}
    together = estimates(metrics, examples, units, num_resamples=50, seed=0)
    for name, metric in metrics.items():
        assert estimates({name: metric}, examples, units, num_resamples=50, seed=0)[name] == together[name]


def test_interval_of_equal_records_has_no_width() -> None:
    same: Floats = np.full(25, 2.0)
    metrics = {"perplexity": METRICS.get("perplexity").build()}
    units = Units("records", 25, np.arange(25))
    found = estimates(metrics, Examples(same, same, same, same), units, num_resamples=20, seed=0)["perplexity"]
    assert found.low == pytest.approx(math.e) == found.high


def test_documents_are_resampled_where_there_are_enough() -> None:
    units = resampling_units(np.array([5, 5, 2, 9]), min_documents=3)
    assert (units.kind, units.total, units.numbers.tolist()) == ("documents", 3, [0, 0, 1, 2])


def test_records_are_resampled_where_documents_are_few() -> None:
    units = resampling_units(np.array([5, 5, 2, 9]), min_documents=4)
    assert (units.kind, units.total, units.numbers.tolist()) == ("records", 4, [0, 1, 2, 3])
