"""Tiny models of every kind in float64, with weights large enough that a mistake shows."""

from collections.abc import Callable

import torch
from torch import nn

from lmlab.models.architectures.language_model import LanguageModel
from lmlab.models.architectures.recurrent import recurrent_language_model
from lmlab.models.architectures.settings import RecurrentSettings
from lmlab.models.architectures.transformer import TransformerLanguageModel

VOCABULARY = 23


def _recurrent(cell: type[nn.LSTM] | type[nn.GRU], span: int) -> LanguageModel:
    settings = RecurrentSettings(name="tiny", embedding_width=12, width=16, layers=2, dropout=0.0, attention_span=span)
    return recurrent_language_model(cell, settings, vocabulary_size=VOCABULARY)


def _transformer(context_length: int) -> LanguageModel:
    return TransformerLanguageModel(
        vocabulary_size=VOCABULARY,
        width=16,
        layers=2,
        heads=4,
        key_heads=2,
        head_width=4,
        feed_forward_width=24,
        context_length=context_length,
        rotary_base=100.0,
        dropout=0.0,
    )


KINDS: dict[str, Callable[[], LanguageModel]] = {
    "lstm": lambda: _recurrent(nn.LSTM, 0),
    "gru": lambda: _recurrent(nn.GRU, 0),
    "lstm with attention": lambda: _recurrent(nn.LSTM, 5),
    "gru with attention": lambda: _recurrent(nn.GRU, 5),
    "transformer": lambda: _transformer(32),
}


def tiny_model(kind: str, *, seed: int) -> LanguageModel:
    """A model of this kind; two seeds give two models."""
    torch.manual_seed(seed)
    model = KINDS[kind]()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.6)
    return model.double().eval()
