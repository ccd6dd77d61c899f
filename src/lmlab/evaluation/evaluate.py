"""The stage evaluate: what the bundle is worth on the test split, beside baselines, with intervals."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch

from lmlab.bundle import Bundle, load_bundle
from lmlab.data.records import check_records
from lmlab.data.store import TokenStore, check_tokens
from lmlab.data.task import TaskSettings
from lmlab.data.tokenizer import FILE_NAME as TOKENIZER_NAME
from lmlab.errors import InputError
from lmlab.evaluation.answered import answer_split, references_of
from lmlab.evaluation.baselines import Baseline, Likelihoods, likelihood_baselines, text_baselines
from lmlab.evaluation.breakdown import loss_by_length, loss_by_position
from lmlab.evaluation.findings import Findings, MeasuredOn, report_of, write_plots
from lmlab.evaluation.intervals import Units, estimates, number_runs, resampling_units
from lmlab.evaluation.metric import Answers, Metric
from lmlab.evaluation.predictions import Predictions, write_predictions
from lmlab.evaluation.samples import Sample, generate_samples
from lmlab.evaluation.scoring import examples_of, reading_sentence, score_tokens
from lmlab.evaluation.settings import EvaluationSettings
from lmlab.evaluation.task_metrics import task_metrics
from lmlab.files import file_digest, write_json
from lmlab.gpu import uses_gpu
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from lmlab.text import counted

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


def evaluate(settings: EvaluateSettings, inputs: EvaluateInputs, outputs: EvaluateOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the report, the predictions and the plots, and return the report."""
    metrics = task_metrics(settings.task)
    facts = check_tokens(inputs.tokens)
    sealed = check_records(inputs.records)
    bundle, store = load_bundle(inputs.bundle), TokenStore.open(inputs.tokens, SPLIT)
    _place(bundle.model, settings.runtime)
    if store.target_bytes.sum() == 0:
        raise InputError(f"{inputs.records / f'{SPLIT}.parquet'} holds no text: give the source a test split with text")
    with likelihood_baselines(
        inputs.records,
        inputs.tokens,
        settings.task,
        settings.evaluation.baselines,
        split=SPLIT,
        vocabulary_size=bundle.tokenizer.vocabulary_size,
    ) as likelihoods:
        findings = _measure(settings, inputs.records, bundle, store, metrics, facts["task"]["choices"], likelihoods)
    ids = pq.read_table(inputs.records / f"{SPLIT}.parquet", columns=["id"]).column("id").to_pylist()
    measured_on = MeasuredOn(SPLIT, sealed["files"][f"{SPLIT}.parquet"], file_digest(inputs.bundle / TOKENIZER_NAME))
    report = report_of(findings, settings.task, settings.evaluation, measured_on, ids=ids)
    write_predictions(outputs.predictions, Predictions(findings.examples, ids, np.asarray(store.documents)))
    write_plots(outputs.plots, findings, bundle, settings.evaluation)
    write_json(outputs.evaluation, report)
    return report


class _Written(NamedTuple):
    """What the model and the baselines wrote, and the prompts that they were given, as text."""

    answers: Answers | None
    baselines: dict[str, Baseline]
    samples: list[Sample]
    prompts: list[str]


def _measure(
    settings: EvaluateSettings,
    records: Path,
    bundle: Bundle,
    store: TokenStore,
    metrics: dict[str, Metric],
    labels: list[str],
    likelihoods: Callable[[], Likelihoods],
) -> Findings:
    task, evaluation = settings.task, settings.evaluation
    bootstrap = evaluation.bootstrap
    log.info("scoring %s", counted(store.num_records, "test record"))
    scores = score_tokens(
        bundle.model,
        store,
        evaluation.reading,
        separator_id=bundle.tokenizer.separator_id,
        device=bundle.model.device,
    )
    units = resampling_units(store.documents, min_documents=bootstrap.min_documents)
    written = (
        _answer(settings, records, bundle, store, metrics, units, labels)
        if task.prompt
        else _sample(settings, bundle, store)
    )
    examples = examples_of(store, scores)._replace(answers=written.answers)
    found = estimates(metrics, examples, units, num_resamples=bootstrap.num_resamples, seed=bootstrap.seed)
    waited = likelihoods()
    return Findings(
        metrics=metrics,
        estimates=found,
        baselines={**waited.baselines, **written.baselines},
        training_bytes_used=waited.training_bytes_used,
        store=store,
        examples=examples,
        units=units,
        num_documents=number_runs(store.documents)[0],
        reading="Every example was read whole."
        if task.prompt
        else reading_sentence(bundle.model.context_length, evaluation.reading),
        by_position=[] if task.prompt else loss_by_position(scores, store.offsets, store.documents),
        by_length=loss_by_length(examples, store.documents, num_buckets=evaluation.num_length_buckets),
        samples=written.samples,
        prompts=written.prompts,
    )


def _answer(
    settings: EvaluateSettings,
    records: Path,
    bundle: Bundle,
    store: TokenStore,
    metrics: dict[str, Metric],
    units: Units,
    labels: list[str],
) -> _Written:
    task, evaluation = settings.task, settings.evaluation
    references = references_of(records / f"{SPLIT}.parquet", task)
    log.info("answering %s", counted(store.num_records, "prompt"))
    answers = answer_split(
        bundle, store, references, task, labels=labels, batch_rows=evaluation.answer_batch_rows, seed=settings.seed
    )
    baselines = text_baselines(
        records, task, metrics, references, units, evaluation.bootstrap, split=SPLIT, labels=labels
    )
    prompts = [store.record(row)[: store.prompt_lengths[row]] for row in range(store.num_records)]
    return _Written(answers, baselines, [], [bundle.tokenizer.decode(prompt) for prompt in prompts])


def _sample(settings: EvaluateSettings, bundle: Bundle, store: TokenStore) -> _Written:
    decoding = settings.task.decoding
    assert decoding.name == "sampling", "the task's settings see to that"
    log.info("generating samples")
    samples = generate_samples(bundle, store, settings.evaluation.samples, decoding=decoding, seed=settings.seed)
    return _Written(None, {}, samples, [])


def _place(model: torch.nn.Module, runtime: RuntimeSettings) -> None:
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    model.to("cuda" if uses_gpu(runtime) else "cpu")
