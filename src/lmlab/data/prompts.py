"""Prompts and targets as tokens: what a model reads of a record, and what it is to answer.

    task with a prompt      prompt... <sep> target... <sep>
    task without            target... <sep>

A prompt that is too long loses text of one field, as the task says, and is counted.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from lmlab.data.task import Answering
from lmlab.data.tokenizer import Tokenizer
from lmlab.errors import InputError

CUT_AT_ONCE = 256


class EncodedPrompts(NamedTuple):
    """The tokens of each prompt with the separator that closes it, and how many prompts were cut."""

    ids: list[list[int]]
    num_cut: int


def encode_prompts(
    task: Answering, records: Sequence[Mapping[str, str]], names: Sequence[str], tokenizer: Tokenizer
) -> EncodedPrompts:
    """The prompts of these records; `names` says which record an error is about.

    Raises: InputError if a prompt stays too long with its field cut down to nothing.
    """
    if not task.prompt:
        return EncodedPrompts([[] for _ in records], 0)
    encoded = tokenizer.encode_flat([task.prompt_of(record) for record in records]).rows()
    limit = task.cutting.max_prompt_tokens
    too_long = [row for row, ids in enumerate(encoded) if limit is not None and len(ids) > limit]
    for start in range(0, len(too_long), CUT_AT_ONCE):
        rows = too_long[start : start + CUT_AT_ONCE]
        cut = _cut_prompts(task, [records[row] for row in rows], [names[row] for row in rows], tokenizer)
        for row, ids in zip(rows, cut, strict=True):
            encoded[row] = ids
    return EncodedPrompts([[*ids, tokenizer.separator_id] for ids in encoded], len(too_long))


def _cut_prompts(
    task: Answering, records: Sequence[Mapping[str, str]], names: Sequence[str], tokenizer: Tokenizer
) -> list[list[int]]:
    """The tokens of prompts that are too long with their field cut until they are not, all of them round by round."""
    field, limit = task.cutting.field, task.cutting.max_prompt_tokens
    assert field is not None
    assert limit is not None
    cutters = tokenizer.cutters([record[field] for record in records], side=task.cutting.side)
    kept = [limit] * len(records)
    found: list[list[int]] = [[] for _ in records]
    waiting = list(range(len(records)))
    while waiting:
        prompts = [task.prompt_of({**records[row], field: cutters[row](kept[row])}) for row in waiting]
        for row, ids in zip(waiting, tokenizer.encode_flat(prompts).rows(), strict=True):
            found[row] = ids
            if len(ids) > limit and kept[row] == 0:
                raise InputError(
                    f"record {names[row]}: its prompt has {len(ids)} tokens without the field '{field}', more than "
                    f"task.cutting.max_prompt_tokens ({limit}): raise that, or choose another task.cutting.field"
                )
        waiting = [row for row in waiting if len(found[row]) > limit]
        for row in waiting:
            kept[row] = max(0, kept[row] - (len(found[row]) - limit))
    return found
