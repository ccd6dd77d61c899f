"""What a metric is: sums over records, and a value of them. Sums before dividing; one bootstrap serves all."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Answers(NamedTuple):
    """What was answered to the prompts of a split, by the model or by a baseline; one entry a record."""

    texts: Sequence[str]
    """The answers."""
    references: Sequence[Sequence[str]]
    """The right answers of each record, one or more; the first is the target."""
    labels: Sequence[str]
    """What classification chooses from, in a fixed order; empty for other tasks."""
    confidence: Floats | None
    """The probability, among the labels, of each answer; None where answers come without one."""


class Examples(NamedTuple):
    """What is known of each test record after scoring and answering, in the order of the split."""

    nats: Floats
    """Negative log likelihood of the target and its closing separator."""
    tokens: Floats
    """Target tokens, the closing separator included."""
    bytes: Floats
    """UTF-8 bytes of the target text, without the separator."""
    correct: Floats
    """Target tokens that were the model's first choice."""
    answers: Answers | None
    """None where the task has no prompts, and so nothing is answered."""


class Metric(NamedTuple):
    """A number on any set of records, from sums over these records."""

    needs: Literal["likelihood", "texts", "confidence"]
    """The part of the examples that it reads: a baseline is measured by the metrics that it has the means for."""
    better: Literal["higher", "lower"]
    label: str
    """What people call it, with its unit where it has one."""
    signature: str | None
    """What a scorer says of its version and settings; None for metrics that are defined here."""
    statistics: Callable[[Examples], Floats]
    """(records, sums): what each record adds to each sum."""
    value: Callable[[Floats], Floats]
    """(..., sums) -> (...): the metric of a set of records from its sums."""
    judges_records: bool = True
    """Whether it says something of a record alone. BLEU does not: it is 0 for a right answer of three words."""
    is_per_token: bool = False
    """Whether its unit is a token, so that values of two tokenizers do not compare."""
    version: int = 1
    """Raised when the definition changes: values of two versions do not compare."""


def columns(*values: Floats) -> Floats:
    """The statistics whose sums are these, in this order."""
    return np.stack(values, axis=1)
