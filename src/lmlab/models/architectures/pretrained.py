"""What all models of transformers share: each weight under one name, the output, what a bundle keeps of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer

from lmlab.errors import InputError
from lmlab.models.architectures.language_model import LanguageModel, State

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Where the model was read from, and by which version, is no part of what it is.
_NOT_KEPT = ("_name_or_path", "transformers_version")
# Of logits, as a share of the largest: float32 sums in another order.
_TOLERANCE = 1e-3


class PretrainedLanguageModel(LanguageModel):
    """A model of transformers behind the seam of this project."""

    def __init__(self, inner: "PreTrainedModel", *, origin: Path | None) -> None:
        super().__init__()
        self.inner: Any = inner
        self.origin = origin
        self.vocabulary_size = len(self.inner.get_output_embeddings().weight)
        # The separator pads our batches, and learns like any other token.
        self.inner.get_input_embeddings().padding_idx = None
        self.register_state_dict_post_hook(_leave_out_tied)
        self.register_load_state_dict_pre_hook(_fill_in_tied)

    @property
    def where(self) -> str:
        """The setting that a message about this model is about."""
        return "model.architecture" if self.origin is None else f"model.source: {self.origin}"

    def logits(self, features: Float[Tensor, "*positions features"]) -> Float[Tensor, "*positions vocabulary"]:
        """By the model's output matrix; `check_output` has seen that it does no more."""
        return self.inner.get_output_embeddings()(features)

    def probe(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of a text as this model gives them, read in two parts, and as transformers gives them."""
        raise NotImplementedError

    @torch.no_grad()
    def check_output(self) -> None:
        """Read a few tokens in two parts, and compare with transformers' own logits.

        Raises: InputError if they differ: what the model keeps or does to its logits is not what is known here.
        """
        kind = self.inner.config.model_type
        training = self.training
        self.eval()
        try:
            found, expected = self.probe(torch.arange(5).unsqueeze(0) % self.vocabulary_size)
        except Exception as error:
            raise InputError(
                f"{self.where}: models of the kind {kind} cannot be read on from keys and values alone "
                f"({in_one_line(error)})"
            ) from None
        finally:
            self.train(training)
        if not torch.allclose(found, expected, rtol=0, atol=_TOLERANCE * float(expected.abs().max())):
            raise InputError(
                f"{self.where}: models of the kind {kind} make their logits by more than a matrix, or keep more than "
                "keys and values: this project cannot read them"
            )

    def check_fit(self, *, vocabulary_size: int, context_length: int) -> None:
        """Raise InputError if there are more tokens than embeddings, or more must be read than the model can."""
        most = min(self.vocabulary_size, len(self.inner.get_input_embeddings().weight))
        if vocabulary_size > most:
            raise InputError(
                f"{self.where}: the tokenizer has {vocabulary_size} tokens, the model {most}: "
                "they do not belong together"
            )
        if self.context_length is not None and context_length > self.context_length:
            raise InputError(
                f"{self.where}: the model reads {self.context_length} tokens at once, and {context_length} must be: "
                "lower task.cutting.max_prompt_tokens (of a prompt) or training.sequence_length (of plain text)"
            )

    def rebuilding(self, settings: dict[str, Any]) -> dict[str, Any]:
        """The architecture alone, without where it came from."""
        return {**settings, "source": None, "depends_on": None, "architecture": architecture_of(self.inner)}

    def embedding_parameters(self) -> list[Tensor]:
        """The embeddings, and the output matrix where it is another."""
        found = [*super().embedding_parameters(), self.inner.get_output_embeddings().weight]
        return list({id(weight): weight for weight in found}.values())

    def tied_names(self) -> dict[str, str]:
        """Each further name of a weight that has several, with its first."""
        first: dict[int, str] = {}
        every = self.named_parameters(remove_duplicate=False)
        kept_names = {name: first.setdefault(id(weight), name) for name, weight in every}
        return {name: kept for name, kept in kept_names.items() if name != kept}


def _leave_out_tied(model: PretrainedLanguageModel, weights: dict[str, Tensor], prefix: str, _rest: object) -> None:
    for name in model.tied_names():
        weights.pop(prefix + name, None)


def _fill_in_tied(model: PretrainedLanguageModel, weights: dict[str, Tensor], prefix: str, *_rest: object) -> None:
    for name, kept in model.tied_names().items():
        if prefix + name in weights:
            # A checkpoint may part what its architecture ties, as Flan-T5's output matrix from its embeddings.
            owner, _dot, last = name.rpartition(".")
            module = model.get_submodule(owner)
            setattr(module, last, nn.Parameter(getattr(module, last).detach().clone()))
        elif prefix + kept in weights:
            weights[prefix + name] = weights[prefix + kept]


def architecture_of(inner: "PreTrainedModel") -> dict[str, Any]:
    """The model's config.json, as JSON values."""
    config = {"architectures": [type(inner).__name__], **inner.config.to_diff_dict()}
    return json.loads(json.dumps({key: value for key, value in config.items() if key not in _NOT_KEPT}))


def in_one_line(error: Exception) -> str:
    """What a library's error says, cut short."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def cache_of(state: State) -> DynamicCache:
    """A cache of transformers with these keys and values, layer by layer; the tensors themselves stay as they are."""
    cache = DynamicCache()
    for keys, values in zip(state[::2], state[1::2], strict=True):
        layer = DynamicLayer()
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        cache.layers.append(layer)
    return cache


def state_of(cache: Cache) -> State:
    """The keys and values of the cache, layer by layer, each (batch, heads, time, head)."""
    layers: Any = cache.layers
    found = [tensor for layer in layers for tensor in (layer.keys, layer.values)]
    if not found or any(tensor is None for tensor in found):
        raise ValueError("a layer keeps no keys and values")
    return tuple(found)
