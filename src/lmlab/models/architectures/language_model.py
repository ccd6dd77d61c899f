"""The seam between models and everything that trains, scores or decodes with them."""

from jaxtyping import Float, Int
from torch import Tensor, nn

State = tuple[Tensor, ...]


class LanguageModel(nn.Module):
    """A causal language model that reads tokens in one pass or in chunks, with the same result.

    The state after reading is a tuple of tensors with the batch in dimension 0; only the model looks inside.
    """

    context_length: int | None
    """The most tokens that one state can read; None where there is no such bound."""

    vocabulary_size: int

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

    def attention(self, tokens: Int[Tensor, "batch time"]) -> list[Float[Tensor, "batch heads time time"]]:
        """For each layer with attention, how much each position (rows) looks at each (columns) of these first tokens.

        Rows sum to 1. Empty for a model without attention.
        """
        del tokens
        return []

    def num_parameters(self) -> int:
        """Number of trained numbers; a tied matrix counts once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def embedding_parameters(self) -> list[Tensor]:
        """The vocabulary's matrices, which optimizers for hidden matrices leave out."""
        return [module.weight for module in self.modules() if isinstance(module, nn.Embedding)]


def select_rows(state: State, rows: Int[Tensor, " rows"] | slice) -> State:
    """The state of these rows of the batch."""
    if isinstance(rows, slice):
        return tuple(tensor[rows] for tensor in state)
    return tuple(tensor.index_select(0, rows) for tensor in state)


def detach(state: State) -> State:
    """The state cut off from the graph that computed it."""
    return tuple(tensor.detach() for tensor in state)
