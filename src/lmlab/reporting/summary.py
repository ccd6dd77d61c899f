"""The result in a few lines for a terminal."""

from collections.abc import Mapping
from typing import Any

from lmlab.results import Measure, Score, baseline_names, few_units_text, measures_of

NAME_WIDTH = 30


def render_summary(evaluation: Mapping[str, Any]) -> str:
    """The headline metric with its interval, the other metrics, and the headline's baselines, as a terminal's lines."""
    headline, *others = measures_of(evaluation)
    names = baseline_names(evaluation)
    rows = [("the model", headline.model)]
    rows += [(names[name], score) for name, score in headline.baselines.items()]
    width = max(NAME_WIDTH, *(len(name) for name, _ in rows), *(len(_title(measure)) for measure in others), 0)
    digits = max(len(f"{score.value:.{headline.places}f}") for _, score in rows)
    digits = max([digits, *(len(f"{measure.model.value:.{measure.places}f}") for measure in others)])
    lines = [f"{headline.label} on the test split ({headline.hint})"]
    lines.append(_line("the model", headline.model, headline.places, width, digits))
    lines += [_line(_title(measure), measure.model, measure.places, width, digits) for measure in others]
    if headline.baselines:
        lines.append(f"baselines, {headline.label}")
    lines += [_line(name, score, headline.places, width, digits) for name, score in rows[1:]]
    if few := few_units_text(evaluation):
        lines.append(few)
    return "\n".join(lines)


def _title(measure: Measure) -> str:
    return f"{measure.label} ({measure.hint})"


def _line(name: str, score: Score, places: int, width: int, digits: int) -> str:
    line = f"  {name:<{width}} {score.value:>{digits}.{places}f}"
    if score.low is None or score.high is None:
        return line
    return f"{line}  (95 % interval {score.low:.{places}f} to {score.high:.{places}f})"
