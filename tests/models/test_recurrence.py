"""The layers that train, against torch's own cells."""

import pytest
import torch
from torch import Tensor, nn

from lmlab.models.architectures.normalizing import RmsNorm
from lmlab.models.architectures.recurrence import pays, read_layers, read_step
from lmlab.models.architectures.recurrence_in_half import read_in_half
from tests.decoding.tiny_models import VOCABULARY, tiny_model

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}
KEEP_ALL = nn.Dropout(0.0)


def _cell(kind: str, *, layers: int) -> tuple[nn.LSTM | nn.GRU, nn.Embedding]:
    torch.manual_seed(0)
    return CELLS[kind](4, 6, layers, batch_first=True).double(), nn.Embedding(5, 4).double()


def _begin(kind: str, *, layers: int) -> tuple[Tensor, ...]:
    return tuple(
        torch.randn(layers, 3, 6, dtype=torch.float64, requires_grad=True) for _ in range(2 if kind == "lstm" else 1)
    )


def _loss(outputs: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    return outputs.sin().sum() + sum((part**2).sum() for part in state)


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("num_tokens", [7, 2], ids=["table of inputs", "inputs by position"])
@pytest.mark.parametrize("kind", CELLS)
def test_outputs_state_and_gradients_are_those_of_torch(
    kind: str, num_tokens: int, layers: int, *, with_state: bool
) -> None:
    cell, embedding = _cell(kind, layers=layers)
    tokens = torch.randint(0, 5, (3, num_tokens))
    before = _begin(kind, layers=layers) if with_state else None
    _assert_as_torch(
        read_layers(cell, tokens, embedding, before, dropout=KEEP_ALL), cell, embedding, tokens=tokens, before=before
    )


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("kind", CELLS)
def test_layers_in_half_precision_are_those_of_torch_where_nothing_is_rounded(kind: str, *, with_state: bool) -> None:
    cell, embedding = _cell(kind, layers=2)
    tokens = torch.randint(0, 5, (3, 7))
    before = _begin(kind, layers=2) if with_state else None
    found = read_in_half(cell, embedding(tokens), before, dropout=KEEP_ALL, precision=torch.float64)
    _assert_as_torch(found, cell, embedding, tokens=tokens, before=before)


def _assert_as_torch(
    found: tuple[Tensor, tuple[Tensor, ...]],
    cell: nn.LSTM | nn.GRU,
    embedding: nn.Embedding,
    *,
    tokens: Tensor,
    before: tuple[Tensor, ...] | None,
) -> None:
    weights = [*(before or ()), *cell.parameters(), embedding.weight]
    state = before if before is None or isinstance(cell, nn.LSTM) else before[0]
    expected_outputs, expected_state = cell(embedding(tokens), state)
    expected_state = expected_state if isinstance(cell, nn.LSTM) else (expected_state,)
    torch.testing.assert_close(found, (expected_outputs, expected_state))
    expected = torch.autograd.grad(_loss(expected_outputs, expected_state), weights)
    for gradient, wanted in zip(torch.autograd.grad(_loss(*found), weights), expected, strict=True):
        torch.testing.assert_close(gradient, wanted)


@pytest.mark.parametrize("with_state", [True, False])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_of_an_lstm_is_that_of_torch(layers: int, *, with_state: bool) -> None:
    cell, embedding = _cell("lstm", layers=layers)
    assert isinstance(cell, nn.LSTM)
    embedded = embedding(torch.randint(0, 5, (3, 1)))
    hidden, content = _begin("lstm", layers=layers)
    before = (hidden, content) if with_state else None
    torch.testing.assert_close(read_step(cell, embedded, before), cell(embedded, before))


def test_dropout_stands_where_torch_has_it() -> None:
    cell, embedding = _cell("gru", layers=2)
    tokens = torch.randint(0, 5, (3, 7))
    everything = nn.Dropout(1.0)
    outputs, _ = read_layers(cell, tokens, embedding, None, dropout=everything)
    # Nothing is left of the embedding, nor of what the first layer hands to the second: all rows are alike.
    torch.testing.assert_close(outputs, outputs[:1].expand_as(outputs))
    assert not torch.equal(outputs, read_layers(cell, tokens, embedding, None, dropout=KEEP_ALL)[0])


def test_a_layer_of_ours_is_taken_only_where_it_is_faster() -> None:
    gru, embedding = _cell("gru", layers=1)
    narrow, wide = nn.LSTM(4, 6), nn.LSTM(6, 6)
    many, few = torch.zeros(32, 5, dtype=torch.int64), torch.zeros(1, 5, dtype=torch.int64)
    assert pays(gru, few, embedding, drops=True)
    assert pays(wide, many, embedding, drops=False)
    assert not pays(narrow, many, embedding, drops=False)
    assert not pays(wide, many[:31], embedding, drops=False)
    assert not pays(wide, many[:, :0], embedding, drops=False)
    assert not pays(wide, many, embedding, drops=True)
    with torch.no_grad():
        assert not pays(gru, many, embedding, drops=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not pays(gru, many, embedding, drops=False)


@pytest.mark.parametrize("kind", ["lstm", "gru", "lstm with attention", "gru with attention"])
def test_a_model_reads_alike_with_and_without_gradients(kind: str) -> None:
    model = tiny_model(kind, seed=0)
    tokens = torch.randint(0, VOCABULARY, (8, 40))
    _, state = model(tokens)
    with torch.no_grad():
        expected_logits, _ = model(tokens, model(tokens)[1])
    torch.testing.assert_close(model(tokens, state)[0], expected_logits)


def test_normalization_has_torchs_values_and_gradients() -> None:
    norm = RmsNorm(6, eps=1e-6).double()
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    x = torch.randn(3, 5, 6, dtype=torch.float64, requires_grad=True)
    expected = nn.functional.rms_norm(x, (6,), norm.weight, 1e-6)
    torch.testing.assert_close(norm(x), expected)
    wanted = torch.autograd.grad(expected.sin().sum(), [x, norm.weight])
    for found, gradient in zip(torch.autograd.grad(norm(x).sin().sum(), [x, norm.weight]), wanted, strict=True):
        torch.testing.assert_close(found, gradient)
    with torch.no_grad():
        torch.testing.assert_close(norm(x), expected)
