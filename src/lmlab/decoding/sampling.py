"""Draw the next token from logits, by small pure functions."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from lmlab.data.task import SamplingSettings as Sampling
from lmlab.errors import InputError
from lmlab.models.architectures.language_model import likeliest

__all__ = ["NO_NUMBERS", "Sampling", "draw"]

NO_NUMBERS = "the model gives no finite numbers: its weights are damaged, or its training went astray"


def draw(
    logits: Float[Tensor, "batch vocabulary"], sampling: Sampling, uniform: Float[Tensor, " batch"] | None
) -> Int[Tensor, " batch"]:
    """One token a row; `uniform` holds a number in [0, 1) for each row and decides alone among what is allowed.

    It may be None at temperature 0, which takes the likeliest token.
    """
    if sampling.temperature == 0:
        return likeliest(logits)
    assert uniform is not None
    probabilities = torch.softmax(logits.double() / sampling.temperature, dim=-1)
    ordered, tokens = probabilities.sort(dim=-1, descending=True, stable=True)
    ordered = keep_top_p(keep_top_k(ordered, sampling.top_k), sampling.top_p)
    cumulative = ordered.cumsum(dim=-1)
    threshold = uniform.double().unsqueeze(-1) * cumulative[:, -1:]
    chosen = (cumulative <= threshold).sum(dim=-1, keepdim=True)
    # Rounding may put the threshold on the total itself, behind the last token that is allowed.
    last = (ordered > 0).sum(dim=-1, keepdim=True) - 1
    if int(last.min()) < 0:
        raise InputError(NO_NUMBERS)
    return tokens.gather(-1, torch.minimum(chosen, last)).squeeze(-1)


def keep_top_k(ordered: Float[Tensor, "batch vocabulary"], k: int) -> Float[Tensor, "batch vocabulary"]:
    """Falling probabilities with all but the first k set to 0; 0 keeps all."""
    if k == 0:
        return ordered
    rank = torch.arange(ordered.shape[-1], device=ordered.device)
    return ordered.masked_fill(rank >= k, 0.0)


def keep_top_p(ordered: Float[Tensor, "batch vocabulary"], p: float) -> Float[Tensor, "batch vocabulary"]:
    """Falling probabilities with all but the fewest first ones that reach the share p of the sum set to 0.

    Source: Holtzman et al. 2020, section 3.1 (nucleus sampling).
    """
    if p == 1:
        return ordered
    before = ordered.cumsum(dim=-1) - ordered
    return ordered.masked_fill(before >= p * ordered.sum(dim=-1, keepdim=True), 0.0)
