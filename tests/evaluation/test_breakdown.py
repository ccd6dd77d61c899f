"""Loss by position and by length, on numbers small enough to work out by hand."""

import math

import numpy as np
import pytest

from lmlab.evaluation.breakdown import PositionLoss, loss_by_length, loss_by_position
from lmlab.evaluation.metric import Examples
from lmlab.evaluation.scoring import TokenScores


def test_positions_count_from_the_start_of_the_document_through_its_pieces() -> None:
    # One document of two pieces (3 and 2 tokens), one of one token, whose first is a prompt nowhere.
    nats = np.array([1, 2, 3, 4, 5, 9], dtype=np.float32)
    scores = TokenScores(nats, np.zeros(6, bool), np.ones(6, bool))
    found = loss_by_position(scores, np.array([0, 3, 5, 6]), np.array([8, 8, 9]))
    assert found == [
        PositionLoss(0, 0, 2, 5.0),
        PositionLoss(1, 1, 1, 2.0),
        PositionLoss(2, 3, 2, 3.5),
        PositionLoss(4, 7, 1, 5.0),
    ]


def test_prompts_are_left_out_of_positions() -> None:
    scores = TokenScores(np.array([0, 2], np.float32), np.zeros(2, bool), np.array([False, True]))
    assert loss_by_position(scores, np.array([0, 2]), np.array([0])) == [PositionLoss(1, 1, 1, 2.0)]


def test_length_buckets_hold_about_equally_many_documents() -> None:
    sizes = np.array([1.0, 2, 3, 4])
    examples = Examples(sizes * math.log(2), sizes, sizes, sizes, None)
    found = loss_by_length(examples, np.arange(4), num_buckets=2)
    assert [loss[:4] for loss in found] == [(1, 2, 2, 3), (3, 4, 2, 7)]
    assert [loss.bits_per_byte for loss in found] == pytest.approx([1.0, 1.0])


def test_documents_of_one_length_fall_into_one_bucket() -> None:
    sizes = np.full(6, 5.0)
    found = loss_by_length(Examples(sizes, sizes, sizes, sizes, None), np.arange(6), num_buckets=4)
    assert [loss[:4] for loss in found] == [(5, 5, 6, 30)]
    assert found[0].bits_per_byte == pytest.approx(1 / math.log(2))


def test_pieces_count_as_one_document() -> None:
    sizes = np.array([2.0, 3.0])
    found = loss_by_length(Examples(sizes, sizes, sizes, sizes, None), np.array([4, 4]), num_buckets=3)
    assert [(loss.shortest, loss.documents) for loss in found] == [(5, 1)]
