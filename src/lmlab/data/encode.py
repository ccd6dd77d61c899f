"""The stage encode: trains the tokenizer on the training split and writes every split's tokens."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lmlab.config import PartSettings
from lmlab.data.encoder import Batch, Counts, Encoded, GroupEncoder, batches_of, groups_of
from lmlab.data.records import check_records
from lmlab.data.source import SPLITS
from lmlab.data.store import StoreWriter
from lmlab.data.task import TaskSettings, check_fields
from lmlab.data.tokenizer import Tokenizer, train_tokenizer
from lmlab.data.workers import each_of
from lmlab.errors import InputError
from lmlab.files import whole_folder, write_json, write_seal
from lmlab.run import Run
from lmlab.runtime import RuntimeSettings
from lmlab.text import counted

log = logging.getLogger("lmlab")

# About 100 MB of text: less is encoded before other processes would have started.
GROUPS_HERE = 3
_NONE = np.zeros(0, np.int64)
# More different targets than this are no labels.
MOST_CHOICES = 10_000


class EncodeSettings(NamedTuple):
    """The sections that the stage reads; `runtime` is not tracked."""

    task: TaskSettings
    tokenizer: PartSettings
    runtime: RuntimeSettings


class EncodeInputs(NamedTuple):
    """The folder of cleaned records."""

    records: Path


class EncodeOutputs(NamedTuple):
    """The tokenizer's folder, the tokens' folder and the report."""

    tokenizer: Path
    tokens: Path
    encoding: Path


def encode(settings: EncodeSettings, inputs: EncodeInputs, outputs: EncodeOutputs, run: Run) -> dict:  # noqa: ARG001
    """Write the tokenizer, the token stores and the report, which it returns."""
    seal = check_records(inputs.records)
    check_fields(settings.task, seal["fields"])
    log.info("training the tokenizer (%s)", settings.tokenizer.name)
    tokenizer = train_tokenizer(settings.tokenizer, _training_texts(inputs.records, settings.task))
    choices = task_choices(settings.task, inputs.records)
    splits: dict[str, Counts] = {}
    with whole_folder(outputs.tokenizer) as tokenizer_folder, whole_folder(outputs.tokens) as tokens_folder:
        tokenizer.save(tokenizer_folder)
        write_seal(tokenizer_folder, {"stage": "encode"})
        encoder = GroupEncoder(settings.task, choices, tokenizer, tokenizer_folder)
        used: dict[str, int] = {}
        for split in SPLITS:
            log.info("encoding %s", split)
            groups = groups_of(inputs.records, split)
            found = each_of(
                encoder, groups, runtime=settings.runtime, num_here=GROUPS_HERE, folder=outputs.tokens.parent
            )
            writer = StoreWriter(tokens_folder, split, vocabulary_size=tokenizer.vocabulary_size)
            splits[split] = _write(found, writer)
            used[split] = int(writer.is_used.sum())
        facts = {
            "stage": "encode",
            "source": seal["source"],
            "separator_id": tokenizer.separator_id,
            "task": settings.task.learned(choices).model_dump(),
            "context_length": _context_length(settings.task, splits, tokenizer, choices),
        }
        write_seal(tokens_folder, facts)
    repeated = _prompts_in_training(inputs.records, settings.task)
    report = {
        "tokenizer": {"name": settings.tokenizer.name, "vocabulary_size": tokenizer.vocabulary_size},
        "vocabulary_used": used["train"],
        "vocabulary_used_share": used["train"] / tokenizer.vocabulary_size,
        "splits": {
            split: {**counts.report(), "prompts_in_training": repeated[split]} for split, counts in splits.items()
        },
    }
    write_json(outputs.encoding, report)
    return report


def _write(encoded: Iterable[Encoded], writer: StoreWriter) -> Counts:
    """Write a split's store; returns what the report says of it."""
    counts = Counts()
    with writer:
        for rows, more in encoded:
            writer.append(rows)
            counts = counts.plus(more)
        writer.close()
    return counts


def _training_batches(records: Path, task: TaskSettings) -> Iterator[Batch]:
    for group in groups_of(records, "train"):
        yield from batches_of(group, task)


def _training_texts(records: Path, task: TaskSettings) -> Iterator[str]:
    for batch in _training_batches(records, task):
        if task.prompt:
            yield from (task.prompt_of(record) for record in batch.records)
        yield from batch.targets


def _prompts_in_training(records: Path, task: TaskSettings) -> dict[str, int]:
    """How many records of each held-out split have a prompt that a training record has too; 0 without prompts."""
    if not task.prompt:
        return dict.fromkeys(SPLITS, 0)
    hashes = {split: np.concatenate([_NONE, *_prompt_hashes(records, split, task)]) for split in ("validation", "test")}
    held_out = np.unique(np.concatenate(list(hashes.values())))
    is_met = np.zeros(len(held_out), np.bool_)
    for training in _prompt_hashes(records, "train", task) if len(held_out) else ():
        places = np.minimum(np.searchsorted(held_out, training), len(held_out) - 1)
        is_met[places[held_out[places] == training]] = True
    found = {"train": 0, **{split: int(np.isin(own, held_out[is_met]).sum()) for split, own in hashes.items()}}
    if found["test"]:
        log.warning(
            "%d of %s of the test split have their prompt in training too; for files and sets of the hub "
            "source.group_by=COLUMN keeps all with the same value there in one split",
            found["test"],
            counted(len(hashes["test"]), "record"),
        )
    return found


def _prompt_hashes(records: Path, split: str, task: TaskSettings) -> Iterator[NDArray[np.int64]]:
    for group in groups_of(records, split):
        for batch in batches_of(group, task):
            # Python's own: they are compared in this process alone.
            yield np.fromiter((hash(task.prompt_of(record)) for record in batch.records), np.int64)


def _context_length(
    task: TaskSettings, splits: Mapping[str, Counts], tokenizer: Tokenizer, choices: Sequence[str]
) -> int | None:
    """Tokens that a model must read at once to train on every example and answer every prompt; None without prompts."""
    if not task.prompt:
        return None
    longest_prompt = max(counts.longest_prompt for counts in splits.values())
    longest_example = max(splits[split].longest_example for split in ("train", "validation"))
    if task.decoding.name == "ranking":
        longest_answer = max(map(len, tokenizer.encode(choices)))
    else:
        longest_answer = task.decoding.max_new_tokens
    # The separator that everything is read after.
    return 1 + max(longest_example, longest_prompt + longest_answer + 1)


def task_choices(task: TaskSettings, records: Path) -> list[str]:
    """What ranking chooses from: as listed, or else the targets of the training split, sorted; empty otherwise.

    Raises: InputError if the training split has so many targets that they cannot be labels.
    """
    if task.decoding.name != "ranking":
        return []
    if task.choices is not None:
        return list(task.choices)
    found: set[str] = set()
    for batch in _training_batches(records, task):
        found.update(batch.targets)
        if len(found) > MOST_CHOICES:
            raise InputError(
                f"task {task.name}: the training split has more than {MOST_CHOICES:,} different targets, too many to "
                "be labels: map the field that holds the label, or choose a task that writes its answers"
            )
    return sorted(found)
