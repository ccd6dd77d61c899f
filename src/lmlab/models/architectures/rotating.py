"""Rotary positions: queries and keys turned by where they stand."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from lmlab.models.architectures.normalizing import RmsNorm, gradients_of_normed, inverse_rms, is_trained_on_cpu

Rotation = tuple[Float[Tensor, "time head"], Float[Tensor, "time head"]]
"""Cosines and sines of the positions."""


def rotary_table(length: int, head_width: int, *, base: float) -> Rotation:
    """Of the first positions (Su et al. 2021), halves side by side."""
    frequency = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency).repeat(1, 2)  # (length, head)
    return angle.cos().float(), angle.sin().float()


def normed_and_turned(
    heads: Float[Tensor, "batch time heads head"], norm: RmsNorm, rotation: Rotation
) -> Float[Tensor, "batch heads time head"]:
    """Queries or keys, normed and turned by their positions, in fewer passes where a CPU trains them."""
    if is_trained_on_cpu(heads):
        return _NormedAndTurned.apply(heads, norm.weight, norm.eps, *rotation)
    return _turned(norm(heads.transpose(1, 2)), *rotation)


def _turned(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    first, second = heads.chunk(2, dim=-1)
    return heads * cosine + torch.cat([-second, first], dim=-1) * sine


class _NormedAndTurned(Function):
    @staticmethod
    def forward(ctx: Any, heads: Tensor, weight: Tensor, epsilon: float, cosine: Tensor, sine: Tensor) -> Tensor:
        factor = inverse_rms(heads, epsilon)
        normed = heads * factor
        ctx.save_for_backward(normed, factor, weight, cosine, sine)
        # The weight goes into the tables, which are small.
        of_first, of_second = weight.chunk(2)
        sine_of_first, sine_of_second = sine.chunk(2, dim=-1)
        weighted_sine = torch.cat([sine_of_first * of_second, sine_of_second * of_first], dim=-1)
        return _turn_and_transpose(normed, cosine * weight, weighted_sine)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        normed, factor, weight, cosine, sine = ctx.saved_tensors
        of_weighted = _turn_and_transpose(gradients[0], cosine.unsqueeze(1), -sine.unsqueeze(1))
        return *gradients_of_normed(of_weighted, normed, factor, weight), None, None, None


def _turn_and_transpose(heads: Float[Tensor, "batch a b head"], cosine: Tensor, sine: Tensor) -> Tensor:
    """As `_turned`, of heads with time and number exchanged, without its passes for a negative and exchanged halves.

    The sines of the two halves may differ.
    """
    heads = heads.transpose(1, 2)
    result = torch.mul(heads, cosine, out=torch.empty(heads.shape, dtype=heads.dtype))
    (first, second), (sine_of_first, sine_of_second) = heads.chunk(2, dim=-1), sine.chunk(2, dim=-1)
    of_first, of_second = result.chunk(2, dim=-1)
    of_first.addcmul_(second, sine_of_first, value=-1)
    of_second.addcmul_(first, sine_of_second)
    return result
