"""The seam between models and everything that trains, scores or decodes with them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

State = tuple[Tensor, ...]

_weights_follow = ContextVar("_weights_follow", default=False)


@contextmanager
def weights_follow() -> Iterator[None]:
    """Models that are built in the block get their weights right after: what takes long to draw need not be drawn."""
    before = _weights_follow.set(True)
    try:
        yield
    finally:
        _weights_follow.reset(before)


def draws_weights() -> bool:
    """Whether a model that is built here needs fresh weights."""
    return not _weights_follow.get()


def likeliest(logits: Float[Tensor, "batch vocabulary"]) -> Int[Tensor, " batch"]:
    """The token of each row with the greatest logit."""
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        # On a CPU numpy finds it ten times as fast as torch.
        return torch.from_numpy(logits.numpy().argmax(axis=-1))
    return logits.argmax(dim=-1)


class Reader:
    """Reads one text after which answers are written, in several rows, and keeps the state to itself."""

    def read(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Read on; the logits of the token after the last."""
        raise NotImplementedError

    def follow(self, tokens: Int[Tensor, "batch time"], *, count: int) -> Iterator[list[int]]:
        """Read on, and then the likeliest token of each row, so many times: those tokens, one after another."""
        for _ in range(count):
            chosen = likeliest(self.read(tokens))
            yield chosen.tolist()
            tokens = chosen.unsqueeze(1)


class LanguageModel(nn.Module):
    """A causal language model that reads tokens in one pass or in chunks, with the same result.

    The state after reading is a tuple of tensors with the batch in dimension 0; only the model looks inside.
    """

    context_length: int | None
    """The most tokens that one state can read; None where there is no such bound."""

    vocabulary_size: int
    """Logits of each position; a pretrained model may have more of them than its tokenizer has tokens."""

    origin: Path | None = None
    """The folder that holds the weights it was built with, and the tokenizer they belong to; None for fresh weights."""

    compiles = False
    """Whether torch.compile can make one program of `read`."""

    needs_prompts = False
    """Whether it answers prompts, and cannot go on with plain text."""

    def forward(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time vocabulary"], State]:
        """Logits of the token after each of these, and the state after the last; None is the empty state."""
        features, after = self.read(tokens, state)
        return self.logits(features), after

    def read(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch time features"], State]:
        """What the logits are made of, and the state: for callers that want the logits of a few positions only."""
        raise NotImplementedError

    def logits(self, features: Float[Tensor, "*positions features"]) -> Float[Tensor, "*positions vocabulary"]:
        """The logits of the token after each position that was read."""
        raise NotImplementedError

    def last_logits(
        self, tokens: Int[Tensor, "batch time"], state: State | None = None
    ) -> tuple[Float[Tensor, "batch vocabulary"], State]:
        """The logits of the token after the last of these, and the state after it."""
        features, after = self.read(tokens, state)
        return self.logits(features[:, -1]), after

    def conditioned(self, prompts: Sequence[Sequence[int]]) -> "tuple[LanguageModel, list[list[int]]]":
        """The model that writes the answers to these prompts, and what each row of a batch of them reads first.

        A model that reads answers after their prompts is that model itself. One that reads prompts apart reads them
        here; its first read, from the empty state, must be of all the rows in this order.
        """
        return self, [list(prompt) for prompt in prompts]

    def reader(self, *, rows: int, length: int) -> Reader:
        """A reader of `length` tokens at most in each of so many rows, for text that only grows."""
        del rows, length
        return StateReader(self)

    @property
    def device(self) -> torch.device:
        """Where tokens must be."""
        return next(self.parameters()).device

    def attention(self, tokens: Int[Tensor, "batch time"]) -> list[Float[Tensor, "batch heads time time"]]:
        """For each layer with attention, how much each position (rows) looks at each (columns) of these first tokens.

        Rows sum to 1. Empty for a model without attention.
        """
        del tokens
        return []

    def rebuilding(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Settings that build a model of this shape again where nothing but a bundle is at hand, from its own ones."""
        return settings

    def mean_attention(self, tokens: Int[Tensor, " time"]) -> Float[Tensor, "time time"] | None:
        """The mean of `attention` over all layers and heads of one text; None for a model without attention."""
        layers = self.attention(tokens.unsqueeze(0))
        return torch.cat([layer[0].float() for layer in layers]).mean(dim=0) if layers else None

    def num_parameters(self) -> int:
        """Number of trained numbers; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def training_operations(self, *, tokens: int, targets: int, length: int) -> float:
        """Floating-point operations that training on rows of this length needs, forward and backward; NaN if unknown.

        Every weight multiplies each token twice forward and four times backward (Kaplan et al. 2020, section 2.1), the
        vocabulary's matrix only the tokens that are targets. Attention's own products are left out here.
        """
        del length
        of_vocabulary = sum(weight.numel() for weight in self.embedding_parameters())
        return 6.0 * (tokens * (self.num_parameters() - of_vocabulary) + targets * of_vocabulary)

    def embedding_parameters(self) -> list[Tensor]:
        """The matrices with a row for each token, or each position, which optimizers for hidden matrices leave out."""
        return [module.weight for module in self.modules() if isinstance(module, nn.Embedding)]


class StateReader(Reader):
    """Carries the state from one read to the next."""

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._state: State | None = None

    @torch.inference_mode()
    def read(self, tokens: Int[Tensor, "batch time"]) -> Float[Tensor, "batch vocabulary"]:
        """Read on; the logits of the token after the last."""
        logits, self._state = self._model.last_logits(tokens, self._state)
        return logits


def select_rows(state: State, rows: Int[Tensor, " rows"] | slice) -> State:
    """The state of these rows of the batch."""
    if isinstance(rows, slice):
        return tuple(tensor[rows] for tensor in state)
    return tuple(tensor.index_select(0, rows) for tensor in state)


def detach(state: State) -> State:
    """The state cut off from the graph that computed it."""
    return tuple(tensor.detach() for tensor in state)
