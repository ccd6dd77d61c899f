"""LSTM and GRU layers on a CPU where torch's own are slow: over a stretch of time for training, and one token's step.

The first have a backward pass of their own.

    inputs (time, batch, gates)  what each position's input adds to the gates
        |
    for each time: one product with the hidden state, a few operations in place
        |
    outputs (time, batch, width)

The equations are those of torch.nn.LSTM and torch.nn.GRU, in an order that works in place and leaves all of the
gradient of the weights to one product at the end. tanh(x) is written 2 sigmoid(2 x) - 1, which torch computes three
times as fast: what enters the gate of new content must therefore come doubled, weights and inputs (`_doubled`).
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import functional

_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input

NEW = 2
"""Which of the gates holds new content, in torch's orders i, f, g, o and r, z, n alike."""


def pays(cell: nn.LSTM | nn.GRU, tokens: Int[Tensor, "batch time"], embedding: nn.Embedding, *, drops: bool) -> bool:
    """Whether `read_layers` takes less time than the cell itself, where a gradient is wanted.

    Torch computes LSTM with oneDNN at the rate of large products, which only a table of inputs beats, where inputs are
    at least half of the work and rows enough to fill a product (benchmarks/training.py). Its GRU has no such.
    """
    if not (torch.is_grad_enabled() and tokens.device.type == "cpu") or torch.is_autocast_enabled("cpu"):
        return False
    if isinstance(cell, nn.GRU):
        return True
    wide = cell.input_size >= cell.hidden_size and len(tokens) >= 32
    return wide and _has_table(tokens, embedding, drops=drops)


def read_layers(
    cell: nn.LSTM | nn.GRU,
    tokens: Int[Tensor, "batch time"],
    embedding: nn.Embedding,
    before: tuple[Float[Tensor, "layers batch width"], ...] | None,
    *,
    dropout: nn.Dropout,
) -> tuple[Float[Tensor, "batch time width"], tuple[Float[Tensor, "layers batch width"], ...]]:
    """What `cell(dropout(embedding(tokens)), before)` returns, its state always as a tuple."""
    drops = dropout.training and dropout.p > 0
    in_time = tokens.t()
    parts = 2 if isinstance(cell, nn.LSTM) else 1
    if before is None:
        before = (embedding.weight.new_zeros(cell.num_layers, len(tokens), cell.hidden_size),) * parts
    after, outputs = [], None
    for layer in range(cell.num_layers):
        weight, bias = _input_weights(cell, layer)
        if outputs is not None:
            inputs = functional.linear(dropout(outputs), weight, bias)
        elif _has_table(tokens, embedding, drops=drops):
            # Each token adds the same to the gates wherever it stands.
            inputs = functional.embedding(in_time, functional.linear(embedding.weight, weight, bias))
        else:
            inputs = functional.linear(dropout(embedding(in_time)), weight, bias)
        outputs, state = _run_layer(cell, layer, inputs, [part[layer] for part in before])
        after.append(state)
    assert outputs is not None
    return outputs.transpose(0, 1), tuple(torch.stack(part) for part in zip(*after, strict=True))


def is_step(tokens: Int[Tensor, "batch time"]) -> bool:
    """Whether `read_step` takes less time than an LSTM itself, which gives all weights another order at every call."""
    return tokens.shape[1] == 1 and tokens.device.type == "cpu" and not torch.is_grad_enabled()


def read_step(
    cell: nn.LSTM,
    embedded: Float[Tensor, "batch one embedding"],
    before: tuple[Float[Tensor, "layers batch width"], ...] | None,
) -> tuple[Float[Tensor, "batch one width"], tuple[Float[Tensor, "layers batch width"], ...]]:
    """What `cell(embedded, before)` returns for one position where nothing is dropped."""
    outputs = embedded[:, 0]
    if before is None:
        before = (outputs.new_zeros(cell.num_layers, len(outputs), cell.hidden_size),) * 2
    after = []
    for weights, *state in zip(cell.all_weights, *before, strict=True):
        after.append(torch.lstm_cell(outputs, state, *weights))
        outputs = after[-1][0]
    return outputs[:, None], tuple(torch.stack(part) for part in zip(*after, strict=True))


def _has_table(tokens: Tensor, embedding: nn.Embedding, *, drops: bool) -> bool:
    return not drops and 2 * embedding.num_embeddings <= tokens.numel()


def _input_weights(cell: nn.LSTM | nn.GRU, layer: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of what a layer's inputs add to the gates, with all of the recurrent bias that can join it."""
    weight, recurrent = getattr(cell, f"weight_ih_l{layer}"), getattr(cell, f"bias_hh_l{layer}")
    if isinstance(cell, nn.GRU):
        recurrent = recurrent.clone()
        recurrent[NEW * cell.hidden_size :] = 0
    bias = getattr(cell, f"bias_ih_l{layer}") + recurrent
    return _doubled(weight, cell.hidden_size), _doubled(bias, cell.hidden_size)


def _run_layer(
    cell: nn.LSTM | nn.GRU, layer: int, inputs: Tensor, before: list[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    weight, width = _doubled(getattr(cell, f"weight_hh_l{layer}"), cell.hidden_size), cell.hidden_size
    if isinstance(cell, nn.LSTM):
        outputs, last_cell = LstmLayer.apply(inputs, weight, *before)
        return outputs, (outputs[-1], last_cell)
    bias = _doubled(getattr(cell, f"bias_hh_l{layer}"), width)[NEW * width :]
    outputs = GruLayer.apply(inputs, weight, bias, *before)
    return outputs, (outputs[-1],)


def _doubled(gates: Float[Tensor, "gates ..."], width: int) -> Float[Tensor, "gates ..."]:
    """Weights or biases of all gates with those of new content twice as large."""
    scale = gates.new_ones(len(gates))
    scale[NEW * width : (NEW + 1) * width] = 2
    return gates * scale.view(-1, *[1] * (gates.ndim - 1))


class LstmLayer(Function):
    """Outputs of an LSTM layer and the cell state after the last time."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Float[Tensor, "time batch gates"],
        weight: Float[Tensor, "gates width"],
        hidden: Float[Tensor, "batch width"],
        cell: Float[Tensor, "batch width"],
    ) -> tuple[Float[Tensor, "time batch width"], Float[Tensor, "batch width"]]:
        """`inputs` and `weight` are doubled."""
        time, batch, _ = inputs.shape
        width = hidden.shape[1]
        hiddens, cells = (inputs.new_empty(time + 1, batch, width) for _ in range(2))
        squashed = inputs.new_empty(time, batch, width)
        hiddens[0], cells[0] = hidden, cell
        across, flat = weight.t(), torch.empty_like(inputs)
        gates = flat.view(time, batch, 4, width)
        for now in range(time):
            torch.addmm(inputs[now], hiddens[now], across, out=flat[now]).sigmoid_()
            enter, forget, new, leave = gates[now].unbind(1)
            new.mul_(2).sub_(1)
            after = torch.mul(forget, cells[now], out=cells[now + 1]).addcmul_(enter, new)
            small = torch.mul(after, 2, out=squashed[now]).sigmoid_().mul_(2).sub_(1)
            torch.mul(leave, small, out=hiddens[now + 1])
        ctx.save_for_backward(gates, weight, hiddens, cells, squashed)
        return hiddens[1:], cells[-1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients of inputs, weight, hidden and cell."""
        from_outputs, from_cell = gradients
        gates, weight, hiddens, cells, squashed = ctx.saved_tensors
        time, batch, _, width = gates.shape
        slopes = torch.empty_like(gates)
        flat = slopes.view(time, batch, 4 * width)
        of_hidden, of_cell, scratch = torch.zeros_like(hiddens[0]), from_cell.clone(), torch.empty_like(from_cell)
        for now in reversed(range(time)):
            enter, forget, new, leave = gates[now].unbind(1)
            of_enter, of_forget, of_new, of_leave = slopes[now].unbind(1)
            small = squashed[now]
            of_hidden += from_outputs[now]
            torch.mul(of_hidden, small, out=of_leave)
            torch.mul(of_hidden, leave, out=scratch)
            of_cell.add_(scratch).sub_(scratch.mul_(small).mul_(small))
            torch.mul(of_cell, new, out=of_enter)
            torch.mul(of_cell, cells[now], out=of_forget)
            torch.mul(of_cell, enter, out=of_new)
            of_cell *= forget
            # Half of 1 - new * new is what a doubled input moves it by.
            torch.mul(new, new, out=scratch)
            of_new.sub_(scratch.mul_(of_new)).mul_(0.5)
            for begin, end in ((0, 2), (3, 4)):
                part = slopes[now, :, begin:end]
                _sigmoid_backward(part, gates[now, :, begin:end], grad_input=part)
            torch.mm(flat[now], weight, out=of_hidden)
        of_weight = flat.view(time * batch, -1).t() @ hiddens[:-1].view(time * batch, width)
        return flat, of_weight, of_hidden, of_cell


class GruLayer(Function):
    """Outputs of a GRU layer."""

    @staticmethod
    def forward(
        ctx: Any,
        inputs: Float[Tensor, "time batch gates"],
        weight: Float[Tensor, "gates width"],
        bias: Float[Tensor, " width"],
        hidden: Float[Tensor, "batch width"],
    ) -> Float[Tensor, "time batch width"]:
        """`inputs`, `weight` and `bias`, what r multiplies with the hidden state, are doubled."""
        time, batch, _ = inputs.shape
        width = hidden.shape[1]
        hiddens, candidates = inputs.new_empty(time + 1, batch, width), inputs.new_empty(time, batch, width)
        hiddens[0] = hidden
        across_both, across_new = weight[: 2 * width].t(), weight[2 * width :].t()
        gates = torch.empty_like(inputs)
        for now in range(time):
            before, added = hiddens[now], inputs[now]
            both, new = gates[now, :, : 2 * width], gates[now, :, 2 * width :]
            torch.addmm(added[:, : 2 * width], before, across_both, out=both).sigmoid_()
            candidate = torch.addmm(bias, before, across_new, out=candidates[now])
            torch.addcmul(added[:, 2 * width :], both[:, :width], candidate, out=new).sigmoid_().mul_(2).sub_(1)
            torch.lerp(new, before, both[:, width:], out=hiddens[now + 1])
        ctx.save_for_backward(gates, weight, hiddens, candidates)
        return hiddens[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The gradients of inputs, weight, bias and hidden."""
        (from_outputs,) = gradients
        gates, weight, hiddens, candidates = ctx.saved_tensors
        time, batch, _ = gates.shape
        width = hiddens.shape[2]
        of_inputs, of_recurrent = torch.empty_like(gates), torch.empty_like(gates)
        of_hidden, kept, scratch = torch.zeros_like(hiddens[0]), *(torch.empty_like(hiddens[0]) for _ in range(2))
        for now in reversed(range(time)):
            reset, keep, new = gates[now].view(batch, 3, width).unbind(1)
            of_reset, of_keep, of_candidate = of_recurrent[now].view(batch, 3, width).unbind(1)
            of_new = of_inputs[now, :, 2 * width :]
            of_hidden += from_outputs[now]
            torch.mul(of_hidden, keep, out=kept)
            torch.sub(of_hidden, kept, out=of_new)
            # Half of 1 - new * new is what a doubled input moves it by.
            torch.mul(new, new, out=scratch)
            of_new.sub_(scratch.mul_(of_new)).mul_(0.5)
            torch.mul(of_new, candidates[now], out=of_reset)
            torch.sub(hiddens[now], new, out=of_keep).mul_(of_hidden)
            both = of_recurrent[now, :, : 2 * width]
            _sigmoid_backward(both, gates[now, :, : 2 * width], grad_input=both)
            of_inputs[now, :, : 2 * width] = both
            torch.mul(of_new, reset, out=of_candidate)
            torch.addmm(kept, of_recurrent[now], weight, out=of_hidden)
        flat = of_recurrent.view(time * batch, -1)
        of_weight = flat.t() @ hiddens[:-1].view(time * batch, width)
        return of_inputs, of_weight, flat[:, 2 * width :].sum(0), of_hidden
