"""What the model answers to the prompts of a split, beside the right answers."""

import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from lmlab.bundle import Bundle
from lmlab.data.store import TokenStore
from lmlab.data.task import TaskSettings, fields_of
from lmlab.decoding.answers import answer_prompts
from lmlab.evaluation.metric import Answers
from lmlab.evaluation.texts import BATCH_RECORDS


def references_of(records: Path, task: TaskSettings) -> list[list[str]]:
    """The right answers of each record: its target, then what the further columns of the task's field hold."""
    with pq.ParquetFile(records) as file:
        further = further_columns(file.schema_arrow.names, task.references)
        found = []
        for batch in file.iter_batches(batch_size=BATCH_RECORDS, columns=[*fields_of(task), *further]):
            for record in batch.to_pylist():
                target = task.target_of(record)
                others = [record[name] for name in further if record[name] and record[name] != target]
                found.append([target, *dict.fromkeys(others)])
    return found


def further_columns(names: list[str], field: str | None) -> list[str]:
    """NAME_2, NAME_3, ... in the order of their numbers."""
    if field is None:
        return []
    numbered = re.compile(rf"{re.escape(field)}_(\d+)")
    found = {int(match.group(1)): name for name in names if (match := numbered.fullmatch(name))}
    return [found[number] for number in sorted(found)]


def prompts_of(store: TokenStore, *, separator_id: int) -> list[list[int]]:
    """The prompt of each record between separators."""
    return [
        [separator_id, *store.record(row)[: store.prompt_lengths[row]].tolist()] for row in range(store.num_records)
    ]


def answer_split(
    bundle: Bundle,
    store: TokenStore,
    references: list[list[str]],
    task: TaskSettings,
    *,
    labels: list[str],
    batch_rows: int,
    seed: int,
) -> Answers:
    """The model's answers to every prompt of the split, as the task decodes."""
    tokenizer = bundle.tokenizer
    choices = tokenizer.encode(labels)
    answers = answer_prompts(
        bundle.model,
        prompts_of(store, separator_id=tokenizer.separator_id),
        task.decoding,
        choices=choices,
        separator_id=tokenizer.separator_id,
        seed=seed,
        batch_rows=batch_rows,
    )
    # A tokenizer that knows no unknown characters would decode a label to something else.
    label_of = {tuple(choice): label for choice, label in zip(choices, labels, strict=True)}
    texts = [label_of.get(tuple(answer.tokens)) or tokenizer.decode(answer.tokens) for answer in answers]
    confidence = [answer.probability for answer in answers]
    is_known = bool(labels) and all(value is not None for value in confidence)
    return Answers(texts, references, labels, np.asarray(confidence, np.float64) if is_known else None)
