"""A result from what the stages wrote, a folder of outputs for each seed."""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from lmlab.bundle import WEIGHTS_NAME
from lmlab.files import file_digest, read_json
from lmlab.reported.result import (
    Digests,
    ReportedBaseline,
    ReportedMetric,
    ReportedResult,
    ReportedScore,
    tolerance_of,
)
from lmlab.results import Score, baseline_names, measures_of


class Origin(NamedTuple):
    """Where a result comes from."""

    name: str
    overrides: list[str]
    seeds: list[int]
    seconds: float | None
    machine: str
    versions: str
    commit: str | None


def build_result(origin: Origin, outputs: Sequence[Mapping[str, Path]], *, keeps_predictions: bool) -> ReportedResult:
    """The result of trainings that differ in the seed alone, from the paths of each one's outputs by name."""
    evaluations = [read_json(paths["evaluation"]) for paths in outputs]
    first, details, training = evaluations[0], evaluations[0]["details"], read_json(outputs[0]["training"])
    return ReportedResult(
        **origin._asdict(),
        task=details["task"],
        model=training["model"],
        metrics={name: _metric(name, evaluations) for name in details["metrics"]},
        baselines=_baselines(first),
        parameters=training["parameters"],
        steps=training["steps"],
        training_tokens=training["tokens"],
        digests=Digests(
            test_records=details["test_digest"],
            tokenizer=details["tokenizer_digest"],
            predictions=file_digest(outputs[0]["predictions"]) if keeps_predictions else None,
            weights=file_digest(outputs[0]["bundle"] / WEIGHTS_NAME),
        ),
    )


def _metric(name: str, evaluations: Sequence[Mapping[str, Any]]) -> ReportedMetric:
    first, by_seed = evaluations[0], [evaluation[name] for evaluation in evaluations]
    bounds = {"low": first[f"{name}_low"], "high": first[f"{name}_high"]}
    return ReportedMetric(
        value=first[name],
        **bounds,
        **first["details"]["metrics"][name],
        by_seed=by_seed,
        mean=statistics.fmean(by_seed),
        deviation=statistics.stdev(by_seed) if len(by_seed) > 1 else None,
        tolerance=tolerance_of(by_seed, **bounds),
    )


def _baselines(evaluation: Mapping[str, Any]) -> dict[str, ReportedBaseline]:
    measures = measures_of(evaluation)
    return {
        name: ReportedBaseline(
            label=label,
            metrics={
                measure.name: _score(measure.baselines[name]) for measure in measures if name in measure.baselines
            },
        )
        for name, label in baseline_names(evaluation).items()
    }


def _score(score: Score) -> ReportedScore:
    return ReportedScore(**score._asdict())
