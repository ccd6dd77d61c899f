"""The stage evaluate: what the bundle is worth on the test split, beside baselines, with intervals."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lmlab.bundle import Bundle, load_bundle
from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.errors import InputError
from lmlab.evaluation.baselines import Baselines, measured_baselines
from lmlab.evaluation.breakdown import LengthLoss, PositionLoss, loss_by_length, loss_by_position
from lmlab.evaluation.intervals import Estimate, Units, estimates, number_runs, resampling_units
from lmlab.evaluation.metric import Examples, Metric
from lmlab.evaluation.metrics import METRICS
from lmlab.evaluation.plots import write_baseline_plot, write_length_plot, write_position_plot
from lmlab.evaluation.samples import Sample, generate_samples
from lmlab.evaluation.scoring import examples_of, reading_sentence, score_tokens
from lmlab.evaluation.settings import EvaluationSettings
from lmlab.files import check_seal, whole_file, whole_folder, write_json, write_seal
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings

log = logging.getLogger("lmlab")

SPLIT = "test"


class EvaluateSettings(NamedTuple):
    """The sections that the stage reads; `runtime` is not tracked."""

    seed: int
    task: TaskSettings
    evaluation: EvaluationSettings
    runtime: RuntimeSettings


class EvaluateInputs(NamedTuple):
    """The bundle, and the folders that the stages encode and clean wrote."""

    bundle: Path
    tokens: Path
    records: Path


class EvaluateOutputs(NamedTuple):
    """The report, a parquet of one row a test record, and the folder of plots."""

    evaluation: Path
    predictions: Path
    plots: Path


class _Findings(NamedTuple):
    """All that was measured."""

    reading: str
    num_documents: int
    units: Units
    estimates: dict[str, Estimate]
    by_position: list[PositionLoss]
    by_length: list[LengthLoss]
    examples: Examples
    samples: list[Sample]
    baselines: Baselines


def evaluate(settings: EvaluateSettings, inputs: EvaluateInputs, outputs: EvaluateOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the report, the predictions and the plots, and return the report."""
    metrics = {name: METRICS.get(name).build() for name in settings.task.metrics}
    check_seal(inputs.tokens)
    check_seal(inputs.records)
    bundle, store = load_bundle(inputs.bundle), TokenStore.open(inputs.tokens, SPLIT)
    _place(bundle.model, settings.runtime)
    if store.target_bytes.sum() == 0:
        raise InputError(f"{inputs.records / f'{SPLIT}.parquet'} holds no text: give the source a test split with text")
    with measured_baselines(
        inputs.records,
        inputs.tokens,
        settings.task,
        settings.evaluation.baselines,
        split=SPLIT,
        vocabulary_size=bundle.tokenizer.vocabulary_size,
    ) as baselines:
        findings = _measure(settings, bundle, store, metrics, baselines)
    report = _report(settings, findings)
    _write_predictions(outputs.predictions, inputs.records / f"{SPLIT}.parquet", findings.examples)
    _write_plots(outputs.plots, findings)
    write_json(outputs.evaluation, report)
    return report


def _measure(
    settings: EvaluateSettings,
    bundle: Bundle,
    store: TokenStore,
    metrics: dict[str, Metric],
    baselines: Callable[[], Baselines],
) -> _Findings:
    evaluation, bootstrap = settings.evaluation, settings.evaluation.bootstrap
    log.info("scoring %d test records", store.num_records)
    scores = score_tokens(
        bundle.model,
        store,
        evaluation.reading,
        separator_id=bundle.tokenizer.separator_id,
        device=next(bundle.model.parameters()).device,
    )
    examples = examples_of(store, scores)
    units = resampling_units(store.documents, min_documents=bootstrap.min_documents)
    log.info("generating samples")
    samples = generate_samples(bundle, store, evaluation.samples, decoding=settings.task.decoding, seed=settings.seed)
    return _Findings(
        reading=reading_sentence(bundle.model.context_length, evaluation.reading),
        num_documents=number_runs(store.documents)[0],
        units=units,
        estimates=estimates(metrics, examples, units, num_resamples=bootstrap.num_resamples, seed=bootstrap.seed),
        by_position=loss_by_position(scores, store.offsets, store.documents),
        by_length=loss_by_length(examples, store.documents, num_buckets=evaluation.num_length_buckets),
        examples=examples,
        samples=samples,
        baselines=baselines(),
    )


def _place(model: torch.nn.Module, runtime: RuntimeSettings) -> None:
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    has_gpu = torch.cuda.is_available()
    if runtime.accelerator == "gpu" and not has_gpu:
        raise InputError("runtime.accelerator: torch finds no GPU here, found 'gpu'; 'cpu' or 'auto' would do")
    model.to("cuda" if has_gpu and runtime.accelerator != "cpu" else "cpu")


def _report(settings: EvaluateSettings, findings: _Findings) -> dict:
    # Flat numbers first: DVC and MLflow show them as they stand.
    numbers: dict[str, float] = {}
    for name, estimate in findings.estimates.items():
        numbers |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    for name, value in findings.baselines.bits_per_byte.items():
        numbers[f"baseline/{name}/bits_per_byte"] = value
    evaluation = settings.evaluation
    details = {
        "task": settings.task.name,
        "split": SPLIT,
        "records": len(findings.examples.nats),
        "documents": findings.num_documents,
        "tokens": int(findings.examples.tokens.sum()),
        "bytes": int(findings.examples.bytes.sum()),
        "reading": findings.reading,
        "counting": (
            "The nats of the separator that ends each document are counted; it adds no bytes. "
            "The compressors see a newline in its place, which adds no bytes either."
        ),
        "interval": {
            "method": "percentile bootstrap",
            "resampled": findings.units.kind,
            "units": findings.units.total,
            "resamples": evaluation.bootstrap.num_resamples,
            "share": 0.95,
        },
        "baselines": {
            "training_bytes_used": findings.baselines.training_bytes_used,
            "xz_preset": evaluation.baselines.xz_preset,
            "zstd_level": evaluation.baselines.zstd_level,
        },
        "loss_by_position": [loss._asdict() for loss in findings.by_position],
        "loss_by_length": [loss._asdict() for loss in findings.by_length],
        "decoding": settings.task.decoding.model_dump(),
        "samples": [sample._asdict() for sample in findings.samples],
    }
    return {**numbers, "details": details}


def _write_predictions(path: Path, records: Path, examples: Examples) -> None:
    ids = pq.read_table(records, columns=["id"]).column("id")
    counted = {name: pa.array(getattr(examples, name).astype(np.int64)) for name in ("tokens", "bytes", "correct")}
    with whole_file(path) as partial:
        pq.write_table(pa.table({"id": ids, "nats": examples.nats, **counted}), partial)


def _write_plots(folder: Path, findings: _Findings) -> None:
    with whole_folder(folder) as partial:
        write_position_plot(partial, findings.by_position)
        write_length_plot(partial, findings.by_length)
        if "bits_per_byte" in findings.estimates:
            write_baseline_plot(partial, findings.estimates["bits_per_byte"], findings.baselines.bits_per_byte)
        write_seal(partial, {"stage": "evaluate"})
