"""The Transformer's parts as a CPU trains them, against torch's own operations."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lmlab.models.architectures.normalizing import RmsNorm
from lmlab.models.architectures.rotating import normed_and_turned, rotary_table
from lmlab.models.architectures.transformer import SHORT_ROW, attend
from tests.decoding.tiny_models import VOCABULARY, tiny_model


def _leaf(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


def _assert_same(found: Tensor, expected: Tensor, leaves: Sequence[Tensor]) -> None:
    """The same values, and the same gradients of the leaves."""
    torch.testing.assert_close(found, expected)
    gradients = torch.autograd.grad(found.sin().sum(), leaves)
    for of_found, wanted in zip(gradients, torch.autograd.grad(expected.sin().sum(), leaves), strict=True):
        torch.testing.assert_close(of_found, wanted)


def test_queries_are_normed_then_turned_by_their_position() -> None:
    torch.manual_seed(0)
    norm = RmsNorm(8, eps=1e-6).double()
    nn.init.uniform_(norm.weight, 0.5, 1.5)
    cosine, sine = (table.double() for table in rotary_table(5, 8, base=100.0))
    heads = _leaf(2, 5, 3, 8)
    normed = functional.rms_norm(heads.transpose(1, 2), (8,), norm.weight, 1e-6)
    turned = torch.complex(*normed.chunk(2, dim=-1)) * torch.complex(cosine[:, :4], sine[:, :4])
    expected = torch.cat([turned.real, turned.imag], dim=-1)
    _assert_same(normed_and_turned(heads, norm, (cosine, sine)), expected, [heads, norm.weight])
    with torch.no_grad():
        torch.testing.assert_close(normed_and_turned(heads, norm, (cosine, sine)), expected)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, SHORT_ROW, SHORT_ROW + 1])
def test_attention_over_short_and_long_rows_is_torchs(length: int, key_heads: int) -> None:
    torch.manual_seed(0)
    query, keys, values = _leaf(2, 4, length, 6), _leaf(2, key_heads, length, 6), _leaf(2, length, key_heads, 6)
    found = attend(query, keys, values.transpose(1, 2))
    expected = functional.scaled_dot_product_attention(
        query, keys, values.transpose(1, 2), is_causal=True, enable_gqa=True
    )
    _assert_same(found, expected, [query, keys, values])


def test_a_transformer_reads_alike_with_and_without_gradients() -> None:
    model = tiny_model("transformer", seed=0)
    tokens = torch.randint(0, VOCABULARY, (4, 12))
    with torch.no_grad():
        expected, state = model(tokens)
    logits, state_with_gradients = model(tokens)
    torch.testing.assert_close(logits, expected)
    torch.testing.assert_close(state_with_gradients, state)
