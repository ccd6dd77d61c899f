"""The comparison's plots as SVG, by file name."""

from collections.abc import Mapping, Sequence

from lmlab.charts import Axis, Bar, Dot, Line, Point, bar_chart, line_chart, parallel_chart, scatter_chart
from lmlab.comparison.rows import Row
from lmlab.tracking.reading import parsed

Curve = Sequence[tuple[float, float]]
# More lines than these are not told apart.
MOST_LINES = 16
MOST_BARS = 30


def plots_of(rows: Sequence[Row], curves: Mapping[str, Curve], *, label: str, split: str) -> dict[str, str]:
    """Every plot that the rows have the means for; `curves` are by run id, over training tokens."""
    found = {"ranking.svg": _ranking(rows, label, split)}
    lines = [
        Line(row.name, [Point(x, y) for x, y in curves[row.runs[0].run.run_id]])
        for row in rows[:MOST_LINES]
        if curves.get(row.runs[0].run.run_id)
    ]
    if lines:
        found["curves.svg"] = line_chart(
            lines,
            title="Validation while training (first seed)",
            x_label="training tokens",
            y_label="bits per byte",
        )
    if len({row.parameters for row in rows}) > 1:
        found["parameters.svg"] = _against(rows, [row.parameters for row in rows], "parameters", label)
    if len({row.flop for row in rows}) > 1 and all(row.flop > 0 for row in rows):
        words = "training compute (FLOP: 6 x parameters x tokens)"
        found["compute.svg"] = _against(rows, [row.flop for row in rows], words, label, log_x=True)
    if len(rows) > 1 and rows[0].settings:
        found["settings.svg"] = parallel_chart(_axes(rows, label), title="Settings and what they gave")
    return found


def _ranking(rows: Sequence[Row], label: str, split: str) -> str:
    bars = [Bar(row.name, row.value, *_bounds(row), is_main=place == 0) for place, row in enumerate(rows[:MOST_BARS])]
    return bar_chart(bars, title=f"{label[:1].upper()}{label[1:]} on the {split} split", x_label=label)


def _bounds(row: Row) -> tuple[float | None, float | None]:
    if row.deviation is None:
        return row.low, row.high
    return row.value - row.deviation, row.value + row.deviation


def _against(rows: Sequence[Row], xs: Sequence[float], x_label: str, label: str, *, log_x: bool = False) -> str:
    dots = [Dot(row.name, x, row.value) for row, x in zip(rows, xs, strict=True)]
    title = f"{label[:1].upper()}{label[1:]} against {x_label.partition(' (')[0]}"
    return scatter_chart(dots, title=title, x_label=x_label, y_label=label, log_x=log_x)


def _axes(rows: Sequence[Row], label: str) -> list[Axis]:
    axes = [
        Axis(key.removesuffix(".name").rpartition(".")[2], [_place(row.settings[key]) for row in rows])
        for key in rows[0].settings
    ]
    return [*axes, Axis(label, [row.value for row in rows])]


def _place(value: str) -> float | str:
    number = parsed(value)
    return float(number) if isinstance(number, int | float) and not isinstance(number, bool) else value
