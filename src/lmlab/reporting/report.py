"""The stage report: reports/report.html and reports/report.md from what the other stages wrote."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lmlab.charts import Line, Point, line_chart
from lmlab.errors import InputError
from lmlab.files import check_seal, read_json, whole_file
from lmlab.reporting.markdown import fenced, inline
from lmlab.reporting.summary import baselines_of
from lmlab.run import Run

if TYPE_CHECKING:
    import jinja2

EXAMPLE_CHARACTERS = 400
# A model's name that is no longer than this is an acronym: LSTM, GRU.
ACRONYM_LETTERS = 4


class ReportSettings(NamedTuple):
    """The stage reads no section."""


class ReportInputs(NamedTuple):
    """The reports of the other stages, the curves, and the folder of the evaluation's plots."""

    cleaning: Path
    encoding: Path
    training: Path
    history: Path
    evaluation: Path
    plots: Path
    export_report: Path


class ReportOutputs(NamedTuple):
    """The page, and the same facts in Markdown."""

    html: Path
    markdown: Path


class Measure(NamedTuple):
    """A metric with its 95 % interval."""

    name: str
    value: float
    low: float
    high: float


def report(settings: ReportSettings, inputs: ReportInputs, outputs: ReportOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the page and the Markdown, and return all that stands in them.

    Raises: InputError if a report, the history or a plot is missing, or a report lacks a number that the page shows.
    """
    reports = {
        "cleaning": read_json(inputs.cleaning),
        "encoding": read_json(inputs.encoding),
        "training": read_json(inputs.training),
        "evaluation": read_json(inputs.evaluation),
        "export": read_json(inputs.export_report),
    }
    facts = {
        **reports,
        "measures": measures_of(reports["evaluation"]),
        "baselines": baselines_of(reports["evaluation"]),
        "curves": training_curves(inputs.history),
        "plots": _plots(inputs.plots),
    }
    for path, template in ((outputs.html, "report.html.j2"), (outputs.markdown, "report.md.j2")):
        text = _render(template, facts)
        with whole_file(path) as partial:
            partial.write_bytes(text.encode("utf-8", errors="replace"))
    return reports


def measures_of(evaluation: dict[str, Any]) -> list[Measure]:
    """The metrics of an evaluation that have an interval, in its order."""
    return [
        Measure(key, evaluation[key], evaluation[f"{key}_low"], evaluation[f"{key}_high"])
        for key in evaluation
        if f"{key}_low" in evaluation and f"{key}_high" in evaluation
    ]


def training_curves(history: Path) -> dict[str, str]:
    """The SVGs of the loss and of the learning rate over steps, from the history that the stage train wrote."""
    try:
        with history.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        if not rows:
            raise ValueError("it has no rows")
        curves = {name: _points(rows, name) for name in _CURVE_COLUMNS}
    except FileNotFoundError:
        raise InputError(f"{history} does not exist: run the stage that writes it first (`dvc repro`)") from None
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{history} is not the history of a training ({error}): run `dvc repro train`") from None
    losses = [Line("training", curves["train_nats_per_token"]), Line("validation", curves["validation_nats_per_token"])]
    drawn = {
        "loss": line_chart(
            [line for line in losses if line.points],
            title="Loss while training",
            x_label="optimizer step",
            y_label="nats per token",
        )
    }
    for name, title, label in (
        ("validation_bits_per_byte", "Validation bits per byte", "bits per byte"),
        ("learning_rate", "Learning rate", "learning rate"),
    ):
        if curves[name]:
            drawn[name] = line_chart([Line(name, curves[name])], title=title, x_label="optimizer step", y_label=label)
    return drawn


_CURVE_COLUMNS = ("train_nats_per_token", "validation_nats_per_token", "validation_bits_per_byte", "learning_rate")


def _points(rows: list[dict[str, str]], column: str) -> list[Point]:
    return [Point(float(row["step"]), float(row[column])) for row in rows if row[column] != ""]


def _plots(folder: Path) -> dict[str, str]:
    check_seal(folder)
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"))}


def _render(template: str, facts: dict[str, Any]) -> str:
    import jinja2

    environment = _environment()
    try:
        return environment.get_template(template).render(facts)
    except jinja2.UndefinedError as error:
        raise InputError(f"a report lacks what {template} shows ({error}): write it again with `dvc repro`") from None


def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lmlab.reporting"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "whole": lambda number: f"{number:,}",
        "bytes": size_text,
        "places": lambda number, digits: f"{number:,.{digits}f}",
        "measured": lambda number: f"{number:.4f}" if number < 10 else f"{number:,.2f}",
        "digits": lambda number: f"{number:.2g}",
        "millions": lambda number: f"{number / 1e6:.1f} million",
        "percent": lambda share, digits=1: f"{100 * share:.{digits}f} %",
        "words": lambda name: name.replace("_", " "),
        "model_name": lambda name: name.upper() if len(name) <= ACRONYM_LETTERS else name.capitalize(),
        "short": shortened,
        "inline": inline,
        "fenced": fenced,
    }
    return environment


def size_text(size: float) -> str:
    """A size for people: 812 bytes, 1.4 kB, 23.1 MB."""
    for bound, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= bound:
            return f"{size / bound:.1f} {unit}"
    return f"{size:,} bytes"


def shortened(text: str) -> str:
    """The text, cut where an example gets too long for a page; the cut is said."""
    cut = len(text) - EXAMPLE_CHARACTERS
    return text if cut <= 0 else f"{text[:EXAMPLE_CHARACTERS]} [{cut:,} more characters]"
