import math

import numpy as np
import pytest

from lmlab.evaluation.intervals import paired_difference, resampling_units
from lmlab.evaluation.metric import Answers, Examples
from lmlab.evaluation.metrics import METRICS

BITS = METRICS.get("bits_per_byte").build(language=None)


def _examples(bits: list[float]) -> Examples:
    """Records of one byte each."""
    ones = np.ones(len(bits))
    return Examples(nats=np.array(bits) * math.log(2), tokens=ones, bytes=ones, correct=ones, answers=None)


def _difference(ours: list[float], theirs: list[float], *, num_resamples: int = 999):
    units = resampling_units(np.arange(len(ours)), min_documents=1)
    return paired_difference(BITS, [_examples(ours)], [_examples(theirs)], units, num_resamples=num_resamples, seed=0)


def test_a_constant_difference_has_no_spread_however_different_the_records_are() -> None:
    found = _difference([1.0, 5.0, 30.0], [2.0, 6.0, 31.0])
    assert (found.value, found.low, found.high) == (pytest.approx(-1), pytest.approx(-1), pytest.approx(-1))
    # No resample turns the order: two in a thousand, for the resample that might have.
    assert found.p_value == pytest.approx(2 / 1000)


def test_equal_models_are_not_told_apart() -> None:
    found = _difference([1.0, 2.0], [1.0, 2.0])
    assert (found.value, found.p_value) == (0, 1)


def test_the_interval_holds_what_two_records_may_give() -> None:
    # Two records drawn twice: differences -2, 0 or 2, each side a quarter of the time.
    found = _difference([1.0, 5.0], [3.0, 3.0])
    assert (found.value, found.low, found.high) == (pytest.approx(0), pytest.approx(-2), pytest.approx(2))
    assert found.p_value == 1


def test_the_units_are_drawn_whole() -> None:
    units = resampling_units(np.array([4, 4, 9]), min_documents=1)
    ours, theirs = _examples([1.0, 3.0, 2.0]), _examples([2.0, 2.0, 2.0])
    found = paired_difference(BITS, [ours], [theirs], units, num_resamples=200, seed=0)
    # The first document's records differ by -1 and 1: together never.
    assert (found.low, found.high) == (pytest.approx(0), pytest.approx(0))


def test_seeds_are_averaged_within_each_resample() -> None:
    units = resampling_units(np.arange(2), min_documents=1)
    ours, theirs = [_examples([1.0, 5.0]), _examples([5.0, 1.0])], [_examples([4.0, 4.0]), _examples([4.0, 4.0])]
    found = paired_difference(BITS, ours, theirs, units, num_resamples=200, seed=0)
    # Whichever records are drawn, the two seeds give 3 on average; one seed alone would spread from -3 to 1.
    assert (found.value, found.low, found.high) == (pytest.approx(-1), pytest.approx(-1), pytest.approx(-1))


@pytest.mark.parametrize("strays", [["x"], ["x", "y"]])
def test_models_that_answer_with_other_labels_are_paired(strays: list[str]) -> None:
    macro_f1 = METRICS.get("macro_f1").build(language=None)
    right = ["a", "b"] * 20

    def answered(texts: list[str]) -> Examples:
        answers = Answers(texts, [[one] for one in right], ["a", "b"], None)
        return _examples([1.0] * len(right))._replace(answers=answers)

    wrong = [*strays, *right[len(strays) :]]
    units = resampling_units(np.arange(len(right)), min_documents=1)
    found = paired_difference(macro_f1, [answered(right)], [answered(wrong)], units, num_resamples=200, seed=0)
    # Each stray answer is a label of its own with an F1 of 0, and leaves the label that it misses 38 / 39.
    lost = 1 - (2 - len(strays) / 39) / (2 + len(strays))
    assert found.value == pytest.approx(lost)
    assert 0 <= found.low <= lost <= found.high
