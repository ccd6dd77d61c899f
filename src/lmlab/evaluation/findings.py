"""What an evaluation found, as the report and the plots show it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lmlab.bundle import Bundle
from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.evaluation.analysis import (
    ReliabilityBin,
    confusion_matrix,
    extreme_records,
    most_confused,
    record_scores,
    reliability,
    score_by_length,
)
from lmlab.evaluation.answers import are_right, with_reference_count
from lmlab.evaluation.attention import attention_pictures
from lmlab.evaluation.baselines import Baseline
from lmlab.evaluation.breakdown import LengthLoss, PositionLoss
from lmlab.evaluation.intervals import Estimate, Units
from lmlab.evaluation.metric import Answers, Examples, Metric
from lmlab.evaluation.metrics.calibration_error import NUM_BINS
from lmlab.evaluation.plots import (
    write_attention_plot,
    write_baseline_plot,
    write_confusion_plot,
    write_length_plot,
    write_position_plot,
    write_reliability_plot,
    write_score_by_length_plot,
)
from lmlab.evaluation.samples import Sample
from lmlab.evaluation.settings import EvaluationSettings
from lmlab.files import whole_folder, write_seal


class Findings(NamedTuple):
    """All that was measured."""

    metrics: Mapping[str, Metric]
    estimates: Mapping[str, Estimate]
    baselines: Mapping[str, Baseline]
    training_bytes_used: int | None
    store: TokenStore
    examples: Examples
    units: Units
    num_documents: int
    reading: str
    by_position: list[PositionLoss]
    by_length: list[LengthLoss]
    samples: list[Sample]
    prompts: list[str]
    """The prompts as text, as the model read them; empty without prompts."""

    @property
    def headline(self) -> str:
        """The metric that a summary shows: the task's first."""
        return next(iter(self.metrics))

    @property
    def judge(self) -> str:
        """The metric that tells the best answers from the worst: the first that says something of a single record."""
        return next((name for name, metric in self.metrics.items() if metric.judges_records), self.headline)


class MeasuredOn(NamedTuple):
    """What a number holds for: two values compare only on the same records, and per token with the same tokenizer."""

    split: str
    records_digest: str
    tokenizer_digest: str


def report_of(
    findings: Findings, task: TaskSettings, settings: EvaluationSettings, measured_on: MeasuredOn, *, ids: Sequence[str]
) -> dict[str, Any]:
    """The report: flat numbers first, since DVC and MLflow show them as they stand; then the details."""
    numbers: dict[str, float] = {}
    for name, estimate in findings.estimates.items():
        numbers |= _with_bounds(name, estimate)
    for name, baseline in findings.baselines.items():
        for metric, value in baseline.metrics.items():
            numbers |= _with_bounds(f"baseline/{name}/{metric}", value)
    details = {
        "task": task.name,
        "split": measured_on.split,
        "test_digest": measured_on.records_digest,
        "tokenizer_digest": measured_on.tokenizer_digest,
        **_sizes(findings),
        "reading": findings.reading,
        "counting": _counting(task),
        "interval": {
            "method": "percentile bootstrap",
            "resampled": findings.units.kind,
            "units": findings.units.total,
            "resamples": settings.bootstrap.num_resamples,
            "share": 0.95,
        },
        "metrics": {name: _definition(metric, findings.examples) for name, metric in findings.metrics.items()},
        "baselines": {name: baseline.description for name, baseline in findings.baselines.items()},
        "compression": _compression(findings, settings),
        "decoding": task.decoding.model_dump(),
        "samples": [sample._asdict() for sample in findings.samples],
        "loss_by_position": [loss._asdict() for loss in findings.by_position],
        "loss_by_length": [loss._asdict() for loss in findings.by_length],
        "judged_by": findings.judge,
        **_answer_details(findings, settings, ids),
    }
    return {**numbers, "details": details}


def _definition(metric: Metric, examples: Examples) -> dict[str, Any]:
    return {
        "label": metric.label,
        "better": metric.better,
        "version": metric.version,
        "is_per_token": metric.is_per_token,
        "signature": _signature(metric, examples),
    }


def _signature(metric: Metric, examples: Examples) -> str | None:
    if metric.signature is None or examples.answers is None:
        return metric.signature
    return with_reference_count(metric.signature, examples.answers.references)


def _with_bounds(name: str, estimate: Estimate | float) -> dict[str, float]:
    if isinstance(estimate, Estimate):
        return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {name: estimate}


def _sizes(findings: Findings) -> dict[str, int]:
    examples = findings.examples
    return {
        "records": len(examples.nats),
        "documents": findings.num_documents,
        "tokens": int(examples.tokens.sum()),
        "bytes": int(examples.bytes.sum()),
    }


def _counting(task: TaskSettings) -> str:
    if task.prompt:
        return "The nats of each target count, with those of the separator that ends it, which adds no bytes."
    return (
        "The nats of the separator that ends each document are counted; it adds no bytes. "
        "The compressors see a newline in its place, which adds no bytes either."
    )


def _compression(findings: Findings, settings: EvaluationSettings) -> dict[str, int] | None:
    if findings.training_bytes_used is None:
        return None
    return {
        "training_bytes_used": findings.training_bytes_used,
        "xz_preset": settings.baselines.xz_preset,
        "zstd_level": settings.baselines.zstd_level,
    }


def _answer_details(findings: Findings, settings: EvaluationSettings, ids: Sequence[str]) -> dict[str, Any]:
    answers = findings.examples.answers
    if answers is None:
        return {
            "by_prompt_length": [],
            "by_target_length": [],
            "best": [],
            "worst": [],
            "confusion": None,
            "reliability": [],
        }
    best, worst = _extremes(findings, answers, settings, ids)
    return {
        **{f"by_{part}_length": [score._asdict() for score in scores] for part, scores in _lengths(findings, settings)},
        "best": best,
        "worst": worst,
        "confusion": _confusion(answers, settings),
        "reliability": [found._asdict() for found in _reliability(answers)],
    }


def _lengths(findings: Findings, settings: EvaluationSettings) -> list[tuple[str, list]]:
    metric, store = findings.metrics[findings.headline], findings.store
    prompt_lengths = np.maximum(store.prompt_lengths.astype(np.int64) - 1, 0)
    target_lengths = np.diff(store.offsets) - store.prompt_lengths
    return [
        (part, score_by_length(metric, findings.examples, lengths, num_buckets=settings.num_length_buckets))
        for part, lengths in (("prompt", prompt_lengths), ("target", target_lengths))
    ]


def _extremes(
    findings: Findings, answers: Answers, settings: EvaluationSettings, ids: Sequence[str]
) -> tuple[list[dict], list[dict]]:
    metric, examples = findings.metrics[findings.judge], findings.examples
    scores = record_scores(metric, examples)
    nats_per_token = examples.nats / np.maximum(examples.tokens, 1)
    found = extreme_records(scores, nats_per_token, count=settings.num_extremes, better=metric.better)

    def shown(row: int) -> dict[str, Any]:
        return {
            "id": ids[row],
            "prompt": findings.prompts[row],
            "references": list(answers.references[row]),
            "answer": answers.texts[row],
            "nats_per_token": float(nats_per_token[row]),
            "score": float(scores[row]),
        }

    return [shown(row) for row in found.best], [shown(row) for row in found.worst]


def _confusion(answers: Answers, settings: EvaluationSettings) -> dict[str, Any] | None:
    if not answers.labels:
        return None
    matrix = confusion_matrix(_targets(answers), answers.texts, answers.labels)
    pairs = most_confused(matrix, answers.labels, limit=settings.num_confused_pairs)
    return {"labels": list(answers.labels), "pairs": [pair._asdict() for pair in pairs]}


def _reliability(answers: Answers) -> list[ReliabilityBin]:
    if answers.confidence is None:
        return []
    return reliability(answers.confidence, are_right(answers), num_bins=NUM_BINS)


def _targets(answers: Answers) -> list[str]:
    return [references[0] for references in answers.references]


def write_plots(folder: Path, findings: Findings, bundle: Bundle, settings: EvaluationSettings) -> None:
    """Every plot that applies, each as SVG and CSV."""
    headline, metric = findings.headline, findings.metrics[findings.headline]
    rivals = {name: found.metrics[headline] for name, found in findings.baselines.items() if headline in found.metrics}
    with whole_folder(folder) as partial:
        write_baseline_plot(
            partial,
            metric.label,
            metric.better,
            findings.estimates[headline],
            {name: value if isinstance(value, Estimate) else (value, None, None) for name, value in rivals.items()},
            {name: found.description for name, found in findings.baselines.items()},
        )
        if findings.by_position:
            write_position_plot(partial, findings.by_position)
            write_length_plot(partial, findings.by_length)
        if findings.examples.answers is not None:
            _write_answer_plots(partial, findings, findings.examples.answers, settings)
            for number, picture in enumerate(attention_pictures(bundle, findings.store, settings.attention), start=1):
                write_attention_plot(partial, number, picture.weights, picture.prompt_tokens, picture.target_tokens)
        write_seal(partial, {"stage": "evaluate"})


def _write_answer_plots(folder: Path, findings: Findings, answers: Answers, settings: EvaluationSettings) -> None:
    label = findings.metrics[findings.headline].label
    for part, scores in _lengths(findings, settings):
        write_score_by_length_plot(
            folder,
            f"by_{part}_length",
            scores,
            title=f"{label} by length of the {part}",
            x_label=label,
            y_label=f"tokens of the {part}",
        )
    if answers.labels:
        write_confusion_plot(folder, confusion_matrix(_targets(answers), answers.texts, answers.labels), answers.labels)
    if bins := _reliability(answers):
        write_reliability_plot(folder, bins)
