"""What is searched: for each key choices, or an interval of numbers."""

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from lmlab.errors import InputError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = str | int | float


class Choices(NamedTuple):
    """Values as they stand in overrides."""

    values: tuple[str, ...]


class Interval(NamedTuple):
    """Numbers from low to high, both included; whole ones where the bounds are."""

    low: int | float
    high: int | float
    is_log: bool


Space = Mapping[str, Choices | Interval]


def check_space(space: Space) -> None:
    """Raise InputError for a space that cannot be searched."""
    if not space:
        raise InputError("the search has nothing to look for: give a setting several values, as in model=lstm,gru")
    for key, part in space.items():
        if isinstance(part, Interval) and part.low >= part.high:
            raise InputError(
                f"{key}: an interval goes from a lower to a higher number, found {part.low} to {part.high}"
            )
        if isinstance(part, Interval) and part.is_log and part.low <= 0:
            raise InputError(f"{key}: an interval on a log scale begins above 0, found {part.low}")


def distributions(space: Space) -> "dict[str, BaseDistribution]":
    """The space as Optuna knows it."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for key, part in space.items():
        if isinstance(part, Choices):
            found[key] = CategoricalDistribution(part.values)
        elif isinstance(part.low, int) and isinstance(part.high, int):
            found[key] = IntDistribution(part.low, part.high, log=part.is_log)
        else:
            found[key] = FloatDistribution(part.low, part.high, log=part.is_log)
    return found


def grid(space: Space) -> Iterator[dict[str, Value]]:
    """Every combination, the last key changing fastest.

    Raises: InputError if a key has an interval, which no grid can go through.
    """
    for key, part in space.items():
        if isinstance(part, Interval):
            raise InputError(f"{key}: a grid goes through choices; give values, as in {key}={part.low},{part.high}")
    values = [part.values for part in space.values() if isinstance(part, Choices)]
    return (dict(zip(space, chosen, strict=True)) for chosen in product(*values))


def num_combinations(space: Space) -> float:
    """How many combinations there are; infinite with an interval of real numbers."""
    return math.prod(_num_values(part) for part in space.values())


def _num_values(part: Choices | Interval) -> float:
    if isinstance(part, Choices):
        return len(part.values)
    return part.high - part.low + 1 if isinstance(part.low, int) and isinstance(part.high, int) else math.inf
