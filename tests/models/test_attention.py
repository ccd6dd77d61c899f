"""The attention weights that a model shows, against what its layers find."""

import pytest
import torch
from torch import Tensor

from lmlab.models.architectures.recurrent import RecurrentLanguageModel
from lmlab.models.architectures.transformer import Block, TransformerLanguageModel
from tests.decoding.tiny_models import KINDS, VOCABULARY, tiny_model

TOKENS = torch.randint(0, VOCABULARY, (3, 11), generator=torch.Generator().manual_seed(4))
LAYERS_AND_HEADS = {"transformer": (2, 4), "lstm with attention": (1, 1), "gru with attention": (1, 1)}


def _input_of(module: torch.nn.Module, model: torch.nn.Module) -> Tensor:
    """What the module is given when the model reads TOKENS."""
    seen: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(TOKENS)
    handle.remove()
    return seen[0]


@torch.no_grad()
@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_shares_of_what_stands_before(kind: str) -> None:
    layers, heads = LAYERS_AND_HEADS.get(kind, (0, 0))
    found = tiny_model(kind, seed=0).attention(TOKENS)
    assert [tuple(weights.shape) for weights in found] == [(3, heads, 11, 11)] * layers
    for weights in found:
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, heads, 11, dtype=torch.float64))
        assert bool((weights.triu(1) == 0).all())
        assert bool((weights.diagonal(dim1=2, dim2=3) > 0).all())


@torch.no_grad()
def test_weights_times_values_are_what_a_transformers_layers_find() -> None:
    model = tiny_model("transformer", seed=0)
    assert isinstance(model, TransformerLanguageModel)
    for block, weights in zip(model.blocks, model.attention(TOKENS), strict=True):
        assert isinstance(block, Block)
        values = block.attention.value(_input_of(block.attention.value, model)).unflatten(-1, (2, 4))
        by_head = [weights[:, head] @ values[:, :, head // 2] for head in range(4)]  # two heads share values
        found = _input_of(block.attention.output, model)
        # float64: what is left is the order of summation.
        torch.testing.assert_close(torch.cat(by_head, dim=-1), found, atol=1e-10, rtol=0)


@torch.no_grad()
@pytest.mark.parametrize("kind", ["lstm with attention", "gru with attention"])
def test_weights_times_outputs_are_what_a_recurrent_model_finds(kind: str) -> None:
    model = tiny_model(kind, seed=0)
    assert isinstance(model, RecurrentLanguageModel)
    assert model.past_attention is not None
    outputs, found = _input_of(model.past_attention.mix, model).chunk(2, dim=-1)
    [weights] = model.attention(TOKENS)
    torch.testing.assert_close(weights[:, 0] @ outputs, found, atol=1e-10, rtol=0)
    # A span of five: its own output and the four before it.
    assert bool((weights.tril(-5) == 0).all())
    assert bool((weights.diagonal(-4, dim1=2, dim2=3) > 0).all())
