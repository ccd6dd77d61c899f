from pathlib import Path

from lmlab.reported.result import read_result, result_path
from lmlab.reported.tables import command_of, fill_tables, table_of
from tests.laws.imports import PROJECT
from tests.reported.results import METRIC, result

ROW = (
    "| `docs_lstm` | bits per byte, lower is better | 1.500 (1.400 to 1.600) | 1.600 ± 0.141 (2 seeds) | 1.800, xz "
    "| 1,328,512 | 20,480 tokens, 12 s | `python -m pipelines.run model=lstm 'source.columns={text: body}' seed=1` |"
)


def test_a_row_has_the_headline_its_spread_and_the_best_baseline() -> None:
    assert table_of([result()]).splitlines()[2] == ROW


def test_the_best_baseline_is_the_highest_where_higher_is_better() -> None:
    metrics = {"bits_per_byte": {**METRIC, "better": "higher"}}
    assert "| 2.900, unigram |" in table_of([result(metrics=metrics)])


def test_one_seed_has_no_spread() -> None:
    metrics = {"bits_per_byte": {**METRIC, "by_seed": [1.5], "deviation": None}}
    assert "| one seed |" in table_of([result(metrics=metrics, seeds=[1], baselines={})])


def test_the_command_is_fit_for_a_shell() -> None:
    assert command_of(result()) == "python -m pipelines.run model=lstm 'source.columns={text: body}' seed=1"


def test_only_what_stands_between_the_marks_is_rendered() -> None:
    text = "before\n<!-- results: docs_lstm -->\nold\n<!-- end of results -->\nafter\n"
    filled = fill_tables(text, lambda name: result(name=name))
    assert filled.startswith("before\n<!-- results: docs_lstm -->\n| result |")
    assert filled.endswith(" seed=1` |\n<!-- end of results -->\nafter\n")
    assert "old" not in filled
    assert fill_tables(filled, lambda name: result(name=name)) == filled


def test_no_time_is_shown_where_none_was_tracked() -> None:
    assert "| 20,480 tokens |" in table_of([result(seconds=None)])


def test_the_readmes_tables_are_rendered_from_the_result_files() -> None:
    text = Path(PROJECT / "README.md").read_text(encoding="utf-8")
    assert "<!-- results: " in text
    assert fill_tables(text, lambda name: read_result(result_path(PROJECT, name))) == text
