"""Prompts in batches of about equal length, and what a model can read."""

from collections.abc import Iterator, Sequence

from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel


def batches_by_length(prompts: Sequence[Sequence[int]], *, rows: int) -> Iterator[list[int]]:
    """Numbers of the prompts, longest first, in batches of at most `rows` (at least one)."""
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    rows = max(1, rows)
    for begin in range(0, len(order), rows):
        yield order[begin : begin + rows]


def conditioned(
    model: LanguageModel, prompts: Sequence[Sequence[int]], *, new_tokens: int
) -> tuple[LanguageModel, list[list[int]]]:
    """The model that answers these prompts with up to `new_tokens` tokens, and what its rows read first.

    Raises: as `check_prompts`.
    """
    answering, starts = model.conditioned(prompts)
    check_prompts(answering, starts, new_tokens=new_tokens)
    return answering, starts


def check_prompts(model: LanguageModel, prompts: Sequence[Sequence[int]], *, new_tokens: int) -> None:
    """Refuse an empty prompt, and one that with an answer of `new_tokens` is more than the model can read.

    Raises: ValueError if a prompt is empty, InputError if one is too long. The last new token is never read.
    """
    if any(len(prompt) == 0 for prompt in prompts):
        raise ValueError("a prompt is empty: begin it with the separator")
    longest = max(map(len, prompts), default=0)
    bound = model.context_length
    if bound is not None and longest + new_tokens - 1 > bound:
        raise InputError(
            f"decoding: a prompt of {longest} tokens and an answer of up to {new_tokens} are more than the {bound} "
            "tokens that the model can read at once: lower task.cutting.max_prompt_tokens or "
            "task.decoding.max_new_tokens"
        )
