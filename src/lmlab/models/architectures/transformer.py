"""A Transformer of the shape that other software knows as Qwen3 (Qwen team 2025, Qwen3 technical report, section 2)."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from lmlab.models.architectures.language_model import LanguageModel, Reader, State
from lmlab.models.architectures.normalizing import RmsNorm, is_trained_on_cpu
from lmlab.models.architectures.rotating import Rotation, normed_and_turned, rotary_table

NORM_EPSILON = 1e-6

SHORT_ROW = 128
"""Rows up to this length attend at once where a CPU trains them; what longer ones compute in vain, the later half of
their weights, costs more than that saves (reports/LOG.md)."""

Remember = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes the keys and values of the tokens that are read, gives those of all tokens so far."""


class TransformerLanguageModel(LanguageModel):
    """Pre-norm blocks of grouped-head attention and SwiGLU, rotary positions, tied output.

    State: keys and values of each block, each (batch, key heads, time, head).
    """

    compiles = True
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
        self.heads, self.key_heads, self.head_width = heads, key_heads, head_width
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
        self.norm = RmsNorm(width, eps=NORM_EPSILON)
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
        after: list[Tensor] = []

        def remember(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
            if state is not None:
                index = len(after)
                keys, values = torch.cat([state[index], keys], dim=2), torch.cat([state[index + 1], values], dim=2)
            after.extend([keys, values])
            return keys, values

        return self.read_on(tokens, [remember] * len(self.blocks), past=past), tuple(after)

    def read_on(
        self, tokens: Int[Tensor, "batch time"], memories: Sequence[Remember], *, past: int
    ) -> Float[Tensor, "batch time width"]:
        """The normed stream of the last block after `past` tokens, which each block's memory knows.

        Raises: ValueError if all tokens together are longer than context_length.
        """
        end = past + tokens.shape[1]
        if end > len(self.cosine):
            raise ValueError(f"{end} tokens are more than the model's context_length of {len(self.cosine)}")
        rotation = (self.cosine[past:end], self.sine[past:end])
        hidden = self.dropout(as_products(self.embedding(tokens)))  # (batch, time, width)
        for block, remember in zip(self.blocks, memories, strict=True):
            hidden = block(hidden, rotation, remember)
        return self.norm(hidden)

    def reader(self, *, rows: int, length: int) -> "CachedReader":
        """A reader whose keys and values never move."""
        return CachedReader(self, rows=rows, length=length)

    def logits(self, features: Float[Tensor, "*positions features"]) -> Float[Tensor, "*positions vocabulary"]:
        """By the embedding's own matrix."""
        return functional.linear(features, self.embedding.weight)

    def training_operations(self, *, tokens: int, targets: int, length: int) -> float:
        """With attention's products, of each position with half of a row on average."""
        of_attention = 6.0 * tokens * len(self.blocks) * self.heads * self.head_width * length
        return super().training_operations(tokens=tokens, targets=targets, length=length) + of_attention

    def attention(self, tokens: Int[Tensor, "batch time"]) -> list[Float[Tensor, "batch heads time time"]]:
        """One for each block."""
        rotation = (self.cosine[: tokens.shape[1]], self.sine[: tokens.shape[1]])
        hidden = self.dropout(self.embedding(tokens))  # (batch, time, width)
        weights = []
        for block in self.blocks:
            assert isinstance(block, Block)
            weights.append(block.attention.weights(block.attention_norm(hidden), rotation))
            hidden = block(hidden, rotation, _only_these)
        return weights


class CachedReader(Reader):
    """Writes the keys and values of each token where they stay: nothing that was read is copied again."""

    def __init__(self, model: TransformerLanguageModel, *, rows: int, length: int) -> None:
        self._model = model
        shape = (2, rows, model.key_heads, length, model.head_width)
        self._caches = [model.embedding.weight.new_empty(shape) for _ in model.blocks]
        self._end = 0

    @torch.inference_mode()
    def read(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Read on; the logits of the token after the last."""
        begin, end = self._end, self._end + tokens.shape[1]

        def remember_in(cache: Tensor) -> Remember:
            def remember(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
                cache[0, :, :, begin:end], cache[1, :, :, begin:end] = keys, values
                return cache[0, :, :, :end], cache[1, :, :, :end]

            return remember

        features = self._model.read_on(tokens, [remember_in(cache) for cache in self._caches], past=begin)
        self._end = end
        return self._model.logits(features[:, -1])


def _only_these(keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    return keys, values


class Block(nn.Module):
    """Attention, then feed-forward, each on the normed stream and added to it."""

    def __init__(
        self, width: int, *, heads: int, key_heads: int, head_width: int, feed_forward_width: int, dropout: float
    ) -> None:
        super().__init__()
        self.attention_norm = RmsNorm(width, eps=NORM_EPSILON)
        self.attention = Attention(width, heads=heads, key_heads=key_heads, head_width=head_width)
        self.feed_forward_norm = RmsNorm(width, eps=NORM_EPSILON)
        self.feed_forward = SwiGLU(width, feed_forward_width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, rotation: Rotation, remember: Remember) -> Tensor:
        """The stream after this block."""
        attended = self.attention(self.attention_norm(hidden), rotation, remember)
        hidden = hidden + self.dropout(attended)
        return hidden + self.dropout(self.feed_forward(self.feed_forward_norm(hidden)))


class Attention(nn.Module):
    """Causal attention with fewer key heads than heads, and normed queries and keys."""

    def __init__(self, width: int, *, heads: int, key_heads: int, head_width: int) -> None:
        super().__init__()
        self.head_width = head_width
        self.query = nn.Linear(width, heads * head_width, bias=False)
        self.key = nn.Linear(width, key_heads * head_width, bias=False)
        self.value = nn.Linear(width, key_heads * head_width, bias=False)
        self.output = nn.Linear(heads * head_width, width, bias=False)
        self.query_norm = RmsNorm(head_width, eps=NORM_EPSILON)
        self.key_norm = RmsNorm(head_width, eps=NORM_EPSILON)

    def forward(self, hidden: Tensor, rotation: Rotation, remember: Remember) -> Tensor:
        """What each position found among all so far."""
        query = normed_and_turned(self._split(self.query(hidden)), self.query_norm, rotation)
        keys = normed_and_turned(self._split(self.key(hidden)), self.key_norm, rotation)
        keys, values = remember(keys, self._split(self.value(hidden)).transpose(1, 2))
        found = attend(query, keys, values)  # (batch, heads, time, head)
        return self.output(found.transpose(1, 2).flatten(2))

    def weights(
        self, hidden: Float[Tensor, "batch time width"], rotation: Rotation
    ) -> Float[Tensor, "batch heads time time"]:
        """How much each of these first positions looks at each; the scores that `attend` leaves to torch."""
        query = normed_and_turned(self._split(self.query(hidden)), self.query_norm, rotation)
        keys = normed_and_turned(self._split(self.key(hidden)), self.key_norm, rotation)
        keys = keys.repeat_interleave(query.shape[1] // keys.shape[1], dim=1)  # (batch, heads, time, head)
        scores = query @ keys.transpose(2, 3) / self.head_width**0.5
        later = torch.ones(scores.shape[2:], dtype=torch.bool, device=scores.device).triu(1)
        return scores.masked_fill(later, -torch.inf).softmax(dim=-1)

    def _split(self, projected: Float[Tensor, "batch time features"]) -> Float[Tensor, "batch time heads head"]:
        return projected.unflatten(-1, (-1, self.head_width))


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


def as_products(stream: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch time width"]:
    """The stream, in mixed precision no more precise than the products that are added to it: half of its traffic."""
    device = stream.device.type
    return stream.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else stream


def attend(
    query: Float[Tensor, "batch heads time head"],
    keys: Float[Tensor, "batch key_heads total head"],
    values: Float[Tensor, "batch key_heads total head"],
) -> Float[Tensor, "batch heads time head"]:
    """Causal attention of the last `time` positions over all `total`; heads share key heads in order."""
    time, total = query.shape[2], keys.shape[2]
    if time == total <= SHORT_ROW and is_trained_on_cpu(query):
        return _attend_at_once(query, keys, values)
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


def _attend_at_once(query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Causal attention by products of whole rows: torch's kernel leaves half of two cores idle over short ones."""
    batch, key_heads, time, _ = keys.shape
    sharing = query.shape[1] // key_heads
    later = torch.full((time, time), -torch.inf, dtype=query.dtype).triu(1).repeat(sharing, 1)
    query, keys, values = (part.reshape(batch * key_heads, -1, part.shape[3]) for part in (query, keys, values))
    scores = torch.baddbmm(later, query, keys.mT, alpha=query.shape[2] ** -0.5)  # (.., sharing time, time)
    return (scores.softmax(dim=-1) @ values).view(batch, key_heads * sharing, time, -1)
