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
    encoded = tokenizer.encode([task.prompt_of(record) for record in records])
    limit, num_cut = task.cutting.max_prompt_tokens, 0
    if limit is not None:
        for row, ids in enumerate(encoded):
            if len(ids) > limit:
                encoded[row] = _cut_prompt(task, records[row], names[row], tokenizer, limit=limit)
                num_cut += 1
    return EncodedPrompts([[*ids, tokenizer.separator_id] for ids in encoded], num_cut)


def _cut_prompt(
    task: Answering, record: Mapping[str, str], name: str, tokenizer: Tokenizer, *, limit: int
) -> list[int]:
    field = task.cutting.field
    assert field is not None
    kept = limit
    while True:
        shortened = tokenizer.cut(record[field], max_tokens=kept, side=task.cutting.side)
        [ids] = tokenizer.encode([task.prompt_of({**record, field: shortened})])
        if len(ids) <= limit:
            return ids
        if kept == 0:
            raise InputError(
                f"record {name}: its prompt has {len(ids)} tokens without the field '{field}', more than "
                f"task.cutting.max_prompt_tokens ({limit}): raise that, or choose another task.cutting.field"
            )
        kept = max(0, kept - (len(ids) - limit))
