"""The stage report: reports/report.html and reports/report.md from what the other stages wrote."""

import csv
import re
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.charts import Line, Point, line_chart
from lmlab.errors import InputError
from lmlab.files import check_seal, read_json, whole_file
from lmlab.reporting.pages import page_environment
from lmlab.results import baseline_names, decoding_text, few_units_text, measures_of
from lmlab.run import Run


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
    plots = _plots(inputs.plots)
    facts = {
        **reports,
        **evaluation_facts(reports["evaluation"]),
        "curves": training_curves(inputs.history),
        "plots": plots,
        "attention": {name: plot for name, plot in plots.items() if name.startswith("attention_")},
    }
    for path, template in ((outputs.html, "report.html.j2"), (outputs.markdown, "report.md.j2")):
        text = _render(template, facts)
        with whole_file(path) as partial:
            partial.write_bytes(text.encode("utf-8", errors="replace"))
    return reports


def evaluation_facts(evaluation: dict[str, Any]) -> dict[str, Any]:
    """What the templates show of an evaluation report: its measures, the baselines' names, and the details.

    Raises: InputError if the report lacks one of them.
    """
    try:
        measures = measures_of(evaluation)
        # A metric that no baseline has is no column of the baselines' table.
        compared = [measure for measure in measures if measure.baselines]
        return {
            "headline": measures[0],
            "judge": next(one for one in measures if one.name == evaluation["details"]["judged_by"]),
            "measures": measures,
            "compared": compared,
            "baselines": baseline_names(evaluation),
            "few": few_units_text(evaluation),
            "decoded": decoding_text(evaluation["details"]["decoding"]),
            "details": evaluation["details"],
        }
    except (KeyError, IndexError) as error:
        raise InputError(f"the evaluation report lacks {error}: write it again with `dvc repro evaluate`") from None


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
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.svg"), key=_place)}


def _place(path: Path) -> tuple[str, int]:
    # attention_10 comes after attention_2.
    name, number = re.fullmatch(r"(.*?)(\d*)", path.stem, re.DOTALL).groups()  # type: ignore[union-attr]
    return name, int(number or 0)


def _render(template: str, facts: dict[str, Any]) -> str:
    import jinja2

    environment = page_environment("lmlab.reporting")
    try:
        return environment.get_template(template).render(facts)
    except jinja2.UndefinedError as error:
        raise InputError(f"a report lacks what {template} shows ({error}): write it again with `dvc repro`") from None
