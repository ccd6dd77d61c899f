import pytest

from lmlab.errors import InputError
from lmlab.search.space import Choices, Interval, check_space, grid, num_combinations

MODELS = Choices(("lstm", "gru"))


def test_a_grid_goes_through_every_combination_with_the_last_key_fastest() -> None:
    found = list(grid({"model": MODELS, "seed": Choices(("1", "2"))}))
    assert [(one["model"], one["seed"]) for one in found] == [("lstm", "1"), ("lstm", "2"), ("gru", "1"), ("gru", "2")]


def test_combinations_are_counted() -> None:
    assert num_combinations({"model": MODELS, "layers": Interval(1, 3, False)}) == 6
    assert num_combinations({"rate": Interval(0.1, 0.2, False)}) == float("inf")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "nothing to look for"),
        ({"rate": Interval(2.0, 1.0, False)}, "rate: an interval goes from a lower to a higher number"),
        ({"rate": Interval(0.0, 1.0, True)}, "rate: an interval on a log scale begins above 0"),
    ],
)
def test_a_space_that_cannot_be_searched_is_refused(space: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_space(space)


def test_a_grid_over_an_interval_says_what_to_give_instead() -> None:
    with pytest.raises(InputError, match=r"give values, as in rate=0\.1,0\.2"):
        grid({"rate": Interval(0.1, 0.2, False)})
