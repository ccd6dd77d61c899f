"""LSTM and GRU language models, with optional attention over their own past outputs."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from lmlab.models.architectures.language_model import LanguageModel, State
from lmlab.models.architectures.recurrence import is_step, pays, read_layers, read_step
from lmlab.models.architectures.recurrence_in_half import is_in_half, read_in_half
from lmlab.models.architectures.settings import RecurrentSettings


def recurrent_language_model(
    cell_class: type[nn.LSTM] | type[nn.GRU], settings: RecurrentSettings, *, vocabulary_size: int
) -> "RecurrentLanguageModel":
    """A model of this cell with fresh weights from torch's global random state."""
    cell = cell_class(
        settings.embedding_width,
        settings.width,
        settings.layers,
        batch_first=True,
        # torch drops between layers only, and warns where there is but one.
        dropout=settings.dropout if settings.layers > 1 else 0.0,
    )
    return RecurrentLanguageModel(
        cell,
        vocabulary_size=vocabulary_size,
        embedding_width=settings.embedding_width,
        dropout=settings.dropout,
        attention_span=settings.attention_span,
    )


class RecurrentLanguageModel(LanguageModel):
    """Embedding, recurrent layers, optional attention, tied output.

    State: one tensor (batch, layers, width) for each that the cell carries (hidden; for LSTM also cell), then,
    with attention, the last outputs that it may look back on (batch, time, width).
    """

    context_length = None

    def __init__(
        self,
        cell: nn.LSTM | nn.GRU,
        *,
        vocabulary_size: int,
        embedding_width: int,
        dropout: float,
        attention_span: int,
    ) -> None:
        super().__init__()
        self.vocabulary_size = vocabulary_size
        self.embedding = nn.Embedding(vocabulary_size, embedding_width)
        self.cell = cell
        self.past_attention = PastAttention(cell.hidden_size, span=attention_span) if attention_span else None
        self.to_embedding = nn.Linear(cell.hidden_size, embedding_width, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(vocabulary_size))
        self.dropout = nn.Dropout(dropout)
        self._initialize()

    def _initialize(self) -> None:
        nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)
        for name, parameter in self.cell.named_parameters():
            if "weight_hh" in name:
                for gate in parameter.data.split(self.cell.hidden_size):
                    nn.init.orthogonal_(gate)
            elif "weight_ih" in name:
                nn.init.xavier_uniform_(parameter)
            else:
                nn.init.zeros_(parameter)
            if isinstance(self.cell, nn.LSTM) and "bias_ih" in name:
                # A forget gate that starts open carries gradients over long spans (Jozefowicz et al. 2015).
                parameter.data[self.cell.hidden_size : 2 * self.cell.hidden_size] = 1.0

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """The outputs brought to the embedding's width, and the state after the last token."""
        outputs, cell_state, past = self._run_cell(tokens, state)
        if self.past_attention is not None:
            outputs, past = self.past_attention(outputs, past)
        return self.to_embedding(self.dropout(outputs)), (*cell_state, *past)

    def logits(self, features: Float[Tensor, "*positions features"]) -> Float[Tensor, "*positions vocabulary"]:
        """By the embedding's own matrix, and a bias."""
        return functional.linear(features, self.embedding.weight, self.output_bias)

    def attention(self, tokens: Int[Tensor, "batch time"]) -> list[Float[Tensor, "batch heads time time"]]:
        """One layer with one head, or none."""
        if self.past_attention is None:
            return []
        outputs, _, _ = self._run_cell(tokens, None)
        return [self.past_attention.weights(outputs)]

    def _run_cell(self, tokens: Int[Tensor, "batch time"], state: State | None) -> tuple[Tensor, State, State]:
        """Outputs (batch, time, width), the state of the cell, and what attention may look back on."""
        carried = 2 if isinstance(self.cell, nn.LSTM) else 1
        # The cell wants (layers, batch, width).
        before = None if state is None else tuple(part.transpose(0, 1).contiguous() for part in state[:carried])
        drops = self.dropout.training and self.dropout.p > 0
        if pays(self.cell, tokens, self.embedding, drops=drops):
            outputs, after = read_layers(self.cell, tokens, self.embedding, before, dropout=self.dropout)
        elif isinstance(self.cell, nn.LSTM) and not self.training and is_step(tokens):
            outputs, after = read_step(self.cell, self.embedding(tokens), before)
        elif is_in_half(tokens):
            embedded, precision = self.dropout(self.embedding(tokens)), torch.get_autocast_dtype("cuda")
            outputs, after = read_in_half(self.cell, embedded, before, dropout=self.dropout, precision=precision)
        else:
            embedded = self.dropout(self.embedding(tokens))  # (batch, time, embedding)
            outputs, after = self.cell(embedded, before[0] if before is not None and carried == 1 else before)
            after = after if carried == 2 else (after,)
        past: State = state[carried:] if state is not None else ()
        if state is None and self.past_attention is not None:
            past = (outputs.new_zeros(len(outputs), 0, self.cell.hidden_size),)
        return outputs, tuple(part.transpose(0, 1) for part in after), past


class PastAttention(nn.Module):
    """Each output looks at the `span` outputs up to and with itself, and is mixed with what it finds.

    Source: Luong, Pham and Manning 2015, section 3.1 (general score, on the model's own past).
    """

    def __init__(self, width: int, *, span: int) -> None:
        super().__init__()
        self.span = span
        self.query = nn.Linear(width, width, bias=False)
        self.mix = nn.Linear(2 * width, width, bias=False)

    def forward(
        self, outputs: Float[Tensor, "batch time width"], past: State
    ) -> tuple[Float[Tensor, "batch time width"], State]:
        """The mixed outputs, and the last outputs that the next chunk may look at."""
        memory = torch.cat([past[0], outputs], dim=1)  # (batch, past + time, width)
        visible = self._visible(time=outputs.shape[1], total=memory.shape[1], device=outputs.device)
        query, keys = (one.unsqueeze(1) for one in (self.query(outputs), memory))  # (batch, one, time, width)
        found = functional.scaled_dot_product_attention(query, keys, keys, attn_mask=visible).squeeze(1)
        mixed = torch.tanh(self.mix(torch.cat([outputs, found], dim=-1)))
        return mixed, (memory[:, max(0, memory.shape[1] - self.span + 1) :],)

    def weights(self, outputs: Float[Tensor, "batch time width"]) -> Float[Tensor, "batch one time time"]:
        """How much each of these first outputs looks at each; the scores that `forward` leaves to torch."""
        visible = self._visible(time=outputs.shape[1], total=outputs.shape[1], device=outputs.device)
        scores = self.query(outputs) @ outputs.transpose(1, 2) / outputs.shape[2] ** 0.5  # (batch, time, time)
        return scores.masked_fill(~visible, -torch.inf).softmax(dim=-1).unsqueeze(1)

    def _visible(self, *, time: int, total: int, device: torch.device) -> Tensor:
        query_position = torch.arange(total - time, total, device=device).unsqueeze(1)
        key_position = torch.arange(total, device=device).unsqueeze(0)
        return (key_position <= query_position) & (key_position > query_position - self.span)  # (time, total)
