"""LSTM and GRU language models of lmlab for transformers: AutoModelForCausalLM loads them with trust_remote_code=True.

The file needs torch and transformers 5.23 or newer, and nothing else.

    tokens -> embedding -> cell (LSTM or GRU) -> [attention over past outputs] -> to_embedding -> lm_head -> logits

Tokens that the attention mask hides are skipped, wherever they stand: they change no state, no output looks at them,
and the logits after them mean nothing.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from transformers import GenerationMixin, PreTrainedConfig, PreTrainedModel
from transformers.cache_utils import Cache
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils.generic import can_return_tuple

CELLS = {"lstm": nn.LSTM, "gru": nn.GRU}


class LmlabRecurrentConfig(PreTrainedConfig):
    """Shape of a recurrent language model."""

    model_type = "lmlab_recurrent"
    attribute_map = {"hidden_size": "width", "num_hidden_layers": "layers"}
    keys_to_ignore_at_inference = ["past_key_values"]

    cell: str = "lstm"
    """lstm or gru."""
    vocab_size: int = 4096
    embedding_width: int = 128
    width: int = 384
    layers: int = 1
    dropout: float = 0.0
    """Of embeddings, between layers and of outputs, in training only."""
    attention_span: int = 0
    """How many outputs, its own with them, each output attends to; 0 turns attention off."""
    use_cache: bool = True
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    pad_token_id: int | None = None
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: object) -> None:
        """Check the cell's name; transformers takes the other keys."""
        if self.cell not in CELLS:
            raise ValueError(f"cell: expected one of {sorted(CELLS)}, found {self.cell!r}")
        super().__post_init__(**kwargs)


class RecurrentState(Cache):
    """What the model knows of the tokens that it has read; a forward pass that is given a state changes it."""

    def __init__(self, config: LmlabRecurrentConfig, *, num_rows: int, like: Tensor) -> None:
        super().__init__(layers=[])
        num_carried = 2 if config.cell == "lstm" else 1
        self.carried = tuple(like.new_zeros(config.layers, num_rows, config.width) for _ in range(num_carried))
        """Hidden, and for an LSTM cell: (layers, batch, width)."""
        self.past = like.new_zeros(num_rows, 0, config.width)
        """With attention, the last outputs that the next may look at, the latest last: (batch, past, width)."""
        self.is_real = like.new_zeros(num_rows, 0, dtype=torch.bool)
        """Which of them are there; rows with fewer are filled at their start: (batch, past)."""
        self.num_positions = 0

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """The number of positions that were read, hidden ones too."""
        del layer_idx
        return self.num_positions

    @property
    def is_croppable(self) -> bool:
        """A recurrent state forgets nothing that it has read."""
        return False

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse: there is no way back."""
        raise NotImplementedError(f"a recurrent state cannot forget the last {tokens_to_remove} tokens: read them anew")

    def reset(self) -> None:
        """Back to before the first token."""
        self._change(lambda carried: torch.zeros_like(carried), lambda past: past[:, :0])
        self.num_positions = 0

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Give each row the state of the row that its beam goes on from."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order."""
        self._change(lambda carried: carried.index_select(1, indices), lambda past: past.index_select(0, indices))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat each row."""
        self._change(
            lambda carried: carried.repeat_interleave(repeats, dim=1),
            lambda past: past.repeat_interleave(repeats, dim=0),
        )

    def _change(self, carried: Callable[[Tensor], Tensor], past: Callable[[Tensor], Tensor]) -> None:
        self.carried = tuple(carried(tensor) for tensor in self.carried)
        self.past, self.is_real = past(self.past), past(self.is_real)


class PastAttention(nn.Module):
    """Each output looks at the `span` outputs up to and with itself, and is mixed with what it finds.

    Source: Luong, Pham and Manning 2015, section 3.1 (general score, on the model's own past).
    """

    def __init__(self, width: int, *, span: int) -> None:
        super().__init__()
        self.span = span
        self.query = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(2 * width, width, bias=False)

    def forward(self, outputs: Tensor, lengths: Tensor, state: RecurrentState) -> Tensor:
        """The mixed outputs (batch, time, width), of which the first `lengths` of each row are real."""
        time, before = outputs.shape[1], state.past.shape[1]
        memory = torch.cat([state.past, outputs], dim=1)  # (batch, past + time, width)
        here = torch.arange(time, device=outputs.device) < lengths.unsqueeze(1)  # (batch, time)
        is_real = torch.cat([state.is_real, here], dim=1)  # (batch, past + time)
        found = functional.scaled_dot_product_attention(
            self.query(outputs).unsqueeze(1),
            memory.unsqueeze(1),
            memory.unsqueeze(1),
            attn_mask=self._visible(is_real, time=time).unsqueeze(1),
        ).squeeze(1)  # (batch, time, width)
        self._keep_last(state, memory, is_real, ends=before + lengths)
        return torch.tanh(self.mix(torch.cat([outputs, found], dim=-1)))

    def _visible(self, is_real: Tensor, *, time: int) -> Tensor:
        total = is_real.shape[1]
        query_position = torch.arange(total - time, total, device=is_real.device).unsqueeze(1)
        key_position = torch.arange(total, device=is_real.device).unsqueeze(0)
        band = (key_position <= query_position) & (key_position > query_position - self.span)  # (time, total)
        # A hidden position sees itself: not every kernel makes a number of a softmax over nothing, and what is none
        # spoils all gradients.
        return band & (is_real.unsqueeze(1) | (key_position == query_position))  # (batch, time, total)

    def _keep_last(self, state: RecurrentState, memory: Tensor, is_real: Tensor, *, ends: Tensor) -> None:
        kept = min(self.span - 1, memory.shape[1])
        places = ends.unsqueeze(1) + torch.arange(-kept, 0, device=memory.device)  # (batch, kept)
        within = places.clamp(min=0)
        state.past = memory.gather(1, within.unsqueeze(-1).expand(-1, -1, memory.shape[2]))
        state.is_real = is_real.gather(1, within) & (places >= 0)


class LmlabRecurrentForCausalLM(PreTrainedModel, GenerationMixin):
    """Embedding, recurrent layers, optional attention over their past outputs, and the tied output matrix."""

    config: LmlabRecurrentConfig
    _input_embed_layer = "embedding"
    _tied_weights_keys = {"lm_head.weight": "embedding.weight"}
    # No speculative decoding, which takes back tokens that were read.
    _is_stateful = True

    def __init__(self, config: LmlabRecurrentConfig) -> None:
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_width)
        self.cell = CELLS[config.cell](
            config.embedding_width,
            config.width,
            config.layers,
            batch_first=True,
            # torch drops between layers only, and warns where there is but one.
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.past_attention = PastAttention(config.width, span=config.attention_span) if config.attention_span else None
        self.to_embedding = nn.Linear(config.width, config.embedding_width, bias=False)
        self.lm_head = nn.Linear(config.embedding_width, config.vocab_size)
        self.dropout = nn.Dropout(config.dropout)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.RNNBase):
            module.reset_parameters()
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=module.embedding_dim**-0.5)
        else:
            super()._init_weights(module)

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: RecurrentState | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: Tensor | int | None = None,
    ) -> CausalLMOutputWithPast:
        """Logits of the token after each of these, the state after the last, and the loss if there are labels.

        input_ids, labels: (batch, time); attention_mask: (batch, time), or (batch, positions read before + time), 0 for
        tokens to skip. Labels are input_ids, -100 where none is to be learned: they are shifted here. logits_to_keep:
        how many of the last positions get logits, 0 for all, or which.
        """
        embedded = self.dropout(self.embedding(input_ids))  # (batch, time, embedding)
        state = past_key_values
        if state is None:
            state = RecurrentState(self.config, num_rows=len(input_ids), like=embedded)
        outputs = self._read(embedded, attention_mask, state)  # (batch, time, width)
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(self.to_embedding(self.dropout(outputs[:, kept])))  # (batch, kept, vocabulary)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits,
                labels=labels,
                vocab_size=self.config.vocab_size,
                num_items_in_batch=num_items_in_batch,
            )
        keeps_state = self.config.use_cache if use_cache is None else use_cache
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=state if keeps_state else None)

    def _read(self, embedded: Tensor, attention_mask: Tensor | None, state: RecurrentState) -> Tensor:
        time = embedded.shape[1]
        state.num_positions += time
        is_read = None if attention_mask is None else attention_mask[:, -time:].bool()  # (batch, time)
        if is_read is None or bool(is_read.all()):
            return self._attend(*self._run_cell(embedded, state), state)
        # The tokens to read come first, in their order, and the others last, where packing leaves them out.
        order = (~is_read).byte().argsort(dim=1, stable=True)
        outputs, lengths = self._run_packed(_reordered(embedded, order), is_read.sum(dim=1), state)
        return _reordered(self._attend(outputs, lengths, state), order.argsort(dim=1))

    def _attend(self, outputs: Tensor, lengths: Tensor, state: RecurrentState) -> Tensor:
        return outputs if self.past_attention is None else self.past_attention(outputs, lengths, state)

    def _run_cell(self, embedded: Tensor, state: RecurrentState) -> tuple[Tensor, Tensor]:
        if isinstance(self.cell, nn.LSTM) and self._is_step(embedded):
            outputs, after = _read_step(self.cell, embedded, state.carried)
        else:
            outputs, after = self.cell(embedded, _as_cell_state(state.carried))
        state.carried = after if isinstance(after, tuple) else (after,)
        return outputs, torch.full((len(outputs),), outputs.shape[1], device=outputs.device)

    def _is_step(self, embedded: Tensor) -> bool:
        # On a CPU torch's LSTM gives all weights another order at every call, which takes longer than one step.
        return (
            embedded.shape[1] == 1 and embedded.device.type == "cpu" and not (torch.is_grad_enabled() or self.training)
        )

    def _run_packed(self, embedded: Tensor, lengths: Tensor, state: RecurrentState) -> tuple[Tensor, Tensor]:
        before = state.carried
        # Packing takes no empty row: one reads a token, and then gets its old state back.
        packed = pack_padded_sequence(embedded, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
        packed_outputs, after = self.cell(packed, _as_cell_state(before))
        outputs, _ = pad_packed_sequence(packed_outputs, batch_first=True, total_length=embedded.shape[1])
        reads = (lengths > 0).view(1, -1, 1)
        after = after if isinstance(after, tuple) else (after,)
        state.carried = tuple(torch.where(reads, new, old) for new, old in zip(after, before, strict=True))
        return outputs, lengths


def _as_cell_state(carried: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Tensor:
    # An LSTM takes a pair, a GRU one tensor; both with each layer's rows side by side in memory.
    hidden, *others = (tensor.contiguous() for tensor in carried)
    return (hidden, *others) if others else hidden


def _read_step(cell: nn.LSTM, embedded: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    outputs, after = embedded[:, 0], []
    for weights, *state in zip(cell.all_weights, *before, strict=True):
        after.append(torch.lstm_cell(outputs, state, *weights))
        outputs = after[-1][0]
    return outputs[:, None], tuple(torch.stack(part) for part in zip(*after, strict=True))


def _reordered(features: Tensor, order: Tensor) -> Tensor:
    return features.gather(1, order.unsqueeze(-1).expand(-1, -1, features.shape[2]))
