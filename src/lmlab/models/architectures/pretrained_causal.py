"""Causal models of transformers: GPT-2, Llama, Qwen and their like."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from lmlab.models.architectures.language_model import Reader, State
from lmlab.models.architectures.pretrained import PretrainedLanguageModel, cache_of, state_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class PretrainedCausal(PretrainedLanguageModel):
    """State: keys and values of each layer, each (batch, key heads, time, head)."""

    def __init__(self, inner: "PreTrainedModel", *, origin: Path | None) -> None:
        super().__init__(inner, origin=origin)
        self.context_length = getattr(inner.config, "max_position_embeddings", None)

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """The stream that the output matrix reads, and the state after the last token.

        Raises: ValueError if the state and the tokens together are longer than context_length.
        """
        cache = cache_of(state or ())
        features = self.read_on(tokens, cache)
        return features, state_of(cache)

    def read_on(self, tokens: Int[Tensor, "batch time"], cache: DynamicCache) -> Float[Tensor, "batch time features"]:
        """The stream that the output matrix reads, of tokens that go on after those of the cache, which grows."""
        end = cache.get_seq_length() + tokens.shape[1]
        if self.context_length is not None and end > self.context_length:
            raise ValueError(f"{end} tokens are more than the model's context_length of {self.context_length}")
        read = self.inner.base_model(input_ids=tokens, past_key_values=cache, use_cache=True)
        return read.last_hidden_state

    def reader(self, *, rows: int, length: int) -> Reader:
        """A reader whose keys and values never move."""
        del rows
        return _StayingReader(self, length=length)

    def probe(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of a text as this model gives them, read in two parts, and as transformers gives them."""
        first, state = self(tokens[:, :2])
        second, _ = self(tokens[:, 2:], state)
        return torch.cat([first, second], dim=1), self.inner(input_ids=tokens, use_cache=False).logits


class _StayingReader(Reader):
    def __init__(self, model: PretrainedCausal, *, length: int) -> None:
        self._model = model
        self._cache = DynamicCache()
        self._cache.layer_class_to_replicate = partial(_StayingLayer, length)  # type: ignore[assignment]

    @torch.inference_mode()
    def read(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Read on; the logits of the token after the last."""
        return self._model.logits(self._model.read_on(tokens, self._cache)[:, -1])


class _StayingLayer(DynamicLayer):
    """Writes the keys and values of each token where they stay: nothing that was read is copied again."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, with these at the end."""
        del args, kwargs
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._end = 0
            self._stored = [
                states.new_empty(*states.shape[:2], self._length, states.shape[3])
                for states in (key_states, value_states)
            ]
        begin, self._end = self._end, self._end + key_states.shape[2]
        for stored, states in zip(self._stored, (key_states, value_states), strict=True):
            stored[:, :, begin : self._end] = states
        self.keys, self.values = (stored[:, :, : self._end] for stored in self._stored)
        return self.keys, self.values
