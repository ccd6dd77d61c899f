"""What a metric is: sums over records, and a value of them. Sums before dividing; one bootstrap serves all."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Examples(NamedTuple):
    """What is known of each test record after scoring: one number a record, in the order of the split."""

    nats: Floats
    """Negative log likelihood of the target and its closing separator."""
    tokens: Floats
    """Target tokens, the closing separator included."""
    bytes: Floats
    """UTF-8 bytes of the target text, without the separator."""
    correct: Floats
    """Target tokens that were the model's first choice."""


class Metric(NamedTuple):
    """A number on any set of records, from sums over these records."""

    statistics: Callable[[Examples], Floats]
    """(records, sums): what each record adds to each sum."""
    value: Callable[[Floats], Floats]
    """(..., sums) -> (...): the metric of a set of records from its sums."""


def columns(*values: Floats) -> Floats:
    """The statistics whose sums are these, in this order."""
    return np.stack(values, axis=1)
