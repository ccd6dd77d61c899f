"""LSTM and GRU layers on a GPU in mixed precision.

Under autocast torch computes these layers in float16, whichever type was asked for, and float16 has no numbers for
gradients as small as those of one token among many: without the scale here up to half of a gradient is rounding.
Layer by layer, since torch lets cuDNN keep an LSTM's weights on the chip only where it is asked for a single layer.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import Function

SCALE = 1024.0
"""What gradients of the mean loss are multiplied with inside."""


def is_in_half(tokens: Tensor) -> bool:
    """Whether torch would read these in float16."""
    return tokens.device.type == "cuda" and torch.is_autocast_enabled("cuda")


def read_in_half(
    cell: nn.LSTM | nn.GRU,
    embedded: Float[Tensor, "batch time embedding"],
    before: tuple[Float[Tensor, "layers batch width"], ...] | None,
    *,
    dropout: nn.Dropout,
    precision: torch.dtype,
) -> tuple[Float[Tensor, "batch time width"], tuple[Float[Tensor, "layers batch width"], ...]]:
    """What `cell(embedded, before)` returns, its state always as a tuple, its outputs in this precision."""
    if before is None:
        parts = 2 if isinstance(cell, nn.LSTM) else 1
        before = (embedded.new_zeros(cell.num_layers, len(embedded), cell.hidden_size),) * parts
    before = tuple(_entering(part) for part in before)
    outputs, after = _entering(embedded), []
    for layer, weights in enumerate(cell.all_weights):
        inputs = dropout(outputs) if layer else outputs
        entering = [_entering(weight) for weight in weights]
        state = [part[layer : layer + 1] for part in before]
        # Biases, layers, dropout, training, directions, batch first.
        options = (True, 1, 0.0, cell.training, False, True)
        if isinstance(cell, nn.LSTM):
            outputs, *state = torch.lstm(inputs, state, entering, *options)
        else:
            outputs, *state = torch.gru(inputs, state[0], entering, *options)
        after.append(state)
    last = tuple(_leaving(torch.cat(part), embedded.dtype) for part in zip(*after, strict=True))
    return _leaving(outputs, precision), last


def _entering(values: Tensor) -> Tensor:
    return _ScaleGradient.apply(values, 1 / SCALE)


def _leaving(values: Tensor, precision: torch.dtype) -> Tensor:
    # The type first: the gradient is scaled before it becomes float16.
    return _ScaleGradient.apply(values.to(precision), SCALE)


class _ScaleGradient(Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient * ctx.factor, None
