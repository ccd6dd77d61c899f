"""Encoder-decoder models of transformers: T5 and its like, which read a prompt both ways and write the answer after it.

    our stream       <sep>  p  p  <sep>   t   t  [<sep> padding]      one row, as for every model
    encoder reads           p  p  <sep>
    decoder reads                 <start> t   t
    decoder predicts              t       t   <sep>

So the features that a row has from its second separator on are the decoder's; before it there are none.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers.cache_utils import EncoderDecoderCache

from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State
from lmlab.models.architectures.pretrained import PretrainedLanguageModel, cache_of, state_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

UNBOUNDED = 1 << 30
"""An example is read whole, however long it is; None would mean that it may be read in chunks."""
ENCODED_TOKENS = 1 << 14
"""Prompt tokens that are encoded at once, padding included."""


class Encoded(NamedTuple):
    """Prompts as the encoder read them."""

    features: Float[Tensor, "batch length features"]
    mask: Bool[Tensor, "batch length"]
    """False at padding."""


class PretrainedEncoderDecoder(PretrainedLanguageModel):
    """Reads examples whole; it has no state. What `conditioned` gives writes answers, and has one."""

    context_length = UNBOUNDED
    needs_prompts = True

    def __init__(self, inner: "PreTrainedModel", *, origin: Path | None) -> None:
        super().__init__(inner, origin=origin)
        config = inner.config
        self.longest_side: int | None = getattr(config, "max_position_embeddings", None)
        """The most tokens of a prompt, and of an answer; None where there is no such bound."""
        start_id = getattr(config, "decoder_start_token_id", None)
        if start_id is None:
            raise InputError(f"{self.where}: config.json names no decoder_start_token_id, which answers begin with")
        self.start_id: int = start_id
        self._padding_id = getattr(config, "pad_token_id", None) or 0
        scales = getattr(config, "scale_decoder_outputs", False)
        self._scale = config.hidden_size**-0.5 if scales else 1.0

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """The decoder's stream from each row's second separator on, zeros before it; no state.

        A row without a second separator is a prompt, which its last token closes.
        Raises: ValueError if there is a state; InputError if a side is longer than the model can read.
        """
        if state:
            raise ValueError("an encoder-decoder model reads an example whole")
        time = tokens.shape[1]
        places = torch.arange(time, device=tokens.device)
        closing = _closing_places(tokens)  # (batch)
        length = int(closing.max())
        mask = places[:length] < closing.unsqueeze(1)  # (batch, length)
        encoded = self.encode(tokens[:, 1 : length + 1], mask)
        behind = closing.unsqueeze(1) + places[: time - int(closing.min())]  # (batch, answer)
        answers = tokens.gather(1, behind.clamp(max=time - 1))
        answers[:, 0] = self.start_id
        written, _ = self.decode(answers, encoded, EncoderDecoderCache(cache_of(()), cache_of(())))
        where = places - closing.unsqueeze(1)  # (batch, time)
        spread = written.gather(1, where.clamp(min=0).unsqueeze(-1).expand(-1, -1, written.shape[2]))
        return spread.masked_fill((where < 0).unsqueeze(-1), 0.0), ()

    def encode(self, tokens: Int[Tensor, "batch length"], mask: Bool[Tensor, "batch length"]) -> Encoded:
        """Prompts, without the separator before them and with the one that closes them."""
        self._check_length(tokens.shape[1], what="prompt", setting="task.cutting.max_prompt_tokens")
        read = self.inner.get_encoder()(
            input_ids=tokens.masked_fill(~mask, self._padding_id), attention_mask=mask.long()
        )
        return Encoded(read.last_hidden_state, mask)

    def decode(
        self, tokens: Int[Tensor, "batch time"], encoded: Encoded, cache: EncoderDecoderCache
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """The decoder's stream, and the keys and values of the answers, then those of the prompts."""
        end = cache.get_seq_length() + tokens.shape[1]
        self._check_length(end, what="answer", setting="task.decoding.max_new_tokens")
        read = self.inner.get_decoder()(
            input_ids=tokens,
            encoder_hidden_states=encoded.features,
            encoder_attention_mask=encoded.mask.long(),
            past_key_values=cache,
            use_cache=True,
        )
        kept = (*state_of(cache.self_attention_cache), *state_of(cache.cross_attention_cache))
        return read.last_hidden_state * self._scale, kept

    def _check_length(self, length: int, *, what: str, setting: str) -> None:
        if self.longest_side is not None and length > self.longest_side:
            bound = self.longest_side
            raise InputError(f"the {what} has {length} tokens, and the model reads {bound}: lower {setting}")

    @torch.inference_mode()
    def conditioned(self, prompts: Sequence[Sequence[int]]) -> tuple[LanguageModel, list[list[int]]]:
        """The decoder after these prompts, which are encoded once; a row reads the start token first."""
        halves = [divided(prompt) for prompt in prompts]
        encoded = self._encode_all([asked for asked, _ in halves])
        return _Answering(self, encoded), [[self.start_id, *begun] for _, begun in halves]

    def _encode_all(self, prompts: Sequence[Sequence[int]]) -> Encoded:
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        longest = int(lengths.max()) if len(prompts) else 1
        tokens = torch.full((len(prompts), longest), self._padding_id, device=self.device)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.tensor(prompt, device=self.device)
        mask = torch.arange(longest, device=self.device) < lengths.unsqueeze(1)
        rows = max(1, ENCODED_TOKENS // longest)
        cuts = pairwise([*range(0, len(prompts), rows), len(prompts)])
        parts = [self.encode(tokens[begin:end], mask[begin:end]).features for begin, end in cuts]
        return Encoded(torch.cat(parts), mask)

    def training_operations(self, *, tokens: int, targets: int, length: int) -> float:
        """Unknown: how many tokens the encoder reads and how many the decoder is not told apart here."""
        del tokens, targets, length
        return math.nan

    def probe(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of an answer as this model gives them, read in two parts, and as transformers gives them."""
        prompt, answer = tokens[:, :3], tokens.clone()
        answer[:, 0] = self.start_id
        model = _Answering(self, self.encode(prompt, torch.ones_like(prompt, dtype=torch.bool)))
        first, state = model(answer[:, :2])
        second, _ = model(answer[:, 2:], state)
        expected = self.inner(input_ids=prompt, decoder_input_ids=answer, use_cache=False).logits
        return torch.cat([first, second], dim=1), expected


class _Answering(LanguageModel):
    """The decoder after a batch of prompts.

    State: what the encoder made of the prompts (batch, length, features), where that is no padding (batch, length),
    keys and values of each layer over the answers, and over the prompts, each (batch, heads, time, head).
    """

    def __init__(self, model: PretrainedEncoderDecoder, encoded: Encoded) -> None:
        super().__init__()
        self.vocabulary_size = model.vocabulary_size
        self.context_length = model.longest_side
        self._model, self._encoded = model, encoded

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """The decoder's stream, and the state after the last token.

        Raises: ValueError if the first read is not of all rows.
        """
        features, mask, *kept = self._encoded if state is None else state
        if len(tokens) != len(features):
            raise ValueError(f"{len(tokens)} rows are read after {len(features)} prompts")
        half = len(kept) // 2
        cache = EncoderDecoderCache(cache_of(tuple(kept[:half])), cache_of(tuple(kept[half:])))
        written, after = self._model.decode(tokens, Encoded(features, mask), cache)
        return written, (features, mask, *after)

    def logits(self, features: Float[Tensor, "*positions features"]) -> Float[Tensor, "*positions vocabulary"]:
        """As the whole model does."""
        return self._model.logits(features)


def _closing_places(tokens: Int[Tensor, "batch time"]) -> Int[Tensor, " batch"]:
    """Where the prompt of each row ends: at the second of the tokens that it begins with, or else at its end."""
    is_separator = tokens == tokens[:, :1]
    is_separator[:, 0] = False
    first = is_separator.long().argmax(dim=1)
    return torch.where(is_separator.any(dim=1), first, tokens.shape[1] - 1)


def divided(prompt: Sequence[int]) -> tuple[list[int], list[int]]:
    """What the encoder reads of a prompt between separators, and what the answer begins with behind it."""
    separator, *rest = prompt
    end = rest.index(separator) + 1 if separator in rest else len(rest)
    return rest[:end] or [separator], rest[end:]
