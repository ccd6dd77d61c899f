"""docs/settings.md is what the settings classes say."""

from pipelines.compose import compose
from pipelines.settings_page import PAGE, page
from tests.laws.imports import PROJECT


def _leaves(values: object, path: str = "") -> list[str]:
    if not isinstance(values, dict):
        return [path]
    return [leaf for name, value in values.items() for leaf in _leaves(value, f"{path}.{name}" if path else name)]


def test_the_page_is_what_the_command_writes() -> None:
    assert (PROJECT / PAGE).read_text(encoding="utf-8") == page(), "run python -m pipelines.settings_page"


def test_every_setting_of_the_default_pipeline_has_its_row() -> None:
    settings = [leaf for leaf in _leaves(compose([])) if leaf != "seed" and not leaf.endswith(".name")]
    text = page()
    assert [leaf for leaf in settings if f"| `{leaf}` |" not in text] == []


def test_a_setting_shows_its_values_its_default_and_what_it_does() -> None:
    row = next(line for line in page().splitlines() if line.startswith("| `tokenizer.min_frequency` |"))
    assert (
        row == "| `tokenizer.min_frequency` | whole number above 0 | `2` | How often a pair must occur to be merged. |"
    )
