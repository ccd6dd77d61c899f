"""Splits: decided by the record alone."""

import pytest

from lmlab.config import validate
from lmlab.data.source import Record
from lmlab.data.splits import SplitFractions, minimum_records, position_bounds, split_of, with_every_split
from lmlab.errors import InputError
from tests.data.cleaned import records

FRACTIONS = SplitFractions(train=0.8, validation=0.1, test=0.1)


def test_hashed_splits_have_about_the_asked_shares() -> None:
    splits = [split_of(f"record {number}", FRACTIONS) for number in range(10_000)]
    # Three standard deviations of a binomial with 10,000 draws and p = 0.1 are 90.
    assert abs(splits.count("test") - 1000) < 90
    assert abs(splits.count("validation") - 1000) < 90


def test_positions_of_tinyshakespeare_begin_validation_after_nine_tenths() -> None:
    fractions = SplitFractions(train=0.9, validation=0.05, test=0.05)
    assert position_bounds(1_115_394, fractions) == (1_003_854, 1_059_624)


def test_fractions_that_do_not_sum_to_one_are_refused_by_name() -> None:
    with pytest.raises(
        InputError, match=r"source.fractions: train, validation and test must sum to 1, they sum to 1.1"
    ):
        validate(SplitFractions, {"train": 0.9, "validation": 0.1, "test": 0.1}, path="source.fractions")


def test_the_minimum_is_three_expected_records_in_the_smallest_split() -> None:
    assert minimum_records(FRACTIONS) == 30
    assert minimum_records(SplitFractions(train=0.9, validation=0.05, test=0.05)) == 60


def test_an_empty_split_is_an_error_with_the_number_of_records_and_the_remedy() -> None:
    with pytest.raises(InputError, match="source: 2 records are too few for the three splits, validation and test got"):
        list(with_every_split(records(["a", "b"]), where="source", remedy="give more"))


def test_pieces_of_whole_documents_are_not_counted_as_records_that_a_split_could_get() -> None:
    pieces = [Record("train", str(number), number // 3, ("a",)) for number in range(6)]
    with pytest.raises(InputError, match="source: 6 pieces of 2 documents are too few for the three splits"):
        list(with_every_split(pieces, where="source", remedy="give more"))
