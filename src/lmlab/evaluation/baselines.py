"""Baselines in bits per byte on the test text: unigram over tokens, and compressors with and without training text."""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings
from lmlab.evaluation.compression import compressed_sizes
from lmlab.evaluation.settings import BaselineSettings
from lmlab.evaluation.texts import all_text, last_text
from lmlab.evaluation.unigram import count_targets, unigram_nats

log = logging.getLogger("lmlab")

BITS_PER_COMPRESSED_BYTE = 8


class Baselines(NamedTuple):
    """Bits per byte by the baseline's name, and how much training text the compressors saw."""

    bits_per_byte: dict[str, float]
    training_bytes_used: int


@contextmanager
def measured_baselines(
    records: Path, tokens: Path, task: TaskSettings, settings: BaselineSettings, *, split: str, vocabulary_size: int
) -> Iterator[Callable[[], Baselines]]:
    """A function that waits for the baselines; the compressors work in threads meanwhile.

    All are divided by the bytes of the target texts. The newline that the compressors see after each text
    stands for the separator that the model has to predict there.
    """
    training = last_text(records / "train.parquet", task, limit=int(settings.training_megabytes * 1e6))
    test = all_text(records / f"{split}.parquet", task)
    log.info("baselines: compressing %d bytes, alone and after %d bytes of training text", len(test), len(training))
    with compressed_sizes(test, training, settings) as sizes:

        def baselines() -> Baselines:
            store = TokenStore.open(tokens, split)
            counts = count_targets(TokenStore.open(tokens, "train"), vocabulary_size)
            total_bytes = int(store.target_bytes.sum())
            bits = {"unigram": unigram_nats(counts, count_targets(store, vocabulary_size)) / math.log(2)}
            bits.update({name: BITS_PER_COMPRESSED_BYTE * size for name, size in sizes().items()})
            return Baselines({name: value / total_bytes for name, value in bits.items()}, len(training))

        yield baselines
