"""Where the model looks in the prompt while it writes the target, for a few examples."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lmlab.bundle import Bundle
from lmlab.data.store import TokenStore
from lmlab.evaluation.settings import AttentionSettings


class AttentionPicture(NamedTuple):
    """One example's weights, the mean over all layers and heads."""

    weights: NDArray[np.float32]
    """(target tokens, prompt tokens): how much each target token's prediction looks at each prompt token."""
    prompt_tokens: list[str]
    target_tokens: list[str]


@torch.inference_mode()
def attention_pictures(bundle: Bundle, store: TokenStore, settings: AttentionSettings) -> list[AttentionPicture]:
    """Pictures of short examples spread evenly over the split; none if the model has no attention."""
    lengths = np.diff(store.offsets)
    short = np.flatnonzero((lengths <= settings.max_tokens) & (store.prompt_lengths > 0))
    count = min(settings.num_pictures, len(short))
    pictures = (_picture(bundle, store, int(short[number * len(short) // count])) for number in range(count))
    return [picture for picture in pictures if picture is not None]


def _picture(bundle: Bundle, store: TokenStore, row: int) -> AttentionPicture | None:
    record = store.record(row).tolist()
    tokens = [bundle.tokenizer.separator_id, *record[:-1]]
    device = bundle.model.device
    mean = bundle.model.mean_attention(torch.tensor(tokens, device=device))
    if mean is None:
        return None
    prompt_length = int(store.prompt_lengths[row])
    # Position i of the prompt stands at i + 1, behind the separator; the closing separator predicts the first target.
    weights = mean[prompt_length:, 1:prompt_length].cpu().numpy()

    def shown(tokens: list[int]) -> list[str]:
        return [bundle.tokenizer.token_text(token).strip() or "␣" for token in tokens]

    return AttentionPicture(
        weights,
        shown(record[: prompt_length - 1]),
        shown(record[prompt_length:]),
    )
