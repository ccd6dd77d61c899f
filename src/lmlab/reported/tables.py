"""The README's tables of results, rendered from the result files between two marks.

<!-- results: language_docs_lstm language_docs_gru -->
...
<!-- end of results -->
"""

import re
from collections.abc import Callable

from lmlab.charts import places_of
from lmlab.reported.result import ReportedMetric, ReportedResult, ReportedScore

_TABLE = re.compile(r"(<!-- results: ([\w ]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)
HEADINGS = (
    *("result", "metric", "test split (95 % interval)", "over seeds", "best baseline", "parameters", "trained on"),
    "command",
)


def fill_tables(text: str, result_of: Callable[[str], ReportedResult]) -> str:
    """The text with every marked table rendered anew from the results that its mark names."""

    def filled(match: re.Match[str]) -> str:
        head, names, end = match.groups()
        return f"{head}{table_of([result_of(name) for name in names.split()])}\n{end}"

    return _TABLE.sub(filled, text)


def table_of(results: list[ReportedResult]) -> str:
    """A Markdown table with a row for each result: its headline, what it cost, and the command that gives it."""
    rows = ["| " + " | ".join(HEADINGS) + " |", "|---|---|---|---|---|---:|---:|---|"]
    return "\n".join(rows + ["| " + " | ".join(_cells(result)) + " |" for result in results])


def command_of(result: ReportedResult) -> str:
    """The command that gives the result's first seed."""
    words = [*result.overrides, f"seed={result.seeds[0]}"]
    return " ".join(
        ["python -m pipelines.run", *(f"'{word}'" if re.search(r"[^\w.=,/+-]", word) else word for word in words)]
    )


def _cells(result: ReportedResult) -> list[str]:
    name, metric = next(iter(result.metrics.items()))
    places = places_of([metric.value])
    return [
        f"`{result.name}`",
        f"{metric.label}, {metric.better} is better",
        _with_interval(metric, places),
        _over_seeds(metric, places),
        _best_baseline(result, name, metric, places),
        f"{result.parameters:,}",
        f"{result.training_tokens:,} tokens" + ("" if result.seconds is None else f", {result.seconds:,.0f} s"),
        f"`{command_of(result)}`",
    ]


def _with_interval(score: ReportedScore, places: int) -> str:
    bounds = "" if score.low is None or score.high is None else f" ({score.low:.{places}f} to {score.high:.{places}f})"
    return f"{score.value:.{places}f}{bounds}"


def _over_seeds(metric: ReportedMetric, places: int) -> str:
    if metric.deviation is None:
        return "one seed"
    return f"{metric.mean:.{places}f} ± {metric.deviation:.{places}f} ({len(metric.by_seed)} seeds)"


def _best_baseline(result: ReportedResult, name: str, metric: ReportedMetric, places: int) -> str:
    found = {base.label: base.metrics[name] for base in result.baselines.values() if name in base.metrics}
    if not found:
        return ""
    best = (min if metric.better == "lower" else max)(found, key=lambda label: found[label].value)
    return f"{_with_interval(found[best], places)}, {best}"
