"""A Transformer of the shape that other software knows as Qwen3 (Qwen team 2025, Qwen3 technical report, section 2)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from lmlab.models.architectures.language_model import LanguageModel, State

NORM_EPSILON = 1e-6


class TransformerLanguageModel(LanguageModel):
    """Pre-norm blocks of grouped-head attention and SwiGLU, rotary positions, tied output.

    State: keys and values of each block, each (batch, key heads, time, head).
    """

    cosine: Tensor
    sine: Tensor

    def __init__(
        self,
        *,
        vocabulary_size: int,
        width: int,
        layers: int,
        heads: int,
        key_heads: int,
        head_width: int,
        feed_forward_width: int,
        context_length: int,
        rotary_base: float,
        dropout: float,
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.context_length = context_length
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.blocks = nn.ModuleList(
            Block(
                width,
                heads=heads,
                key_heads=key_heads,
                head_width=head_width,
                feed_forward_width=feed_forward_width,
                dropout=dropout,
            )
            for _ in range(layers)
        )
        self.norm = nn.RMSNorm(width, eps=NORM_EPSILON)
        self.dropout = nn.Dropout(dropout)
        cosine, sine = rotary_table(context_length, head_width, base=rotary_base)
        self.register_buffer("cosine", cosine, persistent=False)
        self.register_buffer("sine", sine, persistent=False)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
            if isinstance(module, Block):
                # Blocks begin as the identity, which trains faster at the start (Zhang et al. 2019, Fixup).
                nn.init.zeros_(module.attention.output.weight)
                nn.init.zeros_(module.feed_forward.down.weight)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """The normed stream of the last block, and the state after the last token.

        Raises: ValueError if the state and the tokens together are longer than context_length.
        """
        past = 0 if state is None else state[0].shape[2]
        end = past + tokens.shape[1]
        if end > len(self.cosine):
            raise ValueError(f"{end} tokens are more than the model's context_length of {len(self.cosine)}")
        rotation = (self.cosine[past:end], self.sine[past:end])
        hidden = self.dropout(self.embedding(tokens))  # (batch, time, width)
        after: list[Tensor] = []
        for index, block in enumerate(self.blocks):
            memory = None if state is None else (state[2 * index], state[2 * index + 1])
            hidden, keys, values = block(hidden, rotation, memory)
            after += [keys, values]
        return self.norm(hidden), tuple(after)

    def logits(self, features: Float[Tensor, "*positions features"]) -> Float[Tensor, "*positions vocabulary"]:
        """By the embedding's own matrix."""
        return functional.linear(features, self.embedding.weight)

    def attention(self, tokens: Int[Tensor, "batch time"]) -> list[Float[Tensor, "batch heads time time"]]:
        """One for each block."""
        rotation = (self.cosine[: tokens.shape[1]], self.sine[: tokens.shape[1]])
        hidden = self.dropout(self.embedding(tokens))  # (batch, time, width)
        weights = []
        for block in self.blocks:
            assert isinstance(block, Block)
            weights.append(block.attention.weights(block.attention_norm(hidden), rotation))
            hidden, _, _ = block(hidden, rotation, None)
        return weights


class Block(nn.Module):
    """Attention, then feed-forward, each on the normed stream and added to it."""

    def __init__(
        self, width: int, *, heads: int, key_heads: int, head_width: int, feed_forward_width: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads=heads, key_heads=key_heads, head_width=head_width)
        self.feed_forward_norm = nn.RMSNorm(width, eps=NORM_EPSILON)
        self.feed_forward = SwiGLU(width, feed_forward_width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: Tensor, rotation: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The stream after this block, and its keys and values with those before them."""
        attended, keys, values = self.attention(self.attention_norm(hidden), rotation, memory)
        hidden = hidden + self.dropout(attended)
        hidden = hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))
        return hidden, keys, values


class Attention(nn.Module):
    """Causal attention with fewer key heads than heads, and normed queries and keys."""

    def __init__(self, width: int, *, heads: int, key_heads: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key = nn.Linear(width, key_heads * head_width, bias=False)
        self.value = nn.Linear(width, key_heads * head_width, bias=False)
        self.output = nn.Linear(heads * head_width, width, bias=False)
        self.query_norm = nn.RMSNorm(head_width, eps=NORM_EPSILON)
        self.key_norm = nn.RMSNorm(head_width, eps=NORM_EPSILON)

    def forward(
        self, hidden: Tensor, rotation: tuple[Tensor, Tensor], memory: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What each position found, and all keys and values so far."""
        query = rotate(self.query_norm(self._split(self.query(hidden))), rotation)  # (batch, heads, time, head)
        keys = rotate(self.key_norm(self._split(self.key(hidden))), rotation)  # (batch, key heads, time, head)
        values = self._split(self.value(hidden))  # (batch, key heads, time, head)
        if memory is not None:
            keys, values = torch.cat([memory[0], keys], dim=2), torch.cat([memory[1], values], dim=2)
        found = attend(query, keys, values)  # (batch, heads, time, head)
        return self.output(found.transpose(1, 2).flatten(2)), keys, values

    def weights(
        self, hidden: Float[Tensor, "batch time width"], rotation: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "batch heads time time"]:
        """How much each of these first positions looks at each; the scores that `attend` leaves to torch."""
        query = rotate(self.query_norm(self._split(self.query(hidden))), rotation)  # (batch, heads, time, head)
        keys = rotate(self.key_norm(self._split(self.key(hidden))), rotation)  # (batch, key heads, time, head)
        keys = keys.repeat_interleave(query.shape[1] // keys.shape[1], dim=1)  # (batch, heads, time, head)
        scores = query @ keys.transpose(2, 3) / self.head_width**0.5
        later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(later, -torch.inf).softmax(dim=-1)

    def _split(self, projected: Tensor) -> Tensor:
        return projected.unflatten(-1, (-1, self.head_width)).transpose(1, 2)


class SwiGLU(nn.Module):
    """Feed-forward with a gate (Shazeer 2020)."""

    def __init__(self, width: int, inner_width: int) -> None:
        super().__init__()
        self.gate = nn.Linear(width, inner_width, bias=False)
        self.up = nn.Linear(width, inner_width, bias=False)
        self.down = nn.Linear(inner_width, width, bias=False)

    def forward(self, hidden: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
        """The same shape, each position by itself."""
        return self.down(functional.silu(self.gate(hidden)) * self.up(hidden))


def attend(
    query: Float[Tensor, "batch heads time head"],
    keys: Float[Tensor, "batch key_heads total head"],
    values: Float[Tensor, "batch key_heads total head"],
) -> Float[Tensor, "batch heads time head"]:
    """Causal attention of the last `time` positions over all `total`; heads share key heads in order."""
    time, total = query.shape[2], keys.shape[2]
    visible = None
    if 1 < time < total:
        visible = torch.ones(time, total, dtype=torch.bool, device=query.device).tril(total - time)
    return functional.scaled_dot_product_attention(
        query,
        keys,
        values,
        attn_mask=visible,
        is_causal=time == total and time > 1,
        enable_gqa=query.shape[1] != keys.shape[1],
    )


def rotary_table(length: int, head_width: int, *, base: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, head) of rotary positions (Su et al. 2021), halves side by side."""
    frequency = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency).repeat(1, 2)  # (length, head)
    return angle.cos().float(), angle.sin().float()


def rotate(heads: Float[Tensor, "batch heads time head"], rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys turned by their positions; same shape."""
    first, second = heads.chunk(2, dim=-1)
    cosine, sine = rotation
    return heads * cosine + torch.cat([-second, first], dim=-1) * sine
