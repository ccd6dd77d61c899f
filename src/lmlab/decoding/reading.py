"""Prompts in batches of about equal length, and how they are read: each once."""

from collections.abc import Iterator, Sequence

from jaxtyping import Float, Int
from torch import Tensor

from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State


def batches_by_length(prompts: Sequence[Sequence[int]], *, rows: int) -> Iterator[list[int]]:
    """Numbers of the prompts, longest first, in batches of at most `rows` (at least one)."""
    order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
    rows = max(1, rows)
    for begin in range(0, len(order), rows):
        yield order[begin : begin + rows]


def read_prompts(
    model: LanguageModel, tokens: Int[Tensor, "batch time"]
) -> tuple[Float[Tensor, "batch vocabulary"], State]:
    """Logits of the token after the last, and the state after it."""
    features, state = model.read(tokens)
    return model.logits(features[:, -1]), state


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
