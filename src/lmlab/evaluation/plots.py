"""The evaluation's plots: an SVG for people and the same numbers as CSV, for `dvc plots` and anything else."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lmlab.charts import Bar, Line, Point, bar_chart, line_chart
from lmlab.evaluation.breakdown import LengthLoss, PositionLoss
from lmlab.evaluation.intervals import Estimate


def write_position_plot(folder: Path, losses: Sequence[PositionLoss]) -> None:
    """loss_by_position.svg and .csv."""
    points = [Point(max(loss.first, 1), loss.nats_per_token) for loss in losses if loss.first > 0]
    svg = line_chart(
        [Line("test", points)],
        title="Loss by position in the document",
        x_label="position in the document (tokens)",
        y_label="nats per token",
        log_x=True,
        markers=True,
    )
    _write(folder, "loss_by_position", svg, losses)


def write_length_plot(folder: Path, losses: Sequence[LengthLoss]) -> None:
    """loss_by_length.svg and .csv."""
    bars = [Bar(f"{loss.shortest:,} to {loss.longest:,} bytes", loss.bits_per_byte, is_main=True) for loss in losses]
    svg = bar_chart(bars, title="Bits per byte by length of the document", x_label="bits per byte")
    _write(folder, "loss_by_length", svg, losses)


class Comparison(NamedTuple):
    """A row of the comparison with the baselines; bounds are None where there is no interval."""

    name: str
    bits_per_byte: float
    low: float | None
    high: float | None


def write_baseline_plot(folder: Path, model: Estimate, baselines: dict[str, float]) -> None:
    """baselines.svg and .csv."""
    rows = [Comparison("model", *model)] + [Comparison(name, value, None, None) for name, value in baselines.items()]
    bars = [
        Bar(
            row.name.replace("_with_training", " after training text"),
            row.bits_per_byte,
            row.low,
            row.high,
            is_main=row.name == "model",
        )
        for row in rows
    ]
    svg = bar_chart(bars, title="Bits per byte on the test text (lower is better)", x_label="bits per byte")
    _write(folder, "baselines", svg, rows)


def _write(folder: Path, name: str, svg: str, rows: Sequence[NamedTuple]) -> None:
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows[0]._fields)
        writer.writerows(rows)
