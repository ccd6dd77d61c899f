from pathlib import Path

import pytest

from lmlab.errors import InputError
from lmlab.reported.result import is_sealed, read_result, tolerance_of, write_result
from tests.reported.results import METRIC, result


def test_the_tolerance_is_two_standard_deviations_over_seeds() -> None:
    # Sample standard deviation of 1, 2 and 3 is 1.
    assert tolerance_of([1.0, 2.0, 3.0], low=0.0, high=9.0) == 2.0


def test_with_one_seed_the_tolerance_is_half_the_interval() -> None:
    assert tolerance_of([1.0], low=0.75, high=1.25) == 0.25


def test_the_tolerance_is_half_a_percent_where_seeds_happen_to_agree() -> None:
    assert tolerance_of([-2.0, -2.0], low=-3.0, high=-1.0) == pytest.approx(0.01)


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_result(tmp_path / "docs_lstm.yaml", result())
    assert read_result(tmp_path / "docs_lstm.yaml") == result()
    assert is_sealed(tmp_path / "docs_lstm.yaml")


@pytest.mark.parametrize(("before", "after"), [("1.5", "1.4999"), ("docs_lstm", "docs_gru"), ("seeds:", "seeds: ")])
def test_any_change_by_hand_breaks_the_seal(tmp_path: Path, before: str, after: str) -> None:
    path = tmp_path / "docs_lstm.yaml"
    write_result(path, result())
    path.write_text(path.read_text(encoding="utf-8").replace(before, after, 1), encoding="utf-8")
    assert not is_sealed(path)


def test_a_misspelt_key_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "docs_lstm.yaml"
    write_result(path, result())
    path.write_text(path.read_text(encoding="utf-8").replace("tolerance:", "tolerence:"), encoding="utf-8")
    with pytest.raises(InputError, match=r"docs_lstm\.yaml\.metrics\.bits_per_byte\.tolerence"):
        read_result(path)


def test_a_result_that_is_not_there_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pipelines\.record docs_lstm"):
        read_result(tmp_path / "docs_lstm.yaml")


def test_a_result_without_metrics_is_none() -> None:
    with pytest.raises(InputError, match="metrics"):
        result(metrics={})
    assert result(metrics={"bits_per_byte": METRIC}).metrics["bits_per_byte"].value == 1.5
