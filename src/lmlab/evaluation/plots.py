"""The evaluation's plots: an SVG for people and the same numbers as CSV, for `dvc plots` and anything else."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.charts import Bar, Grid, Line, Point, bar_chart, heat_map, line_chart, visible
from lmlab.evaluation.analysis import LengthScore, ReliabilityBin, most_confused
from lmlab.evaluation.breakdown import LengthLoss, PositionLoss
from lmlab.evaluation.intervals import Estimate

# More cells than these get too small to read, and the page too large.
CONFUSION_LABELS = 30
ATTENTION_TOKENS = 64


def write_position_plot(folder: Path, losses: Sequence[PositionLoss]) -> None:
    """loss_by_position.svg and .csv."""
    points = [Point(max(loss.first, 1), loss.nats_per_token) for loss in losses if loss.first > 0]
    svg = line_chart(
        [Line("test", points)],
        title="Loss by position in the document",
        x_label="position in the document (tokens, without the first)",
        y_label="nats per token",
        log_x=True,
        markers=True,
    )
    _write(folder, "loss_by_position", svg, PositionLoss._fields, losses)


def write_length_plot(folder: Path, losses: Sequence[LengthLoss]) -> None:
    """loss_by_length.svg and .csv."""
    bars = [Bar(f"{loss.shortest:,} to {loss.longest:,} bytes", loss.bits_per_byte, is_main=True) for loss in losses]
    svg = bar_chart(bars, title="Bits per byte by length of the document", x_label="bits per byte")
    _write(folder, "loss_by_length", svg, LengthLoss._fields, losses)


class Comparison(NamedTuple):
    """A row of the comparison with the baselines; bounds are None where there is no interval."""

    name: str
    value: float
    low: float | None
    high: float | None


def write_baseline_plot(
    folder: Path,
    label: str,
    better: Literal["higher", "lower"],
    model: Estimate,
    baselines: Mapping[str, float | tuple[float, float | None, float | None]],
    descriptions: Mapping[str, str],
) -> None:
    """baselines.svg and .csv: the metric called `label` of the model and of each baseline, by description or name.

    A baseline is a value alone or with its bounds.
    """
    bounded = {name: found if isinstance(found, tuple) else (found, None, None) for name, found in baselines.items()}
    rows = [Comparison("model", *model)] + [Comparison(name, *found) for name, found in bounded.items()]
    names = {name: descriptions.get(name, name.replace("_", " ")) for name in baselines} | {"model": "model"}
    bars = [Bar(names[row.name], row.value, row.low, row.high, is_main=row.name == "model") for row in rows]
    svg = bar_chart(bars, title=f"{label[:1].upper()}{label[1:]} on the test split ({better} is better)", x_label=label)
    _write(folder, "baselines", svg, Comparison._fields, rows)


def write_score_by_length_plot(
    folder: Path, name: str, scores: Sequence[LengthScore], *, title: str, x_label: str, y_label: str
) -> None:
    """NAME.svg and .csv: a bar for each group of lengths; `x_label` says what is measured, `y_label` what is long."""
    bars = [Bar(f"{score.shortest:,} to {score.longest:,}", score.value, is_main=True) for score in scores]
    svg = bar_chart(bars, title=title, x_label=x_label, heading=y_label)
    _write(folder, name, svg, LengthScore._fields, scores)


def write_confusion_plot(folder: Path, matrix: NDArray[np.int64], labels: Sequence[str]) -> None:
    """confusion.svg, shaded by the share of the target's records, and .csv, which lists what occurs.

    Of many labels those are drawn that the most confused pairs name.
    """
    drawn = _drawn_labels(matrix, labels)
    part = matrix[np.ix_(drawn, drawn)]
    totals = np.maximum(matrix.sum(axis=1)[drawn], 1)
    names = [visible(labels[number]) for number in drawn]
    texts = [[str(count) if count else "" for count in row] for row in part.tolist()]
    title = "Answers for each label"
    if len(drawn) < len(labels):
        is_perfect = not np.any(matrix - np.diag(np.diag(matrix)))
        which = "none was confused" if is_perfect else "those of the most confused pairs"
        title += f": {len(drawn)} of {len(labels)} labels, {which}"
    svg = heat_map(
        Grid((part / totals[:, None]).tolist(), names, names, texts),
        title=title,
        caption="rows: target; columns: answer; in the cells: records; shade: share of the target's records",
    )
    rows = [(labels[i], labels[j], int(matrix[i, j])) for i, j in np.argwhere(matrix).tolist()]
    _write(folder, "confusion", svg, ("target", "answer", "count"), rows)


def _drawn_labels(matrix: NDArray[np.int64], labels: Sequence[str]) -> list[int]:
    if len(labels) <= CONFUSION_LABELS:
        return list(range(len(labels)))
    numbers = {label: number for number, label in enumerate(labels)}
    drawn: set[int] = set()
    for pair in most_confused(matrix, labels, limit=matrix.size):
        wanted = drawn | {numbers[pair.target], numbers[pair.answer]}
        if len(wanted) > CONFUSION_LABELS:
            break
        drawn = wanted
    return sorted(drawn) or list(range(CONFUSION_LABELS))


def write_reliability_plot(folder: Path, bins: Sequence[ReliabilityBin]) -> None:
    """reliability.svg and .csv: how often answers are right, by how probable the model held them."""
    points = [Point(found.confidence, found.accuracy) for found in bins]
    svg = line_chart(
        [Line("model", points), Line("as sure as right", [Point(0, 0), Point(1, 1)], is_reference=True)],
        title="How often an answer is right, by how sure the model is",
        x_label="probability of the answer (mean of its bin)",
        y_label="share of right answers",
        markers=True,
    )
    _write(folder, "reliability", svg, ReliabilityBin._fields, bins)


def write_attention_plot(
    folder: Path, number: int, weights: NDArray, prompt_tokens: Sequence[str], target_tokens: Sequence[str]
) -> None:
    """attention_NUMBER.svg and .csv: for each target token (rows) how it weighs the prompt tokens (columns).

    Of long texts the first tokens are drawn; the CSV has all.
    """
    columns, rows = (
        [visible(token) for token in tokens[:ATTENTION_TOKENS]] for tokens in (prompt_tokens, target_tokens)
    )
    sizes = [
        f"the first {ATTENTION_TOKENS} of {len(tokens):,} {kind} tokens"
        for kind, tokens in (("prompt", prompt_tokens), ("target", target_tokens))
        if len(tokens) > ATTENTION_TOKENS
    ]
    svg = heat_map(
        Grid(np.asarray(weights, dtype=np.float64)[: len(rows), : len(columns)].tolist(), rows, columns),
        title=f"Attention over the prompt, example {number}" + (f": {', '.join(sizes)}" if sizes else ""),
        caption="rows: target; columns: prompt; the darker, the more weight",
    )
    cells = [
        (row, target, column, prompt, float(weights[row, column]))
        for row, target in enumerate(target_tokens)
        for column, prompt in enumerate(prompt_tokens)
    ]
    fields = ("target_position", "target_token", "prompt_position", "prompt_token", "weight")
    _write(folder, f"attention_{number}", svg, fields, cells)


def _write(folder: Path, name: str, svg: str, fields: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    # A token may be half a character, which has no UTF-8: it is written as its escape.
    with (folder / f"{name}.csv").open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(fields)
        writer.writerows(rows)
