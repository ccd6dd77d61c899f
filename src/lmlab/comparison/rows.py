"""Runs as rows of a table: those that differ in the seed alone share one."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lmlab.comparison.origins import origin_of, shortened_digest
from lmlab.errors import InputError
from lmlab.tracking.identity import FINGERPRINT_TAG
from lmlab.tracking.reading import RunRecord, parsed

SEED = "seed"
TRAIN_SECONDS, TRAIN_MEMORY = "seconds/train", "memory/train_megabytes"
FLOP_PER_PARAMETER_AND_TOKEN = 6
NEEDED = ("test_digest", "tokenizer_digest")
VALIDATION = "validation_bits_per_byte"
_VALIDATION_DEFINITION = {
    "label": "validation bits per byte",
    "better": "lower",
    "version": 1,
    "is_per_token": False,
    "signature": None,
}


class Evaluated(NamedTuple):
    """A finished run with its evaluation report."""

    run: RunRecord
    evaluation: Mapping[str, Any]

    @property
    def details(self) -> Mapping[str, Any]:
        """What the report says beside its numbers."""
        return self.evaluation["details"]


class Row(NamedTuple):
    """Runs that differ in nothing but the seed."""

    settings: dict[str, str]
    """The settings that tell the row from the others; where those are equal also data, start weights and code."""
    runs: list[Evaluated]
    value: float
    """Of the metric: the mean over seeds."""
    low: float | None
    high: float | None
    """The bootstrap interval of the only seed."""
    deviation: float | None
    """The sample standard deviation over seeds; None with one."""
    parameters: float
    tokens: float
    seconds: float | None
    """Of a training, the mean over seeds."""
    megabytes: float | None

    @property
    def name(self) -> str:
        """What tells the row from the others, in a few words."""
        words = [
            value if key.endswith(".name") else f"{key.rpartition('.')[2]}={_rounded(value)}"
            for key, value in self.settings.items()
        ]
        return ", ".join(words) or self.runs[0].run.name

    @property
    def flop(self) -> float:
        """About the floating point operations of a training (Kaplan et al. 2020, section 2.1)."""
        return FLOP_PER_PARAMETER_AND_TOKEN * self.parameters * self.tokens


def _rounded(value: str) -> str:
    number = parsed(value)
    return f"{number:.4g}" if isinstance(number, float) else value


def may_be_compared(evaluation: Mapping[str, Any]) -> bool:
    """Whether the report says what its numbers hold for; reports of older versions do not."""
    details = evaluation.get("details", {})
    return all(key in details for key in NEEDED) and all("version" in one for one in details["metrics"].values())


def with_validation(evaluation: Mapping[str, Any], run: RunRecord) -> Mapping[str, Any]:
    """The report with what the run's training reached on validation as its last metric; without where it is unknown."""
    value = run.metrics.get(f"training/{VALIDATION}")
    if value is None:
        return evaluation
    details = evaluation["details"]
    metrics = {**details["metrics"], VALIDATION: _VALIDATION_DEFINITION}
    return {**evaluation, VALIDATION: value, "details": {**details, "metrics": metrics}}


def basis_of(evaluated: Evaluated, metric: str) -> dict[str, Any]:
    """What must be equal for two values of the metric to compare, by words for people."""
    details = evaluated.details
    definition = details["metrics"].get(metric)
    if definition is None:
        raise InputError(
            f"{evaluated.run.name} ({evaluated.run.run_id[:8]}) has no metric {metric}; "
            f"it has {', '.join(details['metrics'])}"
        )
    params = evaluated.run.params
    basis = {
        "task": details["task"],
        # F1 and exact match normalize answers by it.
        "language": params.get("task.language", "null"),
        "version of the task": params.get("task.version"),
        "target": params.get("task.target"),
        "field of references": params.get("task.references"),
        "test records": details["test_digest"],
        f"version of {metric}": definition["version"],
        f"signature of {metric}": definition["signature"],
    }
    if definition["is_per_token"]:
        basis["tokenizer"] = details["tokenizer_digest"]
    if metric == VALIDATION:
        basis["number of validation tokens"] = params.get("training.validation_tokens")
    return basis


def check_comparable(runs: Sequence[Evaluated], metric: str) -> None:
    """Raise InputError that names two runs whose values of the metric do not compare, and why."""
    first, *others = runs
    wanted = basis_of(first, metric)
    for other in others:
        found = basis_of(other, metric)
        for what, value in wanted.items():
            if found[what] != value:
                hint = "; compare bits_per_byte" if what == "tokenizer" and "bits_per_byte" in other.evaluation else ""
                unit = f"{metric} is per token, and they" if what == "tokenizer" else "they"
                raise InputError(
                    f"{first.run.name} ({first.run.run_id[:8]}) and {other.run.name} ({other.run.run_id[:8]}) cannot "
                    f"be ranked: {unit} have another {what} ({_short(value)} and {_short(found[what])}){hint}"
                )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 40 else text[:12]


def rows_of(runs: Sequence[Evaluated], metric: str) -> list[Row]:
    """A row for each setting, the best first.

    Raises: InputError if the runs cannot be ranked by the metric.
    """
    check_comparable(runs, metric)
    groups = _groups(runs)
    settings = _telling_settings([group[0].run for group in groups])
    rows = [_row(own, group, metric) for own, group in zip(settings, groups, strict=True)]
    is_better_lower = runs[0].details["metrics"][metric]["better"] == "lower"
    return sorted(rows, key=lambda row: row.value if is_better_lower else -row.value)


def _groups(runs: Sequence[Evaluated]) -> list[list[Evaluated]]:
    """Runs that differ in the seed alone; a run of two sweeps counts once."""
    groups: dict[tuple, dict[tuple, Evaluated]] = {}
    for one in runs:
        groups.setdefault(_key(one.run), {})[one.run.seed, _fingerprint(one.run)] = one
    found: list[list[Evaluated]] = []
    for group in groups.values():
        distinct = list(group.values())
        # Two runs of one seed differ in something that neither settings nor tags say: none belongs to another.
        is_told = len({one.run.seed for one in distinct}) == len(distinct)
        found += [distinct] if is_told else [[one] for one in distinct]
    return found


def _key(run: RunRecord) -> tuple:
    settings = {key: value for key, value in run.params.items() if key != SEED}
    return tuple(sorted(settings.items())), tuple(origin_of(run).values())


def _fingerprint(run: RunRecord) -> str:
    return run.tags.get(FINGERPRINT_TAG, "")


def _telling_settings(runs: Sequence[RunRecord]) -> list[dict[str, str]]:
    settings = _chosen([run.params for run in runs])
    for further in ([origin_of(run) for run in runs], [_fingerprint_of(run) for run in runs]):
        if len({tuple(own.values()) for own in settings}) < len(settings):
            settings = [own | more for own, more in zip(settings, _chosen(further), strict=True)]
    return settings


def _fingerprint_of(run: RunRecord) -> dict[str, str]:
    return {"fingerprint": shortened_digest(_fingerprint(run), without="unknown")}


def _chosen(settings: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    keys = telling_keys(settings)
    return [{key: one.get(key, "") for key in keys} for one in settings]


def telling_keys(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys that tell the settings apart, parts' names first; none that follows from one before it."""
    every = {key for one in settings for key in one if key != SEED}
    differing = [key for key in every if len({one.get(key) for one in settings}) > 1]
    chosen: list[str] = []
    for key in sorted(differing, key=lambda key: (not key.endswith(".name"), key)):
        if not any(_follows(settings, key, before) for before in chosen):
            chosen.append(key)
    return chosen


def _follows(settings: Sequence[Mapping[str, str]], key: str, before: str) -> bool:
    pairs = {(one.get(before), one.get(key)) for one in settings}
    return len(pairs) == len({first for first, _ in pairs})


def _row(settings: dict[str, str], runs: list[Evaluated], metric: str) -> Row:
    runs = sorted(runs, key=lambda one: (len(one.run.seed), one.run.seed))
    values = [one.evaluation[metric] for one in runs]
    first, metrics = runs[0].evaluation, runs[0].run.metrics
    alone = len(runs) == 1
    return Row(
        settings=settings,
        runs=runs,
        value=statistics.fmean(values),
        low=first.get(f"{metric}_low") if alone else None,
        high=first.get(f"{metric}_high") if alone else None,
        deviation=None if alone else statistics.stdev(values),
        parameters=metrics.get("parameters", 0.0),
        tokens=metrics.get("training/tokens", 0.0),
        seconds=_mean([one.run.metrics.get(TRAIN_SECONDS) for one in runs]),
        megabytes=_mean([one.run.metrics.get(TRAIN_MEMORY) for one in runs]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None
