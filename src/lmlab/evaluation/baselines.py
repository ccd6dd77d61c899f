"""Trivial baselines on the same test set: what a model should at least beat.

Likelihood baselines (unigram over tokens, compressors) give bits per byte; the others answer the prompts with
text, and are measured by every metric that reads texts.
"""

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.evaluation.answering import ANSWERERS
from lmlab.evaluation.answering_rows import Rows
from lmlab.evaluation.compression import compressed_sizes
from lmlab.evaluation.intervals import Estimate, Units, estimates
from lmlab.evaluation.metric import Answers, Examples, Metric
from lmlab.evaluation.settings import BaselineSettings, BootstrapSettings
from lmlab.evaluation.task_metrics import COMPRESSION, LIKELIHOOD, UNIGRAM
from lmlab.evaluation.texts import all_text, last_text
from lmlab.evaluation.unigram import count_targets, unigram_nats

log = logging.getLogger("lmlab")

BITS_PER_COMPRESSED_BYTE = 8
DESCRIPTIONS = {
    "unigram": "unigram over tokens",
    "xz": "xz, test text alone",
    "zstd": "zstd, test text alone",
    "xz_with_training": "xz, after the training text",
    "zstd_with_training": "zstd, after the training text",
}


class Baseline(NamedTuple):
    """A baseline in a few words, and its metrics by name; bounds are None where there is no interval."""

    description: str
    metrics: Mapping[str, Estimate | float]


class Likelihoods(NamedTuple):
    """The baselines that give bits per byte, and how much training text the compressors saw; None without them."""

    baselines: dict[str, Baseline]
    training_bytes_used: int | None


@contextmanager
def likelihood_baselines(
    records: Path, tokens: Path, task: TaskSettings, settings: BaselineSettings, *, split: str, vocabulary_size: int
) -> Iterator[Callable[[], Likelihoods]]:
    """A function that waits for the baselines; the compressors work in threads meanwhile.

    All are divided by the bytes of the target texts. The newline that the compressors see after each text
    stands for the separator that the model has to predict there.
    """

    def bits_per_byte(bits: Mapping[str, float]) -> dict[str, Baseline]:
        total_bytes = int(TokenStore.open(tokens, split).target_bytes.sum())
        return {
            name: Baseline(DESCRIPTIONS[name], {"bits_per_byte": value / total_bytes}) for name, value in bits.items()
        }

    def unigram() -> dict[str, float]:
        if UNIGRAM not in task.baselines:
            return {}
        counts = [count_targets(TokenStore.open(tokens, part), vocabulary_size) for part in ("train", split)]
        return {UNIGRAM: unigram_nats(*counts) / math.log(2)}

    if COMPRESSION not in task.baselines:
        yield lambda: Likelihoods(bits_per_byte(unigram()), None)
        return
    training = last_text(records / "train.parquet", task, limit=int(settings.training_megabytes * 1e6))
    test = all_text(records / f"{split}.parquet", task)
    log.info("baselines: compressing %d bytes, alone and after %d bytes of training text", len(test), len(training))
    with compressed_sizes(test, training, settings) as sizes:

        def baselines() -> Likelihoods:
            compressed = {name: float(BITS_PER_COMPRESSED_BYTE * size) for name, size in sizes().items()}
            return Likelihoods(bits_per_byte(unigram() | compressed), len(training))

        yield baselines


def text_baselines(
    records: Path,
    task: TaskSettings,
    metrics: Mapping[str, Metric],
    references: Sequence[Sequence[str]],
    units: Units,
    bootstrap: BootstrapSettings,
    *,
    split: str,
    labels: Sequence[str],
) -> dict[str, Baseline]:
    """The baselines that answer the prompts with text, by the metrics that they have the means for."""
    measured = {}
    for name in task.baselines:
        if name in LIKELIHOOD:
            continue
        log.info("baseline %s", name)
        answerer = ANSWERERS.get(name).build()
        train, test = Rows(records / "train.parquet"), Rows(records / f"{split}.parquet")
        answered = answerer.answer(train, test, task, labels)
        unknown = np.empty(0)
        answers = Answers(answered.texts, references, labels, answered.confidence)
        examples = Examples(unknown, unknown, unknown, unknown, answers)
        means = {"texts"} if answered.confidence is None else {"texts", "confidence"}
        fitting = {name: metric for name, metric in metrics.items() if metric.needs in means}
        if fitting:
            found = estimates(fitting, examples, units, num_resamples=bootstrap.num_resamples, seed=bootstrap.seed)
            measured[name] = Baseline(answerer.description, found)
    return measured
