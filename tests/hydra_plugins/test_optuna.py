"""What a search makes of the words of a command line."""

import pytest
from omegaconf import OmegaConf

from hydra_plugins.lmlab_optuna import overrides_parser, part_of
from lmlab.errors import InputError
from lmlab.search.space import Choices, Interval

CONFIG = OmegaConf.create({"model": {"layers": 2, "dropout": 0.1}})


def _part(word: str) -> Choices | Interval:
    [override] = overrides_parser(None).parse_overrides([word])
    return part_of(override, CONFIG)


@pytest.mark.parametrize(
    ("word", "part"),
    [
        ("model.layers=interval(1,4)", Interval(1, 4, False)),
        ("model.layers=tag(log, interval(1, 64))", Interval(1, 64, True)),
        ("model.layers=int(interval(1.0,4.0))", Interval(1, 4, False)),
        ("model.dropout=interval(0.0,1.0)", Interval(0.0, 1.0, False)),
        ("model.dropout=float(interval(0,1))", Interval(0.0, 1.0, False)),
        ("model.dropout=interval(0,0.5)", Interval(0, 0.5, False)),
        ("model.layers=4,2,2", Choices(("2", "4"))),
        ("seed=shuffle(range(1,4))", Choices(("1", "2", "3"))),
    ],
)
def test_an_interval_is_of_whole_numbers_where_its_bounds_are(word: str, part: Choices | Interval) -> None:
    found = _part(word)
    assert found == part
    assert [type(value) for value in found] == [type(value) for value in part]


def test_whole_bounds_for_a_real_setting_are_refused_with_what_to_write() -> None:
    with pytest.raises(InputError, match=r"model\.dropout: interval\(0,1\) .*: write interval\(0\.0,1\.0\)"):
        _part("model.dropout=interval(0,1)")
