"""Where a model looks in the prompt while it writes its answer."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from lmlab.applying.applier import Applier
from lmlab.charts import visible

MOST_ROWS, MOST_COLUMNS = 60, 100
"""Tokens that a picture shows: many more make a page slow."""


class Picture(NamedTuple):
    """The weights of an answer, the mean over all layers and heads."""

    weights: list[list[float]]
    """A row for each token of the answer, a column for each of the prompt."""
    rows: list[str]
    columns: list[str]
    notes: list[str]
    """What is left out."""


@torch.inference_mode()
def attention_picture(applier: Applier, prompt: Sequence[int], answer: Sequence[int]) -> Picture | None:
    """How much the prediction of each token of the answer looks at each token of the prompt.

    The prompt begins and ends with a separator. None if the model has no attention, or there is nothing to draw.
    """
    bound = applier.model.context_length
    room = len(answer) if bound is None else max(0, bound - len(prompt) + 1)
    rows = answer[: min(room, MOST_ROWS)]
    columns = prompt[1:-1][:MOST_COLUMNS]
    if not rows or not columns:
        return None
    mean = applier.model.mean_attention(torch.tensor([*prompt, *rows[:-1]], device=applier.model.device))
    if mean is None:
        return None
    # The separator that closes the prompt predicts the first token of the answer.
    weights = mean[len(prompt) - 1 :, 1 : len(columns) + 1]
    notes = [
        f"only the first {len(shown)} of {total} tokens of the {what} are drawn"
        for what, shown, total in (("prompt", columns, len(prompt) - 2), ("answer", rows, len(answer)))
        if len(shown) < total
    ]
    return Picture(weights.tolist(), _texts(applier, rows), _texts(applier, columns), notes)


def _texts(applier: Applier, tokens: Sequence[int]) -> list[str]:
    return [visible(applier.tokenizer.token_text(token).strip() or " ") for token in tokens]
