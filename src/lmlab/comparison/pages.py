"""A comparison as lines of a terminal, CSV, Markdown and one self-contained HTML page."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lmlab.charts import places_of
from lmlab.comparison.rows import Row
from lmlab.files import whole_file
from lmlab.reporting.pages import page_environment
from lmlab.results import flat_numbers


class Failure(NamedTuple):
    """A run that did not finish."""

    name: str
    state: str
    error: str


class Section(NamedTuple):
    """Runs that may be ranked together, ranked by one metric."""

    title: str
    label: str
    better: str
    rows: list[Row]
    verdict: str
    """How the best two differ, or why that is not known; empty with one row."""
    plots: Mapping[str, str]
    """SVG by file name."""

    @property
    def places(self) -> int:
        """Decimal places of the metric."""
        return places_of([row.value for row in self.rows])


class Comparison(NamedTuple):
    """All sections, what did not finish, and what was left out."""

    sections: list[Section]
    failures: list[Failure]
    notes: list[str]


HEADINGS = ("run", "id", "seeds", "parameters", "tokens", "seconds", "memory, MB")


def cells_of(section: Section, row: Row) -> list[str]:
    """The row's cells in the order of HEADINGS, the metric after the name; the id is that of its first seed."""
    first = row.runs[0].run.run_id[:8]
    return [row.name, _metric_text(row, section.places), first, str(len(row.runs)), *_costs(row)]


def _metric_text(row: Row, places: int) -> str:
    if row.deviation is not None:
        return f"{row.value:.{places}f} ± {row.deviation:.{places}f}"
    if row.low is None or row.high is None:
        return f"{row.value:.{places}f}"
    return f"{row.value:.{places}f} ({row.low:.{places}f} to {row.high:.{places}f})"


def _costs(row: Row) -> list[str]:
    seconds = "" if row.seconds is None else f"{row.seconds:,.0f}"
    megabytes = "" if row.megabytes is None else f"{row.megabytes:,.0f}"
    return [f"{row.parameters:,.0f}", f"{row.tokens:,.0f}", seconds, megabytes]


def print_comparison(comparison: Comparison) -> None:
    """Print a table for each section, which folds its cells where the terminal is narrow."""
    from rich.console import Console
    from rich.table import Table

    # What stands in names and errors is no markup.
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(width=160, markup=False, emoji=False)
    for section in comparison.sections:
        table = Table(
            title=section.title, title_justify="left", box=None, pad_edge=False, caption_justify="left", padding=(0, 1)
        )
        for place, heading in enumerate(headings_of(section)):
            table.add_column(heading, justify="left" if place < 2 else "right", overflow="fold")
        for row in section.rows:
            table.add_row(*cells_of(section, row))
        console.print(table)
        console.print(f"\n{section.verdict}\n" if section.verdict else "", highlight=False)
    for failure in comparison.failures:
        console.print(f"{failure.state}: {failure.name}: {failure.error}", highlight=False)
    for note in comparison.notes:
        console.print(note, highlight=False)


def headings_of(section: Section) -> list[str]:
    """The headings of the section's table."""
    return [HEADINGS[0], f"{section.label} ({section.better} is better)", *HEADINGS[1:]]


def write_comparison(folder: Path, comparison: Comparison) -> None:
    """Write runs.csv, comparison.md, comparison.html and the plots into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for place, section in enumerate(comparison.sections):
        for name, svg in section.plots.items():
            _write(folder / plot_name(comparison, place, name), svg)
    _write(folder / "runs.csv", csv_text(comparison))
    for kind in ("md", "html"):
        _write(folder / f"comparison.{kind}", _render(f"comparison.{kind}.j2", comparison))


def plot_name(comparison: Comparison, place: int, name: str) -> str:
    """The plot's file name; with several sections each has its own."""
    return name if len(comparison.sections) == 1 else f"{place + 1}_{name}"


def csv_text(comparison: Comparison) -> str:
    """A row for each run, with all its numbers and settings."""
    runs = [(section, one) for section in comparison.sections for row in section.rows for one in row.runs]
    numbers = [flat_numbers(one.evaluation) | one.run.metrics for _, one in runs]
    metrics = sorted({key for found in numbers for key in found})
    params = sorted({key for _, one in runs for key in one.run.params})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["section", "run", "id", "fingerprint", *metrics, *params])
    for (section, one), found in zip(runs, numbers, strict=True):
        writer.writerow(
            [
                section.title,
                one.run.name,
                one.run.run_id,
                one.run.tags.get("lmlab.fingerprint", ""),
                *(found.get(key, "") for key in metrics),
                *(one.run.params.get(key, "") for key in params),
            ]
        )
    return text.getvalue()


def _render(template: str, comparison: Comparison) -> str:
    return (
        page_environment("lmlab.comparison")
        .get_template(template)
        .render(comparison=comparison, headings_of=headings_of, cells_of=cells_of, plot_name=plot_name)
    )


def _write(path: Path, text: str) -> None:
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")
