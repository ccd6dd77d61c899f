"""An evaluation report read as measures: what the model and the baselines reached, with names for people."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from lmlab.charts import places_of

PREFIX = "baseline/"

FEWEST_UNITS = 6
"""Fewer could not tell two apart, however they differ: of 5 all are better by chance in 2 of 2^5 cases, 0.0625."""

BASELINE_NAMES = {
    "unigram": "unigram over tokens",
    "xz": "xz, test text alone",
    "zstd": "zstd, test text alone",
    "xz_with_training": "xz, after the training text",
    "zstd_with_training": "zstd, after the training text",
}


def flat_numbers(report: Mapping[str, object]) -> dict[str, float]:
    """The report's numbers at top level."""
    return {
        key: float(value)
        for key, value in report.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


class Score(NamedTuple):
    """A value with its 95 % interval; bounds are None where there is none."""

    value: float
    low: float | None
    high: float | None


class Measure(NamedTuple):
    """A metric of the model, and of the baselines that it was measured for, by name."""

    name: str
    label: str
    better: str
    signature: str | None
    model: Score
    baselines: dict[str, Score]

    @property
    def places(self) -> int:
        """Decimal places to show its values with."""
        return places_of([self.model.value, *(score.value for score in self.baselines.values())])

    @property
    def hint(self) -> str:
        """Which direction is better, in words."""
        return f"{self.better} is better"

    def verdict(self, baseline: str) -> str:
        """Whether the model beats this baseline beyond the intervals, in words."""
        ours, theirs = _bounds(self.model), _bounds(self.baselines[baseline])
        if self.better == "lower":
            ours, theirs = theirs, ours
        if ours[0] > theirs[1]:
            return "the model is better"
        return "the model is worse" if ours[1] < theirs[0] else "within the intervals"


def measures_of(evaluation: Mapping[str, Any]) -> list[Measure]:
    """The metrics of an evaluation report; the first one is the headline."""
    return [
        Measure(name, facts["label"], facts["better"], facts["signature"], _score(evaluation, name), baselines)
        for name, facts in evaluation["details"]["metrics"].items()
        for baselines in [_baselines(evaluation, name)]
    ]


def baseline_names(evaluation: Mapping[str, Any]) -> dict[str, str]:
    """What people call each baseline that has a value, by its name, in the report's order."""
    given, metrics = evaluation["details"]["baselines"], evaluation["details"]["metrics"]
    names = {
        parts[1]: None
        for key in evaluation
        if key.startswith(PREFIX) and len(parts := key.split("/")) == 3 and parts[2] in metrics
    }
    return {name: BASELINE_NAMES.get(name) or given.get(name) or name.replace("_", " ") for name in names}


def few_units_text(evaluation: Mapping[str, Any]) -> str | None:
    """What to say where the test split has too few documents or records for its intervals to mean much; else None."""
    interval = evaluation["details"]["interval"]
    if interval["units"] >= FEWEST_UNITS:
        return None
    return (
        f"The intervals say little: {interval['units']} {interval['resampled']} in the test split are too few for them."
    )


def decoding_text(decoding: Mapping[str, Any]) -> str:
    """How answers are found, from the task's decoding settings, as the end of a sentence."""
    if decoding["name"] == "ranking":
        return "by taking the likeliest of the labels"
    bound = f"at most {decoding['max_new_tokens']:,} tokens"
    if decoding["name"] == "beam":
        return f"by beam search with {decoding['beams']} beams, length penalty {decoding['length_penalty']:g}, {bound}"
    sampling = decoding["sampling"]
    if sampling["temperature"] == 0:
        return f"by taking the likeliest token each time, {bound}"
    chosen = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in sampling.items())
    return f"by sampling with {chosen}, {bound}"


def _baselines(evaluation: Mapping[str, Any], metric: str) -> dict[str, Score]:
    keys = {name: f"{PREFIX}{name}/{metric}" for name in baseline_names(evaluation)}
    return {name: _score(evaluation, key) for name, key in keys.items() if key in evaluation}


def _score(evaluation: Mapping[str, Any], key: str) -> Score:
    return Score(evaluation[key], evaluation.get(f"{key}_low"), evaluation.get(f"{key}_high"))


def _bounds(score: Score) -> tuple[float, float]:
    return (
        score.value if score.low is None else score.low,
        score.value if score.high is None else score.high,
    )
